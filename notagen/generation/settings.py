"""How characters are chosen; apart from the choosing, so that settings need no torch."""

import dataclasses
import math

from notagen.foundation.config import check_fields


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the next character is chosen; the defaults are those of NotaGen."""

    top_k: int = 9
    """Only the k likeliest characters are left; 0 leaves all, 1 always takes the likeliest. (With
    n-gram heads and a recall between 0 and 1, the seed still says which patches they help with.)"""
    top_p: float = 0.9
    """Of those, only the likeliest whose sum first reaches this share are left; 1 leaves all."""
    temperature: float = 1.2
    """Acts last: each probability left is raised to 1 / temperature."""
    recall: float = 0.5
    """Share of the patches that a model with n-gram heads writes with them: the more, the more it
    repeats what the piece has. For other models it means nothing."""

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest character is always taken."""
        return self.top_k == 1 or self.top_p <= 1 / 128  # of 128 characters, one reaches that

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_fields(self)
        if self.top_k < 0:
            raise ValueError(f"top_k must be >= 0, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be > 0 and <= 1, got {self.top_p}")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature must be > 0 and finite, got {self.temperature}")
        if not 0 <= self.recall <= 1:
            raise ValueError(f"recall must be >= 0 and <= 1, got {self.recall}")


DEFAULT_SAMPLING = Sampling()
