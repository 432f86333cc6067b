"""Music text of a voice cut into tokens; every other notation module reads through it.

Nothing is lost: the texts of the tokens join to the text that was read. Words in quotes are one
token, so that a `!`, `[`, `|` or `%` in a performance direction is never taken for music. Reading
takes time in proportion to the text, whatever the text is: no pattern looks past the next sign of
its own kind.

Source: the ABC music standard 2.1, section 4.
"""

import re
from typing import NamedTuple

NOTE = re.compile(
    r"(?P<accidental>\^\^|\^|__|_|=)?(?P<letter>[A-Ga-g])(?P<octave>[,']*)(?P<length>\d*(?:/+\d*)?)"
)
REST = re.compile(r"(?P<kind>[zxZX])(?P<length>\d*(?:/+\d*)?)")
TUPLET = re.compile(r"\((?P<p>\d{1,3}(?=:)|\d)(?::(?P<q>\d{0,3}))?(?::(?P<r>\d{0,3}))?")
"""`(3`, `(3:2:4`; a `p` of several digits only before a colon: `(13:8:13`."""
FIELD = re.compile(r"\[(?P<name>[A-Za-z]):(?P<value>[^\[\]\n]*)\]")
FIELD_LINE = re.compile(r"([A-Za-z]):(.*)")
"""A whole line that is an information field."""
VOICE_MARK = re.compile(r"\[V:[^\S\n]*([^\s\[\]]+)(?:\s[^\[\]\n]*)?\]")
"""Says whose music follows: `[V:1]`."""
COUNTER = re.compile(r"\[r:[^\[\]\n]*\]")
"""A line's bar counter: `[r:3/12]`."""
BARLINE = re.compile(
    r"(?:\[\||:+\|+:*|\|+:+|::+|\|\]|\|+|\.\|(?![|:\]]))\]?"  # the line itself
    r"(?:\[?\d+(?:[,-]\d+)*)?"  # the number of an ending: `|1`, `:|2`, `|[1,2`
)


def _unnamed(pattern: re.Pattern[str]) -> str:
    """Return a pattern's text without the names of its groups."""
    return re.sub(r"\(\?P<\w+>", "(?:", pattern.pattern)


# frequent kinds come first; the order matters only where two could begin with the same characters
_KINDS = {
    "note": _unnamed(NOTE),
    "rest": _unnamed(REST),
    "decoration": r"![^!\s|\"]*!|\+[a-zA-Z][^+\s|\"]*\+",
    # a quote after a backslash opens nothing: it would be looked for to the line's end each time
    "string": r'(?<!\\)"(?:\\.|[^"\\\n])*"',
    "comment": r"%[^\n]*",
    "field": _unnamed(FIELD),
    "barline": BARLINE.pattern,
    "ending": r"\[\d+(?:[,-]\d+)*",
    "tuplet": _unnamed(TUPLET),
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


def tokens(music: str) -> list[Token]:
    """Return the tokens of music text, left to right; their texts join to `music`.

    `"^dolce" c2|` gives a string, a space, a note and a barline.
    """
    # `tuple.__new__` and no call of Token: half the time, and all text goes through here
    new = tuple.__new__
    return [new(Token, (match.lastgroup, match[0])) for match in _TOKEN.finditer(music)]
