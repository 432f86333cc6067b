"""Music text of a voice cut into tokens; every other notation module reads through it.

Nothing is lost: the texts of the tokens join to the text that was read. Words in quotes are one
token, so that a `!`, `[`, `|` or `%` in a performance direction is never taken for music.

Source: the ABC music standard 2.1, section 4.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

NOTE = re.compile(
    r"(?P<accidental>\^\^|\^|__|_|=)?(?P<letter>[A-Ga-g])(?P<octave>[,']*)(?P<length>\d*(?:/+\d*)?)"
)
REST = re.compile(r"(?P<kind>[zxZX])(?P<length>\d*(?:/+\d*)?)")
TUPLET = re.compile(r"\((?P<p>\d)(?::(?P<q>\d{0,3}))?(?::(?P<r>\d{0,3}))?")
FIELD = re.compile(r"\[(?P<name>[A-Za-z]):(?P<value>[^\]\n]*)\]")
FIELD_LINE = re.compile(r"([A-Za-z]):(.*)")
"""A whole line that is an information field."""
VOICE_MARK = re.compile(r"\[V:\s*([^\s\]]+)[^\]\n]*\]")
"""Says whose music follows: `[V:1]`."""
COUNTER = re.compile(r"\[r:[^\]\n]*\]")
"""A line's bar counter: `[r:3/12]`."""
BARLINE = re.compile(
    r"(?:\[\||:+\|+:*|\|+:+|::+|\|\]|\|+)\]?"  # the line itself
    r"(?:\[?\d+(?:[,-]\d+)*)?"  # the number of an ending: `|1`, `:|2`, `|[1,2`
)

_KINDS = {
    "string": r'"(?:\\.|[^"\\\n])*"',
    "comment": r"%[^\n]*",
    "decoration": r"![^!\s|\"]*!|\+[a-zA-Z][^+\s|\"]*\+",
    "field": FIELD.pattern.replace("?P<name>", "").replace("?P<value>", ""),
    "barline": BARLINE.pattern,
    "ending": r"\[\d+(?:[,-]\d+)*",
    "tuplet": r"\(\d(?::\d{0,3})?(?::\d{0,3})?",
    "note": NOTE.pattern.replace("?P<accidental>", "?:")
    .replace("?P<letter>", "?:")
    .replace("?P<octave>", "?:")
    .replace("?P<length>", "?:"),
    "rest": r"[zxZX]\d*(?:/+\d*)?",
    "chord_open": r"\[",
    "chord_close": r"\]\d*(?:/+\d*)?",
    "grace_open": r"\{/?",
    "grace_close": r"\}",
    "slur": r"\.?\((?!\d)|\.?\)|\(",  # `.(3` is a dot before a tuplet
    "tie": r"\.?-",
    "broken": r">+|<+",
    "shorthand": r"[.~H-Wh-wy]",
    "space": r"[\s`\\$]+",
    "other": r"[\s\S]",
}
_TOKEN = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _KINDS.items()))


class Token(NamedTuple):
    """A piece of music text and what it is."""

    kind: str
    """`note`, `rest`, `barline`, ... : the names in this module's table."""
    text: str


def tokens(music: str) -> Iterator[Token]:
    """Yield the tokens of music text, left to right; their texts join to `music`.

    `"^dolce" c2|` gives a string, a space, a note and a barline.
    """
    for match in _TOKEN.finditer(music):
        yield Token(match.lastgroup or "other", match.group())
