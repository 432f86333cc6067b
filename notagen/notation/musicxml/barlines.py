"""The `<barline>` elements of a MusicXML part, as ABC barlines."""

import re
from xml.etree.ElementTree import Element

_STYLES = {
    "light-light": "||",
    "light-heavy": "|]",
    "heavy-light": "[|",
    "dotted": ".|",
    "dashed": ".|",
}
_MAX_TIMES = 99


class BarlineReader:
    """What a measure's barlines say."""

    __slots__ = ("_begins", "_ends_volta", "_forward", "_style", "_times", "fermata", "volta")

    def __init__(self) -> None:
        self._style = "|"
        self._forward = self._begins = self._ends_volta = False
        self._times = 0
        self.fermata = False
        """A fermata stands over the barline at the end."""
        self.volta = ""
        """Numbers of the ending that begins here: `1`, `1,2`."""

    def read(self, barline: Element) -> None:
        """Read one `<barline>`; one in the middle of a measure is no barline in ABC."""
        location = barline.get("location", "right")
        if location == "middle":
            return
        repeat = barline.find("repeat")
        direction = None if repeat is None else repeat.get("direction")
        ending = barline.find("ending")
        if location == "left":
            self._forward = self._forward or direction == "forward"
        else:
            style = (barline.findtext("bar-style") or "").strip()
            if self._style != ":|":
                self._style = _STYLES.get(style, "|")
            if direction == "backward":
                self._style = ":|"
                times = (repeat.get("times") if repeat is not None else None) or ""
                self._times = (
                    min(int(times), _MAX_TIMES) if re.fullmatch("[0-9]{1,9}", times) else 0
                )
            self.fermata = self.fermata or barline.find("fermata") is not None
        if ending is not None:
            if ending.get("type") == "start":
                self.volta = _numbers(ending.get("number", "1"))
            else:
                self._ends_volta = True

    @property
    def times(self) -> int:
        """How often the part that ends here is played, if more than twice; else 0."""
        return self._times if self._times > 2 else 0

    @property
    def opening(self) -> str:
        """The barline before a first bar: `|:`, or empty."""
        volta = f"[{self.volta}" if self.volta else ""
        return f"|:{volta.removeprefix('[')}" if self._forward else volta

    def closing(self, following: "BarlineReader | None") -> str:
        """Return the barline between this measure and the next, with the next one's volta."""
        line = self._style
        if following is not None and following._forward:
            line = "::" if line == ":|" else "|:"
        elif self._ends_volta and line in ("|", ".|") and not (following and following.volta):
            line = "||"  # a volta ends there, or at a repeat or a final barline
        return line + (following.volta if following is not None else "")


def _numbers(text: str) -> str:
    """Return the numbers of an ending: `1, 2` gives `1,2`; without a number, `1`."""
    return ",".join(re.findall(r"\d{1,3}", text)[:8]) or "1"
