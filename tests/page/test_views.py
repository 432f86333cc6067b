"""A score that grows: the same bars as the whole, page after page."""

import re
import xml.etree.ElementTree as ET

import pytest

from notagen.notation.musicxml import abc_to_musicxml
from notagen.page.views import Growing
from notagen.render.engrave import count_bars, engrave_open, engrave_played

HEADER = 'X:1\nT:Growing\n%%score { 1 | 2 }\nL:1/8\nM:3/4\nK:C\nV:1 treble nm="Piano"\nV:2 bass\n'


def bar(number: int) -> str:
    # what changes on the way must hold on later pages
    change = {30: "[K:Eb]", 60: "[M:2/4]"}.get(number, "")
    length = 4 if number >= 60 else 6
    first = "".join("cdefga"[(number + place) % 6] + "/" * 2 for place in range(4 * length))
    second = f"[K: clef=treble]c{length}" if number == 40 else f"C{length}"
    return f"[V:1]{change}{first}|[V:2]{change}{second}|\n"


TUNE = [HEADER, *map(bar, range(1, 91))]


def test_every_bar_is_there_once_however_far_it_is() -> None:
    growing = Growing()
    pages = 0
    for bars in range(1, 91, 4):
        drawn = growing.draw("".join(TUNE[: bars + 1]))
        assert drawn is not None
        assert drawn.count('class="measure"') == bars
        assert drawn.count('class="page"') >= pages
        pages = drawn.count('class="page"')
        numbers = re.findall(r"being written, page (\d+)", drawn)
        assert numbers == [str(number) for number in range(1, pages + 1)]
    assert pages >= 3
    assert drawn.count("Growing") == 1  # its title, on the first page alone


def test_what_cannot_be_engraved_yet_is_left_alone() -> None:
    growing = Growing()
    assert growing.draw("") is None
    assert growing.draw(HEADER) is None
    assert growing.draw("".join(TUNE[:3])) is not None


@pytest.mark.parametrize("after", [0, 1, 35, 45, 70, 89])
def test_the_rest_of_a_score_is_drawn_as_in_the_whole(after: int) -> None:
    musicxml = abc_to_musicxml("".join(TUNE))
    whole = engrave_played(musicxml).pages
    rest = engrave_open(musicxml, after)
    assert sum(map(count_bars, whole)) == 90
    assert sum(map(count_bars, rest)) == 90 - after
    # the notes stand on the same lines: each staff's clef and key are those that hold there
    last_bars = [_heights(pages[-1]) for pages in (whole, rest)]
    assert last_bars[0] == last_bars[1]
    # and the metre is not printed anew
    first = ET.tostring(_bars(rest[0])[0], "unicode")
    assert len(re.findall(r"#E08\d-", first)) == (4 if after == 0 else 0)


def _bars(page: str) -> list[ET.Element]:
    return [e for e in ET.fromstring(page).iter() if e.get("class") == "measure"]


def _heights(page: str) -> list[list[int]]:
    """Return how high the heads of the last bar lie over their staff's lowest line."""
    heights = []
    for staff in _bars(page)[-1].iter():
        if staff.get("class") == "staff":
            lines = [path.get("d", "") for path in staff if path.tag.endswith("path")]
            lowest = max(int(line.split()[1]) for line in lines)
            found = re.findall(r"E0A\d[^>]*translate\(\d+, (\d+)", ET.tostring(staff, "unicode"))
            heights.append([lowest - int(height) for height in found])
    return heights
