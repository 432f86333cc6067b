import random
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notagen.features import damage as damages
from notagen.features.damage import DAMAGES, JITTERED, TAUGHT, UNTAUGHT, damage
from notagen.foundation.errors import NotationError
from notagen.metrics.notes import ScoreNote, score_notes
from notagen.notation.checks import check_alignment
from notagen.notation.interleave import interleave, parse_interleaved
from notagen.notation.musicxml import musicxml_to_abc
from notagen.notation.rests import omit_rests, restore_rests
from notagen.notation.tune import Tune
from notagen.sources.music21_corpus import corpus_folder
from tests.notation.tunes import interleaved_tunes

# a chorale, a song and a quartet movement, and of each metre another piece
PIECES = {
    "bach/bwv66.6.mxl": "bach/bwv10.7.mxl",
    "schumann_robert/opus48no2.mxl": "mozart/k155/movement3.mxl",
    "mozart/k155/movement3.mxl": "schumann_robert/opus48no2.mxl",
}
HEADER = "%Baroque\n%%score 1 2\nL:1/8\nM:4/4\nK:C\nV:1 treble\nV:2 bass\n"
TUNE = HEADER + (
    "[r:0/4][V:1]|:c4 (e4|[V:2]|:C8|\n"
    "[r:1/3][V:1]g4) ^f2f2|1[V:2]C4- C4-|\n"
    "[r:2/2][V:2]C8:|2\n"
    "[r:3/1][V:1](d4 !<(!e4)|[V:2]G,4 !fermata!C4|\n"
    "[r:4/0][V:1]c8|][V:2][K:G]G,8|]\n"
)
OTHER = HEADER + "[V:1]B8|\n" * 2 + "[V:1]A8|[V:2]D4 E4|\n" * 3 + "[V:2]F8|]\n"


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    names = {*PIECES, *PIECES.values()}
    return {name: omit_rests(interleave(musicxml_to_abc(corpus_folder() / name))) for name in names}


def spoiled(abc: str, kind: str, seed: int = 0, other: str = OTHER) -> str:
    return damage(abc, kind, random.Random(seed), other=other)


def frame(tune: Tune, voice: str | None = None) -> list[set[tuple[str, str]]]:
    """Barlines that stand in each line, in one voice or in all."""
    return [
        {(cell.left, cell.barline) for name, cell in bar.items() if voice in (None, name)}
        for bar in tune.bars
    ]


def bodies(tune: Tune, *, besides: str = "") -> list[dict[str, str]]:
    return [
        {voice: cell.music for voice, cell in bar.items() if voice != besides} for bar in tune.bars
    ]


def test_the_kinds() -> None:
    assert list(TAUGHT) == ["shuffled bars", "jittered pitches", "swapped voices"]
    assert DAMAGES == TAUGHT | UNTAUGHT
    assert not set(TAUGHT) & set(UNTAUGHT)


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("piece", PIECES)
def test_real_pieces_keep_their_frame(kind: str, piece: str, texts: dict[str, str]) -> None:
    text, other = texts[piece], texts[PIECES[piece]]
    got = spoiled(text, kind, other=other)
    assert got == spoiled(text, kind, other=other) != text
    assert got != spoiled(text, kind, seed=1, other=other)
    tune, before = parse_interleaved(got), parse_interleaved(text)
    assert tune.header == before.header
    assert all(new <= old for new, old in zip(frame(tune), frame(before), strict=True))
    assert check_alignment(restore_rests(text)).ok
    assert check_alignment(restore_rests(got)).ok


@pytest.mark.parametrize("kind", DAMAGES)
def test_counters_and_prompt_stay(kind: str) -> None:
    got = spoiled(TUNE, kind)
    assert got.startswith(HEADER)
    assert re.findall(r"^\[r:.*?\]", got, re.M) == [f"[r:{i}/{4 - i}]" for i in range(5)]
    bare = re.sub(r"^\[r:.*?\]", "", TUNE, flags=re.M)
    assert spoiled(bare, kind) == re.sub(r"^\[r:.*?\]", "", got, flags=re.M)


def test_shuffled_bars(texts: dict[str, str]) -> None:
    bars = ["c4 e4", "g4 ^f2f2", "C4- C4", "C8", "d4 e4", "G,4 !fermata!C4", "c8", "[K:G]G,8"]
    lines = [{"1": "c4 e4", "2": "C8"}, {"1": "g4 ^f2f2", "2": "C4- C4"}, {"2": "C8"},
             {"1": "(d4 e4)", "2": "G,4 !fermata!C4"}, {"1": "c8", "2": "[K:G]G,8"}]  # fmt: skip
    orders = set()
    for seed in range(20):
        tune = parse_interleaved(spoiled(TUNE, "shuffled bars", seed))
        got = bodies(tune)
        # what led over a barline is gone, the slur inside a bar is not
        assert Counter(map(str, got)) == Counter(map(str, lines)), bars
        orders.add(str(got))
        assert tune.bars[-1][next(iter(tune.bars[-1]))].barline == "|]"
    assert len(orders) > 15


@pytest.mark.parametrize("piece", PIECES)
def test_jitter_moves_the_chosen_notes_a_semitone(piece: str, texts: dict[str, str]) -> None:
    before = score_notes(texts[piece])
    for seed in range(2):
        after = score_notes(spoiled(texts[piece], "jittered pitches", seed))
        moves = moved_by(before, after)
        assert set(moves) == {-1, 0, 1}
        assert abs((moves[-1] + moves[1]) / len(before) - JITTERED) < 0.1
        assert moves[-1] > len(before) / 30 < moves[1]


def moved_by(before: list[ScoreNote], after: list[ScoreNote]) -> Counter[int]:
    """How many notes moved by how many semitones; all else about them is the same."""
    assert [note._replace(pitch=0) for note in before] == [n._replace(pitch=0) for n in after]
    return Counter(new.pitch - old.pitch for old, new in zip(before, after, strict=True))


@settings(max_examples=30)
@given(interleaved_tunes(), st.integers(0, 3))
def test_any_tune_can_be_damaged(tune: str, seed: int) -> None:
    reduced, before = omit_rests(tune), parse_interleaved(tune)
    for kind in DAMAGES:
        got = parse_interleaved(spoiled(reduced, kind, seed))
        assert len(got.bars) == len(before.bars)
        assert got.header == before.header
    assert parse_interleaved(spoiled(OTHER, "swapped voices", seed, other=reduced))
    assert check_alignment(spoiled(tune, "shuffled rhythms", seed)) == check_alignment(tune)
    try:
        notes = score_notes(tune)
    except NotationError:  # a note has no MIDI number
        return
    assert set(moved_by(notes, score_notes(spoiled(tune, "jittered pitches", seed)))) <= {-1, 0, 1}


def only(music: str, kind: str, key: str = "C") -> set[str]:
    """All that a damage makes of one voice's bars."""
    text = f"L:1/8\nM:4/4\nK:{key}\nV:1 treble\n" + "".join(f"[V:1]{bar}|\n" for bar in music)
    texts = {spoiled(text, kind, seed) for seed in range(60)}
    return {"|".join(re.findall(r"\[V:1\](.*)\|", text)) for text in texts}


@pytest.mark.parametrize(
    ("music", "key", "wanted"),
    [
        # in the key's spelling, and no longer signed than it needs
        (["c8"], "C", {"B8", "^c8"}),
        (["e8"], "C", {"_e8", "f8"}),
        (["_e8"], "Eb", {"d8", "=e8"}),
        (["^f8"], "G", {"=f8", "g8"}),
        # what relied on the sign is signed
        (["^f6f2"], "C", {"f6^f2", "g6^f2", "^f6=f2", "^f6g2", "f6f2", "f6g2", "g6f2", "g6g2"}),
        # tied notes are one, over the barline too; the sign is written once
        (["z4c4-", "c4z4"], "C", {"z4B4-|B4z4", "z4^c4-|c4z4"}),
        # neighbours are not met
        (["[c^c]8"], "C", {"[c^c]8"}),
        (["[cc]4-[cc]4"], "C", {"[cc]4-[cc]4"}),
        (["[Bc]8"], "C", {"[_Bc]8", "[B^c]8", "[_B^c]8"}),
    ],
)
def test_how_a_moved_note_is_written(
    music: list[str], key: str, wanted: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(damages, "JITTERED", 0.5)
    assert only(music, "jittered pitches", key) == wanted


@pytest.mark.parametrize("music", [["z8"], ["{c}z8"], ["[K:perc]c8"]])
@pytest.mark.parametrize("kind", ["jittered pitches", "transposed voice"])
def test_where_nothing_can_move(music: list[str], kind: str) -> None:
    got = only(music, kind)
    assert got == set(music) or music == ["{c}z8"]


def test_a_voice_of_another_piece() -> None:
    seen = set()
    for seed in range(20):
        tune = parse_interleaved(spoiled(TUNE, "swapped voices", seed))
        first, second = (bodies(tune, besides=voice) for voice in "21")
        if second == bodies(parse_interleaved(TUNE), besides="1"):
            # a bar in which neither has anything, and the second voice's
            assert [bar.get("1") for bar in first] == ["B8", "B8", "A8", "A8", "A8"]
            assert tune.bars[0]["1"].left == "|:"
            assert tune.bars[1]["1"].barline == "|1"
            assert tune.bars[2]["1"].barline == ":|2"
            assert tune.bars[4]["1"].barline == "|]"
            seen.add("1")
        else:
            assert first == bodies(parse_interleaved(TUNE), besides="2")
            # where the first rests too, a rest is written; the key stays
            assert [bar.get("2") for bar in second] == [None, None, "D4 E4", "D4 E4", "[K:G]D4 E4"]
            seen.add("2")
    assert seen == {"1", "2"}


def test_the_second_half_of_a_single_voice() -> None:
    header = "L:1/8\nM:2/4\nK:C\nV:1 treble\n"
    bars = ["c2", "c4", "d4", "e4", "f4", "c2"]
    text = header + "".join(f"[V:1]{bar}|\n" for bar in bars)
    other = header + "".join(f"[V:1]{bar}|\n" for bar in ["G4", "A4", "[M:2/4]B4", "[K:F]C4"])
    got = [
        cell["1"].music
        for cell in parse_interleaved(spoiled(text, "swapped voices", 0, other)).bars
    ]
    assert got == ["c2", "c4", "d4", "B4", "C4", "c2"]


def test_what_a_swap_needs() -> None:
    with pytest.raises(ValueError, match="no other piece"):
        damage(TUNE, "swapped voices", random.Random(0))
    assert damage(TUNE, "shuffled bars", random.Random(0))


def test_an_unknown_kind() -> None:
    with pytest.raises(ValueError, match="'rot', wanted one of shuffled bars"):
        damage(TUNE, "rot", random.Random(0))


@pytest.mark.parametrize("piece", PIECES)
def test_a_voice_moves_as_a_whole(piece: str, texts: dict[str, str]) -> None:
    before = score_notes(texts[piece])
    steps = set()
    for seed in range(4):
        after = score_notes(spoiled(texts[piece], "transposed voice", seed))
        assert moved_by(before, after)
        (moved,) = {
            (old.voice, new.pitch - old.pitch)
            for old, new in zip(before, after, strict=True)
            if new != old
        }
        assert {(old.voice, 0) for old in before} - {(moved[0], 0)} <= {
            (old.voice, new.pitch - old.pitch) for old, new in zip(before, after, strict=True)
        }
        steps.add(moved[1])
    assert len(steps) > 1
    assert steps <= {-6, -1, 1, 6}


@pytest.mark.parametrize(
    ("music", "wanted"),
    [
        ("c4 d2 e2", {"c4 d2 e2", "c2 d4 e2", "c2 d2 e4"}),
        ("[CE]6 z2", {"[CE]6 z2", "[CE]2 z6"}),
        ("{g}c3 d4-d", {"{g}c3 d4-d", "{g}c3 d-d4", "{g}c4 d3-d", "{g}c4 d-d3", "{g}c d3-d4",
                        "{g}c d4-d3"}),
        ("(3c2d2e2 f4", {"(3c2d2e2 f4"}),
        ("(3:2:2c4d2 f2 g2", {"(3:2:2c4d2 f2 g2", "(3:2:2c2d4 f2 g2"}),
        # such bars could get another length
        ("c3>d z4", {"c3>d z4"}),
        ("[C2E2]2 d2 z2", {"[C2E2]2 d2 z2"}),
        ("(3:2:3c2(3def g2 z4", {"(3:2:3c2(3def g2 z4"}),
    ],
)  # fmt: skip
def test_shuffled_rhythms(music: str, wanted: set[str]) -> None:
    assert only([music], "shuffled rhythms") == wanted


def test_a_shifted_voice() -> None:
    text = (
        HEADER
        + "[V:1]c2|[V:2]C2|\n"
        + "".join(f"[V:1]{letter}8|[V:2]{letter}8|\n" for letter in "CDEF")
    )
    for seed in range(5):
        tune = parse_interleaved(spoiled(text, "shifted voice", seed))
        voices = [[bar[voice].music for bar in tune.bars] for voice in "12"]
        assert sorted(voices) in (
            [["C2", "C8", "D8", "E8", "F8"], ["c2", "F8", "C8", "D8", "E8"]],
            [["C2", "F8", "C8", "D8", "E8"], ["c2", "C8", "D8", "E8", "F8"]],
        )


def test_repeated_bars(texts: dict[str, str]) -> None:
    tune = parse_interleaved(texts["mozart/k155/movement3.mxl"])
    got = bodies(parse_interleaved(spoiled(texts["mozart/k155/movement3.mxl"], "repeated bars")))
    before = bodies(tune)
    changed = [new for new, old in zip(got, before, strict=True) if new != old]
    assert len(before) / 3 < len(changed) <= len(before) / 2
    assert all(bar in before for bar in changed)
