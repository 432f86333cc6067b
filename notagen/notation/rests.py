"""Voices that rest a whole bar: left out of the line (the reduced form), and put back.

A rest is left out only if putting it back gives the same text, so nothing is lost: rests with
words, signs or unusual lengths stay written, and so do resting voices with a barline of their own.
Where every voice rests, the first stays written and the bar keeps its place.
"""

import re
from collections import Counter
from fractions import Fraction

from notagen.foundation.errors import NotationError
from notagen.notation.barlines import Bar
from notagen.notation.durations import UNIT, bar_duration, format_length
from notagen.notation.interleave import format_interleaved, parse_interleaved
from notagen.notation.lexer import tokens
from notagen.notation.tune import MAX_CELLS, Tune, defined_voices

_REST = re.compile(r"[zx](\d*/*\d*)")
_STAFF = re.compile(r"\(([^()]*)\)")


def omit_rests(interleaved_abc: str) -> str:
    """Leave out the voices that rest a whole bar.

    Before: `[V:1]c4|[V:2]z4|`; after: `[V:1]c4|`.

    Raises:
        NotationError: If the text is no interleaved tune.
    """
    tune = parse_interleaved(interleaved_abc)
    order, hidden = tune.voices, _second_voices(tune.header)
    return format_interleaved(
        Tune(tune.header, tuple(_reduce(bar, order, hidden) for bar in tune.bars))
    )


def restore_rests(reduced_abc: str) -> str:
    """Put back the rests that `omit_rests` left out; bar counters go.

    A missing voice rests as long as most of the written ones last, with their barline: `z`, or an
    invisible `x` for the second and later voices of a staff (`( 1 2 )` in `%%score`).

    Raises:
        NotationError: If the text is no interleaved tune, or no voice of a bar has a length, or
            it has more voices in more bars than any music.
    """
    tune = parse_interleaved(reduced_abc)
    order, hidden = tune.voices, _second_voices(tune.header)
    if len(order) * len(tune.bars) > MAX_CELLS:
        raise NotationError(
            f"found {len(tune.bars)} bars for {len(order)} voices, wanted {MAX_CELLS} at most"
        )
    bars = []
    for number, bar in enumerate(tune.bars, start=1):
        full = _restore(bar, order, hidden)
        if full is None:
            raise NotationError(f"bar {number}: found no voice whose length can be read")
        bars.append(full)
    return format_interleaved(Tune(tune.header, tuple(bars)))


def _reduce(bar: dict[str, Bar], order: list[str], hidden: set[str]) -> dict[str, Bar]:
    resting = {voice for voice in bar if _REST.fullmatch(bar[voice].music)}
    if not resting:
        return bar
    if len(resting) == len(bar):
        resting.discard(next(voice for voice in order if voice in bar))
    written = {voice: cell for voice, cell in bar.items() if voice not in resting}
    restored = _restore(written, order, hidden)
    if restored is None:
        return bar
    unlike = {v for v in resting if _one_is_none(restored[v]) != _one_is_none(bar[v])}
    if not unlike:
        return written
    # a rest that stays written may change what the others are restored to, so try that once more
    written = {voice: bar[voice] for voice in order if voice in written or voice in unlike}
    restored = _restore(written, order, hidden)
    same = restored is not None and all(
        _one_is_none(restored[voice]) == _one_is_none(bar[voice]) for voice in resting
    )
    return written if same else bar


def _restore(bar: dict[str, Bar], order: list[str], hidden: set[str]) -> dict[str, Bar] | None:
    missing = [voice for voice in order if voice not in bar]
    if not missing:
        return bar
    duration = _common_duration([bar[voice] for voice in order if voice in bar])
    if duration is None:
        return None
    first = next(bar[voice] for voice in order if voice in bar)
    length = format_length(duration / UNIT)
    # of what stands before the bar only the barline is for all; a key is one voice's
    left = "".join(text for kind, text in tokens(first.left) if kind == "barline")
    full = dict(bar)
    for voice in missing:
        full[voice] = Bar(left, ("x" if voice in hidden else "z") + length, first.barline)
    return {voice: full[voice] for voice in order}


def _common_duration(cells: list[Bar]) -> Fraction | None:
    """Return the length that most cells have; of equally many, the first one's."""
    known: Counter[Fraction] = Counter()
    for cell in cells:
        try:
            duration = bar_duration(cell.music)
        except NotationError:
            continue
        if duration:
            known[duration] += 1
    return known.most_common(1)[0][0] if known else None


def _one_is_none(cell: Bar) -> Bar:
    """Return the cell with `z1` written as `z`, which is the same rest."""
    return cell._replace(music=cell.music[:1]) if cell.music in ("z1", "x1") else cell


def _second_voices(header: tuple[str, ...]) -> set[str]:
    """Return the voices that share a staff with an earlier one, by the `%%score` line.

    Of `( 2 5 )` that is the voice 5.
    """
    score = next((line for line in header if line.startswith(("%%score", "%%staves"))), "")
    known = set(defined_voices(header))
    second: set[str] = set()
    for group in _STAFF.findall(score):
        second.update(voice for voice in group.split()[1:] if voice in known or not known)
    return second
