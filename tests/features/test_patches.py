import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notagen.features.patches import BOS, EOS, PAD, MusicTokenizer, is_mtf, split_bars
from notagen.foundation.errors import AlphabetError
from tests.features.conftest import GOLDEN

TOKENIZER = MusicTokenizer()
REFERENCE = json.loads((GOLDEN / "m3_patchilizer.json").read_text())
# short lines of anything but marks: nothing of them is cut off
LINE = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=60)


@pytest.mark.parametrize("name", REFERENCE)
def test_ids_are_the_published_ones(name: str) -> None:
    case = REFERENCE[name]
    assert TOKENIZER.encode_whole(case["text"]).tolist() == case["encode_special"]
    assert TOKENIZER.decode(case["encode_special"]) == case["decode"]


@given(st.lists(LINE, min_size=1, max_size=20))
def test_what_fits_its_patches_comes_back(lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    if not is_mtf(text):
        assert TOKENIZER.decode(TOKENIZER.encode_whole(text)) == text


@given(LINE)
def test_the_bars_of_a_line_join_to_the_line(line: str) -> None:
    assert "".join(split_bars(f"{line}\n")) == f"{line}\n"


@pytest.mark.parametrize(
    ("line", "bars"),
    [
        ("[V:1]c4|[V:2]C4|\n", ["[V:1]c4|", "[V:2]C4|\n"]),
        ("|:c4:|d4|]\n", ["|:c4:|", "d4|]\n"]),
        ("[V:1]c4|d\n", ["[V:1]c4|", "d\n"]),
        ("c4", ["c4"]),
        ("|\n", ["|\n"]),
        ("|", ["|"]),
    ],
)
def test_a_bar_ends_with_its_barline(line: str, bars: list[str]) -> None:
    assert split_bars(line) == bars


def test_a_long_bar_is_cut_and_has_no_eos() -> None:
    bar = "[V:1]" + "c" * 80 + "|\n"
    patches = TOKENIZER.encode_whole(bar)
    assert bytes(patches[1]) == bytes([BOS]) + bar[:63].encode()


def test_special_patches_stand_around_a_piece() -> None:
    patches = TOKENIZER.encode_whole("")
    assert patches.tolist() == [[BOS] * 64, [BOS] + [EOS] * 63]


def test_letters_beyond_ascii_are_folded() -> None:
    assert (
        TOKENIZER.decode(TOKENIZER.encode_whole("T:Fantaisie à Ébène\n")) == "T:Fantaisie a Ebene\n"
    )


@pytest.mark.parametrize("mark", "\x00\x01\x02\x03")
def test_a_mark_in_the_text_is_refused(mark: str) -> None:
    with pytest.raises(AlphabetError, match=r"line 2: found '\\x0"):
        TOKENIZER.encode_whole(f"K:C\nab{mark}\n")


def piece(num_patches: int) -> str:
    """Return a piece of so many patches, its bos and eos patch counted; bars are numbered."""
    return "".join(f"[V:1]{number}|\n" for number in range(num_patches - 2))


@given(st.integers(2, 60), st.integers(4, 20))
def test_segments_hold_every_patch(num_patches: int, room: int) -> None:
    tokenizer = MusicTokenizer(patch_length=room)
    patches = tokenizer.encode_whole(piece(num_patches))
    segments = tokenizer.segments(patches)
    weights = tokenizer.segment_weights(len(patches))
    assert sum(weights) == num_patches
    assert len(segments) == len(weights)
    assert all(len(segment) == min(room, num_patches) for segment in segments)
    assert np.array_equal(segments[-1], patches[-min(room, num_patches) :])
    if num_patches > room:
        assert np.array_equal(np.concatenate(segments[:-1]), patches[: room * (len(segments) - 1)])


def test_a_window_is_a_part_of_a_long_piece() -> None:
    tokenizer = MusicTokenizer(patch_length=10)
    text = piece(40)
    whole = tokenizer.encode_whole(text).tolist()
    starts = set()
    for seed in range(60):
        window = tokenizer.encode(text, rng=random.Random(seed)).tolist()
        start = whole.index(window[0])
        assert window == whole[start : start + 10]
        starts.add(start)
    # heads, tails and many places between
    assert {0, 30} < starts
    assert len(starts) > 10
    assert tokenizer.encode(text).tolist() == whole[:10]


def test_messages_of_one_kind_share_a_patch() -> None:
    text = "ticks_per_beat 480\nnote_on 0 0 60 64\nnote_on 9 0 64 64\nnote_off 480 0 60 0\n"
    patches = TOKENIZER.encode_whole(text)
    assert [TOKENIZER.decode([patch]) for patch in patches[1:-1]] == [
        "ticks_per_beat 480\n",
        "note_on 0 0 60 64\t9 0 64 64\n",
        "note_off 480 0 60 0\n",
    ]
    assert (patches[:, 0] == BOS).all()
    assert (patches[1, 21:] == PAD).all()
