"""The steps of an epoch, and an evaluation, of any model."""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import psutil
import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.scheduler import AcceleratedScheduler
from accelerate.utils import DistributedType, gather_object
from torch import nn
from tqdm import tqdm

from notagen.training.ema import Ema
from notagen.training.examples import Batch
from notagen.training.spikes import SpikeGuard

Item = TypeVar("Item")


@dataclass(frozen=True)
class StepResult:
    """What one optimizer step came to, over all processes."""

    loss: float
    """Mean over the targets, in nats."""
    gradient_norm: float
    """Before clipping."""
    learning_rate: float
    """The rate this step was taken with."""
    patches_per_second: float
    """Patches read, padding not counted."""
    memory_gigabytes: float
    """Most that this process has held on its GPU; without one, what it holds in memory now."""
    skipped: bool
    """Whether the gradient was not finite or a spike, so that nothing moved."""


def train_steps(
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: AcceleratedOptimizer,
    schedule: AcceleratedScheduler,
    steps: Iterable[list[Batch]],
    *,
    num_steps: int,
    max_gradient_norm: float,
    guard: SpikeGuard,
    ema: Ema | None,
) -> Iterator[StepResult]:
    """Take optimizer steps, yielding what each came to after it is taken, on every process.

    The gradient is that of the mean over the targets of all batches of a step, on all
    processes: 8 batches of one piece count as one batch of 8. A step whose gradient is not finite
    or far too long is skipped: weights, their average, optimizer and schedule stay as they are.

    Args:
        accelerator: Prepared the next three; steps its own schedule only when told.
        model: Returns the summed loss of a batch's targets.
        optimizer: Over the model's parameters.
        schedule: Moved on once an optimizer step.
        steps: This process's batches of each step; every process has as many.
        num_steps: How many steps there are, for the progress bar.
        max_gradient_norm: Longer gradients are scaled down to it, > 0.
        guard: Judges the gradients' norms.
        ema: The average of the weights that follows them, if any.
    """
    model.train()
    with progress_bar(accelerator, steps, total=num_steps, unit="step") as bar:
        started = time.perf_counter()
        for batches in bar:
            on_device = [batch.to(accelerator.device) for batch in batches]
            sizes = torch.tensor(
                [
                    sum(batch.num_targets * batch.weight for batch in batches),
                    sum(batch.num_patches for batch in batches),
                ],
                device=accelerator.device,
            )
            targets, patches = accelerator.reduce(sizes, reduction="sum")
            # processes average gradients, and backward() divides by the accumulation steps
            accelerator.gradient_accumulation_steps = len(batches)
            accelerator.step = 0
            scale = accelerator.num_processes / targets.clamp(min=1)
            if accelerator.distributed_type != DistributedType.DEEPSPEED:  # whose does not
                scale *= len(batches)
            nll = torch.zeros((), device=accelerator.device)
            for batch in on_device:
                with accelerator.accumulate(model):
                    batch_nll = model(*batch.tensors, reduction="sum") * batch.weight
                    accelerator.backward(batch_nll * scale)
                    nll += batch_nll.detach()
            norm = accelerator.clip_grad_norm_(model.parameters(), max_gradient_norm)
            gradient_norm = float(norm)
            learning_rate = schedule.get_last_lr()[0]
            finite = math.isfinite(gradient_norm)
            skipped = not finite or guard.is_spike(gradient_norm)
            if not skipped:
                optimizer.step()
                schedule.step()
                if ema is not None:
                    ema.update()
            elif accelerator.scaler is not None:
                if finite:  # it has unscaled, and wants to be told that the step is over
                    accelerator.scaler.update()
                else:  # it refuses the step by itself and lowers its scale
                    optimizer.step()
            optimizer.zero_grad()
            loss = float(accelerator.reduce(nll, reduction="sum") / targets.clamp(min=1))
            rate = int(patches) / (time.perf_counter() - started)
            memory = _memory_gigabytes(accelerator.device)
            bar.set_postfix_str(f"loss {loss:.3f}, {rate:.0f} patches/s, {memory:.1f} GB", False)
            yield StepResult(loss, gradient_norm, learning_rate, rate, memory, skipped)
            # what was done between two steps, an evaluation or a checkpoint, is not theirs
            started = time.perf_counter()
            model.train()


def evaluate(
    accelerator: Accelerator, model: nn.Module, batches: Iterable[Batch], *, num_batches: int
) -> float:
    """Return the mean loss over the targets of all batches on all processes, in nats.

    It is not finite where the model's weights or outputs are not.

    Args:
        accelerator: Prepared the model.
        model: Returns the summed loss of a batch's targets; left in evaluation mode.
        batches: This process's share; every process has as many.
        num_batches: How many, for the progress bar.
    """
    model.eval()
    nll, targets = 0.0, 0
    with (
        torch.no_grad(),
        progress_bar(accelerator, batches, total=num_batches, unit="batch", desc="evaluate") as bar,
    ):
        for batch in bar:
            tensors = batch.to(accelerator.device).tensors
            batch_nll = float(model(*tensors, reduction="sum"))
            if batch.weight:
                nll += batch_nll
                targets += batch.num_targets
    totals: list[tuple[float, int]] = gather_object([(nll, targets)])
    return math.fsum(total[0] for total in totals) / sum(total[1] for total in totals)


def progress_bar(
    accelerator: Accelerator,
    items: Iterable[Item],
    *,
    total: int,
    unit: str,
    desc: str | None = None,
) -> "tqdm[Item]":
    """Return the items under a progress bar, drawn by one process of each machine."""
    return tqdm(
        items,
        total=total,
        unit=unit,
        desc=desc,
        # the bar's own tenth of a second floods a log
        mininterval=0.5,
        disable=not accelerator.is_local_main_process,
        leave=False,
    )


def _memory_gigabytes(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return float(psutil.Process().memory_info().rss / 1e9)
