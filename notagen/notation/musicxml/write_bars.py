"""Bars of a part: attributes that change, barlines, endings."""

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from notagen.notation.musicxml.abc_items import Change, VoiceBar
from notagen.notation.musicxml.abc_signs import Clef, KeySign, Metre

_PLAIN = ("", "|")
_VOLTA = re.compile(r"\[?(\d[\d,-]*)$")
_MAX_VOLTA = 99


class Barline(NamedTuple):
    """What an ABC barline says."""

    style: str = ""
    """Its `<bar-style>`, if it is more than a line."""
    backward: bool = False
    forward: bool = False
    volta: str = ""
    """Numbers of the ending that begins after it: `1, 2`."""

    @property
    def says_more(self) -> bool:
        """Whether a repeat ends or begins here, or an ending begins."""
        return self.backward or self.forward or bool(self.volta)


class Attributes:
    """Clefs, keys and metre in force in a part, staff by staff.

    Args:
        clefs: Opening clefs.
        key: Opening key of every staff.
        metre: Opening metre, if there is one.
    """

    def __init__(self, clefs: Sequence[Clef], key: KeySign, metre: Metre | None) -> None:
        self._clefs, self._keys, self._metre = list(clefs), [key] * len(clefs), metre

    def opening(self, changes: Sequence[Change], divisions: int, transpose: str) -> str:
        """Return the first `<attributes>`, with what the music changes at its very beginning.

        Args:
            changes: Those of the first bar.
            divisions: Of a quarter.
            transpose: The part's `<transpose>`, if it has one.
        """
        self._resolve([change for change in changes if not change.at])
        several = len(self._clefs) > 1
        if len(set(self._keys)) == 1:
            keys = self._keys[0].xml(None)
        else:
            keys = "".join(key.xml(staff) for staff, key in enumerate(self._keys, start=1))
        clefs = "".join(
            clef.xml(staff if several else None) for staff, clef in enumerate(self._clefs, start=1)
        )
        time = self._metre.xml if self._metre is not None else ""
        staves = f"<staves>{len(self._clefs)}</staves>" if several else ""
        self.update([change for change in changes if change.at], None)
        return (
            f"<attributes><divisions>{divisions}</divisions>{keys}{time}{staves}{clefs}{transpose}"
            "</attributes>"
        )

    def update(self, changes: Sequence[Change], divisions: int | None) -> str:
        """Return what changes at the beginning of a bar, or nothing; write the later ones.

        Args:
            changes: Those of the bar's voices; each later one gets its `xml`.
            divisions: New divisions, if they change.
        """
        at_start = [change for change in changes if not change.at]
        keys, time, clefs = self._resolve(at_start)
        later: dict[Fraction, list[Change]] = {}
        for change in changes:
            if change.at:
                later.setdefault(change.at, []).append(change)
        for moment in sorted(later):
            later[moment][0].xml = "".join(self._resolve(later[moment]))
        inside = (f"<divisions>{divisions}</divisions>" if divisions else "") + keys + time + clefs
        return f"<attributes>{inside}</attributes>" if inside else ""

    def _resolve(self, changes: Sequence[Change]) -> tuple[str, str, str]:
        """Take changes of one moment; return keys, time and clefs that are new by them."""
        keys: dict[int, KeySign] = {}
        clefs: dict[int, Clef] = {}
        metre = None
        for change in changes:
            if change.key is not None:
                keys[change.staff] = change.key
            if change.clef is not None:
                clefs[change.staff] = change.clef
            metre = change.metre or metre
        several = len(self._clefs) > 1
        new_keys = {s: key for s, key in sorted(keys.items()) if self._keys[s - 1] != key}
        for staff, key in new_keys.items():
            self._keys[staff - 1] = key
        if len(new_keys) == len(self._keys) and len(set(new_keys.values())) == 1:
            keys_xml = self._keys[0].xml(None)
        else:
            keys_xml = "".join(key.xml(staff) for staff, key in new_keys.items())
        clefs_xml = ""
        for staff, clef in sorted(clefs.items()):
            if self._clefs[staff - 1] != clef:
                self._clefs[staff - 1] = clef
                clefs_xml += clef.xml(staff if several else None)
        time = ""
        if metre is not None and metre != self._metre:
            self._metre, time = metre, metre.xml
        return keys_xml, time, clefs_xml


def read_barline(text: str) -> Barline:
    """Return what the barlines at one place say together: `:|2`, `||`, `|]|:`."""
    if text in _PLAIN:
        return Barline()
    volta = _VOLTA.search(text)
    line = text[: volta.start()] if volta else text
    line = re.sub(r"\d[\d,-]*", "", line)
    # a colon at the right of a line repeats what follows, one at its left what came before
    backward = line.startswith(":") or ":|" in line
    forward = "|:" in line or (line.startswith("::") and line.endswith(":"))
    style = ""
    if "[|]" in line:
        style = "none"
    elif "|]" in line:
        style = "light-heavy"
    elif "[|" in line:
        style = "heavy-light"
    elif line.startswith("."):
        style = "dotted"
    elif "||" in line.replace("||:", "|:") and not backward:
        style = "light-light"
    return Barline(style, backward, forward, _volta_numbers(volta[1]) if volta else "")


def _volta_numbers(text: str) -> str:
    numbers: list[int] = []
    for part in text.split(",")[:_MAX_VOLTA]:
        first, _, last = part.partition("-")
        if 0 < len(first) < 3 and len(last) < 3:
            numbers += range(int(first), int(last or first) + 1)
    return ", ".join(str(number) for number in dict.fromkeys(numbers) if number)


def write_barlines(
    bars: Sequence[Sequence[VoiceBar]], times: Sequence[int]
) -> list[tuple[str, str]]:
    """Return the `<barline>` elements at the left and right of each bar of a part.

    Args:
        bars: For each bar the part's voices. A barline that only one of them has counts.
        times: How often the music before each bar's repeat is played; 0 where nothing is said.
    """
    rights = [read_barline(_telling([voice.right for voice in bar])) for bar in bars]
    lefts = [read_barline(_telling([voice.left for voice in bar])) for bar in bars]
    out: list[tuple[str, str]] = []
    volta = ""
    before = Barline()
    for place, (bar, left, right) in enumerate(zip(bars, lefts, rights, strict=True)):
        opening = ""
        if begun := left.volta or before.volta:
            volta = begun
            opening = f'<ending number="{volta}" type="start"/>'
        forward = left.forward or before.forward
        if forward:
            opening = f'<bar-style>heavy-light</bar-style>{opening}<repeat direction="forward"/>'
        elif left.style and not left.backward:
            opening = f"<bar-style>{left.style}</bar-style>{opening}"
        following = lefts[place + 1] if place + 1 < len(bars) else None
        ends = (
            following is None
            or right.says_more
            or right.style in ("light-light", "light-heavy")
            or following.says_more
        )
        ending = ""
        if volta and ends:
            stops = right.backward or right.style == "light-heavy"
            ending = f'<ending number="{volta}" type="{"stop" if stops else "discontinue"}"/>'
            volta = ""
        closing = _closing(bar, right, ending, times[place])
        out.append(
            (
                f'<barline location="left">{opening}</barline>' if opening else "",
                f'<barline location="right">{closing}</barline>' if closing else "",
            )
        )
        before = right
    return out


def _closing(bar: Sequence[VoiceBar], line: Barline, ending: str, times: int) -> str:
    """Return the inside of the `<barline>` at the end of a bar."""
    style = "light-heavy" if line.backward else line.style
    style_xml = f"<bar-style>{style}</bar-style>" if style else ""
    fermata = "<fermata/>" if any(voice.fermata for voice in bar) else ""
    repeat = ""
    if line.backward:
        repeat = (
            f'<repeat direction="backward"{f" times={chr(34)}{times}{chr(34)}" if times else ""}/>'
        )
    return style_xml + fermata + ending + repeat


def _telling(texts: Sequence[str]) -> str:
    """Return the first text that is more than a plain barline, else the first."""
    return next((text for text in texts if text not in _PLAIN), texts[0])
