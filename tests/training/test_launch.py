import ctypes
import multiprocessing
import platform
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psutil
import pytest
import torch
from accelerate import Accelerator

from notagen.training.launch import check_launch, keep_freed_memory
from notagen.training.settings import TrainConfig

NUM_BYTES = 2**28


def bytes_held(*, launched: bool) -> int:
    """What the process still holds of a large tensor after it was freed."""
    if launched:
        nowhere = Path("nowhere")
        config = TrainConfig(train_index=nowhere, eval_index=nowhere, run_folder=nowhere)
        check_launch(Accelerator(cpu=True), config)
    process = psutil.Process()
    before: int = process.memory_info().rss
    torch.ones(NUM_BYTES, dtype=torch.uint8)
    after: int = process.memory_info().rss
    return after - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_freed_memory_is_kept_on_a_cpu() -> None:
    # each in a process of its own: what is set cannot be taken back
    spawn = multiprocessing.get_context("spawn")
    found = []
    for launched in (False, True):
        with ProcessPoolExecutor(1, mp_context=spawn) as apart:
            found.append(apart.submit(bytes_held, launched=launched).result())
    assert found[0] < NUM_BYTES / 4
    assert found[1] > NUM_BYTES * 3 / 4


def test_an_allocator_that_cannot_be_told_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: asked.append(name))
    keep_freed_memory()
    assert asked == ([None] if sys.platform == "linux" else [])
    monkeypatch.setattr(sys, "platform", "darwin")
    keep_freed_memory()
    assert len(asked) <= 1
