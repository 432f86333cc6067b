"""A tune written as MusicXML by our own writer, and its notes read off the document."""

from fractions import Fraction
from xml.etree import ElementTree as ET

from notagen.notation.musicxml.writing import write_score
from notagen.notation.tune import parse_abc

NOTE_ORDER = [
    *("grace", "chord", "pitch", "unpitched", "rest", "duration", "tie", "voice", "type", "dot"),
    *("accidental", "time-modification", "staff", "beam", "notations"),
]
ATTRIBUTES_ORDER = ["divisions", "key", "time", "staves", "clef", "transpose"]
PIANO = '%%score { 1 | 2 }\nV:1 treble nm="Piano"\nV:2 bass\n'


def score(*voices: str, key: str = "C", header: str = "", metre: str = "4/4") -> ET.Element:
    """Return the document of a tune with the voices' music, each given in one text."""
    lines = ["X:1", "L:1/8", f"M:{metre}", f"K:{key}"]
    names = [line for line in header.splitlines() if line]
    lines[2:2] = [line for line in names if line[:2] not in ("V:", "M:")]
    lines += [line for line in names if line.startswith("V:")]
    for number, music in enumerate(voices, start=1):
        lines += [f"V:{number}", music]
    root = ET.fromstring(write_score(parse_abc("\n".join(lines) + "\n")))
    for note in root.iter("note"):
        places = [NOTE_ORDER.index(child.tag) for child in note]
        assert places == sorted(places)
    for attributes in root.iter("attributes"):
        places = [ATTRIBUTES_ORDER.index(child.tag) for child in attributes]
        assert places == sorted(places)
    return root


def text(element: ET.Element) -> str:
    """Return an element as text without the space around it."""
    return ET.tostring(element, encoding="unicode").strip()


def texts(root: ET.Element, path: str) -> list[str]:
    return [text(element) for element in root.iterfind(path)]


def notes(root: ET.Element) -> list[tuple[str, Fraction]]:
    """Return names and lengths in eighths of all notes; a rest is `z`, a grace has length 0."""
    found = []
    for part in root.iterfind("part"):
        divisions = 1
        for element in part.iter():
            if element.tag == "divisions":
                divisions = int(element.text or "")
            elif element.tag == "note":
                duration = Fraction(int(element.findtext("duration", "0")) * 2, divisions)
                found.append((name(element), duration))
    return found


def name(note: ET.Element) -> str:
    pitch = note.find("pitch")
    if pitch is None:
        return note.findtext("unpitched/display-step") or "z"
    sign = {"1": "#", "2": "##", "-1": "b", "-2": "bb"}.get(pitch.findtext("alter", ""), "")
    return f"{pitch.findtext('step')}{sign}{pitch.findtext('octave')}"


def names(root: ET.Element) -> list[str]:
    return [note for note, _ in notes(root)]
