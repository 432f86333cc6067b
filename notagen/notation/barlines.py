"""A voice's music split into bars, and joined again."""

from typing import NamedTuple

from notagen.notation.lexer import tokens

_EVENTS = {"note", "rest", "chord_open"}


class Bar(NamedTuple):
    """One bar of one voice."""

    left: str
    """What stands before the bar's music and is not in it: an opening `|:`, as a rule empty."""
    music: str
    """Notes, rests and what belongs to them, without barlines, stripped of outer spaces."""
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
    segments: list[tuple[str, str]] = []
    text, has_event = "", False
    for kind, token in tokens(music):
        if kind != "barline":
            text += token
            has_event = has_event or kind in _EVENTS
            continue
        if not text.strip() and segments:
            before, barline = segments[-1]
            segments[-1] = (before, barline + token)
        else:
            segments.append((text.strip(), token))
        text = ""
    left = ""
    if segments and not _has_event(segments[0][0]) and (len(segments) > 1 or text.strip()):
        first, barline = segments.pop(0)
        left = first + barline
    rest = text.strip()
    if rest and (_has_event(rest) or not segments):
        segments.append((rest, ""))
    elif rest:
        before, barline = segments[-1]
        segments[-1] = (f"{before} {rest}", barline)
    bars = [Bar("", music, barline) for music, barline in segments]
    if bars and left:
        bars[0] = bars[0]._replace(left=left)
    return bars


def parse_bar(text: str) -> Bar:
    """Read one voice's bar of an interleaved line: one bar, whatever barlines stand inside it.

    `|:c4 d4:|2` gives `Bar("|:", "c4 d4", ":|2")`.
    """
    parts = list(tokens(text.strip()))
    barline = ""
    if parts and parts[-1].kind == "barline":
        barline = parts.pop().text
    left = ""
    first_event = next((i for i, part in enumerate(parts) if part.kind in _EVENTS), len(parts))
    before = [i for i in range(first_event) if parts[i].kind == "barline"]
    if before and first_event < len(parts):
        left = "".join(part.text for part in parts[: before[-1] + 1])
        parts = parts[before[-1] + 1 :]
    return Bar(left, "".join(part.text for part in parts).strip(), barline)


def _has_event(text: str) -> bool:
    return any(kind in _EVENTS for kind, _ in tokens(text))
