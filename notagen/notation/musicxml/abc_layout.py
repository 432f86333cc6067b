"""From the header of a tune to its parts: which voice stands on which staff of which instrument."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

from notagen.foundation.errors import NotationError
from notagen.notation.musicxml.abc_signs import Clef, find_clef
from notagen.notation.tune import Tune

_NAME = re.compile(r'\b(nm|name|snm|sname|subname)="([^"]*)"')
_TRANSPOSE = re.compile(r"\btranspose=([+-]?\d{1,2})(?!\d)")
_SCORE_TOKEN = re.compile(r"[][{}()|]|[^][{}()|\s]+")
_CLOSING = {"]": "[", "}": "{"}
_MAX_DEPTH = 16


@dataclass(frozen=True)
class VoiceLine:
    """What a `V:` line says about its voice."""

    name: str = ""
    short_name: str = ""
    clef: Clef | None = None
    transpose: int = 0
    """Semitones from the written to the sounding note."""


@dataclass
class Part:
    """An instrument: one staff or more."""

    staves: list[list[str]]
    """Voice ids of each staff."""
    opens: list["Group"] = field(default_factory=list)
    """Groups that begin before it, the outermost first."""
    closes: list["Group"] = field(default_factory=list)
    """Groups that end after it, the innermost first."""

    @property
    def voices(self) -> list[tuple[str, int]]:
        """Each voice and the number of its staff, from 1."""
        return [
            (voice, number) for number, staff in enumerate(self.staves, start=1) for voice in staff
        ]


@dataclass
class Group:
    """A bracket or brace around parts."""

    number: int
    brace: bool
    barlines: bool = False
    """Whether barlines run through it."""


@dataclass
class _Bracket:
    sign: str
    barlines: bool = False
    members: list["list[str] | _Bracket"] = field(default_factory=list)
    """Staves, and brackets inside."""


def read_voice_lines(header: Iterable[str]) -> dict[str, VoiceLine]:
    """Return what the `V:` lines say, by voice."""
    lines: dict[str, VoiceLine] = {}
    for line in header:
        words = line[2:].split(maxsplit=1)
        if line.startswith("V:") and words:
            rest = words[1] if len(words) > 1 else ""
            names = {key: value.strip() for key, value in _NAME.findall(rest)}
            rest = _NAME.sub("", rest)
            moved = _TRANSPOSE.search(rest)
            lines[words[0]] = VoiceLine(
                names.get("nm") or names.get("name") or "",
                names.get("snm") or names.get("sname") or names.get("subname") or "",
                find_clef(rest),
                int(moved[1]) if moved else 0,
            )
    return lines


def read_parts(tune: Tune, lines: dict[str, VoiceLine]) -> list[Part]:
    """Return the parts from top to bottom; each voice that has music is in one of them.

    Staves inside a brace are one part if only the first of them has a name.

    Raises:
        NotationError: If brackets of `%%score` are nested too deep.
    """
    missing = dict.fromkeys(tune.bars[0] if tune.bars else ())
    score = next((line for line in tune.header if line.startswith(("%%score", "%%staves"))), "")
    outer = _Bracket("")
    open_brackets = [outer]
    staff: list[str] | None = None
    for sign in _SCORE_TOKEN.findall(score.partition(" ")[2]):
        here = open_brackets[-1]
        if sign == "(":
            staff = []
            here.members.append(staff)
        elif sign == ")":
            staff = None
        elif staff is not None and sign in "[]{}|":
            continue
        elif sign in "[{":
            if len(open_brackets) > _MAX_DEPTH:
                raise NotationError(f"%%score: found brackets nested deeper than {_MAX_DEPTH}")
            inner = _Bracket(sign)
            here.members.append(inner)
            open_brackets.append(inner)
        elif sign in "]}":
            if here.sign == _CLOSING[sign]:
                open_brackets.pop()
        elif sign == "|":
            here.barlines = True
        elif sign in missing:
            del missing[sign]
            if staff is not None:
                staff.append(sign)
            else:
                here.members.append([sign])
    parts: list[Part] = []
    _add_parts(outer, parts, lines, numbers=count(1))
    return parts + [Part([[voice]]) for voice in missing]


def _add_parts(
    bracket: _Bracket, parts: list[Part], lines: dict[str, VoiceLine], numbers: Iterator[int]
) -> None:
    """Add the parts inside a bracket; no deeper than `_MAX_DEPTH`, so recursion is safe."""
    first = len(parts)
    members = [member for member in bracket.members if member]
    staves = [member for member in members if isinstance(member, list)]
    named = any(lines[voice].name for staff in staves[1:] for voice in staff if voice in lines)
    if bracket.sign == "{" and len(staves) == len(members) > 0 and not named:
        parts.append(Part(staves))
        return
    group = Group(next(numbers), bracket.sign == "{", bracket.barlines)
    for member in members:
        if isinstance(member, _Bracket):
            _add_parts(member, parts, lines, numbers)
        else:
            parts.append(Part([member]))
    if bracket.sign and len(parts) > first:
        parts[first].opens.insert(0, group)
        parts[-1].closes.append(group)
