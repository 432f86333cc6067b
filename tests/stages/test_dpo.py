"""rl/2_train-dpo.py for real, on a tiny model: what it learns, kills, processes, bad input."""

import json
import math
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch

from notagen.generation.prompt_table import read_prompt_table, write_prompt_table
from notagen.generation.prompts import Prompt
from notagen.model.notagen import NotaGen
from notagen.model.weights import load_model, save_model
from tests.stages.launching import (
    PYTHON,
    ROOT,
    TINY,
    TORCHRUN,
    environment,
    metrics,
    run_to_end,
    signal_at,
    steps,
)

SONG = ("Romantic", "Schubert, Franz", "Art Song")
HEADER = "%Romantic\n%Schubert, Franz\n%Art Song\n%end\nL:1/8\nM:4/4\nK:C\nV:1 treble\n"
FLAGS = ("--epochs", "9", "--pairs-per-step", "3", "--peak-learning-rate", "1e-5")


def tune(place: int, length: int) -> str:
    pitches = ("cdefgab"[place % 7 :] + "CDEFGAB" * 3)[:length]
    return HEADER + "".join(
        f"[r:{i}/{length - i - 1}][V:1]{pitch}8|\n" for i, pitch in enumerate(pitches)
    )


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Weights with a prompt table, and eight chosen and rejected pieces of two prompts."""
    torch.manual_seed(0)
    save_model(NotaGen(replace(TINY, dropout=0.3)), tmp_path / "weights")
    write_prompt_table({Prompt(*SONG): 3}, tmp_path / "weights")
    sides: dict[str, list[str]] = {"chosen": [], "rejected": []}
    lines = []
    for side, paths in sides.items():
        for place in range(8):
            path = f"{side} {place}.abc"
            # the last is longer than the context
            text = tune(place + 3 * (side == "chosen"), 40 if place == 7 else 3 + place)
            (tmp_path / path).write_text(text)
            prompt = SONG if place % 2 else None
            lines.append({"path": path, "prompt": prompt, "reward": 0.5})
            paths.append(path)
    (tmp_path / "preferences.json").write_text(json.dumps(sides))
    (tmp_path / "preferences.jsonl").write_text("".join(f"{json.dumps(x)}\n" for x in lines))
    return tmp_path


def command(launcher: Sequence[str], work: Path, *flags: str, run: str) -> list[str]:
    return [
        *(*launcher, str(ROOT / "rl" / "2_train-dpo.py"), "--weights", str(work / "weights")),
        *("--preferences", str(work / "preferences.json"), "--run-folder", str(work / run)),
        *(*FLAGS, *flags),
    ]


def train(
    work: Path, *flags: str, run: str = "run", launcher: Sequence[str] = PYTHON
) -> CompletedProcess[str]:
    return run_to_end(command(launcher, work, *flags, run=run), work)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_model(folder / "last").state_dict()


def test_a_policy_learns_its_pairs_and_goes_on_exactly(work: Path) -> None:
    result = train(work, "--max-steps", "12")
    assert result.returncode == 0, result.stderr
    assert "8 chosen pieces and as many rejected" in result.stdout
    assert "12 steps taken; the weights: " in result.stdout
    losses = [line["loss"] for line in metrics(work / "run") if "loss" in line]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5)
    assert min(losses) < 0.68
    assert read_prompt_table(work / "run" / "last") == {Prompt(*SONG): 3}
    assert load_model(work / "run" / "last").config.dropout == 0.3
    # stopped and begun again; the figures of the reference stay where they are
    for max_steps in ("3", "8", "12"):
        result = train(work, "--max-steps", max_steps, run="parts")
        assert result.returncode == 0, result.stderr
        figures = work / "parts" / "reference.json"
        if max_steps == "3":
            made = figures.stat().st_mtime_ns
        assert figures.stat().st_mtime_ns == made
    assert [x["loss"] for x in metrics(work / "parts") if "loss" in x] == losses
    for name, weight in weights(work / "run").items():
        assert torch.equal(weight, weights(work / "parts")[name]), name


def test_a_killed_run_goes_on_to_the_same_weights(work: Path) -> None:
    whole = train(work, "--max-steps", "5")
    assert whole.returncode == 0, whole.stderr
    run = command(PYTHON, work, "--max-steps", "5", "--save-steps", "1", run="killed")
    log = work / "log"
    for moment in (
        lambda: (work / "killed" / "reference.json").exists(),
        lambda: (work / "killed" / "metrics.jsonl").exists() and len(steps(work / "killed")) > 1,
    ):
        code = signal_at(moment, signal.SIGKILL, run, log, cwd=work, env=environment(work))
        assert code == -signal.SIGKILL
    result = run_to_end(run, work)
    assert result.returncode == 0, result.stderr
    for name, weight in weights(work / "run").items():
        assert torch.equal(weight, weights(work / "killed")[name]), name


def test_two_processes_learn_what_one_does(work: Path) -> None:
    small = ("--max-steps", "4", "--patches-per-batch", "80")
    for run, launcher in (("one", PYTHON), ("two", TORCHRUN)):
        result = train(work, *small, run=run, launcher=launcher)
        assert result.returncode == 0, result.stderr
    for ours, theirs in zip(metrics(work / "one"), metrics(work / "two"), strict=True):
        assert theirs == pytest.approx(ours, rel=1e-4)


def test_lora_and_checkpointed_activations(work: Path) -> None:
    flags = ("--max-steps", "3", "--checkpoint-activations", "--peak-learning-rate", "1e-2")
    result = train(work, *flags, "--lora-rank", "4")
    assert result.returncode == 0, result.stderr
    losses = [line["loss"] for line in metrics(work / "run") if "loss" in line]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5)
    assert losses[-1] != pytest.approx(losses[0])
    assert weights(work / "run").keys() == load_model(work / "weights").state_dict().keys()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "preferences.json is not there; 1_preferences.py writes such a file"),
        ("[]", "found no lists of paths `chosen` and `rejected`, wanted both"),
        ('{"chosen": [1], "rejected": []}', "found no lists of paths"),
        ('{"chosen": ["a.abc"], "rejected": []}', "found a.abc, which is not there"),
        (
            '{"chosen": ["chosen 0.abc"], "rejected": ["chosen 0.abc"]}',
            "found chosen 0.abc twice, wanted it once",
        ),
        (
            '{"chosen": ["chosen 0.abc"], "rejected": ["rejected 1.abc"]}',
            "found 1 chosen and 1 rejected pieces, wanted as many of both for each prompt",
        ),
        ('{"chosen": [], "rejected": []}', "found 0 chosen and 0 rejected pieces"),
    ],
)
def test_bad_preferences_are_one_line(work: Path, content: str | None, said: str) -> None:
    (work / "preferences.json").unlink()
    if content is not None:
        (work / "preferences.json").write_text(content)
    result = train(work)
    assert result.returncode != 0
    assert said in result.stderr
    assert "Traceback" not in result.stderr
