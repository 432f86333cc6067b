"""The `%%score` line: which voices share a staff, which staves a part, which parts a bracket."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

_SYMBOLS = {"bracket": "[]", "line": "[]", "square": "[]", "brace": "{}"}


class _Group(NamedTuple):
    """A bracket or brace around parts, or barlines through them."""

    first: int
    last: int
    symbol: str
    barlines: bool


def score_line(root: Element, staves: Mapping[str, Sequence[Sequence[str]]]) -> str:
    """Return the `%%score` line, or an empty text if there is one voice alone.

    Args:
        root: The score, for the groups of its part list.
        staves: Of each part's id, the voices of each staff.

    `%%score 1 { 2 | ( 3 4 ) }`: a voice, and a part of two staves with two voices on the lower.
    """
    if sum(len(voices) for part in staves.values() for voices in part) < 2:
        return ""
    listed = [e.get("id", "") for e in root.iterfind("part-list/score-part")]
    order = list(dict.fromkeys([*(part for part in listed if part in staves), *staves]))
    groups = _nested(_groups(root, order))
    words = ["%%score"]
    for place, part in enumerate(order):
        if any(group.barlines and group.first < place <= group.last for group in groups):
            words.append("|")
        words += [g.symbol[0] for g in groups if g.first == place and g.symbol]
        words += _part_words(staves[part])
        words += [g.symbol[1] for g in reversed(groups) if g.last == place and g.symbol]
    return " ".join(words)


def _groups(root: Element, order: Sequence[str]) -> list[_Group]:
    places = {part: place for place, part in enumerate(order)}
    groups: list[_Group] = []
    open_groups: dict[str, _Group] = {}
    place = 0  # of the next part
    for element in root.iterfind("part-list/*"):
        if element.tag == "score-part":
            place = places.get(element.get("id", ""), place - 1) + 1
        elif element.tag == "part-group":
            number = element.get("number", "1")
            if element.get("type") == "start":
                symbol = _SYMBOLS.get((element.findtext("group-symbol") or "").strip(), "")
                barlines = (element.findtext("group-barline") or "").strip() == "yes"
                open_groups[number] = _Group(place, place, symbol, barlines)
            elif number in open_groups:
                groups.append(open_groups.pop(number)._replace(last=place - 1))
    return groups


def _nested(groups: Sequence[_Group]) -> list[_Group]:
    """Return the groups from the outside in; one that overlaps another in part is left out."""
    kept: list[_Group] = []
    for group in sorted(groups, key=lambda g: (g.first, -g.last)):
        crosses = any(other.first < group.first <= other.last < group.last for other in kept)
        if group.first <= group.last and not crosses:
            kept.append(group)
    return kept


def _part_words(part: Sequence[Sequence[str]]) -> list[str]:
    staves = [
        " ".join(voices) if len(voices) == 1 else f"( {' '.join(voices)} )" for voices in part
    ]
    return [staves[0]] if len(staves) == 1 else [f"{{ {' | '.join(staves)} }}"]
