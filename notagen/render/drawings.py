"""Engraved pages as one HTML document holds them: known shapes and words alone.

What is not named here does not come through: no scripts, no links, no styles. Titles and words of a
score are text, whatever they say.
"""

import html
import xml.etree.ElementTree as ET
from collections.abc import Mapping

from notagen.foundation.errors import ConversionError

_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_TAGS = {"svg", "g", "use", "path", "polygon", "polyline", "rect", "ellipse", "text", "tspan"}
_ATTRIBUTES = {
    *("viewBox", "transform", "d", "points", "x", "y", "width", "height", "cx", "cy", "rx", "ry"),
    *("fill", "fill-opacity", "stroke", "stroke-width", "stroke-linecap", "stroke-linejoin"),
    *("stroke-dasharray", "stroke-opacity", "color", "text-anchor"),
    *("font-family", "font-size", "font-style", "font-weight"),
}
_CLASSES = {"ending", "fing", "reh", "tempo", "dir", "dynam", "mNum", "label", "placeholder"}
"""Those with a look of their own."""
_PLAYED = {"measure", "note"}
"""Those that a player points to."""


class Drawings:
    """Pages of one document, whose fonts and glyphs stand there only once.

    Args:
        prefix: Of the glyphs' ids; documents that share a page need different ones.
        played: Whether notes and bars keep class and id, so that a player can point to them.
    """

    def __init__(self, prefix: str = "g", *, played: bool = False) -> None:
        self.fonts: dict[str, None] = {}
        self._prefix = prefix
        self._played = played
        self._glyphs: dict[str, str] = {}

    def add(self, page: str, label: str) -> str:
        """Return an SVG page for the document: known shapes and words, no scripts.

        Args:
            page: As verovio drew it.
            label: What it is to somebody who cannot see it.

        Raises:
            ConversionError: If it is no SVG.
        """
        root = ET.fromstring(page)  # noqa: S314 -- drawn by verovio just now
        glyphs = {}
        for glyph in root.iterfind(f"{_SVG}defs/{_SVG}g"):
            shape = "".join(path.get("d", "") for path in glyph.iter(f"{_SVG}path"))
            name = f"{self._prefix}{len(self._glyphs)}"
            glyphs[f"#{glyph.get('id')}"] = self._glyphs.setdefault(shape, name)
        for style in root.iter(f"{_SVG}style"):
            if "@font-face" in (style.text or ""):
                self.fonts[style.text or ""] = None
        drawing = self._clean(root, glyphs)
        if drawing is None:
            raise ConversionError(f"SVG: found <{root.tag:.40}>, wanted <svg>")
        drawing.attrib |= {"class": "page", "role": "img", "aria-label": label}
        return ET.tostring(drawing, encoding="unicode")

    def glyphs(self) -> str:
        """Return the shapes that the pages refer to; upside down, for fonts count upward."""
        return "".join(
            f'<path id="{name}" transform="scale(1,-1)" d="{html.escape(shape)}"/>'
            for shape, name in self._glyphs.items()
        )

    def _clean(self, element: ET.Element, glyphs: Mapping[str, str]) -> ET.Element | None:
        """Return a copy with known tags and attributes; None where nothing of it is seen."""
        tag = element.tag.removeprefix(_SVG)
        if tag not in _TAGS:
            return None
        copy = ET.Element(tag)
        for name, value in element.items():
            if name in _ATTRIBUTES and "url" not in value:
                copy.set(name, value)
        classes = set(element.get("class", "").split())
        kept = _CLASSES & classes
        if self._played and _PLAYED & classes:
            kept |= _PLAYED & classes
            copy.set("id", element.get("id", ""))
        if kept:
            copy.set("class", " ".join(sorted(kept)))
        if tag == "use":
            glyph = glyphs.get(element.get(_LINK, ""))
            if glyph is None:
                return None
            copy.set("href", f"#{glyph}")
        for child in element:
            clean = self._clean(child, glyphs)
            if clean is not None:
                copy.append(clean)
        if tag in ("text", "tspan"):
            copy.text = (element.text or "").strip("\n\r\t")
        empty = tag in ("g", "text", "tspan") and not len(copy) and not copy.text
        return None if empty else copy
