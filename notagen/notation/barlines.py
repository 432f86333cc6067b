"""A voice's music split into bars, and joined again."""

from typing import NamedTuple

from notagen.notation.lexer import Token, tokens

_EVENTS = {"note", "rest", "chord_open"}


class Bar(NamedTuple):
    """One bar of one voice."""

    left: str
    """What stands before the bar's music and is not in it: an opening `|:`, as a rule empty."""
    music: str
    """Notes, rests and what belongs to them, without barlines, stripped of outer spaces. A
    decoration before the barline, such as the fermata of `c4!fermata!|`, is its end."""
    barline: str
    """The barline after it, with the number of the ending that begins there: `|`, `:|2`."""

    @property
    def text(self) -> str:
        """The bar as it is written."""
        return self.left + self.music + self.barline


def split_bars(music: str) -> list[Bar]:
    """Split a voice's music at its barlines.

    Barlines with nothing between them are one barline. What stands before the first note and its
    barline is the first bar's `left`; words after the last barline go to the end of the last bar.
    `|: c4 | d4 :|` gives `Bar("|:", "c4", "|")` and `Bar("", "d4", ":|")`.
    """
    segments: list[tuple[str, list[str]]] = []  # music, and the barlines after it
    parts: list[str] = []
    for kind, token in tokens(music):
        if kind != "barline":
            parts.append(token)
            continue
        text = "".join(parts).strip()
        parts = []
        if not text and segments:
            segments[-1][1].append(token)
        else:
            segments.append((text, [token]))
    rest = "".join(parts).strip()
    left = ""
    if segments and not has_event(segments[0][0]) and (len(segments) > 1 or rest):
        first, barlines = segments.pop(0)
        left = first + "".join(barlines)
    if rest and (has_event(rest) or not segments):
        segments.append((rest, []))
    elif rest:
        before, barlines = segments[-1]
        segments[-1] = (f"{before} {rest}", barlines)
    bars = [Bar("", music, "".join(barlines)) for music, barlines in segments]
    if bars and left:
        bars[0] = bars[0]._replace(left=left)
    return bars


def parse_bar(text: str) -> Bar:
    """Read one voice's bar of an interleaved line: one bar, whatever barlines stand inside it.

    `|:c4 d4:|2` gives `Bar("|:", "c4 d4", ":|2")`.
    """
    text = text.strip()
    if _is_plain(text):
        return Bar("", text[:-1].rstrip(), "|")
    parts = tokens(text)
    barline = ""
    if parts and parts[-1].kind == "barline":
        barline = parts.pop().text
    left = ""
    first_event = next((i for i, part in enumerate(parts) if part.kind in _EVENTS), len(parts))
    before = [i for i in range(first_event) if parts[i].kind == "barline"]
    if before and first_event < len(parts):
        left = _joined(parts[: before[-1] + 1])
        parts = parts[before[-1] + 1 :]
    return Bar(left, _joined(parts).strip(), barline)


def has_event(music: str) -> bool:
    """Tell whether a note, chord or rest stands in music text."""
    return any(kind in _EVENTS for kind, _ in tokens(music))


def _is_plain(text: str) -> bool:
    """Tell whether a bar's only barline is the `|` at its end, as nearly always; not read deeper.

    A `|` is no barline in words and comments alone; a barline without a `|` has two colons.
    """
    return (
        text.endswith("|")
        and text.find("|") == len(text) - 1
        and text[-2:-1] not in (":", "[", ".")
        and '"' not in text
        and "%" not in text
        and "::" not in text
    )


def _joined(parts: list[Token]) -> str:
    return "".join(part.text for part in parts)
