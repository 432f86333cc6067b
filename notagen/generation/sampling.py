"""From the probabilities of the next character to the character."""

import math

import torch
from torch import Tensor

from notagen.foundation.errors import InputError
from notagen.generation.settings import DEFAULT_SAMPLING, Sampling

__all__ = ["DEFAULT_SAMPLING", "Sampling", "filter_probabilities", "probabilities", "sample"]


def probabilities(logits: Tensor, allowed: Tensor) -> Tensor:
    """Return the softmax of the logits over the allowed characters, float64, (..., 128).

    Args:
        logits: (..., 128), of any float type.
        allowed: Added to the logits: 0 for allowed characters, minus infinity for others.

    Raises:
        InputError: If a logit is NaN or infinite: no piece can be drawn from such a model.
    """
    logits = logits.double()
    if not math.isfinite(logits.sum().item()):
        raise InputError("the weights give logits that are NaN or infinite, wanted finite numbers")
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
