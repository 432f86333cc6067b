"""How the processes of a launcher share a model, and the whole of it for a file."""

import ctypes
import sys
from typing import TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import nn
from torch.distributed.fsdp import StateDictType

from notagen.foundation.errors import InputError
from notagen.training.settings import RunConfig

Model = TypeVar("Model", bound=nn.Module)

_WHOLE = {DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU}
"""Launches in which each process holds the whole model."""
_NEED_WHOLE = ("ema_decay", "lora_rank", "eight_bit_optimizer", "optimizer")
"""Settings that only work where each process holds the whole model."""
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Parameters of glibc's mallopt, from its malloc.h."""


def check_launch(accelerator: Accelerator, config: RunConfig) -> None:
    """Refuse launches that cannot train these settings, and set up what a launcher leaves open.

    DeepSpeed is told what a step is, and a process that trains on a CPU keeps its freed memory.

    Raises:
        InputError: Naming what to launch or set instead.
    """
    kind = accelerator.distributed_type
    if accelerator.mixed_precision == "fp16" and accelerator.device.type == "cpu":
        raise InputError(
            "mixed_precision fp16 needs a GPU; launch with --mixed_precision bf16 or no"
        )
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    if kind in _WHOLE:
        return
    if kind not in (DistributedType.FSDP, DistributedType.DEEPSPEED):
        raise InputError(
            f"launched as {kind.value}; wanted one process, several that each hold the whole model "
            f"(--multi_gpu), FSDP or DeepSpeed"
        )
    if not config.can_be_shared:
        raise InputError(
            f"launched as {kind.value}, which shares the model out, but this one is small enough "
            f"for each process to hold the whole: launch with --multi_gpu"
        )
    for name in _NEED_WHOLE:
        value = getattr(config, name, None)
        if value and value != "adamw":
            raise InputError(
                f"{name} = {value!r}, but launched as {kind.value}, which shares the model out; "
                f"launch with --multi_gpu or leave {name} out"
            )
    if kind is DistributedType.FSDP:
        plugin = accelerator.state.fsdp_plugin
        found = (plugin.fsdp_version, plugin.state_dict_type)
        if found != (2, StateDictType.FULL_STATE_DICT):
            raise InputError(
                f"launched with fsdp_version {found[0]} and fsdp_state_dict_type {found[1].name}; "
                f"wanted 2 and FULL_STATE_DICT, as in pretrain/accelerate/fsdp.yaml"
            )
        return
    if config.spike_factor is not None:
        raise InputError(
            f"spike_factor = {config.spike_factor}, but DeepSpeed takes a step before its gradient "
            f"can be judged; give --spike-factor None"
        )
    deepspeed = accelerator.state.deepspeed_plugin.deepspeed_config
    deepspeed |= {
        # each step says by itself how many batches it has; the loss is scaled by the loop
        "gradient_accumulation_steps": 1,
        "train_micro_batch_size_per_gpu": 1,
        "train_batch_size": "auto",
        "gradient_clipping": config.max_gradient_norm,
    }
    deepspeed["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] = True


def keep_freed_memory() -> None:
    """Let this process keep the memory of freed tensors for the next; only glibc's can be told."""
    if sys.platform != "linux":
        return
    # other C libraries have no mallopt
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        # glibc hands a large tensor's pages back when it is freed, and in each step they would be
        # faulted in and zeroed anew: none gets a mapping of its own, and the heap never shrinks
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)


def describe_sharing(accelerator: Accelerator) -> str | None:
    """Return how the model is shared out, which a checkpoint depends on; None if it is not."""
    if accelerator.distributed_type in _WHOLE:
        return None
    if accelerator.distributed_type == DistributedType.FSDP:
        return "FSDP"
    stage = accelerator.state.deepspeed_plugin.zero_stage
    return f"DeepSpeed ZeRO-{stage} over {accelerator.num_processes} processes"


def whole_model(accelerator: Accelerator, prepared: nn.Module, model: Model) -> Model | None:
    """Return the model with all its weights of now on the main process, None on others.

    To be called on every process.

    Args:
        accelerator: Prepared the model.
        prepared: What the accelerator made of it.
        model: What was given to the accelerator; if its processes share it,
            `type(model)(model.config)` is one of its shape.
    """
    if accelerator.distributed_type in _WHOLE:
        return model if accelerator.is_main_process else None
    state = accelerator.get_state_dict(prepared)
    if not accelerator.is_main_process:
        return None
    with torch.device("meta"):
        plain = type(model)(model.config)
    whole = {
        name: weight.float() if weight.is_floating_point() else weight
        for name, weight in state.items()
    }
    plain.load_state_dict(whole, assign=True)
    return plain.eval()
