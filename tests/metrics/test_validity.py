import dataclasses
import pickle
from pathlib import Path

import music21
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notagen.foundation.errors import ConversionError
from notagen.metrics.validity import (
    Soundness,
    Validity,
    check_soundness,
    check_validity,
    same_notes,
)
from notagen.notation.clean import clean
from notagen.notation.interleave import interleave
from notagen.notation.musicxml import abc_to_musicxml, musicxml_to_abc
from notagen.notation.rests import omit_rests, restore_rests

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


QUARTET = (
    "%%score [ 1 | 2 ]\nL:1/8\nM:4/4\nK:C\n"
    'V:1 treble nm="Violin" snm="Vln."\nV:2 bass nm="Cello" snm="Vc."\n'
)
SOUND = Soundness(
    parses=True,
    aligned=True,
    n_bars=2,
    n_unaligned_bars=0,
    converts=True,
    same_notes=None,
    header_problems=(),
    in_range=True,
    n_notes_in_known_ranges=3,
    n_notes_out_of_range=0,
    n_sounding_bars=2,
    n_distinct_bars=2,
    top_bar_share=0.5,
    longest_repeat=1,
    problems=(),
)


def judged(*bars: str) -> Soundness:
    return check_soundness(QUARTET + "\n".join(bars), check_notes=False)


def test_a_sound_piece() -> None:
    abc = QUARTET + "[V:1]c8|[V:2]C8|\n[V:2]D8|\n"
    assert judged("[V:1]c8|[V:2]C8|", "[V:2]D8|") == SOUND
    assert check_soundness(abc) == dataclasses.replace(SOUND, same_notes=True)
    counted = abc.replace("[V:1]c", "[r:0/1][V:1]c").replace("\n[V:2]D", "\n[r:1/0][V:2]D")
    assert check_soundness(f"%Baroque\n{counted}", check_notes=False) == SOUND
    assert pickle.loads(pickle.dumps(SOUND)) == SOUND  # noqa: S301 -- our own


@pytest.mark.parametrize(
    "piece", ["bach/bwv66.6", "schoenberg/opus19/movement2", "palestrina/Agnus_0"]
)
def test_real_pieces_are_sound(piece: str, tmp_path: Path) -> None:
    score = music21.corpus.parse(piece)
    found = check_soundness(
        omit_rests(interleave(clean(musicxml_to_abc(score.write(fp=tmp_path / "a.xml")))))
    )
    assert found.problems == found.header_problems == ()
    assert all([found.parses, found.aligned, found.converts, found.same_notes, found.in_range])


def test_bars_out_of_step() -> None:
    found = judged("[V:1]c8|[V:2]C8|", "[V:1]c8|[V:2]C6|", "[V:1]c8|[V:2]C7|")
    assert (found.parses, found.aligned) == (True, False)
    assert (found.n_unaligned_bars, found.n_bars) == (2, 3)
    assert found.problems[0] == "bar 2: V:2 lasts 3/4, V:1 lasts 1"


def test_a_bar_that_cannot_be_read() -> None:
    found = judged("[V:1]c8|[V:2]C8|", "[V:1]c8|[V:2][CE|")
    assert not any([found.parses, found.aligned, found.converts, found.same_notes])
    assert not found.in_range
    assert (found.n_bars, found.n_unaligned_bars) == (2, 1)
    assert found.header_problems == ()
    assert found.problems[0] == "bar 2, V:2: '[CE': found `[` without `]`"


def test_no_tune_at_all() -> None:
    found = judged("[V:1]c8|[V:2]C8|", "rubbish", "[V:1]c8|")
    assert not any([found.parses, found.aligned, found.converts, found.same_notes])
    assert (found.n_bars, found.n_unaligned_bars, found.n_sounding_bars) == (2, 2, 0)
    assert (found.longest_repeat, found.top_bar_share) == (0, 0)
    # the header is judged all the same
    assert found.header_problems == ()
    assert check_soundness("V:1 moon\n[V:1", check_notes=False).header_problems != ()


def test_notes_out_of_range() -> None:
    found = judged("[V:1]c4 F,4|[V:2]C8|")
    assert (found.in_range, found.n_notes_in_known_ranges, found.n_notes_out_of_range) == (
        False,
        2,
        1,
    )
    assert found.problems == (
        "bar 1, V:1: found F3, wanted Violin between G3 and E8 (notes out of range: 1)",
    )
    # a pitch that MIDI does not have
    assert not judged("[V:1]c8|[V:2]C,,,,,,,,8|").in_range


def test_notes_that_music21_reads_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    other = abc_to_musicxml(QUARTET + "[V:1]d8|[V:2]C8|\n")
    monkeypatch.setattr("notagen.metrics.validity.abc_to_musicxml", lambda _: other)
    found = check_soundness(QUARTET + "[V:1]c8|[V:2]C8|\n")
    assert (found.converts, found.same_notes) == (True, False)
    assert "bar 1: only the ABC has C5 at 0 for 1" in found.problems
    monkeypatch.setattr("notagen.metrics.validity.abc_to_musicxml", lambda _: "<score")
    found = check_soundness(QUARTET + "[V:1]c8|[V:2]C8|\n")
    assert (found.converts, found.same_notes) == (False, False)


A, B, SILENT = "[V:1]c8|[V:2]C8|", "[V:2]D8|", "[V:1]z8|"


@pytest.mark.parametrize(
    ("bars", "sounding", "distinct", "top", "longest"),
    [
        ([A], 1, 1, 1, 1),
        ([A, B], 2, 2, 1 / 2, 1),
        ([A, A, A, B], 4, 2, 3 / 4, 3),
        # a pattern of two bars, three times, and half of it
        ([A, B, A, B, A, B, A], 7, 2, 4 / 7, 3),
        # barlines, repeats and counters do not matter, nor whether rests are written
        (["[r:0/2][V:1]|:c8|[V:2]C8|", "[r:1/1][V:1]c8:|[V:2]C8:|", A], 3, 1, 1, 3),
        ([B, "[V:1]z8|[V:2]D8|"], 2, 1, 1, 2),
        # silence is no bar to be told from others, but may be stuck in
        ([A, SILENT, SILENT, SILENT, SILENT], 1, 1, 1, 4),
        ([SILENT], 0, 0, 0, 1),
        # a pattern of eight, and one of nine
        ([f"[V:1]c{n}d{8 - n}|" for n in range(1, 8)] * 2, 14, 7, 1 / 7, 2),
        ([*(f"[V:1]c{n}d{8 - n}|" for n in range(1, 8)), A, B] * 2, 18, 9, 1 / 9, 1),
    ],
)  # fmt: skip
def test_repeats(bars: list[str], sounding: int, distinct: int, top: float, longest: int) -> None:
    found = judged(*bars)
    assert found.n_sounding_bars == sounding
    assert found.n_distinct_bars == distinct
    assert found.top_bar_share == pytest.approx(top)
    assert found.longest_repeat == longest


def test_omitted_rests_change_nothing() -> None:
    abc = QUARTET + "\n".join([A, B, SILENT, A, B])
    assert check_soundness(abc, check_notes=False) == check_soundness(
        restore_rests(abc), check_notes=False
    )


PIECES_OF_TEXT = st.sampled_from(
    [*"[]{}()|:-/>\\\"!%+z, ", "[V:1]", "[V:2]", "[r:1/2]", "\n", "c8|", "C8|", "(3", "[K:F]", "Z",
     "[M:3/4]", "X9", "c,,,,,,,", "^c'", "\nV:", "\nK:", "\n%%score", "%%score 1 ( 2", "é", "\0",
     " transpose=-99"]
)  # fmt: skip


@given(
    st.one_of(st.text(max_size=60), st.lists(PIECES_OF_TEXT, max_size=25).map("".join)),
    st.booleans(),
)
def test_whatever_the_text_nothing_is_raised(text: str, with_header: bool) -> None:
    found = check_soundness(QUARTET * with_header + text, check_notes=False)
    assert found.parses or found.problems
    assert 0 <= found.n_unaligned_bars <= found.n_bars
    assert found.n_distinct_bars <= found.n_sounding_bars <= found.n_bars
    assert not found.converts or found.same_notes is None
