"""Optimizer and learning rate, the latter counted in optimizer steps."""

import math
from typing import Literal

from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from notagen.foundation.errors import InputError


def make_optimizer(
    model: nn.Module,
    *,
    peak_learning_rate: float,
    weight_decay: float,
    eight_bit: bool = False,
) -> Optimizer:
    """Return AdamW over the model's trained parameters; only matrices decay, not norms and biases.

    Args:
        model: Where the parameters are.
        peak_learning_rate: The rate that a schedule scales, > 0.
        weight_decay: Pull toward 0, in units of the learning rate, >= 0.
        eight_bit: Keep both moments in 8 bits with a scale for each 256 values, 2 bytes a
            parameter instead of 8; tensors of fewer than 4096 values keep 32 bits.

    Raises:
        InputError: If `eight_bit` is asked for and bitsandbytes is not installed.

    Source: Loshchilov and Hutter 2019, arXiv:1711.05101; Dettmers et al. 2022, arXiv:2110.02861.
    """
    learned = [weight for weight in model.parameters() if weight.requires_grad]
    matrices = [weight for weight in learned if weight.ndim >= 2]
    vectors = [weight for weight in learned if weight.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    if eight_bit:
        try:
            from bitsandbytes.optim import AdamW8bit
        except ImportError as error:
            raise InputError(f"8-bit optimizer: {error}; pip install 'notagen[8bit]'") from error
        optimizer: Optimizer = AdamW8bit(groups, lr=peak_learning_rate)
        return optimizer
    # one pass over the weights instead of a dozen
    return AdamW(groups, lr=peak_learning_rate, fused=True)


def make_schedule(
    optimizer: Optimizer,
    shape: Literal["constant", "cosine"],
    *,
    warmup_steps: int,
    total_steps: int,
) -> LambdaLR:
    """Return the learning-rate schedule, to be moved on once an optimizer step.

    Step k of the warm-up, counted from 0, has (k + 1) / warmup_steps of the peak rate. The n steps
    after it have all of it, or step k of them (1 + cos(pi k / n)) / 2: every step moves something.

    Args:
        optimizer: The one that takes the steps; its rate is the peak.
        shape: After the warm-up: held, or lowered to 0 along half a cosine.
        warmup_steps: Optimizer steps of the warm-up, >= 0.
        total_steps: Optimizer steps of the whole run, on any number of processes.
    """

    def share_of_peak(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        if shape == "constant":
            return 1.0
        # asked for once more after the last step
        done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
        return (1 + math.cos(math.pi * min(1.0, done))) / 2

    return LambdaLR(optimizer, share_of_peak)
