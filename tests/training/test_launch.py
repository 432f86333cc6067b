import ctypes
import multiprocessing
import platform
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch.distributed.fsdp import StateDictType

from notagen.foundation.errors import InputError
from notagen.training.launch import check_launch, keep_freed_memory
from notagen.training.settings import ClampTrainConfig, M3TrainConfig, TrainConfig

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


def launched(kind: DistributedType) -> Accelerator:
    """What a launcher makes of GPUs that this machine need not have."""
    plugin = SimpleNamespace(fsdp_version=2, state_dict_type=StateDictType.FULL_STATE_DICT)
    accelerator = SimpleNamespace(
        distributed_type=kind,
        mixed_precision="bf16",
        device=torch.device("cuda"),
        state=SimpleNamespace(fsdp_plugin=plugin),
    )
    return cast("Accelerator", accelerator)


@pytest.mark.parametrize(
    "config_type", [M3TrainConfig, lambda **paths: ClampTrainConfig(m3=Path("m3"), **paths)]
)
@pytest.mark.parametrize("kind", [DistributedType.FSDP, DistributedType.DEEPSPEED])
def test_small_models_are_not_shared_out(config_type: Any, kind: DistributedType) -> None:  # noqa: ANN401
    paths = {name: Path("nowhere") for name in ("train_index", "eval_index", "run_folder")}
    with pytest.raises(InputError, match=f"launched as {kind.value}.*launch with --multi_gpu"):
        check_launch(launched(kind), config_type(**paths))
    check_launch(launched(DistributedType.MULTI_GPU), config_type(**paths))
    check_launch(launched(DistributedType.FSDP), TrainConfig(**paths))


def test_an_allocator_that_cannot_be_told_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: asked.append(name))
    keep_freed_memory()
    assert asked == ([None] if sys.platform == "linux" else [])
    monkeypatch.setattr(sys, "platform", "darwin")
    keep_freed_memory()
    assert len(asked) <= 1
