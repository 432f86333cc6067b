"""Which optimizer steps to leave out because their gradient leaps out of the run."""

import statistics
from collections import deque
from collections.abc import Mapping
from typing import Any

_WINDOW = 64
"""Norms that the level of a run is read from."""
_MOST_SKIPPED = 8
"""So many spikes in a row are no spikes: the level has changed."""


class SpikeGuard:
    """Tells a gradient that is far longer than the run's usual ones.

    The usual length is the median of the last 64 accepted norms; before there are so many, all
    are accepted. After 8 spikes in a row the next norm is accepted whatever it is, and the level
    is learnt anew. Processes that see the same norms decide alike.

    Args:
        factor: A norm over `factor` times the usual one is a spike, > 1; None for no guard.
    """

    def __init__(self, factor: float | None) -> None:
        self.factor = factor
        self._accepted: deque[float] = deque(maxlen=_WINDOW)
        self._skipped_in_a_row = 0

    def is_spike(self, gradient_norm: float) -> bool:
        """Tell whether to leave a step out; to be asked once for each finite gradient norm."""
        if self.factor is None:
            return False
        if self._skipped_in_a_row == _MOST_SKIPPED:
            self._accepted.clear()
        elif len(self._accepted) == _WINDOW and gradient_norm > self.factor * statistics.median(
            self._accepted
        ):
            self._skipped_in_a_row += 1
            return True
        self._skipped_in_a_row = 0
        self._accepted.append(gradient_norm)
        return False

    def state_dict(self) -> dict[str, Any]:
        """Return what a run that goes on needs, as plain numbers that JSON holds exactly."""
        return {"accepted": list(self._accepted), "skipped_in_a_row": self._skipped_in_a_row}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned.

        Raises:
            KeyError, TypeError, ValueError: If that is something else.
        """
        self._accepted = deque(map(float, state["accepted"]), maxlen=_WINDOW)
        self._skipped_in_a_row = int(state["skipped_in_a_row"])
