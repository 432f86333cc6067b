"""One epoch of training, one evaluation: pretraining and fine-tuning alike."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.scheduler import AcceleratedScheduler
from accelerate.utils import gather_object
from torch import nn
from tqdm import tqdm

from notagen.model.notagen import count_targets
from notagen.training.batching import Batch

Item = TypeVar("Item")


@dataclass(frozen=True)
class StepResult:
    """What one optimizer step came to, over all processes."""

    loss: float
    """Mean over the predicted characters, in nats."""
    gradient_norm: float
    """Before clipping."""
    learning_rate: float
    """The rate this step was taken with."""
    patches_per_second: float
    """Patches learned from, padding not counted."""
    skipped: bool
    """Whether the gradient was not finite, so that nothing moved."""


def train_epoch(
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: AcceleratedOptimizer,
    schedule: AcceleratedScheduler,
    steps: Iterable[list[Batch]],
    *,
    num_steps: int,
    max_gradient_norm: float,
    on_step: Callable[[StepResult], None],
) -> None:
    """Take the optimizer steps of an epoch, or of what is left of it.

    The gradient is that of the mean over the characters of all batches of a step, on all
    processes: 8 batches of one piece count as one batch of 8. A step whose gradient is not finite
    is skipped: weights, optimizer and schedule stay as they are.

    Args:
        accelerator: Prepared the next three; steps its own schedule only when told.
        model: A NotaGen model.
        optimizer: Over the model's parameters.
        schedule: Moved on once an optimizer step.
        steps: This process's batches of each step, as many as the accelerator accumulates.
        num_steps: How many steps there are, for the progress bar.
        max_gradient_norm: Longer gradients are scaled down to it, > 0.
        on_step: Told of each step after it is taken, on every process.
    """
    model.train()
    shares = accelerator.num_processes * accelerator.gradient_accumulation_steps
    started = time.perf_counter()
    for batches in _with_bar(accelerator, steps, total=num_steps, unit="step"):
        on_device = [batch.to(accelerator.device) for batch in batches]
        sizes = sum(_sizes(batch) for batch in on_device)
        characters, patches = accelerator.reduce(sizes, reduction="sum")
        nll = torch.zeros((), device=accelerator.device)
        for batch in on_device:
            with accelerator.accumulate(model):
                batch_nll = model(batch.patches, batch.mask, reduction="sum") * batch.weight
                # backward() divides by the accumulation steps, and processes average gradients
                accelerator.backward(batch_nll * (shares / characters))
                nll += batch_nll.detach()
                if accelerator.sync_gradients:
                    norm = accelerator.clip_grad_norm_(model.parameters(), max_gradient_norm)
                    gradient_norm = float(norm)
                    learning_rate = schedule.get_last_lr()[0]
                    finite = math.isfinite(gradient_norm)
                    # a scaler refuses such a step by itself and lowers its scale
                    if finite or accelerator.scaler is not None:
                        optimizer.step()
                    if finite:
                        schedule.step()
                    optimizer.zero_grad()
        loss = float(accelerator.reduce(nll, reduction="sum") / characters)
        seconds = time.perf_counter() - started
        on_step(StepResult(loss, gradient_norm, learning_rate, int(patches) / seconds, not finite))
        started = time.perf_counter()


def evaluate(
    accelerator: Accelerator, model: nn.Module, batches: Iterable[Batch], *, num_batches: int
) -> float:
    """Return the mean loss over the predicted characters of all batches on all processes, in nats.

    It is not finite where the model's weights or outputs are not.

    Args:
        accelerator: Prepared the model.
        model: A NotaGen model; left in training mode.
        batches: This process's share; shares may be unequal.
        num_batches: How many the main process has, for the progress bar.
    """
    # not the distributed model: its forward pass may wait for processes that have no batch left
    inner = accelerator.unwrap_model(model, keep_fp32_wrapper=True)
    inner.eval()
    nll, characters = 0.0, 0
    with torch.no_grad():
        for batch in _with_bar(
            accelerator, batches, total=num_batches, unit="batch", desc="evaluate"
        ):
            shown = batch.to(accelerator.device)
            nll += float(inner(shown.patches, shown.mask, reduction="sum"))
            characters += int(count_targets(shown.patches, shown.mask))
    inner.train()
    totals: list[tuple[float, int]] = gather_object([(nll, characters)])
    return math.fsum(total[0] for total in totals) / sum(total[1] for total in totals)


def _with_bar(
    accelerator: Accelerator,
    items: Iterable[Item],
    *,
    total: int,
    unit: str,
    desc: str | None = None,
) -> Iterable[Item]:
    """Return the items under a progress bar, drawn by one process of each machine."""
    bar: Iterable[Item] = tqdm(
        items,
        total=total,
        unit=unit,
        desc=desc,
        # the bar's own tenth of a second floods a log
        mininterval=0.5,
        disable=not accelerator.is_local_main_process,
        leave=False,
    )
    return bar


def _sizes(batch: Batch) -> torch.Tensor:
    """Return the predicted characters and the patches of a batch, (2,)."""
    sizes = torch.stack([count_targets(batch.patches, batch.mask), batch.mask.sum()])
    return sizes * batch.weight
