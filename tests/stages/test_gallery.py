"""The script that lays one piece a seed out on a page, as users run it."""

import re
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import mido
import pytest
import torch

from notagen.generation.prompt_table import write_prompt_table
from notagen.generation.prompts import Prompt
from notagen.model.notagen import NotaGen
from notagen.model.weights import save_model
from tests.stages.launching import PYTHON, ROOT, TINY, run_to_end

SONG, QUARTET = Prompt("Romantic", "Schubert, Franz", "Art Song"), Prompt("Classical", "B", "C")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_model(NotaGen(TINY), tmp_path / "tiny")
    return tmp_path / "tiny"


def run(script: str, place: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [*PYTHON, str(ROOT / "inference" / script), "--weights", str(place / "tiny")]
    return run_to_end([*command, *flags], place)


def test_every_seed_has_its_place_whatever_came_of_it(weights: Path, tmp_path: Path) -> None:
    write_prompt_table({SONG: 3, QUARTET: 1}, weights)
    flags = ("--out", "out", "--page", "docs/gallery.md", "--seeds", "2", "--max-bars", "2")
    done = run("gallery.py", tmp_path, *flags)
    assert done.returncode == 0, done.stderr
    assert "gallery.md: 2 pieces" in done.stdout
    page, out = tmp_path / "docs" / "gallery.md", tmp_path / "out"
    text = page.read_text()
    assert "`tiny`" in text
    seeds = re.findall(r"^## Seed (\d): (.*)$", text, re.M)
    assert [seed for seed, _ in seeds] == ["1", "2"]
    assert {prompt for _, prompt in seeds} <= {str(SONG), str(QUARTET)}
    shown = re.findall(r"\((gallery/seed-\d\d\.(?:mid|svg))\)", text)
    assert "not engraved" not in text
    assert len(shown) == 4
    for path in shown:
        file = page.parent / path
        if file.suffix == ".svg":
            assert ET.parse(file).getroot().tag.endswith("svg")
        else:
            assert mido.MidiFile(file).tracks
    # what an untrained model's bars are mended to, rests, has no sound, and that is told
    assert len(list((out / "wav").glob("*.wav"))) + done.stderr.count("has no sound") == 2

    # given again, nothing is written anew
    lines = (out / "generations.jsonl").read_text()
    assert run("gallery.py", tmp_path, *flags).returncode == 0
    assert ((out / "generations.jsonl").read_text(), page.read_text()) == (lines, text)

    # the command that the page's script names writes the same piece
    alone = ("--draw-prompts", "--seed", "1", "--max-bars", "2", "--out", "alone", "--no-show")
    assert run("generate.py", tmp_path, *alone).returncode == 0
    (piece,) = (tmp_path / "alone" / "original").iterdir()
    assert piece.read_text() in {file.read_text() for file in (out / "original").iterdir()}


@pytest.mark.usefixtures("weights")
def test_without_a_table_nothing_is_begun(tmp_path: Path) -> None:
    done = run("gallery.py", tmp_path, "--out", "out", "--page", "gallery.md")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "found no prompts in a prompts.json beside the weights" in done.stderr
    assert not (tmp_path / "out").exists()
    done = run("gallery.py", tmp_path, "--out", "out", "--page", "gallery", "--max-bars", "0")
    assert "error: found 10 seeds, max_bars 0 and page gallery, wanted numbers" in done.stderr
    assert "Traceback" not in done.stderr
