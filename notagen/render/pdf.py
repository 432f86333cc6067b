"""Engraved pages as one PDF, and small pictures of them."""

import base64
import functools
import io
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import typst
from fontTools.ttLib import TTFont

from notagen.foundation.errors import ConversionError
from notagen.foundation.limits import limited
from notagen.render.engrave import page_fonts

_FONT = re.compile(r"base64,([^)\s]+)")
_FAMILIES = ("Liberation, serif", "Times, serif")
"""What engraved pages call the font of their words."""
_WORDS = "Liberation Serif, serif"
_DOCUMENT = """#set document(title: sys.inputs.title, date: none)
#set page(paper: "a4", margin: 0pt)
"""


def to_pdf(pages: Sequence[str], *, title: str) -> bytes:
    """Return SVG pages, A4 upright, as a PDF whose fonts are embedded.

    The same pages give the same bytes in every run.

    Args:
        pages: From `engrave` or `engrave_played`.
        title: Of the document; it is not printed.

    Raises:
        ConversionError: If there is no page, or they could not be set in two minutes.
    """
    return _compile(pages, title, "pdf", 72.0)


def to_png(page: str, *, width: int) -> bytes:
    """Return an SVG page, A4 upright, as a picture so many pixels wide.

    Raises:
        ConversionError: As `to_pdf`.
    """
    # 8.27 inches
    return _compile([page], "", "png", width / (210 / 25.4))


@limited(120)
def _compile(pages: Sequence[str], title: str, form: Literal["pdf", "png"], ppi: float) -> bytes:
    if not pages:
        raise ConversionError("PDF: found no page, wanted at least one")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = [_DOCUMENT]
        for number, font in enumerate(_fonts()):
            (folder / f"{number}.ttf").write_bytes(font)
        for number, page in enumerate(pages):
            for family in _FAMILIES:
                page = page.replace(f'font-family="{family}"', f'font-family="{_WORDS}"')
            (folder / f"{number}.svg").write_text(page, encoding="utf-8")
            lines.append(f'#image("{number}.svg", width: 100%)\n')
        document = folder / "score.typ"
        document.write_text("".join(lines), encoding="utf-8")
        found = typst.compile(
            str(document),
            root=str(folder),
            font_paths=[name],
            ignore_system_fonts=True,
            sys_inputs={"title": title},
            format=form,
            ppi=ppi,
        )
    return found if isinstance(found, bytes) else found[0]


@functools.cache
def _fonts() -> list[bytes]:
    """Return the fonts of engraved pages in the form that typst reads."""
    fonts = []
    for content in _FONT.findall(page_fonts()):
        font, unpacked = TTFont(io.BytesIO(base64.b64decode(content))), io.BytesIO()
        font.flavor = None  # not packed for the web
        font.save(unpacked)
        fonts.append(unpacked.getvalue())
    return fonts
