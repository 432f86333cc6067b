from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from music21 import converter

from notagen.foundation.errors import NotationError
from notagen.metrics.notes import UNPITCHED, ScoreNote, abc_notes, score_notes
from notagen.notation.interleave import deinterleave, interleave
from notagen.notation.musicxml import musicxml_to_abc
from notagen.notation.rests import omit_rests
from notagen.sources.music21_corpus import corpus_folder

HEADER = "L:1/8\nM:4/4\nK:C\n"
Q = Fraction(1, 4)


def one_voice(music: str, line: str = "V:1 treble") -> list[tuple[Fraction, int, Fraction]]:
    notes = score_notes(f"{HEADER}{line}\n" + "".join(f"[V:1]{bar}|\n" for bar in music.split("|")))
    return [(note.onset, note.pitch, note.duration) for note in notes]


@pytest.mark.parametrize(
    ("music", "notes"),
    [
        # over two barlines one note; the accidental goes with it
        ("z6 ^c2-|c8-|c4 c4", [(3 * Q, 73, 7 * Q), (10 * Q, 72, 2 * Q)]),
        # spelled otherwise; of another pitch; a rest between
        ("^c4-_d4", [(0, 73, 4 * Q)]),
        ("c4-d4", [(0, 72, 2 * Q), (2 * Q, 74, 2 * Q)]),
        ("c2- z4 c2", [(0, 72, Q), (3 * Q, 72, Q)]),
        # one note of a chord, all notes of a chord
        ("[C-E]4 [CE]4", [(0, 60, 4 * Q), (0, 64, 2 * Q), (2 * Q, 64, 2 * Q)]),
        ("[CE]4- [CEG]4", [(0, 60, 4 * Q), (0, 64, 4 * Q), (2 * Q, 67, 2 * Q)]),
        # a grace takes no time; one that is tied to its note is its note
        ("c4 {d}e4", [(0, 72, 2 * Q), (2 * Q, 74, 0), (2 * Q, 76, 2 * Q)]),
        ("c4 {e-}e4", [(0, 72, 2 * Q), (2 * Q, 76, 2 * Q)]),
        ("c4-{c}c4", [(0, 72, 4 * Q), (2 * Q, 72, 0)]),
        ("(3c2d2e2 c2>d2", [(0, 72, Q * 2 / 3), (Q * 2 / 3, 74, Q * 2 / 3),
                            (Q * 4 / 3, 76, Q * 2 / 3), (2 * Q, 72, Q * 3 / 2),
                            (Q * 7 / 2, 74, Q / 2)]),
        ("Z|c8", [(4 * Q, 72, 4 * Q)]),
    ],
)  # fmt: skip
def test_ties_and_graces(music: str, notes: list[tuple[Fraction, int, Fraction]]) -> None:
    assert one_voice(music) == notes


@pytest.mark.parametrize(
    ("line", "pitch"),
    [
        ("V:1 treble", 72),
        ("V:1 treble transpose=-2", 70),
        ("V:1 treble-8", 60),
        ('V:1 bass+15 nm="transpose=5" transpose=3', 99),
        ("V:1 perc transpose=3", UNPITCHED),
    ],
)
def test_what_a_voice_sounds_like(line: str, pitch: int) -> None:
    assert one_voice("c8", line) == [(0, pitch, 1)]


def test_bars_last_as_long_as_their_longest_voice() -> None:
    # the third bar begins after 1 + 3/2 whole notes; a tie does not reach over a bar of rest
    text = HEADER + "V:1\nV:2\n[V:2]C8-|\n[V:1]c12|\n[V:1]c4-|[V:2]C8|\n[V:1]c8|[V:2]D8|\n"
    assert score_notes(text) == [
        ScoreNote("2", 1, Fraction(0), 60, Fraction(1)),
        ScoreNote("1", 2, Fraction(1), 72, Fraction(3, 2)),
        ScoreNote("1", 3, Fraction(5, 2), 72, Fraction(3, 2)),
        ScoreNote("2", 3, Fraction(5, 2), 60, Fraction(1)),
        ScoreNote("2", 4, Fraction(7, 2), 62, Fraction(1)),
    ]


@pytest.mark.parametrize(
    ("music", "found"),
    [
        ("c8|c''''''''8", "bar 2: found a note of MIDI number 168, wanted 0 to 127"),
        ("B,,,,,,8", "bar 1: found a note of MIDI number -1, wanted 0 to 127"),
    ],
)
def test_notes_without_a_number(music: str, found: str) -> None:
    with pytest.raises(NotationError, match=found):
        one_voice(music)


# chorale, quartet movement, and a trio with a transposing clarinet: 163, 903 and 92 notes
@pytest.mark.parametrize(
    ("piece", "count"),
    [
        ("bach/bwv66.6.mxl", 163),
        ("mozart/k155/movement2.mxl", 903),
        ("webern/webern_dormi_jesu_op_16_no_2.mxl", 92),
    ],
)
def test_same_notes_as_music21(piece: str, count: int) -> None:
    path = corpus_folder() / piece
    score = converter.parse(path, forceSource=True, storePickle=False)
    wanted = Counter(
        (Fraction(event.getOffsetInHierarchy(part)).limit_denominator(960) / 4, pitch.midi,
         Fraction(event.quarterLength).limit_denominator(960) / 4)
        for part in score.toSoundingPitch().stripTies().parts
        for event in part.recurse().notes
        if not event.duration.isGrace
        for pitch in event.pitches
    )  # fmt: skip
    assert wanted.total() == count
    abc = musicxml_to_abc(path)
    interleaved = interleave(abc)
    notes = score_notes(abc)
    assert Counter((n.onset, n.pitch, n.duration) for n in notes if n.duration) == wanted
    assert [note.onset for note in notes] == sorted(note.onset for note in notes)
    # in every form the same
    assert score_notes(interleaved) == score_notes(omit_rests(interleaved)) == notes
    assert abc_notes(interleaved) == abc_notes(omit_rests(interleaved)) == abc_notes(abc)


@given(
    st.lists(
        st.lists(
            st.sampled_from(["c2", "c2-", "[c-e]2", "z2", "{c}d2", "^c-c", "e4-"]), min_size=1
        ),
        min_size=1,
        max_size=5,
    )
)
def test_ties_lose_no_time(bars: list[list[str]]) -> None:
    text = HEADER + "V:1\n" + "".join(f"[V:1]{' '.join(bar)}|\n" for bar in bars)
    written, sounding = abc_notes(text), score_notes(text)
    assert sum(note.length for note in written) == sum(note.duration for note in sounding)
    assert len(sounding) <= len(written)
    assert score_notes(deinterleave(text)) == sounding
