"""Whether a header is sound: its fields, its voices, and how `%%score` groups them."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from notagen.foundation.errors import NotationError
from notagen.notation.durations import parse_metre
from notagen.notation.keys import parse_key
from notagen.notation.musicxml.abc_layout import read_voice_lines
from notagen.notation.musicxml.abc_signs import find_clef
from notagen.notation.parts import torn_parts, voices_of_parts
from notagen.notation.tune import Tune, defined_voices

_SIGN = re.compile(r"[][{}()|]|[^][{}()|\s]+")
_OPENING = {")": "(", "]": "[", "}": "{"}
_WORD = re.compile(r'(?:[^\s"]|"[^"]*")+')


def find_header_problems(tune: Tune) -> tuple[str, ...]:
    """Return what is wrong with a tune's header, one line each; empty for a sound one.

    Wanted are one `L:`, `M:` and `K:` that can be read; one `V:` line for each voice that plays,
    with a clef that is known where one is named; and, if there are two voices or more, one
    `%%score` with brackets that match, which names each voice once and no other. Each of its parts
    has one name at most, and voices whose lines stand next to each other in the header: else it
    would tear the staves of an instrument apart.
    """
    playing = dict.fromkeys(voice for bar in tune.bars for voice in bar)
    return tuple([*_fields(tune), *_voices(tune, playing), *_score(tune)])


def _fields(tune: Tune) -> Iterator[str]:
    for name in "LMK":
        values = [line[2:].split("%")[0].strip() for line in tune.header if line[:2] == f"{name}:"]
        if len(values) != 1:
            yield f"found {len(values)} {name}: lines, wanted one"
        for value in values:
            if not _is_readable(name, value):
                yield f"found {name}:{value[:40]}, wanted one that can be read"


def _is_readable(name: str, value: str) -> bool:
    if value.startswith("none") and name != "L":
        return True
    try:
        return (parse_key(value) if name == "K" else parse_metre(value)) is not None
    except NotationError:
        return False


def _voices(tune: Tune, playing: Iterable[str]) -> Iterator[str]:
    defined = Counter(defined_voices(tune.header))
    for voice, times in defined.items():
        if times > 1:
            yield f"V:{voice}: found {times} lines, wanted one"
    for voice in playing:
        if voice not in defined:
            yield f"V:{voice}: found its music but no line in the header"
    for line in tune.header:
        if not line.startswith("V:"):
            continue
        voice, *words = _WORD.findall(line[2:]) or [""]
        if not voice:
            yield "found a V: line without a voice"
        if line.count('"') % 2:
            yield f"V:{voice}: found a quote that is never closed"
        for word in words:
            if ("=" not in word or word.startswith("clef=")) and find_clef(word) is None:
                yield f"V:{voice}: found {word[:20]!r}, wanted a clef"


def _score(tune: Tune) -> Iterator[str]:
    lines = [line for line in tune.header if line.startswith(("%%score", "%%staves"))]
    defined = dict.fromkeys(defined_voices(tune.header))
    if len(lines) != 1:
        if lines or len(defined) > 1:
            yield f"found {len(lines)} %%score lines, wanted one"
        return
    signs = _SIGN.findall(lines[0].partition(" ")[2])
    yield from _brackets(signs)
    named = Counter(sign for sign in signs if sign not in "[]{}()|")
    for voice, times in named.items():
        if times > 1:
            yield f"%%score: found V:{voice} {times} times, wanted it once"
        if voice not in defined:
            yield f"%%score: found {voice[:20]!r}, which has no V: line"
    for voice in defined:
        if voice not in named:
            yield f"%%score: found no V:{voice}"
    yield from _parts(tune)


def _brackets(signs: Sequence[str]) -> Iterator[str]:
    """Yield the first bracket that does not match; inside `( )` only voices stand."""
    open_signs: list[str] = []
    for sign in signs:
        if sign in _OPENING:
            if not open_signs or open_signs.pop() != _OPENING[sign]:
                yield f"%%score: found `{sign}` without `{_OPENING[sign]}`"
                return
        elif sign in "[]{}()|" and open_signs[-1:] == ["("]:
            yield f"%%score: found `{sign}` inside `( )`, wanted voices"
            return
        elif sign in "[{(":
            open_signs.append(sign)
    if open_signs:
        yield f"%%score: found `{open_signs[-1]}` that is never closed"


def _parts(tune: Tune) -> Iterator[str]:
    """Yield parts with two names, and parts among whose voices stand those of others."""
    try:
        parts, torn = voices_of_parts(tune), torn_parts(tune)
    except NotationError as error:
        yield str(error)
        return
    lines = read_voice_lines(tune.header)
    for part in parts:
        names = [voice for voice in part if voice in lines and lines[voice].name]
        if len(names) > 1:
            yield f"%%score: found the names of V:{names[0]} and V:{names[1]} on one part"
    for part in torn:
        yield f"%%score: found V:{part[0]} and V:{part[-1]} in one part, others between them"
