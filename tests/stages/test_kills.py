"""A training run that is killed again and again, wherever it is."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stages.launching import PYTHON, command, environment, launch, metrics, signal_at, steps

# dropout, keys, windows, sampled patches, averages and the guard's memory must all go on
FLAGS = (
    *("--patches-per-step", "40", "--epochs", "20", "--schedule", "cosine", "--warmup-steps", "9"),
    *("--save-steps", "5", "--eval-steps", "12", "--sample-steps", "40", "--keep-checkpoints", "2"),
    *("--ema-decay", "0.9", "--spike-factor", "1.5", "--sampled-share", "0.8", "--workers", "1"),
)


@pytest.mark.slow
def test_ten_kills_change_nothing(corpus: Path) -> None:
    whole = launch(PYTHON, "pretrain", corpus, *FLAGS, run="whole")
    assert whole.returncode == 0, whole.stderr
    last = steps(corpus / "whole")[-1]
    rng = random.Random(1)
    killed, torn, unmeasured = corpus / "killed", 0, 0
    for number in range(10):
        # in a step, while a checkpoint is written, in an evaluation
        moments = (in_a_step(killed, rng), while_saving(killed), while_evaluating(corpus / "log"))
        assert kill_at(moments[number % 3], corpus) < last
        torn += any(killed.glob("checkpoints/.step-*.part/*"))
        unmeasured += (
            "evaluate: " in (corpus / "log").read_text().replace("\r", "\n").split("\n")[-1]
        )
        for checkpoint in killed.glob("checkpoints/step-*"):
            assert (checkpoint / "progress.json").is_file()
    # the kills hit what they were meant to hit
    assert torn >= 2
    assert unmeasured >= 1
    again = launch(PYTHON, "pretrain", corpus, *FLAGS, run="killed")
    assert again.returncode == 0, again.stderr
    assert metrics(killed) == metrics(corpus / "whole")
    files = ["best/model.safetensors", "last/model.safetensors"]
    files += [f"samples/step-{step:08d}.abc" for step in range(40, last + 1, 40)]
    for file in files:
        assert (killed / file).read_bytes() == (corpus / "whole" / file).read_bytes(), file


def kill_at(moment: Callable[[], bool], corpus: Path) -> int:
    """Start or go on with the run, kill it at a moment; return the last step it logged."""
    code = signal_at(
        moment,
        signal.SIGKILL,
        command(PYTHON, "pretrain", corpus, *FLAGS, run="killed"),
        corpus / "log",
        env=environment(corpus),
    )
    assert code == -signal.SIGKILL
    return logged(corpus / "killed")


def logged(folder: Path) -> int:
    """Return the last step in metrics.jsonl, whose last line may be torn; 0 if there is none."""
    file = folder / "metrics.jsonl"
    lines = file.read_bytes().split(b"\n")[:-1] if file.is_file() else []
    return int(lines[-1].split(b",")[0].removeprefix(b'{"step": ')) if lines else 0


def in_a_step(folder: Path, rng: random.Random) -> Callable[[], bool]:
    """A few steps after one that this launch has taken, and a random part of one more."""
    goal = logged(folder) + rng.randint(6, 14)
    wait = rng.random() * 0.02

    def now() -> bool:
        if logged(folder) < goal:
            return False
        time.sleep(wait)
        return True

    return now


def while_saving(folder: Path) -> Callable[[], bool]:
    """As soon as a file of an unfinished checkpoint is there, past the newest logged step."""
    goal = logged(folder) + 2
    return lambda: logged(folder) > goal and any(folder.glob("checkpoints/.step-*.part/*"))


def while_evaluating(log: Path) -> Callable[[], bool]:
    """As soon as the second evaluation's bar is drawn."""
    log.unlink(missing_ok=True)
    return lambda: log.is_file() and log.read_bytes().count(b"evaluate:   0%") >= 2
