"""Our writer of MusicXML, rule by rule: pitches, lengths, layout, changes, bars."""

from fractions import Fraction

import pytest

from tests.notation.written import PIANO, names, notes, score, texts


@pytest.mark.parametrize(
    ("music", "key", "wanted"),
    [
        ("^F F f | F =f", "C", "F#4 F#4 F5 F4 F5"),  # for letter and octave, until the barline
        ("F _B B | __B ^^F =B", "G", "F#4 Bb4 Bb4 Bbb4 F##4 B4"),
        ("^c4- | c4 c4", "C", "C#5 C#5 C5"),  # a tie carries it over, and leaves none behind
        ("^c4- | =c4 c", "C", "C#5 C5 C5"),
        ("^c4- z4 | c4", "C", "C#5 z C5"),
        ("[^C-E]2 [CE]2 C2", "C", "C#4 E4 C#4 E4 C#4"),
        ("{^c}c c- | {c}c", "C", "C#5 C#5 C#5 C5 C#5"),  # graces share accidentals, end no tie
        ("^F [K:G] F [K:C] F [K:none] F", "D", "F#4 F#4 F4 F4"),
        ("C,, C c' c''", "C", "C2 C4 C6 C7"),
        ("C [K:treble-8] c [K:bass+15] C,, [K:C clef=treble] C", "C", "C4 C4 C4 C4"),
    ],
)
def test_pitches(music: str, key: str, wanted: str) -> None:
    assert names(score(music, key=key)) == wanted.split()


@pytest.mark.parametrize(
    ("music", "wanted"),
    [
        ("c c2 c/ c// c3/2 c/4", "1 2 1/2 1/4 3/2 1/4"),
        ("c>d c<<d", "3/2 1/2 1/4 7/4"),
        ("(3cde (3:2:2c2d f", "2/3 2/3 2/3 4/3 2/3 1"),
        ("(5cdefg (2cd (13:8:13" + "c/" * 13, " ".join(["2/5"] * 5 + ["3/2"] * 2 + ["4/13"] * 13)),
        ("(3:2:5c(3d/e/f/g a", "2/3 2/9 2/9 2/9 2/3 1"),
        ("[CE2G]2 [C3E] z x2", "2 2 2 3 3 1 2"),
        ("{cd}e {/c}z", "0 0 1 0 1"),
        ("Z | Z2 | X", "8 16 8"),
        ("[L:1/16] c c2", "1/2 1"),
    ],
)
def test_lengths_are_exact(music: str, wanted: str) -> None:
    assert [length for _, length in notes(score(music))] == [Fraction(w) for w in wanted.split()]


def test_divisions_are_the_fewest_or_each_bar_has_its_own() -> None:
    assert score("c4 | (3cde").findtext("part/measure/attributes/divisions") == "3"
    assert score("c8").findtext(".//divisions") == "1"
    primes = (7, 11, 13, 17, 19, 23, 29, 31)
    root = score(" | ".join(f"({p}:2:{p}{'c' * p}" for p in primes))
    assert [int(d.text or "") for d in root.iter("divisions")] == list(primes)
    assert [length for _, length in notes(root)] == [
        Fraction(2, p) for p in primes for _ in range(p)
    ]


def test_types_dots_and_lengths_without_a_type() -> None:
    root = score("c3/2 c7/2 c5 c16")
    drawn = [(n.findtext("type"), len(n.findall("dot"))) for n in root.iter("note")]
    assert drawn == [("eighth", 1), ("quarter", 2), (None, 0), ("breve", 0)]


def test_nested_tuplets_multiply_and_say_what_they_are() -> None:
    root = score("(3:2:5c(3d/e/f/g a")
    ratios = [
        (n.findtext("time-modification/actual-notes"), n.findtext("time-modification/normal-notes"))
        for n in root.iter("note")
    ]
    assert ratios == [("3", "2"), *[("9", "4")] * 3, ("3", "2"), (None, None)]
    ends = [(t.get("type"), t.get("number")) for t in root.iter("tuplet")]
    assert ends == [("start", "1"), ("start", "2"), ("stop", "2"), ("stop", "1")]
    inner = root.findall(".//tuplet")[1]
    assert inner.findtext("tuplet-actual/tuplet-number") == "3"
    assert inner.findtext("tuplet-actual/tuplet-type") == "16th"
    assert inner.findtext("tuplet-normal/tuplet-number") == "2"


def test_voices_of_a_part_come_one_after_another() -> None:
    root = score("c4 | d8", "C6 | D8", "E2 | E8", header='%%score ( 1 2 3 )\nV:1 nm="A"')
    first = root.find("part/measure")
    assert first is not None
    moves = [e.findtext("duration") for e in first if e.tag in ("note", "backup")]
    assert moves == ["2", "2", "3", "3", "1"]  # voices shorter than the bar stay so
    assert [n.findtext("voice") for n in first.iter("note")] == ["1", "2", "3"]
    assert first.find(".//staff") is None


def test_layout_of_groups_parts_and_staves() -> None:
    header = (
        "%%score [ 1 | 2 ] { ( 3 4 ) | 5 } { 6 | 7 }\n"
        'V:1 treble nm="Violin\\nI" snm="V. 1"\nV:2 alto nm="Viola & Co"\nV:3 treble nm="Piano"\n'
        'V:4 treble\nV:5 bass\nV:6 treble nm="Horn 1"\nV:7 treble nm="Horn 2"\nV:8 perc\n'
    )
    root = score(*["c8"] * 8, header=header)
    groups = [
        (g.get("type"), g.get("number"), g.findtext("group-symbol"), g.findtext("group-barline"))
        for g in root.iterfind("part-list/part-group")
    ]
    starts = [group for group in groups if group[0] == "start"]
    assert [group[2:] for group in starts] == [("bracket", "yes"), ("brace", "yes")]
    assert [e.tag for e in root.iterfind("part-list/*")].count("score-part") == 6
    assert [e.text for e in root.iter("part-name")] == [
        *("Violin\nI", "Viola & Co", "Piano", "Horn 1", "Horn 2", None)
    ]
    assert [e.text for e in root.iter("part-abbreviation")] == ["V. 1"]
    piano = root.findall("part")[2]
    assert piano.findtext(".//staves") == "2"
    assert [(n.findtext("voice"), n.findtext("staff")) for n in piano.iter("note")] == [
        *(("1", "1"), ("2", "1"), ("3", "2"))
    ]
    assert [c.get("number") for c in piano.iter("clef")] == ["1", "2"]


@pytest.mark.parametrize(
    ("clef", "wanted"),
    [
        ("bass", ("F", "4", None)),
        ("tenor", ("C", "4", None)),
        ("alto1", ("C", "1", None)),
        ("bass3", ("F", "3", None)),
        ("treble-15", ("G", "2", "-2")),
        ("clef=bass+8", ("F", "4", "1")),
        ("perc", ("percussion", "2", None)),
        ("none", ("none", None, None)),
    ],
)
def test_clefs(clef: str, wanted: tuple[str, str, str]) -> None:
    found = score("c8", header=f"V:1 {clef}").find(".//clef")
    assert found is not None
    assert tuple(found.findtext(n) for n in ("sign", "line", "clef-octave-change")) == wanted


def test_percussion_is_a_place_on_the_staff() -> None:
    root = score("^F4 f4", key="A", header="V:1 perc")
    assert names(root) == ["F", "F"]
    assert [e.text for e in root.iter("display-octave")] == ["4", "5"]


@pytest.mark.parametrize(
    ("semitones", "wanted"),
    [
        ("-2", ("-1", "-2", None)),
        ("-12", ("0", "0", "-1")),
        ("-14", ("-1", "-2", "-1")),
        ("7", ("4", "7", None)),
    ],
)
def test_transposing_parts_keep_their_written_notes(semitones: str, wanted: object) -> None:
    root = score("c8", header=f"V:1 treble transpose={semitones}")
    found = root.find(".//transpose")
    assert found is not None
    assert tuple(found.findtext(n) for n in ("diatonic", "chromatic", "octave-change")) == wanted
    assert names(root) == ["C5"]


def test_changes_are_written_once_and_at_their_time() -> None:
    root = score(
        "c4 [K:bass] [K:D] c4 | [K:Eb] [M:3/4] c6",
        "C4 [K:D] C4 | [K:Eb] [M:3/4] C6",
        header=PIANO,
    )
    first, second = root.findall("part/measure")
    assert [e.tag for e in first] == [
        *("attributes", "note", "attributes", "note", "backup", "note", "note")
    ]
    assert [k.findtext("fifths") for k in root.iter("key")] == ["0", "2", "-3"]
    assert all(k.get("number") is None for k in root.iter("key"))
    assert [t.findtext("beats") for t in root.iter("time")] == ["4", "3"]
    clefs = [(c.get("number"), c.findtext("sign")) for c in root.iter("clef")]
    assert clefs == [("1", "G"), ("2", "F"), ("1", "F")]
    assert second[0].tag == "attributes"


def test_a_key_of_one_staff_and_one_at_the_beginning() -> None:
    root = score("[K:D] c8 | c8", "C8 | [K:F] C8", header=PIANO)
    keys = [(k.get("number"), k.findtext("fifths")) for k in root.iter("key")]
    assert keys == [("1", "2"), ("2", "0"), ("2", "-1")]
    shared = score("[K:Amin] c8", "[K:Amin] C8", header=PIANO)
    assert [(k.findtext("fifths"), k.findtext("mode")) for k in shared.iter("key")] == [
        ("0", "minor")
    ]


@pytest.mark.parametrize(
    ("metre", "wanted"),
    [
        ("C", '<time symbol="common"><beats>4</beats><beat-type>4</beat-type></time>'),
        ("C|", '<time symbol="cut"><beats>2</beats><beat-type>2</beat-type></time>'),
        ("3+2/8", "<time><beats>3+2</beats><beat-type>8</beat-type></time>"),
        ("(2+3)/8", "<time><beats>2+3</beats><beat-type>8</beat-type></time>"),
        ("none", "<time><senza-misura /></time>"),
    ],
)
def test_metres(metre: str, wanted: str) -> None:
    assert texts(score("c8", metre=metre), ".//time") == [wanted]


def test_an_upbeat_is_bar_nought() -> None:
    upbeat = score("c2 | c8 |", "z2 | C8 |")
    assert [(m.get("number"), m.get("implicit")) for m in upbeat.findall("part[1]/measure")] == [
        *(("0", "yes"), ("1", None))
    ]
    full = score("c2 | c8 |", "C8 | C8 |")  # one voice fills the bar
    assert [m.get("number") for m in full.findall("part[1]/measure")] == ["1", "2"]


@pytest.mark.parametrize(
    ("music", "wanted"),
    [
        ("c8 | c8 |]", ["", "right light-heavy"]),
        ("c8 || c8 .|", ["right light-light", "right dotted"]),
        ("|: c8 :| c8", ["left heavy-light forward;right light-heavy backward", ""]),
        (
            "c8 :: c8 :|",
            ["right light-heavy backward", "left heavy-light forward;right light-heavy backward"],
        ),
        (
            "|: c8 |1 c8 :|2 c8 | c8 || c8",
            [
                "left heavy-light forward",
                "left 1start;right light-heavy 1stop backward",
                "left 2start",
                "right light-light 2discontinue",
                "",
            ],
        ),
        (
            "[1,2 c8 |[3 c8",
            ["left 1, 2start;right 1, 2discontinue", "left 3start;right 3discontinue"],
        ),
        ("c8 !x3! :| c8", ["right light-heavy backward3", ""]),
        ("c8 !fermata! | c8", ["right fermata", ""]),
    ],
)
def test_barlines(music: str, wanted: list[str]) -> None:
    for root in (score(music), score(music.replace("c8", "x8"), music.replace("c8", "z8"))):
        found = []
        for measure in root.findall("part[1]/measure"):
            lines = []
            for line in measure.iter("barline"):
                words = [line.get("location", "")]
                for e in line:
                    if e.tag == "ending":
                        words.append(e.get("number", "") + e.get("type", ""))
                    elif e.tag == "repeat":
                        words.append(e.get("direction", "") + e.get("times", ""))
                    else:
                        words.append(e.text or e.tag)
                lines.append(" ".join(words))
            found.append(";".join(lines))
        assert found == wanted


def test_a_barline_of_the_second_voice_counts_where_the_first_has_none() -> None:
    root = score("c8 | c8 |", "C8 || C8 |]", header="%%score ( 1 2 )")
    assert [e.text for e in root.iter("bar-style")] == ["light-light", "light-heavy"]


def test_the_times_of_a_repeat_count_for_all_parts() -> None:
    root = score("|: c8!x3!:| c8 |]", "|: C8 :| C8 |]", header="%%score 1 2")
    assert [e.get("times") for e in root.findall(".//repeat[@direction='backward']")] == ["3", "3"]
