import re
import xml.etree.ElementTree as ET

import music21
import pytest

from notagen.foundation.errors import ConversionError
from notagen.notation.toolkit import hoist_clefs
from notagen.render.engrave import engrave

SVG = "{http://www.w3.org/2000/svg}"


def note(step: str, octave: int, staff: int = 1) -> str:
    return (
        f"<note><pitch><step>{step}</step><octave>{octave}</octave></pitch><duration>4</duration>"
        f"<voice>{staff}</voice><type>whole</type><staff>{staff}</staff></note>"
    )


def piano(bars: int = 1, title: str = "Study") -> str:
    """Two staves; as the ABC converter writes them, the bass clef follows the first backup."""
    opening = (
        "<attributes><divisions>1</divisions><time><beats>4</beats><beat-type>4</beat-type></time>"
        "<staves>2</staves><clef number='1'><sign>G</sign><line>2</line></clef></attributes>"
    )
    bass = "<attributes><clef number='2'><sign>F</sign><line>4</line></clef></attributes>"
    body = "".join(
        f"<measure number='{bar}'>{opening if bar == 1 else ''}{note('C', 5)}"
        f"<backup><duration>4</duration></backup>{bass if bar == 1 else ''}{note('C', 3, 2)}"
        "</measure>"
        for bar in range(1, bars + 1)
    )
    return (
        "<?xml version='1.0' encoding='utf-8'?>"
        "<!DOCTYPE score-partwise PUBLIC '-//Recordare//DTD MusicXML 3.0 Partwise//EN'"
        " 'http://www.musicxml.org/dtds/partwise.dtd'>"
        f"<score-partwise><work><work-title>{title}</work-title></work>"
        "<part-list><score-part id='P1'><part-name>Klavier</part-name></score-part></part-list>"
        f"<part id='P1'>{body}</part></score-partwise>"
    )


def bars_drawn(pages: list[str]) -> int:
    return sum(page.count('class="measure"') for page in pages)


def words(page: str) -> str:
    return " ".join("".join(ET.fromstring(page).itertext()).split())


def opening_glyphs(page: str) -> list[str]:
    """Return the SMuFL code points of the clefs, staff by staff of the first bar's system."""
    glyphs: list[str] = []
    for group in ET.fromstring(page).iter(f"{SVG}g"):
        if "clef" in group.get("class", "").split():
            links = (use.get("{http://www.w3.org/1999/xlink}href", "") for use in group)
            glyphs += [link[1:5] for link in links if link]
    return glyphs


def test_page_is_complete_and_shows_title_and_instrument() -> None:
    (page,) = engrave(piano(3))
    assert ET.fromstring(page).get("viewBox") == "0 0 2100 2970"
    assert bars_drawn([page]) == 3
    assert all(word in words(page) for word in ("Study", "Klavier"))


def test_credits_of_the_score_are_shown() -> None:
    credit = "<credit page='1'><credit-words>Anna Writer</credit-words></credit>"
    (page,) = engrave(piano().replace("<part-list>", f"{credit}<part-list>"))
    assert "Anna Writer" in words(page)


def test_page_fetches_nothing() -> None:
    (page,) = engrave(piano())
    assert "@font-face" in page
    addresses = re.findall(r"(?:href=\"|url\(['\"]?|@import\s+['\"]?)([^\"')]{1,30})", page)
    assert addresses
    assert all(address.startswith(("#", "data:")) for address in addresses)


def test_long_scores_take_pages_and_lose_no_bar() -> None:
    pages = engrave(piano(120))
    assert len(pages) > 1
    assert bars_drawn(pages) == 120


def test_second_staff_opens_with_its_bass_clef() -> None:
    g_clef, f_clef = "E050", "E062"
    assert opening_glyphs(engrave(piano())[0]) == [g_clef, f_clef]


def test_hoisting_moves_only_opening_clefs() -> None:
    later = "<attributes><clef number='2'><sign>G</sign><line>2</line></clef></attributes>"
    score = piano(2).replace(note("C", 3, 2), note("C", 3, 2) + later, 1)
    root = ET.fromstring(hoist_clefs(score))
    first, *others = root.findall("part/measure[1]/attributes")
    assert [clef.findtext("sign") for clef in first.findall("clef")] == ["G", "F"]
    assert [clef.findtext("sign") for part in others for clef in part] == ["G"]
    assert hoist_clefs(hoist_clefs(score)) == hoist_clefs(score)


def test_same_score_gives_same_pages() -> None:
    assert engrave(piano(5)) == engrave(piano(5))


def test_chorale_has_all_its_bars() -> None:
    chorale = music21.corpus.parse("bach/bwv66.6")
    exporter = music21.musicxml.m21ToXml.GeneralObjectExporter(chorale)
    pages = engrave(exporter.parse().decode())
    assert bars_drawn(pages) == len(chorale.parts[0].getElementsByClass("Measure"))
    assert all(name in words(pages[0]) for name in ("Soprano", "Alto", "Tenor", "Bass"))


@pytest.mark.parametrize(
    "title", ["<script>alert(1)</script>", "]]> & <img src=x onerror=alert(1)>", "\" ' <!-- --> é"]
)
def test_hostile_title_is_only_text(title: str) -> None:
    escaped = title.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    (page,) = engrave(piano(title=escaped))
    tags = {element.tag.removeprefix(SVG) for element in ET.fromstring(page).iter()}
    assert not tags & {"script", "img", "image", "foreignObject"}
    assert " ".join(title.split()) in words(page)


@pytest.mark.parametrize(
    ("score", "reason"),
    [
        ("", "not well-formed"),
        ("X:1\nK:C\nCDEF|", "not well-formed"),
        (piano()[:-30], "not well-formed"),
        ("<html/>", "wanted <score-partwise>"),
        (re.sub(r"<note>.*?</note>", "", piano()), "found no <note>"),
        (piano().replace("<duration>4", "<duration>four"), "wanted a number"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]>" + piano()[100:], "<!ENTITY>"),
    ],
)
def test_no_music_is_refused_in_one_line(score: str, reason: str) -> None:
    with pytest.raises(ConversionError, match=re.escape(reason)) as caught:
        engrave(score)
    assert "\n" not in str(caught.value)


def test_a_crash_of_the_engraver_is_survived() -> None:
    crashing = piano().replace("<beat-type>4", "<beat-type>0")
    with pytest.raises(ConversionError, match="crashed"):
        engrave(crashing)
    assert bars_drawn(engrave(piano(2))) == 2
