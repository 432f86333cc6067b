"""A piece that a model has written, and the seed that it had."""

import hashlib
from dataclasses import dataclass
from typing import Literal

Reason = Literal[
    "eos",
    "max_bars",
    "max_characters",
    "max_patches",
    "max_seconds",
    "loop",
    "no_body",
    "stopped",
]


@dataclass(frozen=True, kw_only=True)
class Generated:
    """A piece as the model wrote it."""

    index: int
    """Its place among the prompts, from 0."""
    prompt: str
    """The text it was begun with; empty where there was none."""
    seed: int
    """The run's; `piece_seed(seed, index)` is the piece's own."""
    text: str
    """Prompt, header and body with its bar counters; specials left out."""
    finished: bool
    """Whether the piece came to its own end."""
    reason: Reason
    """Why it ended: the eos patch; the limit it met; bars that went round in a loop; a header
    without end; or that it was stopped."""
    patches: int
    """Patches behind the prompt, those put in for the model among them; not the eos patch."""
    retries: int
    """Times that a bar, the rest of one, or a header line was taken back and written again."""
    mended: tuple[int, ...]
    """Numbers of the bars, from 1, in which faulty voices rest after all retries."""
    seconds: float
    """Time from its first patch to its last, shared with the pieces written beside it."""


def piece_seed(seed: int, index: int) -> int:
    """Return the seed of one piece's random numbers, from 0 to 2**63 - 1.

    It depends on the run's seed and the piece's index alone: neither the prompts before it nor
    the number of pieces written side by side change a piece.
    """
    digest = hashlib.sha256(f"{seed}:{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
