"""What keeps a generated piece from being an example of good music, however well it scores."""

from collections import Counter
from collections.abc import Hashable, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

from notagen.foundation.errors import NotationError, ScoreError
from notagen.notation.checks import check_alignment
from notagen.notation.interleave import parse_interleaved
from notagen.notation.musicxml import abc_to_musicxml
from notagen.notation.parts import played, torn_parts

MOST_SIMILAR = 0.95
"""Cosine to a real piece above which a piece counts as its copy."""
_MOST_OF_ONE = 0.5
"""Share of a piece that one bar, or one pair of bars, may fill."""


class Exclusion(NamedTuple):
    """Why a piece is not chosen."""

    rule: str
    """`alignment`, `copy`, `staves`, `repeats` or `conversion`."""
    reason: str
    """One line, such as `bar 3: V:2 lasts 5/8, V:1 lasts 1/2`."""


def find_exclusions(interleaved_abc: str) -> list[Exclusion]:
    """Return what excludes a piece by its text alone, one finding of each rule at most.

    A text that is no interleaved tune is not aligned, and nothing more is said of it.

    Args:
        interleaved_abc: With or without omitted rests, prompt lines and counters.
    """
    found = []
    alignment = check_alignment(interleaved_abc)
    if not alignment.ok:
        found.append(Exclusion("alignment", alignment.problems[0]))
    try:
        tune = parse_interleaved(interleaved_abc)
    except NotationError:
        return found
    # brackets that cannot be read keep it from conversion too
    with suppress(NotationError):
        found += [
            Exclusion("staves", f"V:{part[0]} and V:{part[-1]} are one part, others between them")
            for part in torn_parts(tune)[:1]
        ]
    if reason := _find_repeats([played(bar) for bar in tune.bars]):
        found.append(Exclusion("repeats", reason))
    try:
        abc_to_musicxml(interleaved_abc)
    except ScoreError as error:
        found.append(Exclusion("conversion", " ".join(str(error).split())))
    return found


def find_copy(similarity: float, nearest: str) -> list[Exclusion]:
    """Return what excludes a piece for its likeness to a real one.

    Args:
        similarity: Cosine to the real piece that is most like it.
        nearest: That piece's name.
    """
    if similarity <= MOST_SIMILAR:
        return []
    return [Exclusion("copy", f"similarity {similarity:.3f} to {nearest}")]


def _find_repeats(bars: Sequence[Hashable]) -> str:
    """Return which bar, or two bars in turn, fill more than half of a piece; empty if none do."""
    number = {bar: place for place, bar in reversed(list(enumerate(bars, start=1)))}
    bar, count = Counter(bars).most_common(1)[0]
    if count > _MOST_OF_ONE * len(bars):
        return f"bar {number[bar]} fills {count} of {len(bars)} bars"
    # a pair once is no repetition, and pairs that overlap count once
    counts: Counter[tuple[Hashable, Hashable]] = Counter()
    newest: dict[tuple[Hashable, Hashable], int] = {}
    for place, pair in enumerate(pairwise(bars)):
        if newest.get(pair, -2) < place - 1:
            newest[pair] = place
            counts[pair] += 1
    if not counts:
        return ""
    pair, times = counts.most_common(1)[0]
    if times > 1 and 2 * times > _MOST_OF_ONE * len(bars):
        first = number[pair[0]]
        return f"bars {first} and {number[pair[1]]} in turn fill {2 * times} of {len(bars)} bars"
    return ""
