import pytest

from notagen.foundation.errors import ConversionError
from notagen.metrics.validity import Validity, check_validity, same_notes
from notagen.notation.musicxml import abc_to_musicxml

HEADER = "L:1/8\nM:4/4\nK:C\nV:1\nV:2\n"


@pytest.mark.parametrize(
    "body",
    ["[V:1]c8|[V:2]C8|", "[V:1]c8|", "[r:0/0][V:1]c8|", '[V:1]"^(["c8|[V:2](3C4D4E4|'],
)
def test_sound(body: str) -> None:
    assert check_validity(HEADER + body + "\n") == Validity(True, True, 1, ())
    assert check_validity("%Baroque\n%Bach\n%Choral\n" + HEADER + body).parses


def test_unaligned_but_readable() -> None:
    found = check_validity(HEADER + "[V:1]c8|[V:2]C8|\n[V:1]c8|[V:2]C6|\n")
    assert found == Validity(True, False, 2, ("bar 2: V:2 lasts 3/4, V:1 lasts 1",))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "found no bar `[V:1]...`, wanted at least one"),
        (HEADER, "found no bar `[V:1]...`, wanted at least one"),
        ("M:4/4\nK:C\n[V:1]c8|\n", "found no L: line in the header"),
        ("L:1/8\nK:C\n[V:1]c8|\n", "found no M: line in the header"),
        ("L:1/8\nM:4/4\n[V:1]c8|\n", "found no K: line in the header"),
        ("L:1/8\nM:4/4\nK:Q\n[V:1]c8|\n", "K:Q: found no key, wanted one such as Eb or F#min"),
        (HEADER + "[V:1]c8|\n[V:1]c8|[V:2][CE|\n", "bar 2, V:2: '[CE': found `[` without `]`"),
        (
            HEADER + "[V:1]c0|\n",
            "bar 1, V:1: found length '0', wanted a positive number of usual size",
        ),
        (HEADER + "[V:1]c8|\nrubbish\n", "line 7: found 'rubbish', wanted a bar `[V:1]...`"),
        (HEADER + "[V:1]c8|[V:1]c8|\n", "line 6: found voice V:1 twice, wanted it once"),
    ],
)
def test_what_does_not_parse(text: str, problem: str) -> None:
    found = check_validity(text)
    is_tune = not problem.startswith(("line ", "found no bar"))
    n_bars = text.count("\n[V:1]") if is_tune else 0
    assert found == Validity(False, False, n_bars, (problem,))


PIANO = (
    '%%score { ( 1 2 ) | 3 }\nL:1/8\nM:6/8\nK:Cmin\nV:1 treble nm="Piano"\nV:2 treble\nV:3 bass\n'
)
VOICE = "L:1/8\nM:4/4\nK:Eb\nV:1 "


@pytest.mark.parametrize(
    ("tune", "count"),
    [
        (
            f"{PIANO}[V:1](3:2:3ede [e-g]3|[V:3]z3 [A,,E,]3|\n"
            "[V:1]e6|[V:2]B3 B3|[V:3]A,2 ^F,F, x2|\n",
            13,
        ),
        # accidentals of the bar, ties that carry one over the barline, graces, broken rhythm
        (VOICE + "treble\n[V:1]^fF f2 =e4-|\n[V:1]e4 e4|\n[V:1]{/^g}g2 {ag}a2 c>d e<f|\n", 15),
        # clefs an octave off, a change of key and clef inside a bar, unpitched notes
        (VOICE + "treble-8\n[V:1]c4 [K:E] c4|\n[V:1][K:bass] C,4 [K:treble+8] c4|\n", 4),
        (VOICE + "perc\n[V:1]e4 e4|\n", 2),
        # a transposing part: as it is written
        (VOICE + "treble transpose=-2\n[V:1][K:F] b4 e4|\n", 2),
        # standard ABC, a unit of its own, rests for bars
        (
            "L:1/4\nM:3/4\nK:D\nV:1\nV:2\n"
            "V:1\nf c (3ded | Z | [CE-]3 |]\nV:2\nZ | F3 | [CE]3 |]\n",
            10,
        ),
    ],
)  # fmt: skip
def test_the_same_notes(tune: str, count: int) -> None:
    document = abc_to_musicxml(tune)
    assert same_notes(tune, document) == []
    # and nothing in common with a tune of other notes: each is missed
    other = abc_to_musicxml("L:1/8\nM:4/4\nK:C\nV:1\n[V:1]C,,,16/3|\n")
    assert len(same_notes(tune, other)) == count + 1


@pytest.mark.parametrize(
    ("abc", "differences"),
    [
        ("[V:1]c4 _e4|", []),
        ("[V:1]c4 e4|", ["bar 1: only the MusicXML has Eb5 at 1/2 for 1/2",
                         "bar 1: only the ABC has E5 at 1/2 for 1/2"]),
        ("[V:1]c4 _e3|", ["bar 1: only the MusicXML has Eb5 at 1/2 for 1/2",
                          "bar 1: only the ABC has Eb5 at 1/2 for 3/8"]),
        ("[V:1]{d}c4 _e4|", ["bar 1: only the ABC has a grace D5 at 0"]),
        ("[V:1]c4 _e4|\n[V:1]c4 _e4|", ["bar 2: only the ABC has C5 at 0 for 1/2",
                                        "bar 2: only the ABC has Eb5 at 1/2 for 1/2"]),
        ("[V:1]c4 z4|[V:2]c4 _e4|", ["bar 1: only the ABC has C5 at 0 for 1/2"]),
    ],
)  # fmt: skip
def test_notes_that_differ(abc: str, differences: list[str]) -> None:
    document = abc_to_musicxml(HEADER + "[V:1]c4 _e4|\n")
    assert sorted(same_notes(f"{HEADER}{abc}\n", document)) == sorted(differences)


def test_a_document_that_music21_cannot_read() -> None:
    with pytest.raises(ConversionError):
        same_notes(HEADER + "[V:1]c4|\n", "no score")
