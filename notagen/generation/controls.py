"""What a piece must keep to: its number of bars, and limits that end it early."""

import dataclasses
import math

from notagen.foundation.config import check_fields


@dataclasses.dataclass(frozen=True, kw_only=True)
class Controls:
    """Length and limits of a piece.

    A piece that meets a limit ends with what it has and counts as not finished.
    """

    num_bars: int | None = None
    """Exact number of bars, that is of body lines: each line's counter `[r:i/n]` is written for
    the model, which cannot end the piece before the last line and must end it after. Lines of the
    prompt's own body count. None leaves the length to the model."""
    valid_bars: bool = False
    """Take a bar back and write it again while it is faulty: a voice twice or unknown, an open
    bracket, voices that do not last equally long or longer than the metre, unequal barlines.
    Without `num_bars`, the piece is as long as its first counter plans: the others are written for
    the model."""
    max_retries: int = 32
    """So many times a bar is written again at most; then its faulty voices rest. The last three
    quarters, in which a voice goes on from what fits, each voice has for itself."""
    max_bars: int | None = None
    """Bars of one piece, those of its prompt among them; None for no limit."""
    max_characters: int | None = None
    """Characters the model may write for one piece; None for no limit."""
    max_patches: int | None = None
    """Patches the model may write for one piece; None for no limit."""
    max_seconds: float | None = None
    """Time for one piece, looked at between patches; None for no limit."""
    max_repeats: int | None = None
    """So many times in a row the same bars may stand; in real music it is hardly ever more than 4.
    One time more is taken back and written again like a faulty bar; if that does not help, the
    piece ends, or goes on if `num_bars` says so. None lets a model go round for ever."""

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_fields(self)
        for name in ("num_bars", "max_bars", "max_characters", "max_patches", "max_repeats"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be >= 1, got {value}")
        if self.max_retries < 0:
            raise ValueError(f"max_retries must be >= 0, got {self.max_retries}")
        if self.max_seconds is not None and not 0 < self.max_seconds < math.inf:
            raise ValueError(f"max_seconds must be > 0 and finite, got {self.max_seconds}")
        if self.num_bars and self.max_bars and self.max_bars < self.num_bars:
            raise ValueError(f"max_bars must be >= num_bars ({self.num_bars}), got {self.max_bars}")


NO_CONTROLS = Controls()


def counter(bars_done: int, num_bars: int | None) -> str:
    """Return what is written for the model at the start of a body line.

    Where the number of bars is not known, the first line alone is begun so, as NotaGen does; the
    model goes on with the number of bars it plans.
    """
    if num_bars is None:
        return "[r:0/" if bars_done == 0 else ""
    return f"[r:{bars_done}/{num_bars - 1 - bars_done}]"
