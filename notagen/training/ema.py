"""The moving average of a model's weights over the steps of a run."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_UPDATES = "updates"
"""Name of the count among the tensors of a state; no parameter is called so."""


class Ema:
    """Exponential moving average of the parameters that are trained.

    The n-th update, counted from 0, keeps min(decay, (1 + n) / (10 + n)) of the average: at the
    start it follows the weights closely, so that the first ones are soon forgotten. Processes that
    hold the same weights get the same averages.

    Args:
        model: Its parameters that require gradients are averaged, which begins with their values
            of now; float32, on the device where they are trained.
        decay: Share of the average that an update keeps in the long run, from 0 to below 1.

    Raises:
        ValueError: If the decay is out of its range or a trained parameter is not float32.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be >= 0 and < 1, got {decay}")
        self.decay = decay
        self._weights = {
            name: weight for name, weight in model.named_parameters() if weight.requires_grad
        }
        for name, weight in self._weights.items():
            if weight.dtype != torch.float32:
                raise ValueError(f"{name} must be float32 to be averaged, got {weight.dtype}")
        self._averages = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self._updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Move the averages toward the weights; to be called after each step that was taken."""
        kept = min(self.decay, (1 + self._updates) / (10 + self._updates))
        weights: list[Tensor] = list(self._weights.values())
        torch._foreach_lerp_(list(self._averages.values()), weights, 1 - kept)
        self._updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averages in the place of the weights while the block runs, to measure or save.

        The weights come back bit for bit, also if the block raises. Inside, no step may be taken
        and no state of the run saved: weights and averages have changed places.
        """
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averages by the names of their parameters, and the count of updates.

        The averages are not copied; a file of named tensors holds the whole state.
        """
        return self._averages | {_UPDATES: torch.tensor(self._updates)}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state_dict` returned, on whatever device that lies.

        Raises:
            ValueError: If names or shapes are not those of the trained parameters.
        """
        found = {name: tensor.shape for name, tensor in state.items() if name != _UPDATES}
        wanted = {name: average.shape for name, average in self._averages.items()}
        if found != wanted or _UPDATES not in state:
            unlike = sorted(name for name, _ in found.items() ^ wanted.items()) or [_UPDATES]
            raise ValueError(f"found averages of other weights, the first {unlike[0]}")
        for name, average in self._averages.items():
            average.copy_(state[name])
        self._updates = int(state[_UPDATES])

    @torch.no_grad()
    def _swap(self) -> None:
        """Exchange weights and averages, with room for one tensor more at a time."""
        for name, weight in self._weights.items():
            kept = weight.clone()
            weight.copy_(self._averages[name])
            self._averages[name].copy_(kept)
