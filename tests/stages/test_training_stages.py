"""The training scripts as a user runs them: by a launcher, in processes of their own."""

import contextlib
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from notagen.foundation.config import parse_config
from notagen.model.notagen import NotaGen
from notagen.model.weights import load_model, save_model
from tests.stages.launching import (
    ACCELERATE,
    PYTHON,
    ROOT,
    TINY,
    TORCHRUN,
    command,
    environment,
    launch,
    metrics,
    steps,
)


@pytest.mark.parametrize(
    ("launcher", "stage"),
    [
        pytest.param(ACCELERATE, "pretrain", id="accelerate-pretrain"),
        pytest.param(ACCELERATE, "finetune", id="accelerate-finetune", marks=pytest.mark.slow),
        pytest.param(TORCHRUN, "pretrain", id="torchrun-pretrain", marks=pytest.mark.slow),
        pytest.param(TORCHRUN, "finetune", id="torchrun-finetune"),
    ],
)
def test_two_steps_then_two_more(corpus: Path, launcher: Sequence[str], stage: str) -> None:
    flags = ("--patches-per-step", "100", "--epochs", "1")
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
    assert "1 steps taken; best weights: " in again.stdout
    other = launch(PYTHON, "pretrain", corpus, "--max-steps", "1", "--seed", "7")
    assert other.returncode == 1
    assert "error: " in other.stderr
    assert "begun with seed = 0, now it is 7" in other.stderr
    assert "Traceback" not in other.stderr
    assert metrics(corpus / "run") == written


def test_weights_may_move_but_not_change(corpus: Path) -> None:
    flags = ("--epochs", "1", "--patches-per-step", "200")
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
    flags = ("--schedule", "cosine", "--patches-per-step", "9999")
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
    flags = (
        *("--patches-per-step", "40", "--epochs", "4", "--save-steps", "7"),
        *("--schedule", "cosine", "--ema-decay", "0.9", "--spike-factor", "1.5"),
        *("--sampled-share", "0.8", "--eval-steps", "30"),
        *("--model.ngram-heads", "1", "4", "--silent-share", "0.3"),
    )
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
    assert 33 <= killed_at < steps(corpus / "whole")[-1]
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
    # about three tunes a step: two processes share most steps unevenly
    flags = (
        *("--epochs", "9", "--max-steps", "24", "--patches-per-step", "150"),
        *("--model.dropout", "0", "--warmup-steps", "5", "--sampled-share", "0.7"),
    )
    one = launch(PYTHON, "pretrain", corpus, *flags)
    assert one.returncode == 0, one.stderr
    two = launch(TORCHRUN, "pretrain", corpus, *flags, "--patches-per-batch", "64", run="two")
    assert two.returncode == 0, two.stderr
    ours, theirs = metrics(corpus / "run"), metrics(corpus / "two")
    assert steps(corpus / "run") == list(range(1, 25))
    for one_line, two_line in zip(ours, theirs, strict=True):
        assert two_line == pytest.approx(one_line, abs=1e-5, rel=1e-4)
        if "loss" in one_line:
            assert two_line["loss"] == pytest.approx(one_line["loss"], abs=1e-5, rel=0)


def test_small_gpu_settings_and_what_a_run_shows(corpus: Path) -> None:
    flags = (
        *("--lora-rank", "2", "--eight-bit-optimizer", "--checkpoint-activations"),
        *("--ema-decay", "0.9", "--sample-steps", "2", "--patches-per-step", "100"),
    )
    first = launch(PYTHON, "finetune", corpus, *flags, "--max-steps", "3")
    assert first.returncode == 0, first.stderr
    again = launch(PYTHON, "finetune", corpus, *flags, "--max-steps", "4")
    assert again.returncode == 0, again.stderr
    assert "step 4, sample: " in again.stderr
    run = corpus / "run"
    assert steps(run) == [1, 2, 3, 4]
    # for the prompt of an evaluation tune
    assert (run / "samples" / "step-00000002.abc").read_text().startswith("%Romantic\n%Liszt")
    assert (run / "loss.png").read_bytes().startswith(b"\x89PNG")
    # a whole model of the usual kind, corrections merged in
    start, learned = load_model(corpus / "weights"), load_model(run / "last")
    assert learned.config == start.config
    changed = [
        name
        for name, weight in learned.state_dict().items()
        if not torch.equal(weight, start.state_dict()[name])
    ]
    assert "patch_decoder.transformer.blocks.0.expand.weight" in changed
    assert all(name.endswith("weight") and "blocks" in name for name in changed)


def test_early_stop_is_an_end(corpus: Path) -> None:
    # a rate at which the loss cannot fall
    flags = ("--peak-learning-rate", "30", "--patches-per-step", "300", "--patience", "2")
    first = launch(PYTHON, "pretrain", corpus, *flags, "--epochs", "50")
    assert first.returncode == 0, first.stderr
    assert "stopped early: 2 evaluations without a lower loss (patience)" in first.stderr
    losses = [line["eval_loss"] for line in metrics(corpus / "run") if "eval_loss" in line]
    assert len(losses) < 40
    assert min(losses) == losses[-3] < min(losses[-2:])
    written = metrics(corpus / "run")
    again = launch(PYTHON, "pretrain", corpus, *flags, "--epochs", "50")
    assert again.returncode == 0
    assert "is finished" in again.stderr
    assert "2 evaluations without a lower loss (patience)" in again.stderr
    assert metrics(corpus / "run") == written


def test_texts_of_other_lengths_are_refused(corpus: Path) -> None:
    # this index names no lengths: with shorter texts, an epoch would have fewer steps
    flags = ("--patches-per-step", "100")
    assert launch(PYTHON, "pretrain", corpus, *flags, "--max-steps", "3").returncode == 0
    for file in corpus.glob("abc/*/*.abc"):
        file.write_text("".join(file.read_text().splitlines(keepends=True)[:7]))
    again = launch(PYTHON, "pretrain", corpus, *flags, "--max-steps", "4")
    assert again.returncode == 1
    assert "was begun with training texts whose lengths have the SHA-256 = " in again.stderr


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
        ("patches_per_step", 0, ValueError),
        ("sampled_share", 0.0, ValueError),
        ("silent_share", 1.0, ValueError),
        ("ema_decay", 1.0, ValueError),
        ("spike_factor", 1.0, ValueError),
        ("lora_rank", 0, ValueError),
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
