"""From the probabilities of the next character to the character."""

import dataclasses
import math

import torch
from torch import Tensor

from notagen.foundation.config import check_fields


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next character is chosen; the defaults are those of NotaGen."""

    top_k: int = 9
    """Only the k likeliest characters are left; 0 leaves all, 1 always takes the likeliest."""
    top_p: float = 0.9
    """Of those, only the likeliest whose sum first reaches this share are left; 1 leaves all."""
    temperature: float = 1.2
    """Acts last: each probability left is raised to 1 / temperature."""

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_fields(self)
        if self.top_k < 0:
            raise ValueError(f"top_k must be >= 0, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be > 0 and <= 1, got {self.top_p}")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature must be > 0 and finite, got {self.temperature}")


DEFAULT_SAMPLING = Sampling()


def probabilities(logits: Tensor, allowed: Tensor) -> Tensor:
    """Return the softmax of the logits over the allowed characters, float64, (..., 128).

    Args:
        logits: (..., 128), of any float type.
        allowed: Added to the logits: 0 for allowed characters, minus infinity for others.

    Raises:
        RuntimeError: If a logit is NaN or infinite: no piece can be drawn from such a model.
    """
    logits = logits.double()
    if not math.isfinite(logits.sum().item()):
        raise RuntimeError("found NaN or infinity among the model's logits, wanted finite numbers")
    return (logits + allowed).softmax(-1)


def filter_probabilities(probs: Tensor, sampling: Sampling) -> Tensor:
    """Return the probabilities after top-k, top-p and temperature, in this order, float64.

    Top-p keeps the characters, from the likeliest on, up to and with the one that reaches the
    share. Removed characters are exactly 0; the rest sums to 1.

    Args:
        probs: (..., 128), >= 0, at least one of each row > 0.
        sampling: The settings.

    Source: NotaGen's inference code, whose `samplings` package acts in the same order.
    """
    probs = probs.double()
    num_kept = min(sampling.top_k or probs.shape[-1], probs.shape[-1])
    values, ids = probs.topk(num_kept, dim=-1)
    if sampling.top_p < 1:
        reached = values.cumsum(-1)
        before = reached - values
        values = values * (before < sampling.top_p * reached[..., -1:])
    values = values / values[..., :1]  # else a low temperature underflows
    if sampling.temperature != 1:
        values = values ** (1 / sampling.temperature)
    values = values / values.sum(-1, keepdim=True)
    return torch.zeros_like(probs).scatter(-1, ids, values)


def sample(probs: Tensor, generator: torch.Generator) -> int:
    """Draw one character; a character of probability 0 is never drawn.

    Args:
        probs: (128,), float64, on the processor.
        generator: Gives one number for each call.
    """
    reached = probs.cumsum(0)
    share = torch.rand((), dtype=torch.float64, generator=generator)
    return int(torch.searchsorted(reached, reached[-1] * share, right=True).item())
