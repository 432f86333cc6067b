"""The script that lays one piece a seed out on a page."""

import re
import runpy
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import mido
import pytest
import torch

from notagen.foundation.errors import MissingInputError
from notagen.generation.prompt_table import write_prompt_table
from notagen.generation.prompts import Prompt
from notagen.model.notagen import NotaGen
from notagen.model.weights import save_model
from tests.stages.launching import ROOT, TINY

SONG, QUARTET = Prompt("Romantic", "Schubert, Franz", "Art Song"), Prompt("Classical", "B", "C")


@pytest.fixture
def gallery() -> Callable[..., None]:
    main: Callable[..., None] = runpy.run_path(str(ROOT / "inference" / "gallery.py"))["main"]
    return main


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_model(NotaGen(TINY), tmp_path / "tiny")
    return tmp_path / "tiny"


def test_every_seed_has_its_place_whatever_came_of_it(
    gallery: Callable[..., None],
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_prompt_table({SONG: 3, QUARTET: 1}, weights)
    page, out = tmp_path / "docs" / "gallery.md", tmp_path / "out"
    gallery(weights, out, page, seeds=2, max_bars=2)
    text = page.read_text()
    assert "`tiny`" in text
    seeds = re.findall(r"^## Seed (\d): (.*)$", text, re.M)
    assert [seed for seed, _ in seeds] == ["1", "2"]
    assert {prompt for _, prompt in seeds} <= {str(SONG), str(QUARTET)}
    shown = re.findall(r"\((gallery/seed-\d\d\.(?:mid|svg))\)", text)
    failed = text.count("not engraved")
    assert len(shown) >= 2 * (2 - failed)
    for path in shown:
        file = page.parent / path
        if file.suffix == ".svg":
            assert ET.parse(file).getroot().tag.endswith("svg")
        else:
            assert mido.MidiFile(file).tracks
    # what an untrained model's bars are mended to, rests, has no sound, and that is told
    assert len(list((out / "wav").glob("*.wav"))) + capsys.readouterr().out.count("no sound") == 2


def test_without_a_table_nothing_is_begun(
    gallery: Callable[..., None], weights: Path, tmp_path: Path
) -> None:
    with pytest.raises(MissingInputError, match=r"found no prompts\.json"):
        gallery(weights, tmp_path / "out", tmp_path / "gallery.md")
    assert not (tmp_path / "out").exists()
