"""DPO and DPO-Positive: what a model loses by finding the worse of two tunes likely."""

from typing import NamedTuple

import torch.nn.functional as F  # noqa: N812 -- its usual name
from torch import Tensor


class Pair(NamedTuple):
    """Something of B chosen and B rejected tunes, each (B,)."""

    chosen: Tensor
    rejected: Tensor


def dpo_positive_loss(
    policy: Pair, reference: Pair, *, beta: float = 0.1, penalty: float = 10.0
) -> Tensor:
    """Return the DPO-Positive loss of each pair, (B,).

    It is -log sigmoid(beta (gain - penalty max(0, loss of the chosen))), where the gain is how much
    more the policy than the reference prefers the chosen tune. Of equal models it is ln 2.

    Args:
        policy: Summed log-probabilities of the tunes, in nats, under the model that learns.
        reference: The same under the model that it began as, which stays, dropout off.
        beta: How much a nat of preference weighs, > 0.
        penalty: What it costs to make a chosen tune less likely than it was (the lambda of the
            paper), >= 0; 0 gives plain DPO.

    Raises:
        ValueError: If beta or penalty is out of its range, or the shapes differ.

    Source: Pal et al. 2024, arXiv:2402.13228, equation 3.
    """
    if not beta > 0:
        raise ValueError(f"beta must be > 0, got {beta}")
    if not penalty >= 0:
        raise ValueError(f"penalty must be >= 0, got {penalty}")
    shapes = [tuple(part.shape) for part in (*policy, *reference)]
    if len(set(shapes)) > 1:
        raise ValueError(f"all log-probabilities must have one shape, got {shapes}")
    gain = (policy.chosen - reference.chosen) - (policy.rejected - reference.rejected)
    # without gradient where both agree, as they do before the first step
    fall = F.relu(reference.chosen - policy.chosen)
    return -F.logsigmoid(beta * (gain - penalty * fall))
