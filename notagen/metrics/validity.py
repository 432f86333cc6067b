"""Whether a generated piece is sound: it parses, its bars align, it converts."""

from dataclasses import dataclass

from notagen.foundation.errors import NotationError
from notagen.notation.checks import check_alignment
from notagen.notation.durations import bar_duration
from notagen.notation.interleave import parse_interleaved
from notagen.notation.keys import parse_key


@dataclass(frozen=True)
class Validity:
    """Findings about one piece, before any conversion."""

    parses: bool
    """Header, bars and every duration can be read."""
    aligned: bool
    """In each bar all voices last equally long; False where the piece does not parse."""
    n_bars: int
    """0 where the text is no interleaved tune."""
    problems: tuple[str, ...]
    """One line each; empty for a sound piece."""


def check_validity(interleaved_abc: str) -> Validity:
    """Return what is wrong with an interleaved tune, if anything.

    Args:
        interleaved_abc: With or without omitted rests, prompt lines and counters.
    """
    n_bars = 0
    try:
        tune = parse_interleaved(interleaved_abc)
        n_bars = len(tune.bars)
        for name in ("L", "M", "K"):
            if tune.field(name) is None:
                raise NotationError(f"found no {name}: line in the header")
        parse_key(tune.field("K") or "")
        for number, bar in enumerate(tune.bars, start=1):
            for voice, cell in bar.items():
                _check_bar(cell.music, f"bar {number}, V:{voice}")
    except NotationError as error:
        return Validity(False, False, n_bars, (str(error),))
    report = check_alignment(interleaved_abc)
    return Validity(True, report.ok, report.n_bars, report.problems)


def _check_bar(music: str, where: str) -> None:
    try:
        bar_duration(music)
    except NotationError as error:
        raise NotationError(f"{where}: {error}") from error
