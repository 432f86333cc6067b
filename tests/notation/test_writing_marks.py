"""Our writer of MusicXML, rule by rule: ties, slurs, marks, directions, beams, bad music."""

import time
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree as ET

import pytest

from notagen.foundation.errors import NotationError
from notagen.notation.barlines import Bar
from notagen.notation.interleave import parse_interleaved
from notagen.notation.musicxml import abc_voice_signs
from notagen.notation.musicxml.writing import write_score
from notagen.notation.tune import Tune, parse_abc
from tests.notation.written import PIANO, name, names, notes, score, texts


@pytest.mark.parametrize(
    ("voices", "wanted"),
    [
        (["c4-c4"], "start;stop"),
        (["[ce]4- [ce]4"], "start;start;stop;stop"),
        (["[c-e]4 [ce]4"], "start;;stop;"),
        (["c4- | c4-|c4"], "start;stop start;stop"),
        (["c4- d4"], "start;"),  # let it ring
        (["c4- ^c4"], "start;"),
        (["^c4- _d4"], "start;stop"),  # the same sound
        (["c4- z4", "x4 c4"], "start;;;stop"),  # goes on in the other voice
        (["c4- z4", "x4 ^c4"], "start;;;"),
        (["c4- z4", "x6 c2"], "start;;;"),
    ],
)
def test_ties(voices: list[str], wanted: str) -> None:
    root = score(*voices, header="%%score ( 1 2 )" if len(voices) > 1 else "")
    for path in ("tie", "notations/tied"):
        found = [
            " ".join(tie.get("type", "") for tie in note.findall(path))
            for note in root.iter("note")
        ]
        assert ";".join(found) == wanted


@pytest.mark.parametrize(
    ("voices", "wanted"),
    [
        (["(c2 d2)"], "start1;stop1"),
        (["(c (d e) f)"], "start1;start2;stop2;stop1"),
        (["(c d (e) f)"], "start1;;stop1 start2;stop2"),
        (["({c}d)"], "start1;stop1"),
        (["{(c}d)"], "start1;stop1"),
        (["c) (d"], ";"),
        (["(c4 d4)", "(e4 f4)"], "start1;stop1;start2;stop2"),
        (["(c4 d4", "e4 f4)"], "start1;;;stop1"),  # from voice to voice
        (["c4 d4)", "(e4 f4"], ";stop1;start1;"),
        (["(" * 20 + "c" + " d)" * 20], ";".join(["start", *["stop"] * 16, *[""] * 4])),
    ],
)
def test_slurs(voices: list[str], wanted: str) -> None:
    root = score(*voices, header="%%score ( 1 2 )" if len(voices) > 1 else "")
    with_numbers = len(wanted) < 60
    found = [
        [
            s.get("type", "") + (s.get("number", "") if with_numbers else "")
            for s in note.iter("slur")
        ]
        for note in root.iter("note")
    ]
    if not with_numbers:
        found[0] = found[0][:1]
    assert ";".join(" ".join(slurs) for slurs in found) == wanted


@pytest.mark.parametrize(
    ("abc", "wanted"),
    [
        (".c", "articulations/staccato"),
        ("!>!c", "articulations/accent"),
        ("!tenuto!.c", "articulations/detached-legato"),
        (".!tenuto!c", "articulations/staccato articulations/tenuto"),
        ("!wedge!c", "articulations/staccatissimo"),
        ("Tc", "ornaments/trill-mark"),
        ("!turn!c", "ornaments/turn"),
        ("uc", "technical/up-bow"),
        ("!3!c", "technical/fingering"),
        ("Hz", "fermata"),
        ("!///!c", "ornaments/tremolo"),
        ("T{d}c", "ornaments/trill-mark"),  # of the note, not of its grace
        ("T!trill(!!trill)!c", "ornaments/trill-mark ornaments/wavy-line ornaments/wavy-line"),
        ("!trill)!c", ""),
        ("!zork!Rc", ""),
    ],
)
def test_marks_of_notes(abc: str, wanted: str) -> None:
    note = score(abc).findall(".//note")[-1]
    found = []
    for child in note.findall("notations/*"):
        inside = [f"{child.tag}/{e.tag}" for e in child]
        found += inside or [child.tag]
    assert " ".join(found) == wanted


def test_marks_of_chords_stand_on_the_first_note_or_on_their_own() -> None:
    root = score("!arpeggio!.[C!4!E]4")
    first, second = root.findall(".//note")
    assert first.find("notations/articulations/staccato") is not None
    assert second.find("notations/articulations") is None
    assert second.findtext("notations/technical/fingering") == "4"
    assert len(root.findall(".//arpeggiate")) == 2


def test_hidden_notes_sound_and_trill_lines_have_two_ends() -> None:
    root = score("!invisible![ce]2 d2 T!trill(!e2 | f2 !trill)!g T!trill(!a")
    assert names(root) == ["C5", "E5", "D5", "E5", "F5", "G5", "A5"]
    assert [n.get("print-object") for n in root.iter("note")] == ["no", "no", *[None] * 5]
    ends = [(name(n), e.get("type")) for n in root.iter("note") for e in n.iter("wavy-line")]
    assert ends == [("E5", "start"), ("G5", "stop"), ("A5", "start"), ("A5", "stop")]


def test_a_tremolo_of_two_notes() -> None:
    root = score("!//-!C2 E2 !/-!F4")
    ends = [(t.get("type"), t.text) for t in root.iter("tremolo")]
    assert ends == [("start", "2"), ("stop", "2"), ("single", "1")]  # the last has no second note
    assert [n.findtext("type") for n in root.iter("note")] == ["half", "half", "half"]
    assert [n.findtext("time-modification/actual-notes") for n in root.iter("note")] == [
        *("2", "2", None)
    ]
    assert [length for _, length in notes(root)] == [2, 2, 4]


@pytest.mark.parametrize(
    ("abc", "wanted"),
    [
        ("!mf!c", "<dynamics><mf /></dynamics>"),
        ("!fsf!c", "<dynamics><other-dynamics>fsf</other-dynamics></dynamics>"),
        ('"@sempre"c', "<dynamics><other-dynamics>sempre</other-dynamics></dynamics>"),
        ('"^a<b&"c', "<words>a&lt;b&amp;</words>"),
        ('"Allegro"c', "<words>Allegro</words>"),
        ("Sc", "<segno />"),
        ("!coda!c", "<coda />"),
        (
            "[Q:3/8=60]c",
            "<metronome><beat-unit>quarter</beat-unit><beat-unit-dot />"
            "<per-minute>60</per-minute></metronome>",
        ),
    ],
)
def test_directions(abc: str, wanted: str) -> None:
    root = score(f"z4 {abc}4")
    assert texts(root, ".//direction-type/*") == [wanted]
    tags = [e.tag for e in root.findall("part/measure/*")]
    assert tags == ["attributes", "note", "direction", "note"]


def test_places_tempi_and_jumps() -> None:
    root = score(
        '"^up"c"_down"c"<left"c !p!{d}c "^D.C. al Fine"!D.C.! | !fine!c', header="Q:1/4=92"
    )
    placed = [d.get("placement") for d in root.iter("direction")]
    assert placed == ["above", "above", "below", None, "below", "above", "above"]
    assert [dict(s.attrib) for s in root.iter("sound")] == [
        *({"tempo": "92"}, {"dacapo": "yes"}, {"fine": "yes"})
    ]
    assert [w.text for w in root.iter("words")] == ["up", "down", "left", "D.C. al Fine", "Fine"]
    first = root.findall("part/measure/*")
    assert first[[e.tag for e in first].index("note") + 1].tag == "direction"


@pytest.mark.parametrize(
    ("symbol", "wanted"),
    [
        (
            "Am7/G",
            "<root><root-step>A</root-step></root>"
            '<kind text="m7">minor-seventh</kind><bass><bass-step>G</bass-step></bass>',
        ),
        (
            "CmMaj7",
            '<root><root-step>C</root-step></root><kind text="mMaj7">major-minor</kind>',
        ),
        (
            "Bb",
            "<root><root-step>B</root-step><root-alter>-1</root-alter></root>"
            '<kind text="">major</kind>',
        ),
    ],
)
def test_chord_symbols(symbol: str, wanted: str) -> None:
    assert texts(score(f'"{symbol}"c8'), ".//harmony") == [f"<harmony>{wanted}</harmony>"]


@pytest.mark.parametrize(
    ("voices", "wanted"),
    [
        (["!<(!c4!<)!d4"], "crescendo1 stop1"),
        (["!<(!c4!>(!d4!<)!e!>)!"], "crescendo1 diminuendo2 stop1 stop2"),
        (["!<)!c4"], ""),
        (["!<(!c4 | c4"], "crescendo1 stop1"),  # closed at the end
        (["!<(!c4", "C4!<)!"], "crescendo1 stop1"),
        (["!ped!c4!ped!c4!ped-up!"], "start1 stop1 start1 stop1"),
        (["!8va(!c'4!8va)!c4"], "down1 stop1"),
        (["!15mb(!C4!15mb)!c4"], "up1 stop1"),
    ],
)
def test_spans(voices: list[str], wanted: str) -> None:
    root = score(*voices, header="%%score ( 1 2 )" if len(voices) > 1 else "")
    found = [
        e.get("type", "") + e.get("number", "")
        for e in root.iter()
        if e.tag in ("wedge", "pedal", "octave-shift")
    ]
    assert [f.rstrip("123") for f in found] == [w.rstrip("123") for w in wanted.split()]
    for kind in ("wedge", "pedal", "octave-shift"):
        open_numbers: set[str] = set()
        for end in root.iter(kind):
            number = end.get("number", "")
            assert (number in open_numbers) == (end.get("type") == "stop")
            open_numbers ^= {number}
        assert not open_numbers


def test_spans_of_another_part_are_left_alone() -> None:
    root = score("!<(!c4 | c4", "C4!<)! | C4")
    stops = [m.get("number") for m in root.iter("measure") for _ in m.iter("wedge")]
    assert stops == ["0", "1"]


def test_notes_on_the_other_staff_keep_their_voice() -> None:
    root = score("c4 [I:staff +1] C4 | D4 [I:staff -1] d4", "C,8 | C,8", header=PIANO)
    where = [(n.findtext("voice"), n.findtext("staff")) for n in root.iter("note")]
    assert where == [("1", "1"), ("1", "2"), ("2", "2"), ("1", "2"), ("1", "1"), ("2", "2")]


@pytest.mark.parametrize(
    ("music", "wanted"),
    [
        ("cd ef", "begin;end;begin;end"),
        ("cdef", "begin;continue;continue;end"),
        ("c2d e", ";;"),
        ("czd", ";;"),
        ("cd2ef", ";;begin;end"),
        ("c{d}e", "begin;;end"),
        ("c>d", "begin;end,backward hook"),
        ("c/d/e", "begin,begin;continue,end;end"),
        ("{cd}e", "begin;end;"),
    ],
)
def test_beams(music: str, wanted: str) -> None:
    found = [
        ",".join(beam.text or "" for beam in note.findall("beam"))
        for note in score(music).iter("note")
    ]
    assert ";".join(found) == wanted


def test_graces_rests_and_accidental_signs() -> None:
    root = score("{/c}d {e/}f z2 x2 | z8 | ^c4 =B4 __A4", "C8 | x8 | C12")
    part = root.find("part")
    assert part is not None
    assert [g.get("slash") for g in part.iter("grace")] == ["yes", None]
    assert [n.findtext("type") for n in part.iter("note") if n.find("grace") is not None] == [
        *("eighth", "16th")
    ]
    assert [r.get("measure") for r in part.iter("rest")] == [None, None, "yes"]
    assert [n.get("print-object") for n in part.iter("note") if n.find("rest") is not None] == [
        *(None, "no", None)
    ]
    assert [a.text for a in part.iter("accidental")] == ["sharp", "natural", "flat-flat"]


def test_heading_is_escaped_and_the_same_tune_gives_the_same_bytes() -> None:
    tune = parse_abc('X:1\nT:A & B <1>\nT:two\nC:Me\x01\nL:1/8\nM:4/4\nK:C\n"^\x02"c8|\nw:la\n')
    document = write_score(tune)
    root = ET.fromstring(document)
    assert root.findtext("work/work-title") == "A & B <1>"
    assert root.findtext("movement-title") == "two"
    assert root.findtext("identification/creator") == "Me"
    assert root.findtext("identification/encoding/software") == "NotaGen"
    assert root.find(".//encoding-date") is None
    assert root.get("version") == "4.0"
    assert document.startswith('<?xml version="1.0" encoding="UTF-8"')
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(write_score, [tune] * 8)) == {document}


def test_interleaved_tunes_are_written_alike() -> None:
    abc = "X:1\nL:1/8\nM:4/4\nK:C\nV:1 treble\nV:2 bass\n"
    standard = parse_abc(abc + "V:1\n|: c8 :|2 d8 |]\nV:2\n|: C8 :|2 D8 |]\n")
    bars = "[V:1]|:c8:|2[V:2]|:C8:|2\n[V:1]d8|][V:2]D8|]\n"
    assert write_score(parse_interleaved(abc + bars)) == write_score(standard)


@pytest.mark.parametrize(
    ("music", "found"),
    [
        ("Z99999", "Z99999"),
        ("c99999999999", "length"),
        ("[CE", "without `]`"),
        ("[" * 5000, "inside a chord"),
        ("{cd", "without `}`"),
        ("c ]", "found `]`"),
        ("c }", "found `}`"),
        ('c "dolce', "quote"),
        ("c & e", "one voice"),
        ("(3" * 5000 + "c", "nested deeper"),
        ("(0c", "tuplet"),
        ("c" + "'" * 50, "octave"),
        ("[K:xyz]c", "K:xyz"),
        ('[M:__import__("os")]c', "metre"),
        ("[L:0/8]c", "unit note length"),
        ("[L:1/99999]c[L:1/99991]c[L:1/99989]c", "unlike"),
    ],
)
def test_bad_music_is_refused_in_one_line(music: str, found: str) -> None:
    tune = Tune(("K:C",), ({"1": Bar("", "c8", "|")}, {"1": Bar("", music, "|")}))
    with pytest.raises(NotationError) as caught:
        write_score(tune)
    message = str(caught.value)
    assert message.startswith("bar 2, V:1: ")
    assert found in message
    assert "\n" not in message


@pytest.mark.parametrize("header", ["M:4/4", "K:C\nM:1/0", "K:C\nL:x", "K:C\n%%score " + "[" * 99])
def test_bad_headers_are_refused(header: str) -> None:
    with pytest.raises(NotationError):
        write_score(Tune(tuple(header.split("\n")), ({"1": Bar("", "c8", "|")},)))


def test_tunes_larger_than_any_score_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abc_voice_signs, "MAX_ITEMS", 100)
    for music in ("c" * 51, "[" + "c" * 51 + "]", '"^a"' * 51 + "c"):
        cell = {"1": Bar("", music, "|")}
        write_score(Tune(("K:C",), (cell,)))
        with pytest.raises(NotationError, match="bar 2, V:1: found more than 100"):
            write_score(Tune(("K:C",), (cell, cell)))


@pytest.mark.parametrize(
    "music", ["(" * 9000 + "c" + ")" * 9000, "!<(!" * 9000 + "c", "!zork!" * 999]
)
def test_odd_music_is_bounded(music: str) -> None:
    document = write_score(Tune(("K:C",), ({"1": Bar("", f"{music} c", "|")},)))
    assert len(document) < 10_000


def test_a_pedal_may_end_in_another_voice_of_the_part() -> None:
    root = score("!ped!c8|!ped!c8|", "x6!ped-up!x2|x8!ped-up!|", header="%%score ( 1 2 )")
    found = [e.get("type") for e in root.iter("pedal")]
    assert found == ["start", "stop", "start", "stop"]


def test_many_pedals_are_let_go_at_once() -> None:
    start = time.monotonic()
    document = write_score(Tune(("K:C",), ({"1": Bar("", "!ped!c" * 5000, "|")},)))
    assert document.count('<pedal type="stop"') == 5000
    assert time.monotonic() - start < 5
