"""Sheet music: MusicXML to pages of SVG."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import verovio

from notagen.foundation.limits import limited
from notagen.notation.toolkit import loaded, parse_score

# most staves in a system -> size: half a staff space, in tenths of a millimetre
_SIZES = {3: 7.0, 8: 6.5, 14: 5.5}
_SMALLEST_SIZE = 4.5

_OPTIONS = {
    # A4 in tenths of a millimetre
    "pageWidth": 2100,
    "pageHeight": 2970,
    "pageMarginTop": 120,
    "pageMarginBottom": 120,
    "pageMarginLeft": 130,
    "pageMarginRight": 120,
    "svgViewBox": True,
    "shrinkToFit": True,
    # room goes between the systems first, so that the eye finds the next one
    "justifyVertically": True,
    "justificationSystem": 3,
    "spacingStaff": 9,
    "spacingBraceGroup": 9,
    "spacingSystem": 8,
    "breaksNoWidow": True,
    "footer": "none",
    # both fonts travel inside the page: nothing is fetched, and lyrics keep the width that was
    # measured for them
    "smuflTextFont": "embedded",
    "fontTextLiberation": True,
}


_BAR = re.compile('<g [^>]*class="measure"')
_WITHOUT_FONTS = {"smuflTextFont": "none", "fontTextLiberation": False}


class Played(NamedTuple):
    """An engraved score, and when its notes sound."""

    pages: list[str]
    """SVG documents without fonts: the page that shows them brings `page_fonts`."""
    times: list[tuple[float, str]]
    """Seconds from the start, and the id of a bar that begins there; repeats come again."""


@limited(120)
def engrave(musicxml: str) -> list[str]:
    """Return the engraved score, one SVG document a page, A4 upright.

    Every page is complete in itself: its fonts are embedded and its size follows the space it is
    given. The same score gives the same pages in every run.

    Args:
        musicxml: A partwise score. Its title and part names are shown; its composer only where the
            score places the name on the page, as a credit.

    Raises:
        ConversionError: If the text is no partwise MusicXML, holds no note, or could not be
            engraved in two minutes.
    """
    return _pages(_loaded(musicxml, {}))


@limited(120)
def engrave_played(musicxml: str) -> Played:
    """Return the same pages for a page that plays them, with the times of the bars.

    Raises:
        ConversionError: As `engrave`.
    """
    toolkit = _loaded(musicxml, _WITHOUT_FONTS)
    pages = _pages(toolkit)
    toolkit.renderToMIDI()  # the times are those of the MIDI
    entries = toolkit.renderToTimemap({"includeMeasures": True})
    times = [
        (entry["tstamp"] / 1000, entry["measureOn"]) for entry in entries if "measureOn" in entry
    ]
    return Played(pages, times)


@limited(120)
def engrave_open(musicxml: str, after: int) -> list[str]:
    """Return the pages behind the first bars of a score that grows, without fonts.

    Key, metre and clefs are those that hold there; the metre is not printed again. Slurs and ties
    that begin before are left out.

    Args:
        musicxml: As `engrave`.
        after: So many bars are left out, fewer than there are.

    Raises:
        ConversionError: As `engrave`.
    """
    if after == 0:
        return _pages(_loaded(musicxml, _WITHOUT_FONTS))
    score = parse_score(musicxml)
    for part in score.iterfind("part"):
        _leave_out(part, after)
    for listed in score.iterfind("part-list/score-part"):
        name = listed.find("part-name")
        if name is not None:
            name.text = listed.findtext("part-abbreviation", default="")
    rest = ET.tostring(score, encoding="unicode")
    return _pages(_loaded(rest, {**_WITHOUT_FONTS, "header": "none"}))


def count_bars(page: str) -> int:
    """Return the bars on a page that was engraved."""
    # no word of the score looks like a tag: its `<` is escaped
    return len(_BAR.findall(page))


def page_fonts() -> str:
    """Return the style sheet with the fonts that pages without fonts need, nothing to fetch."""
    data = Path(verovio.__file__).parent / "data"
    return "".join((data / f"{font}.css").read_text() for font in ("Leipzig", "Liberation"))


def _loaded(musicxml: str, options: Mapping[str, object]) -> verovio.toolkit:
    staves = _count_staves(parse_score(musicxml))
    size = next((size for most, size in _SIZES.items() if staves <= most), _SMALLEST_SIZE)
    return loaded(musicxml, {**_OPTIONS, "unit": size, **options})


def _pages(toolkit: verovio.toolkit) -> list[str]:
    return [toolkit.renderToSVG(page) for page in range(1, toolkit.getPageCount() + 1)]


def _leave_out(part: ET.Element, count: int) -> None:
    """Remove a part's first bars; what they say of key, metre and clefs goes to the next one."""
    bars = part.findall("measure")
    held: dict[tuple[str, str | None], ET.Element] = {}
    for bar in bars[:count]:
        for element in bar.iterfind("attributes/*"):
            held[element.tag, element.get("number")] = element
        part.remove(bar)
    for (tag, _), element in held.items():
        if tag == "time":
            element.set("print-object", "no")
    attributes = ET.Element("attributes")
    attributes.extend(held.values())
    bars[count].insert(0, attributes)


def _count_staves(score: ET.Element) -> int:
    """Return the number of staves in a full system."""
    total = 0
    for part in score.iterfind("part"):
        counts = [staves.text or "" for staves in part.iterfind("measure/attributes/staves")]
        total += max((int(count) for count in counts if count.isdecimal()), default=1)
    return total
