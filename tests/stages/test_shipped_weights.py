"""The weights that come with the project: what their cards promise, and the stages run on them."""

import json
import os
import random
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from accelerate.state import PartialState

from notagen.features.damage import damage
from notagen.features.extract import Extractor
from notagen.features.scoring import judge, read_reference
from notagen.features.weights import encoder_sha256, load_m3
from notagen.foundation.features import read_features
from notagen.generation.prompt_table import read_prompt_table
from notagen.generation.prompts import Prompt
from notagen.metrics.likelihood import likelihoods
from notagen.model.weights import load_model
from notagen.notation.clean import clean
from notagen.notation.interleave import interleave
from notagen.notation.musicxml import musicxml_to_abc
from notagen.sources.collections import COLLECTIONS
from notagen.sources.music21_corpus import corpus_folder
from tests.stages.launching import ROOT

WEIGHTS = ROOT / "weights"
NAMES = ("bwv10.7", "bwv17.7", "bwv26.6", "bwv40.3", "bwv48.3", "bwv57.8", "bwv66.6", "bwv77.6")


@pytest.fixture(scope="module")
def chorales() -> list[str]:
    files = (corpus_folder() / "bach" / f"{name}.mxl" for name in NAMES)
    return [interleave(clean(musicxml_to_abc(file))) for file in files]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a script of clamp_features/ with its own defaults; returns what it prints."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")

    def call(script: str, *flags: str) -> str:
        path = ROOT / "clamp_features" / script
        monkeypatch.setattr(sys, "argv", [str(path), *flags])
        runpy.run_path(str(path), run_name="__main__")
        PartialState._reset_state()
        return capsys.readouterr().out

    return call


def test_every_folder_is_small_and_has_a_card() -> None:
    folders = [path for path in WEIGHTS.iterdir() if (path / "config.json").is_file()]
    assert {path.name for path in folders} >= {"m3-mini", "clamp-mini", "notagen-mini"}
    for folder in folders:
        assert (folder / "model.safetensors").stat().st_size < 20e6
        card = (folder / "README.md").read_text()
        assert "CC BY 4.0" in card
        assert f"--out ../weights/{folder.name}" in card
    assert load_m3(WEIGHTS / "m3-mini").config.encoder.patch_layers == 6


def test_all_scores_that_were_learned_from_are_listed_with_their_licence() -> None:
    lines = [json.loads(line) for line in (WEIGHTS / "scores.jsonl").read_text().splitlines()]
    assert len({line["path"] for line in lines}) == len(lines) == 2622
    assert {line["licence"] for line in lines} == {"CC0-1.0", "CC-BY-4.0"}
    assert all(line["work"] and line["composer"] for line in lines)
    for line in lines:
        name, path = line["path"].split("/", 1)
        assert re.fullmatch(COLLECTIONS[name].layout, path)
    with np.load(WEIGHTS / "clamp-mini" / "reference.npz") as means:
        assert means["sizes"].sum() == 2370


def test_the_generator_knows_the_scores_that_it_learned_from() -> None:
    known = read_prompt_table(WEIGHTS / "notagen-mini")
    assert sum(known.values()) == 2370
    listed = [json.loads(line) for line in (WEIGHTS / "scores.jsonl").read_text().splitlines()]
    names = ("period", "composer", "instrumentation")
    assert {Prompt(*(line[name] for name in names)) for line in listed} >= known.keys()


def test_wrong_notes_cost_the_generator_more(chorales: list[str]) -> None:
    model = load_model(WEIGHTS / "notagen-mini")
    rng = random.Random(0)
    spoiled = [damage(text, "jittered pitches", rng) for text in chorales]
    real, wrong = (
        [found.result.bits for found in likelihoods(model, texts) if found.result]
        for texts in (chorales, spoiled)
    )
    assert len(real) == len(wrong) == len(chorales)
    assert all(right < false for right, false in zip(real, wrong, strict=True))
    assert sum(real) < 0.9 * sum(wrong)


def test_a_page_is_made_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "generate.py", "--num-bars", "8", "--seed", "1", "--json"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "1"}
    done = subprocess.run(
        [*command, "--out", str(tmp_path)],
        cwd=ROOT / "inference",
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    record = json.loads(done.stdout.splitlines()[-1])
    assert record["n_bars"] == 8
    assert record["finished"]
    assert record["aligned"]
    assert record["converts"]
    assert record["prompt"].startswith("%Romantic\n%Schubert, Franz\n%Art Song\n")
    assert {Path(name).suffix for name in record["files"]} >= {".abc", ".musicxml", ".mid", ".svg"}


def test_wrong_notes_lower_the_score(chorales: list[str]) -> None:
    extractor = Extractor(WEIGHTS / "clamp-mini")
    rng = random.Random(0)
    copies = [damage(text, "jittered pitches", rng) for text in chorales]
    reference = read_reference(WEIGHTS / "clamp-mini" / "reference.npz")
    real, spoiled = (
        judge(np.stack([extractor.features(text) for text in texts]), [None] * 8, reference)
        for texts in (chorales, copies)
    )
    assert all(one.score > other.score for one, other in zip(real, spoiled, strict=True))


def test_from_pieces_to_scores_and_searches_without_real_ones(
    chorales: list[str], run: Callable[..., str], tmp_path: Path
) -> None:
    for name, text in zip(NAMES, chorales, strict=True):
        (tmp_path / "music" / f"{name}.abc").parent.mkdir(exist_ok=True)
        (tmp_path / "music" / f"{name}.abc").write_text(text)
    features, out = tmp_path / "features", tmp_path / "out"
    assert "8 features of 8 files" in run(
        "3_extract.py", "--input", str(tmp_path / "music"), "--out", str(features)
    )
    assert read_features(features).weights_sha256 == encoder_sha256(WEIGHTS / "clamp-mini")
    said = run(
        *("4_score.py", "--generation-features", str(features), "--out", str(out)),
        *("--reference-features", str(WEIGHTS / "clamp-mini" / "reference.npz")),
        *("--generations", "None"),
    )
    assert "extractor clamp-mini" in said
    scores = [json.loads(line)["score"] for line in (out / "scores.jsonl").read_text().splitlines()]
    assert len(scores) == 8
    assert np.mean(scores) > 0.2
    found = run(
        "4_score.py", "--folder", str(features), "--query", "Baroque, Bach", "--num-found", "3"
    )
    assert len(found.splitlines()) == 3
    alike = run("4_score.py", "--folder", str(features), "--query", "bwv66.6").splitlines()
    assert len(alike) == 7
    assert not any("bwv66.6" in line for line in alike)
