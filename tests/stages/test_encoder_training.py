"""M3 and CLaMP 2 trained by their scripts, on a few tunes."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from notagen.features.m3 import M3, M3Config
from notagen.features.weights import load_clamp, load_m3, save_m3
from tests.stages.launching import PYTHON, ROOT, TORCHRUN, metrics, run_to_end, steps

SCRIPTS = {"m3": "1_train-m3.py", "clamp": "2_train-clamp.py"}
FLAGS = {
    "m3": [
        *("--model.patch-length", "64", "--model.patch-layers", "1", "--model.dropout", "0"),
        *("--model.char-layers", "1", "--model.hidden-size", "64", "--patches-per-step", "100"),
    ],
    "clamp": [
        *("--text-layers", "1", "--text-hidden-size", "64", "--vocabulary-size", "200"),
        *("--feature-size", "16", "--pairs-per-step", "6", "--dropout", "0"),
    ],
}


@pytest.fixture
def music(corpus: Path) -> Path:
    """The corpus of the other training tests, and small M3 weights."""
    torch.manual_seed(0)
    shape = M3Config(patch_length=64, patch_layers=1, char_layers=1, hidden_size=64)
    save_m3(M3(shape), corpus / "m3")
    return corpus


def train(
    model: str, corpus: Path, *flags: str, launcher: Sequence[str] = PYTHON, run: str = "run"
) -> subprocess.CompletedProcess[str]:
    command = [
        *(*launcher, str(ROOT / "clamp_features" / SCRIPTS[model]), *FLAGS[model]),
        *(
            "--train-index",
            str(corpus / "index.jsonl"),
            "--eval-index",
            str(corpus / "index.jsonl"),
        ),
        *("--run-folder", str(corpus / run), "--schedule", "constant", "--warmup-steps", "2"),
        *(["--m3", str(corpus / "m3")] if model == "clamp" else []),
    ]
    return run_to_end([*command, *flags], corpus)


@pytest.mark.parametrize("model", SCRIPTS)
def test_a_stopped_run_goes_on_to_the_same_weights(music: Path, model: str) -> None:
    for run, stops in (("run", ("2", "4")), ("whole", ("4",))):
        for stop in stops:
            done = train(model, music, "--max-steps", stop, run=run)
            assert done.returncode == 0, done.stderr
    assert steps(music / "run") == steps(music / "whole") == [1, 2, 3, 4]
    ours, theirs = (
        load_file(music / run / "last" / "model.safetensors") for run in ("run", "whole")
    )
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    if model == "m3":
        assert load_m3(music / "run" / "best").config.hidden_size == 64
    else:
        assert load_clamp(music / "run" / "best", text=True).config.feature_size == 16


@pytest.mark.parametrize("model", SCRIPTS)
def test_two_processes_learn_what_one_does(music: Path, model: str) -> None:
    flags = ("--max-steps", "6", "--epochs", "9")
    one = train(model, music, *flags)
    two = train(model, music, *flags, launcher=TORCHRUN, run="two")
    assert one.returncode == 0, one.stderr
    assert two.returncode == 0, two.stderr
    ours, theirs = metrics(music / "run"), metrics(music / "two")
    assert len(ours) == len(theirs) > 6
    for one_line, two_line in zip(ours, theirs, strict=True):
        assert two_line == pytest.approx(one_line, abs=1e-4, rel=1e-3)


def test_a_setting_out_of_range_is_one_line(music: Path) -> None:
    done = train("clamp", music, "--text-hidden-size", "100")
    assert done.returncode != 0
    # the command line's box breaks it where the terminal ends
    told = " ".join(done.stderr.replace("│", " ").split())
    assert "text_hidden_size must be a multiple of 64, got 100" in told


def test_weights_that_are_not_m3_are_one_line(music: Path) -> None:
    done = train("clamp", music, "--m3", str(music / "weights"))
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "found a model of kind None, wanted 'M3'" in done.stderr
