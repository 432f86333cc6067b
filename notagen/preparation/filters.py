"""Which pieces are learned from: long enough, not too many staves, none of them twice."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from notagen.foundation.batch import Refusal
from notagen.foundation.config import check_fields
from notagen.foundation.index import IndexEntry

STAGE = "filter"
"""Names these refusals in rejects.jsonl, beside those of the scripts."""


@dataclass(frozen=True, kw_only=True)
class Filters:
    """What a piece must be like to be learned from.

    Source of the values: NotaGen, arXiv:2502.18008, section 3.
    """

    min_bars: int = 8
    """Shorter pieces are dropped."""
    max_staves: int = 16
    """Pieces on more staves are dropped; two voices of one staff count once."""
    duplicates: Literal["drop", "keep"] = "drop"
    """Of pieces with the same music, in whatever key and with whatever words and marks, drop all
    but the first by path, or keep all."""

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("min_bars", "max_staves"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class Examined:
    """A piece that can be read, and what was seen in it."""

    path: str
    """As the index that lists it names it."""
    entry: IndexEntry
    """Its line for the next index."""
    digest: str
    """The same for pieces with the same music; see `music_digest`."""
    n_staves: int
    metre: str
    instruments: tuple[str, ...]


def filter_pieces(
    pieces: Sequence[Examined], filters: Filters
) -> tuple[list[Examined], list[Refusal]]:
    """Return the pieces to keep, in their order, and why each of the others is not.

    Of pieces with the same music (in whatever key, with whatever words and marks) the first by
    path is kept; in which order workers were done changes nothing.
    """
    reasons: dict[str, str] = {}
    first: dict[str, str] = {}
    for piece in sorted(pieces, key=lambda piece: piece.path):
        n_bars = piece.entry.n_bars or 0
        if n_bars < filters.min_bars:
            reasons[piece.path] = f"found {n_bars} bars, wanted at least {filters.min_bars}"
        elif piece.n_staves > filters.max_staves:
            reasons[piece.path] = (
                f"found {piece.n_staves} staves, wanted at most {filters.max_staves}"
            )
        elif filters.duplicates == "drop":
            other = first.setdefault(piece.digest, piece.path)
            if other != piece.path:
                reasons[piece.path] = f"found the same music as in {other}, wanted it once"
    kept = [piece for piece in pieces if piece.path not in reasons]
    refused = (piece.path for piece in pieces if piece.path in reasons)
    return kept, [Refusal(path, STAGE, reasons[path]) for path in refused]
