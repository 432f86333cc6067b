"""Voice by voice to bar by bar and back: all voices of one bar on one line.

Source: NotaGen, arXiv:2502.18008, section 3; interleaved ABC after MelodyT5 and CLaMP 2.
"""

import re

from notagen.foundation.errors import NotationError
from notagen.notation.barlines import Bar, parse_bar
from notagen.notation.lexer import COUNTER, VOICE_MARK
from notagen.notation.tune import Tune, format_abc, parse_abc


def interleave(standard_abc: str) -> str:
    r"""Return a standard ABC tune with all voices of one bar on one line.

    Voices stand by number. Before: the lines `V:1`, `c4 | d4 |`, `V:2`, `C4 | D4 |`; after: the
    lines `[V:1]c4|[V:2]C4|` and `[V:1]d4|[V:2]D4|`.

    Raises:
        NotationError: If there is no music, or voices differ in their number of bars.
    """
    return format_interleaved(parse_abc(standard_abc))


def deinterleave(interleaved_abc: str) -> str:
    """Return an interleaved tune as standard ABC, voice after voice; undoes `interleave`.

    Before: `[V:1]c4|[V:2]C4|`; after: the lines `V:1`, `c4 |`, `V:2`, `C4 |`. Bar counters go.

    Raises:
        NotationError: If there is no music, or a voice is missing from a bar (restore rests first).
    """
    return format_abc(parse_interleaved(interleaved_abc))


def parse_interleaved(abc: str) -> Tune:
    """Read an interleaved or reduced tune, one bar a line; bar counters are left out.

    Raises:
        NotationError: If there is no music, or a line after the header holds no voice, or a voice
            twice, or text before its first voice.
    """
    header: list[str] = []
    bars: list[dict[str, Bar]] = []
    for number, raw in enumerate(abc.splitlines(), start=1):
        line = COUNTER.sub("", raw.strip(), count=1) if raw.startswith("[r:") else raw.strip()
        if line.startswith("[V:"):
            bars.append(_parse_line(line, number))
        elif not bars and line:
            header.append(line)
        elif line:
            raise NotationError(f"line {number}: found {line[:40]!r}, wanted a bar `[V:1]...`")
    if not bars:
        raise NotationError("found no bar `[V:1]...`, wanted at least one")
    return Tune(tuple(header), tuple(bars))


def format_interleaved(tune: Tune) -> str:
    """Write a tune with one line a bar; voices that are missing from a bar stay missing."""
    order = tune.voices
    lines = list(tune.header)
    lines += [
        "".join(f"[V:{voice}]{bar[voice].text}" for voice in order if voice in bar)
        for bar in tune.bars
    ]
    return "\n".join(lines) + "\n"


def is_interleaved(abc: str) -> bool:
    """Tell whether the music of a tune is written bar by bar, each line opened by `[V:`."""
    return re.search(rf"^(?:{COUNTER.pattern})?\[V:", abc, flags=re.MULTILINE) is not None


def _parse_line(line: str, number: int) -> dict[str, Bar]:
    parts = VOICE_MARK.split(line)
    if parts[0].strip():
        raise NotationError(f"line {number}: found {parts[0][:40]!r}, wanted `[V:` to open the bar")
    bar: dict[str, Bar] = {}
    for voice, text in zip(parts[1::2], parts[2::2], strict=True):
        if voice in bar:
            raise NotationError(f"line {number}: found voice V:{voice} twice, wanted it once")
        bar[voice] = parse_bar(text)
    return bar
