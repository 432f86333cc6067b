"""The only place that loads a score into verovio.

Verovio is C++: bad input may end the process that reads it. Call `loaded` only inside functions
decorated with `notagen.foundation.limits.limited`.
"""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import verovio

from notagen.foundation.errors import ConversionError

# what follows <clef> in the order of elements that MusicXML's <attributes> keeps
_AFTER_CLEF = {"staff-details", "transpose", "for-part", "directive", "measure-style"}


def loaded(musicxml: str, options: Mapping[str, object]) -> verovio.toolkit:
    """Return a verovio toolkit that holds the score, ready to render.

    Args:
        musicxml: A partwise score. Opening clefs are hoisted, see `hoist_clefs`.
        options: Verovio's options by name. Element ids follow from the score alone: the same
            score gets the same ids in every run.

    Raises:
        ConversionError: If the text is no partwise MusicXML, holds no note or rest, or verovio
            refuses it.
    """
    root = parse_score(musicxml)
    if root.find("part/measure/note") is None:
        raise ConversionError("MusicXML: found no <note> in any bar, wanted at least one")
    _hoist(root)
    verovio.enableLog(verovio.LOG_OFF)
    toolkit = verovio.toolkit()
    # set for each toolkit: verovio forgets the path in every thread but the importing one
    toolkit.setResourcePath(str(Path(verovio.__file__).parent / "data"))
    toolkit.setOptions({"inputFrom": "xml", "xmlIdChecksum": True, **options})
    if not toolkit.loadData(ET.tostring(root, encoding="unicode")):
        raise ConversionError("MusicXML: verovio could not load the score")
    return toolkit


def hoist_clefs(musicxml: str) -> str:
    """Return the score with each part's opening clefs in its first `<attributes>`.

    Some programs write a second staff's opening clef after the `<backup>` to the start of the first
    bar. That is legal, but verovio then draws no clef at the beginning of that staff.

    Before: `<attributes>…<clef number="1"/></attributes>…<backup/><attributes><clef number="2"/>`
    After:  `<attributes>…<clef number="1"/><clef number="2"/></attributes>…<backup/><attributes>`

    Raises:
        ConversionError: If the text is no partwise MusicXML.
    """
    root = parse_score(musicxml)
    _hoist(root)
    return ET.tostring(root, encoding="unicode")


def parse_score(musicxml: str) -> ET.Element:
    """Return the root of a partwise score.

    Raises:
        ConversionError: If the text is no partwise MusicXML, or declares entities: none is ever
            resolved.
    """
    if "<!ENTITY" in musicxml:
        raise ConversionError("MusicXML: found an <!ENTITY> declaration, wanted none")
    try:
        root = ET.fromstring(musicxml)  # noqa: S314 -- entities are refused above
    except ET.ParseError as error:
        raise ConversionError(f"MusicXML: not well-formed: {error}") from error
    if root.tag != "score-partwise":
        raise ConversionError(f"MusicXML: found <{root.tag:.40}>, wanted <score-partwise>")
    return root


def _hoist(root: ET.Element) -> None:
    for bar in root.iterfind("part/measure[1]"):
        first = bar.find("attributes")
        if first is None:
            continue
        known = {clef.get("number", "1") for clef in first.iterfind("clef")}
        for attributes in _opening_attributes(bar):
            for clef in attributes.findall("clef"):
                if clef.get("number", "1") not in known:
                    known.add(clef.get("number", "1"))
                    attributes.remove(clef)
                    first.insert(_place_for_clef(first), clef)


def _opening_attributes(bar: ET.Element) -> list[ET.Element]:
    """Return the `<attributes>` of a bar that stand at its very beginning in time."""
    found, now = [], 0.0
    for element in bar:
        if element.tag == "attributes" and now == 0:
            found.append(element)
        elif element.tag == "backup":
            now -= _duration(element)
        elif element.tag == "forward" or (element.tag == "note" and element.find("chord") is None):
            now += _duration(element)
    return found


def _duration(element: ET.Element) -> float:
    return _number(element.findtext("duration", default="0"))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ConversionError(f"MusicXML: found {text!r:.40}, wanted a number") from error


def _place_for_clef(attributes: ET.Element) -> int:
    for place, element in enumerate(attributes):
        if element.tag in _AFTER_CLEF:
            return place
    return len(attributes)
