"""Several processes that train one model: shared out between them, on two machines, and faults."""

import contextlib
import importlib.util
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from notagen.model.weights import load_model
from tests.stages.launching import (
    PYTHON,
    ROOT,
    TORCHRUN,
    command,
    environment,
    launch,
    metrics,
    steps,
)

EXAMPLES = ROOT / "pretrain" / "accelerate"
ON_CPU = Path(__file__).with_name("on_cpu.py")
# about three tunes a step, in batches that two processes share unevenly
FLAGS = (
    *("--patches-per-step", "150", "--patches-per-batch", "64", "--epochs", "9"),
    *("--eval-steps", "3", "--model.dropout", "0", "--warmup-steps", "3"),
)
SHARING = {"fsdp": "FSDP", "deepspeed-zero2": "DeepSpeed ZeRO-2 over 2 processes"}
DEEPSPEED = pytest.param(
    "deepspeed-zero2",
    marks=pytest.mark.skipif(
        importlib.util.find_spec("deepspeed") is None, reason="deepspeed is not installed"
    ),
)
# a file may grow to so many bytes: room for the tiny model, not for its optimizer's state
FULL_DISK = (
    *(*PYTHON, "-c"),
    "import resource, runpy, sys; "
    "resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000)); "
    "del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')",
)


def example(name: str, *flags: str) -> tuple[str, ...]:
    """Launch two processes, all else as an example file for GPUs has it."""
    return (
        *(*PYTHON, "-m", "accelerate.commands.launch", "--config_file"),
        *(str(EXAMPLES / f"{name}.yaml"), "--num_processes=2", "--mixed_precision=no", *flags),
    )


def shared(name: str, *flags: str) -> tuple[str, ...]:
    return (*example(name, "--main_process_port=0", *flags), str(ON_CPU))


@pytest.mark.parametrize("name", ["fsdp", DEEPSPEED])
def test_shared_model_learns_what_one_process_does(corpus: Path, name: str) -> None:
    spikes = ("--spike-factor", "None")
    one = launch(PYTHON, "pretrain", corpus, *FLAGS, *spikes, "--max-steps", "6", run="one")
    assert one.returncode == 0, one.stderr
    for max_steps in ("3", "6"):
        limit = ("--max-steps", max_steps, "--sample-steps", "3")
        result = launch(shared(name), "pretrain", corpus, *FLAGS, *spikes, *limit)
        assert result.returncode == 0, result.stderr
        assert f"step {max_steps}, sample: " in result.stderr
    assert "goes on: step 3" in result.stderr
    for ours, theirs in zip(metrics(corpus / "one"), metrics(corpus / "run"), strict=True):
        assert theirs == pytest.approx(ours, rel=1e-5)
    for folder in ("best", "last"):
        torch.testing.assert_close(
            load_model(corpus / "run" / folder).state_dict(),
            load_model(corpus / "one" / folder).state_dict(),
            rtol=0,
            atol=1e-4,
        )
    # what a checkpoint holds depends on how the model was shared out
    alone = launch(PYTHON, "pretrain", corpus, *FLAGS, *spikes, "--max-steps", "7")
    assert alone.returncode == 1
    assert f"= {SHARING[name]!r}, now it is None" in alone.stderr
    assert "Traceback" not in alone.stderr


@pytest.mark.slow
def test_two_machines_learn_what_one_process_does(corpus: Path) -> None:
    one = launch(PYTHON, "pretrain", corpus, *FLAGS, "--max-steps", "4", run="one")
    assert one.returncode == 0, one.stderr
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with contextlib.ExitStack() as machines:
        started = [
            machines.enter_context(
                subprocess.Popen(
                    command(
                        example(
                            "two-nodes",
                            *(f"--machine_rank={rank}", "--main_process_ip=127.0.0.1"),
                            f"--main_process_port={port}",
                        ),
                        *("pretrain", corpus, *FLAGS, "--max-steps", "4"),
                    ),
                    env=environment(corpus),
                    cwd=corpus,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for rank in (0, 1)
        ]
        for machine in started:
            _, stderr = machine.communicate(timeout=100)
            assert machine.returncode == 0, stderr
    for ours, theirs in zip(metrics(corpus / "one"), metrics(corpus / "run"), strict=True):
        assert theirs == pytest.approx(ours, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "launcher_flag", "flags", "message"),
    [
        ("fsdp", "", ("--ema-decay", "0.9"), "ema_decay = 0.9, but launched as FSDP"),
        pytest.param(
            *("fsdp", "", ("--eight-bit-optimizer",), "eight_bit_optimizer = True, but launched"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("fsdp", "", ("--optimizer", "muon"), "optimizer = 'muon', but launched as FSDP"),
            marks=pytest.mark.slow,
        ),
        ("fsdp", "--mixed_precision=fp16", (), "mixed_precision fp16 needs a GPU"),
        (
            *("fsdp", "--fsdp_state_dict_type=SHARDED_STATE_DICT", ()),
            "wanted 2 and FULL_STATE_DICT",
        ),
        pytest.param(
            *("deepspeed-zero2", "", ("--spike-factor", "10"), "give --spike-factor None"),
            marks=DEEPSPEED.marks,
        ),
    ],
)
def test_what_sharing_cannot_do_is_refused_in_one_line(
    corpus: Path, name: str, launcher_flag: str, flags: Sequence[str], message: str
) -> None:
    result = launch(shared(name, *launcher_flag.split()), "pretrain", corpus, *flags)
    assert result.returncode == 1
    assert message in result.stderr
    assert "[rank" not in result.stderr  # whose tracebacks begin so
    assert not (corpus / "run").exists()


@pytest.mark.parametrize(
    "file", [pytest.param("optimizer.bin", marks=pytest.mark.slow), "random_states_1.pkl"]
)
def test_damaged_checkpoint_is_one_line_and_the_older_one_goes_on(corpus: Path, file: str) -> None:
    flags = (*FLAGS, "--save-steps", "2")
    first = launch(TORCHRUN, "pretrain", corpus, *flags, "--max-steps", "3")
    assert first.returncode == 0, first.stderr
    newest = corpus / "run" / "checkpoints" / "step-00000003"
    content = bytearray((newest / file).read_bytes())
    content[len(content) // 2] ^= 0xFF
    (newest / file).write_bytes(content)
    refused = launch(TORCHRUN, "pretrain", corpus, *flags, "--max-steps", "4")
    assert refused.returncode == 1
    assert f"error: {newest / file} is not as it was written; delete {newest}" in refused.stderr
    assert "[rank" not in refused.stderr
    newest.rename(corpus / "damaged")
    again = launch(TORCHRUN, "pretrain", corpus, *flags, "--max-steps", "4")
    assert again.returncode == 0, again.stderr
    assert "goes on: step 2" in again.stderr
    assert steps(corpus / "run") == [1, 2, 3, 4]


def test_full_disk_is_one_line_and_leaves_the_checkpoint_before(corpus: Path) -> None:
    assert launch(PYTHON, "pretrain", corpus, *FLAGS, "--max-steps", "2").returncode == 0
    before = metrics(corpus / "run")
    full = launch(FULL_DISK, "pretrain", corpus, *FLAGS, "--max-steps", "4")
    assert full.returncode == 1
    assert "error: " in full.stderr
    assert "cannot be written, " in full.stderr
    assert "Traceback" not in full.stderr
    kept = (corpus / "run" / "checkpoints").glob("step-*")
    assert [checkpoint.name for checkpoint in kept] == ["step-00000002"]
    again = launch(PYTHON, "pretrain", corpus, *FLAGS, "--max-steps", "4")
    assert again.returncode == 0, again.stderr
    assert "goes on: step 2" in again.stderr
    assert metrics(corpus / "run")[: len(before)] == before
    assert steps(corpus / "run") == [1, 2, 3, 4]
