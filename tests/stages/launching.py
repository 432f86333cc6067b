"""Training scripts started by a launcher, in processes of their own, and what they leave behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from notagen.model.config import ModelConfig

ROOT = Path(__file__).resolve().parents[2]
TINY = ModelConfig(patch_length=64, patch_layers=1, char_layers=1, hidden_size=64)
PYTHON = (sys.executable,)
ACCELERATE = (*PYTHON, "-m", "accelerate.commands.launch", "--cpu", "--num_processes=1")
TORCHRUN = (
    *(*PYTHON, "-m", "torch.distributed.run", "--nproc_per_node=2"),
    *("--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"),
)
MEASURED = {"patches_per_second", "memory_gigabytes"}


def command(
    launcher: Sequence[str], stage: str, corpus: Path, *flags: str, run: str = "run"
) -> list[str]:
    start = {
        "finetune": ["--weights", str(corpus / "weights")],
        "pretrain": [
            *("--model.patch-length", "64", "--model.patch-layers", "1"),
            *("--model.char-layers", "1", "--model.hidden-size", "64", "--model.dropout", "0.1"),
        ],
    }
    paths = [
        *("--train-index", str(corpus / "index.jsonl")),
        *("--eval-index", str(corpus / "index.jsonl")),
        *("--run-folder", str(corpus / run)),
        # a cosine ends at the run's last step, which these tests move
        *("--schedule", "constant"),
    ]
    return [*launcher, str(ROOT / stage / "train-gen.py"), *paths, *start[stage], *flags]


def environment(corpus: Path) -> dict[str, str]:
    # the home folder may hold a launcher's configuration of its own
    home = {"HF_HOME": str(corpus / "hf"), "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"}
    return os.environ | home


def run_to_end(
    command: Sequence[str], place: Path, *, given: str = "", timeout: float = 200
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, given a text; return its exit code and what it said."""
    return subprocess.run(
        command,
        env=environment(place),
        cwd=place,
        input=given,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def launch(
    launcher: Sequence[str], stage: str, corpus: Path, *flags: str, run: str = "run"
) -> subprocess.CompletedProcess[str]:
    return run_to_end(command(launcher, stage, corpus, *flags, run=run), corpus)


def metrics(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in MEASURED} for line in lines]


def steps(folder: Path) -> list[int]:
    return [line["step"] for line in metrics(folder) if "loss" in line]


def signal_at(
    moment: Callable[[], bool],
    number: signal.Signals,
    run: Sequence[str],
    log: Path,
    *,
    cwd: Path | None = None,
    env: dict[str, str],
) -> int:
    """Start a run, send all its processes a signal at a moment, and return its exit code.

    What it prints goes to the log; it may not end before the moment.
    """
    with (
        log.open("w") as file,
        subprocess.Popen(
            run, env=env, cwd=cwd, stdout=file, stderr=file, start_new_session=True
        ) as process,
    ):
        deadline = time.monotonic() + 100
        while process.poll() is None and not moment():
            assert time.monotonic() < deadline
            time.sleep(0.0005)
        assert process.poll() is None, log.read_text()
        os.killpg(process.pid, number)
        return process.wait(timeout=100)
