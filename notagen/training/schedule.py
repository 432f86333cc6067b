"""Optimizer and learning rate, the latter counted in optimizer steps."""

import math
from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from notagen.foundation.errors import InputError


def make_optimizer(
    model: nn.Module,
    *,
    peak_learning_rate: float,
    weight_decay: float,
    kind: Literal["adamw", "muon"] = "adamw",
    eight_bit: bool = False,
) -> Optimizer:
    """Return an optimizer of the model's trained parameters; only matrices decay.

    Norms and biases do not.

    Args:
        model: Where the parameters are.
        peak_learning_rate: The rate that a schedule scales, > 0.
        weight_decay: Pull toward 0, in units of the learning rate, >= 0.
        kind: AdamW for all, or Muon for the weights of linear layers and AdamW for the rest. Muon's
            steps are scaled to the size that AdamW's have, so that one rate suits both.
        eight_bit: Keep both moments of AdamW in 8 bits with a scale for each 256 values, 2 bytes a
            parameter instead of 8; tensors of fewer than 4096 values keep 32 bits. Not with Muon.

    Raises:
        InputError: If `eight_bit` is asked for and bitsandbytes is not installed.

    Source: Loshchilov and Hutter 2019, arXiv:1711.05101; Dettmers et al. 2022, arXiv:2110.02861;
    Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; Liu et al. 2025,
    arXiv:2502.16982.
    """
    learned = [weight for weight in model.parameters() if weight.requires_grad]
    if kind == "muon":
        layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
        turned = [layer.weight for layer in layers if layer.weight.requires_grad]
        known = {id(weight) for weight in turned}
        return MuonAndAdamW(
            turned,
            [weight for weight in learned if id(weight) not in known],
            learning_rate=peak_learning_rate,
            weight_decay=weight_decay,
        )
    return _adamw(learned, peak_learning_rate, weight_decay, eight_bit)


class MuonAndAdamW(Optimizer):
    """Muon for some matrices and AdamW for other parameters, as one optimizer.

    Muon makes all directions of a matrix's step equally long, so that rare ones are learned as
    fast as frequent ones; for tables and vectors that makes no sense.
    """

    def __init__(
        self,
        matrices: list[Tensor],
        others: list[nn.Parameter],
        *,
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        muon = Muon(
            matrices,
            lr=learning_rate,
            weight_decay=weight_decay,
            adjust_lr_fn="match_rms_adamw",
        )
        self._parts = [muon, _adamw(others, learning_rate, weight_decay)]
        super().__init__([group for part in self._parts for group in part.param_groups], {})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # noqa: ANN401 -- as torch has it
        """Take a step of both; return what the closure returned."""
        value = closure() if closure is not None else None
        for part in self._parts:
            part.step()
        return value

    def state_dict(self) -> dict[str, Any]:
        """Return the states of both."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Set the states of both."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        # loading has made new groups, and a schedule sets the rate in these
        self.param_groups = [group for part in self._parts for group in part.param_groups]


def _adamw(
    learned: list[nn.Parameter],
    peak_learning_rate: float,
    weight_decay: float,
    eight_bit: bool = False,
) -> Optimizer:
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
