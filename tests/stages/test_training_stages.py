"""The training scripts as a user runs them: by a launcher, in processes of their own."""

import contextlib
import json
import os
import random
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from notagen.foundation.config import parse_config
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.model.weights import load_model, save_model

ROOT = Path(__file__).resolve().parents[2]
TINY = ModelConfig(patch_length=64, patch_layers=1, char_layers=1, hidden_size=64)
PYTHON = (sys.executable,)
ACCELERATE = (*PYTHON, "-m", "accelerate.commands.launch", "--cpu", "--num_processes=1")
TORCHRUN = (
    *(*PYTHON, "-m", "torch.distributed.run", "--nproc_per_node=2"),
    *("--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"),
)
TWICE = pytest.mark.parametrize("launcher", [ACCELERATE, TORCHRUN], ids=["accelerate", "torchrun"])


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder with 22 tunes in an index for both training and evaluation, and tiny weights."""
    rng = random.Random(0)
    lines = []
    for number in range(22):
        key = rng.choice(["C", "G", "Eb", "A"])
        body = [
            f"[V:1]{''.join(rng.choices('CDEFGABcdefg', k=8))}|[V:2]{rng.choice('CDEFG')},8|\n"
            for _ in range(rng.randint(2, 20))
        ]
        file = tmp_path / "abc" / key / f"tune{number}_{key}.abc"
        file.parent.mkdir(parents=True, exist_ok=True)
        header = f"%%score {{ 1 | 2 }}\nL:1/8\nM:4/4\nK:{key}\nV:1 treble\nV:2 bass\n"
        file.write_text(header + "".join(body))
        style = {"period": "Romantic", "composer": "Liszt, Franz", "instrumentation": "Keyboard"}
        lines.append(json.dumps({"path": f"abc/tune{number}", "key": key} | style))
    (tmp_path / "index.jsonl").write_text("\n".join(lines) + "\n")
    save_model(NotaGen(TINY), tmp_path / "weights")
    return tmp_path


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


def launch(
    launcher: Sequence[str], stage: str, corpus: Path, *flags: str, run: str = "run"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(launcher, stage, corpus, *flags, run=run),
        env=environment(corpus),
        cwd=corpus,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def metrics(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in line.items() if name != "patches_per_second"}
        for line in lines
    ]


def steps(folder: Path) -> list[int]:
    return [line["step"] for line in metrics(folder) if "loss" in line]


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
@TWICE
def test_two_steps_then_two_more(corpus: Path, stage: str, launcher: Sequence[str]) -> None:
    flags = ("--batch-size", "2", "--epochs", "1")
    first = launch(launcher, stage, corpus, *flags, "--max-steps", "2")
    assert first.returncode == 0, first.stderr
    assert steps(corpus / "run") == [1, 2]
    again = launch(launcher, stage, corpus, *flags, "--max-steps", "4")
    assert again.returncode == 0, again.stderr
    assert "goes on: step 2" in again.stderr
    assert steps(corpus / "run") == [1, 2, 3, 4]
    assert load_model(corpus / "run" / "best").config == TINY
    assert load_model(corpus / "run" / "last").config == TINY


def test_finished_run_says_so_and_another_seed_is_refused(corpus: Path) -> None:
    assert launch(PYTHON, "pretrain", corpus, "--max-steps", "1").returncode == 0
    written = metrics(corpus / "run")
    again = launch(PYTHON, "pretrain", corpus, "--max-steps", "1")
    assert again.returncode == 0
    assert "is finished: step 1" in again.stderr
    assert "--fresh deletes this run and starts anew" in again.stderr
    assert "best weights after 1 steps" in again.stdout
    other = launch(PYTHON, "pretrain", corpus, "--max-steps", "1", "--seed", "7")
    assert other.returncode == 1
    assert "error: " in other.stderr
    assert "begun with seed = 0, now it is 7" in other.stderr
    assert "Traceback" not in other.stderr
    assert metrics(corpus / "run") == written


def test_weights_may_move_but_not_change(corpus: Path) -> None:
    flags = ("--epochs", "1", "--batch-size", "4")
    assert launch(PYTHON, "finetune", corpus, *flags, "--max-steps", "1").returncode == 0
    (corpus / "weights").rename(corpus / "moved")
    flags = (*flags, "--weights", str(corpus / "moved"), "--max-steps", "2")
    moved = launch(PYTHON, "finetune", corpus, *flags)
    assert moved.returncode == 0, moved.stderr
    assert steps(corpus / "run") == [1, 2]
    save_model(NotaGen(TINY), corpus / "moved")
    changed = launch(PYTHON, "finetune", corpus, *flags)
    assert changed.returncode == 1
    assert "was begun with weights of SHA-256 = " in changed.stderr
    assert "Traceback" not in changed.stderr


def test_cosine_names_the_settings_that_set_its_end(corpus: Path) -> None:
    flags = ("--schedule", "cosine", "--batch-size", "22")
    assert launch(PYTHON, "pretrain", corpus, *flags, "--epochs", "1").returncode == 0
    longer = launch(PYTHON, "pretrain", corpus, *flags, "--epochs", "2")
    assert longer.returncode == 1
    assert "length of its cosine in steps (epochs, max_steps) = 1, now it is 2" in longer.stderr


def test_evaluation_that_is_not_finite_ends_well(corpus: Path) -> None:
    model = NotaGen(TINY)
    model.char_decoder.table.data.fill_(float("nan"))
    save_model(model, corpus / "weights")
    result = launch(PYTHON, "finetune", corpus, "--max-steps", "1")
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert metrics(corpus / "run")[-1] == {"step": 1, "epoch": 0, "eval_loss": None}
    assert "no evaluation loss was finite" in result.stdout
    assert not (corpus / "run" / "best").exists()


@pytest.mark.parametrize("workers", ["0", "1"])
def test_damaged_text_is_one_line(corpus: Path, workers: str) -> None:
    file = next(corpus.rglob("tune3_*.abc"))
    file.write_bytes(b"\xff\xfe" + file.read_bytes())
    result = launch(PYTHON, "finetune", corpus, "--workers", workers, "--epochs", "1")
    assert result.returncode == 1
    message = result.stderr.strip().splitlines()[-1]
    assert f"error: {file}: found no UTF-8 text" in message
    assert "Traceback" not in result.stderr


def test_killed_run_goes_on_as_if_it_had_not_been(corpus: Path) -> None:
    # dropout, keys and windows are all drawn: each must go on where it was
    flags = ("--batch-size", "1", "--epochs", "4", "--save-steps", "7", "--schedule", "cosine")
    whole = launch(PYTHON, "pretrain", corpus, *flags, run="whole")
    assert whole.returncode == 0, whole.stderr
    with subprocess.Popen(
        command(PYTHON, "pretrain", corpus, *flags, run="killed"),
        env=environment(corpus),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        killed_at = kill_after_step(process, corpus / "killed", 33)
    # in the middle of the second epoch or later, past a checkpoint
    assert 33 <= killed_at < 88
    again = launch(PYTHON, "pretrain", corpus, *flags, run="killed")
    assert again.returncode == 0, again.stderr
    assert "goes on: step" in again.stderr
    assert metrics(corpus / "killed") == metrics(corpus / "whole")
    for name in ("best", "last"):
        weights = [
            (corpus / run / name / "model.safetensors").read_bytes() for run in ("whole", "killed")
        ]
        assert weights[0] == weights[1]


def kill_after_step(process: subprocess.Popen[bytes], folder: Path, step: int) -> int:
    """Send SIGKILL to the process group once `step` is logged; return the last step logged."""
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and process.poll() is None:
        # the last line may be half written
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            if steps(folder)[-1:] >= [step]:
                os.killpg(process.pid, signal.SIGKILL)
                break
        time.sleep(0.005)
    assert process.wait() == -signal.SIGKILL
    return json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])["step"]


def test_two_processes_learn_what_one_does(corpus: Path) -> None:
    # 22 tunes in steps of 8: the last step has 6, and 2 processes share them unevenly
    flags = ("--epochs", "2", "--model.dropout", "0", "--warmup-steps", "0")
    one = launch(
        PYTHON, "pretrain", corpus, *flags, "--batch-size", "4", "--accumulation-steps", "2"
    )
    assert one.returncode == 0, one.stderr
    two = launch(TORCHRUN, "pretrain", corpus, *flags, "--batch-size", "4", run="two")
    assert two.returncode == 0, two.stderr
    ours, theirs = metrics(corpus / "run"), metrics(corpus / "two")
    assert len(ours) == len(theirs) == 8
    for one_line, two_line in zip(ours, theirs, strict=True):
        assert two_line == pytest.approx(one_line, abs=1e-5, rel=1e-4)


def test_fewer_tunes_than_processes(corpus: Path) -> None:
    lines = (corpus / "index.jsonl").read_text().splitlines(keepends=True)
    (corpus / "index.jsonl").write_text(lines[0])
    two = launch(TORCHRUN, "finetune", corpus, "--epochs", "1")
    assert two.returncode == 0, two.stderr
    assert steps(corpus / "run") == [1]


def test_missing_data_is_one_line(corpus: Path) -> None:
    (corpus / "index.jsonl").unlink()
    result = launch(PYTHON, "finetune", corpus)
    assert result.returncode == 1
    assert "data/2_preprocess.py writes it" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_launcher_sets_precision_and_help_lists_settings(corpus: Path, stage: str) -> None:
    launcher = (*ACCELERATE, "--mixed_precision=bf16")
    result = launch(launcher, stage, corpus, "--max-steps", "1", "--tracker", "tensorboard")
    assert result.returncode == 0, result.stderr
    assert "precision bf16" in result.stdout
    assert list((corpus / "run" / "trackers").rglob("events*"))
    assert load_file(corpus / "run" / "last" / "model.safetensors")
    shown = launch(launcher, stage, corpus, "--help")
    assert shown.returncode == 0
    assert "--peak-learning-rate" in shown.stdout


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_shipped_config_parses(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = runpy.run_path(str(ROOT / stage / "config.py"))["CONFIG"]
    monkeypatch.setattr(sys, "argv", ["train-gen.py"])
    assert parse_config(config) == config
    assert config.train_index == ROOT / "data" / "out" / "train.jsonl"


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("batch_size", 0, ValueError),
        ("max_steps", 0, ValueError),
        ("peak_learning_rate", 0.0, ValueError),
        ("keys", "some", TypeError),
        ("epochs", 1.5, TypeError),
    ],
)
def test_settings_out_of_range_are_refused_by_name(
    field: str, value: object, error: type[Exception]
) -> None:
    config = runpy.run_path(str(ROOT / "finetune" / "config.py"))["CONFIG"]
    fields = {name: getattr(config, name) for name in config.__dataclass_fields__}
    with pytest.raises(error, match=field):
        type(config)(**fields | {field: value})
