"""From logits to the next character, as tensor operations on the model's device."""

from torch import Tensor

from notagen.generation.settings import DEFAULT_SAMPLING, Sampling

__all__ = ["DEFAULT_SAMPLING", "Sampling", "draw", "filter_probabilities", "probabilities"]


def probabilities(logits: Tensor, allowed: Tensor) -> Tensor:
    """Return the softmax of the logits over the allowed characters, (..., 128).

    Args:
        logits: (..., 128), of any float type.
        allowed: Added to the logits: 0 for allowed characters, minus infinity for others.
    """
    return (_wide(logits) + allowed).softmax(-1)


def filter_probabilities(probs: Tensor, sampling: Sampling) -> Tensor:
    """Return the probabilities after top-k, top-p and temperature, in this order.

    Top-p keeps the characters, from the likeliest on, up to and with the one that reaches the
    share. Removed characters are exactly 0; the rest sums to 1.

    Args:
        probs: (..., 128), >= 0, at least one of each row > 0.
        sampling: The settings.

    Source: NotaGen's inference code, whose `samplings` package acts in the same order.
    """
    values, ids = _likeliest(_wide(probs), sampling)
    values = values / values.sum(-1, keepdim=True)
    return values.new_zeros(probs.shape).scatter(-1, ids, values)


def draw(probs: Tensor, sampling: Sampling, shares: Tensor) -> Tensor:
    """Return one character a row, (N,), 64-bit; one of filtered probability 0 is never drawn.

    Args:
        probs: (N, 128), see `filter_probabilities`.
        sampling: The settings.
        shares: (N,), random numbers from 0 to below 1, one for each row.
    """
    values, ids = _likeliest(_wide(probs), sampling)
    reached = values.cumsum(-1)
    places = (reached <= shares[:, None] * reached[:, -1:]).sum(-1, keepdim=True)
    return ids.gather(-1, places).squeeze(-1)


def _likeliest(probs: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Return the filtered probabilities, up to a factor, the likeliest first, and their ids."""
    count = min(sampling.top_k or probs.shape[-1], probs.shape[-1])
    values, ids = probs.topk(count, dim=-1)
    if sampling.top_p < 1:
        reached = values.cumsum(-1)
        before = reached - values
        values = values * (before < sampling.top_p * reached[..., -1:])
    values = values / values[..., :1]  # else a low temperature underflows
    if sampling.temperature != 1:
        values = values ** (1 / sampling.temperature)
    return values, ids


def _wide(x: Tensor) -> Tensor:
    # Apple's GPUs know no 64-bit floats
    return x.float() if x.device.type == "mps" else x.double()
