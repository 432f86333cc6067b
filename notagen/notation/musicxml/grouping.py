"""Lines of the header about parts: `%%score`, which staves they have and share, and `V:`."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

_SYMBOLS = {"bracket": "[]", "line": "[]", "square": "[]", "brace": "{}"}


class Group(NamedTuple):
    """A bracket or brace around parts, or barlines through them."""

    first: int
    """Place of its first part, from 0."""
    last: int
    symbol: str
    """`[]`, `{}` or empty."""
    barlines: bool


Staves = Sequence[Sequence[str]]
"""The voices of each of a part's staves, by their ids."""


def score_line(root: Element, staves: Mapping[str, Staves]) -> str:
    """Return the `%%score` line, or an empty text if there is one voice alone.

    Args:
        root: The score, for the groups of its part list.
        staves: Of each part, by its id.
    """
    listed = [e.get("id", "") for e in root.iterfind("part-list/score-part")]
    order = list(dict.fromkeys([*(part for part in listed if part in staves), *staves]))
    return format_score([staves[part] for part in order], _groups(root, order))


def format_score(parts: Sequence[Staves], groups: Sequence[Group]) -> str:
    """Return the `%%score` line of parts, or an empty text if there is one voice alone.

    `%%score 1 { 2 | ( 3 4 ) }`: a voice, and a part of two staves with two voices on the lower.

    Args:
        parts: From top to bottom.
        groups: What holds them together; one that overlaps another in part is left out.
    """
    if sum(len(voices) for part in parts for voices in part) < 2:
        return ""
    words = ["%%score"]
    nested = _nested(groups)
    for place, part in enumerate(parts):
        if any(group.barlines and group.first < place <= group.last for group in nested):
            words.append("|")
        words += [g.symbol[0] for g in nested if g.first == place and g.symbol]
        words += _part_words(part)
        words += [g.symbol[1] for g in reversed(nested) if g.last == place and g.symbol]
    return " ".join(words)


def format_voice(
    number: str,
    clef: str,
    *,
    transposition: int = 0,
    name: str | None = None,
    abbreviation: str | None = None,
) -> str:
    """Return the `V:` line of a voice: `V:2 treble transpose=-2 nm="Bb Clarinet" snm="Bb Cl."`.

    Args:
        number: Its id.
        clef: As ABC names it.
        transposition: Semitones from the written pitch to the sounding one.
        name: Of the part, for its first voice; None for the others.
        abbreviation: Likewise.
    """
    words = [f"V:{number}", clef]
    if transposition:
        words.append(f"transpose={_transposition_text(transposition)}")
    words += [f'nm="{name}"'] if name else []
    words += [f'snm="{abbreviation}"'] if abbreviation else []
    return " ".join(words)


def _groups(root: Element, order: Sequence[str]) -> list[Group]:
    places = {part: place for place, part in enumerate(order)}
    groups: list[Group] = []
    open_groups: dict[str, Group] = {}
    place = 0  # of the next part
    for element in root.iterfind("part-list/*"):
        if element.tag == "score-part":
            place = places.get(element.get("id", ""), place - 1) + 1
        elif element.tag == "part-group":
            number = element.get("number", "1")
            if element.get("type") == "start":
                symbol = _SYMBOLS.get((element.findtext("group-symbol") or "").strip(), "")
                barlines = (element.findtext("group-barline") or "").strip() == "yes"
                open_groups[number] = Group(place, place, symbol, barlines)
            elif number in open_groups:
                groups.append(open_groups.pop(number)._replace(last=place - 1))
    return groups


def _nested(groups: Sequence[Group]) -> list[Group]:
    """Return the groups from the outside in; one that overlaps another in part is left out."""
    kept: list[Group] = []
    for group in sorted(groups, key=lambda g: (g.first, -g.last)):
        crosses = any(other.first < group.first <= other.last < group.last for other in kept)
        if group.first <= group.last and not crosses:
            kept.append(group)
    return kept


def _part_words(part: Staves) -> list[str]:
    staves = [
        " ".join(voices) if len(voices) == 1 else f"( {' '.join(voices)} )" for voices in part
    ]
    return [staves[0]] if len(staves) == 1 else [f"{{ {' | '.join(staves)} }}"]


def _transposition_text(semitones: int) -> str:
    """Return the number, with a nought where abc2xml would take it for an octave clef's `-8`."""
    return "-08" if semitones == -8 else str(semitones)
