import json
from fractions import Fraction
from math import log2
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notagen.metrics.notes import UNPITCHED, ScoreNote, score_notes
from notagen.metrics.statistics import (
    NOTE_LENGTHS,
    Statistics,
    length_class,
    piece_statistics,
    statistics_features,
)
from notagen.notation.musicxml import musicxml_to_abc
from notagen.sources.music21_corpus import corpus_folder

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/metrics/muspy.json").read_text())
HEADER = "L:1/8\nM:4/4\nK:C\n"
FULL, HALF, QUARTER, EIGHTH = range(4)
DOTTED_QUARTER, QUARTER_TRIPLET = 6, 10
"""Places in the paper's table of note lengths."""


def spread(size: int, shares: dict[int, float]) -> list[float]:
    return [shares.get(place, 0.0) for place in range(size)]


def moves(shares: dict[tuple[int, int], float]) -> list[float]:
    """Return a matrix of transitions row by row."""
    return spread(144, {12 * a + b: share for (a, b), share in shares.items()})


def check(abc: str, n_bars: int, wanted: dict[str, list[float]]) -> None:
    found = piece_statistics(score_notes(HEADER + abc), n_bars)
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12, err_msg=name)


def test_a_melody() -> None:
    # C5 quarter, E5 quarter, C5 half | G4 dotted quarter, A4 eighth, quarter rest, C5 quarter
    # steps: +4 -4 -5 +2 +3 semitones; onsets 0 1 2 4 5.5 7 quarters
    check(
        "V:1\n[V:1]c2 e2 c4|\n[V:1]G3 A z2 c2|\n",
        2,
        {
            "pitch_count": [4],
            "pitch_count_per_bar": [(2 + 3) / 2],
            "pitch_class_histogram": spread(12, {0: 1 / 2, 4: 1 / 6, 7: 1 / 6, 9: 1 / 6}),
            "pitch_class_transitions": moves(
                {(0, 4): 1 / 5, (4, 0): 1 / 5, (0, 7): 1 / 5, (7, 9): 1 / 5, (9, 0): 1 / 5}
            ),
            "pitch_range": [76 - 67],
            "pitch_interval": [(4 + 4 + 5 + 2 + 3) / 5],
            "note_count": [6],
            "note_count_per_bar": [3],
            "inter_onset_interval": [7 / 5],
            "note_length_histogram": spread(
                12, {QUARTER: 1 / 2, HALF: 1 / 6, DOTTED_QUARTER: 1 / 6, EIGHTH: 1 / 6}
            ),
            "note_length_transitions": moves(
                {
                    (QUARTER, QUARTER): 1 / 5,
                    (QUARTER, HALF): 1 / 5,
                    (HALF, DOTTED_QUARTER): 1 / 5,
                    (DOTTED_QUARTER, EIGHTH): 1 / 5,
                    (EIGHTH, QUARTER): 1 / 5,
                }
            ),
        },
    )


def test_chords_ties_graces_and_two_voices() -> None:
    # V:1: C5+E5 half, then a grace that is left out, G5 half tied into bar 2 and on: full;
    #      its line E5 G5: one step of 3 semitones, 2 quarters apart, half to full
    # V:2: C3 full, C4 full: one step of 12 semitones, 4 quarters apart, full to full
    check(
        "V:1\nV:2 bass\n[V:1][ce]4 {f}g4-|[V:2]C,8|\n[V:1]g4 z4|[V:2]C8|\n",
        2,
        {
            "pitch_count": [5],
            "pitch_count_per_bar": [(4 + 1) / 2],
            "pitch_class_histogram": spread(12, {0: 3 / 5, 4: 1 / 5, 7: 1 / 5}),
            "pitch_class_transitions": moves({(4, 7): 1 / 2, (0, 0): 1 / 2}),
            "pitch_range": [79 - 48],
            "pitch_interval": [(3 + 12) / 2],
            "note_count": [5],
            "note_count_per_bar": [5 / 2],
            "inter_onset_interval": [(2 + 4) / 2],
            "note_length_histogram": spread(12, {HALF: 2 / 5, FULL: 3 / 5}),
            "note_length_transitions": moves({(HALF, FULL): 1 / 2, (FULL, FULL): 1 / 2}),
        },
    )


def test_a_triplet_and_drums() -> None:
    # V:1: three quarter triplets on D5, F#5, D5, a half rest; nothing in bar 2
    # V:2: a drum twice, half notes, then a full one: rhythm only
    third = {(QUARTER_TRIPLET, QUARTER_TRIPLET): 2 / 4, (HALF, HALF): 1 / 4, (HALF, FULL): 1 / 4}
    check(
        "V:1\nV:2 perc\n[V:1](3d2^f2d2 z4|[V:2]c4 c4|\n[V:1]z8|[V:2]c8|\n",
        2,
        {
            "pitch_count": [2],
            "pitch_count_per_bar": [2 / 2],
            "pitch_class_histogram": spread(12, {2: 2 / 3, 6: 1 / 3}),
            "pitch_class_transitions": moves({(2, 6): 1 / 2, (6, 2): 1 / 2}),
            "pitch_range": [4],
            "pitch_interval": [4],
            "note_count": [6],
            "note_count_per_bar": [3],
            "inter_onset_interval": [(2 / 3 + 2 / 3 + 2 + 2) / 4],
            "note_length_histogram": spread(12, {QUARTER_TRIPLET: 3 / 6, HALF: 2 / 6, FULL: 1 / 6}),
            "note_length_transitions": moves(third),
        },
    )


@pytest.mark.parametrize(
    ("duration", "name"),
    [
        *[(duration, name) for name, duration in NOTE_LENGTHS.items()],
        (Fraction(2), "full"),
        (Fraction(7, 8), "dotted half"),  # the shorter of two as near
        (Fraction(1, 32), "16th"),
        (Fraction(7, 32), "dotted 8th"),
        (Fraction(1, 20), "16th"),
        (Fraction(7, 96), "16th"),
    ],
)
def test_classes_of_note_lengths(duration: Fraction, name: str) -> None:
    assert list(NOTE_LENGTHS)[length_class(duration)] == name


@pytest.mark.parametrize("piece", GOLDEN["pieces"])
def test_same_as_muspy(piece: str) -> None:
    muspy = GOLDEN["pieces"][piece]
    found = piece_statistics(score_notes(musicxml_to_abc(corpus_folder() / piece)), 1)
    histogram = found["pitch_class_histogram"]
    np.testing.assert_allclose(histogram * found["note_count"], muspy["notes"], rtol=1e-12)
    assert found["note_count"] == sum(muspy["notes"])
    assert found["pitch_count"] == muspy["n_pitches_used"]
    assert found["pitch_range"] == muspy["pitch_range"]
    assert np.count_nonzero(histogram) == muspy["n_pitch_classes_used"]
    entropy = -sum(share * log2(share) for share in histogram if share)
    assert entropy == pytest.approx(muspy["pitch_class_entropy"], rel=1e-12)


SIZES = {"histogram": 12, "transitions": 144}
NOTES = st.builds(
    ScoreNote,
    voice=st.sampled_from("12"),
    bar=st.integers(1, 4),
    onset=st.fractions(0, 4, max_denominator=8),
    pitch=st.just(UNPITCHED) | st.integers(0, 127),
    duration=st.fractions(0, 2, max_denominator=96),
)


@given(st.lists(NOTES, max_size=12))
def test_properties(notes: list[ScoreNote]) -> None:
    notes.sort(key=lambda note: note.onset)
    found = piece_statistics(notes, 4)
    for name, value in found.items():
        assert value.dtype == np.float64
        assert value.shape == (SIZES.get(name.split("_")[-1], 1),)
        assert (value >= 0).all()
        if len(value) > 1:
            assert value.sum() == pytest.approx(1) or not value.any()
    assert statistics_features(found).shape == (319,)
    # two octaves of room above: moved up a third, intervals stay and pitch classes turn
    moved = [n if n.pitch == UNPITCHED else n._replace(pitch=n.pitch + 4) for n in notes]
    third = piece_statistics(moved, 4)
    turned = np.roll(found["pitch_class_histogram"], 4)
    np.testing.assert_array_equal(third["pitch_class_histogram"], turned)
    unmoved = {name for name in found if not name.startswith("pitch_class")}
    assert all(np.array_equal(found[name], third[name]) for name in unmoved)


@pytest.mark.parametrize("n_bars", [0, 3])
def test_without_notes(n_bars: int) -> None:
    found = piece_statistics([], n_bars)
    assert not any(value.any() for value in found.values())
    one = piece_statistics([ScoreNote("1", 1, Fraction(0), 60, Fraction(1, 4))], n_bars)
    assert {name: value.sum() for name, value in one.items() if value.any()} == {
        "pitch_count": 1,
        "pitch_class_histogram": 1,
        "note_count": 1,
        "note_length_histogram": 1,
    } | ({"pitch_count_per_bar": 1 / 3, "note_count_per_bar": 1 / 3} if n_bars else {})


def test_features() -> None:
    def features(abc: str) -> np.ndarray:
        return statistics_features(piece_statistics(score_notes(HEADER + abc), 1))

    one, other = features("V:1\n[V:1]c8|\n"), features("V:1\n[V:1]d8|\n")
    # nothing in common but counts and lengths: of one histogram, Hellinger's distance 1
    assert np.linalg.norm(one - other) == pytest.approx(2**0.5)
    # log(1 + x) of one pitch stands first
    statistics: Statistics = piece_statistics(score_notes(HEADER + "V:1\n[V:1]c8|\n"), 1)
    assert statistics_features(statistics)[0] == pytest.approx(np.log(2))
