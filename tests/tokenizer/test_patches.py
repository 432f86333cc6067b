import json
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notagen.foundation.errors import AlphabetError
from notagen.notation.rests import omit_rests
from notagen.tokenizer.patches import PatchTokenizer, split_bars
from notagen.tokenizer.vocabulary import BOS, EOS, PAD
from notagen.tokenizer.windows import add_counters, choose_window, remove_counters, split_header
from tests.notation.tunes import interleaved_tunes

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "golden" / "tokenizer" / "published_ids.json").read_text()
)
TEXTS = [name for name in GOLDEN if name != "train_cut_patch_length_64"]
CHARACTERS = st.characters(min_codepoint=3, max_codepoint=127)


@pytest.mark.parametrize("name", TEXTS)
def test_ids_are_those_of_the_published_models(name: str) -> None:
    case = GOLDEN[name]
    tokenizer = PatchTokenizer()
    wanted = case.get("encode_train_stream") or case["rl_encode"]
    assert tokenizer.encode(case["text"]).tolist() == wanted
    for form in ("full", "cut"):
        ids = tokenizer.encode_prompt(case[f"generate_text_{form}"])
        assert ids == case[f"encode_generate_{form}"]


@pytest.mark.parametrize("seed", GOLDEN["train_cut_patch_length_64"]["by_python_random_seed"])
def test_windows_are_those_of_the_published_code(seed: str) -> None:
    case = GOLDEN["train_cut_patch_length_64"]
    patches = PatchTokenizer(patch_length=64).encode(case["text"], rng=random.Random(int(seed)))
    assert patches.tolist() == case["by_python_random_seed"][seed]


@given(st.text(CHARACTERS))
def test_any_text_comes_back(text: str) -> None:
    tokenizer = PatchTokenizer(patch_length=10**6)
    assert tokenizer.decode(tokenizer.encode_lines(text)) == text
    assert tokenizer.decode(tokenizer.encode_prompt(text)) == text
    header, body = split_header(text)
    counted = "".join([*header, *add_counters(body)])
    assert tokenizer.decode(tokenizer.encode(text).tolist()) == counted


@given(
    st.lists(st.sampled_from(["|", ":|", "|:", "::", "[|", "|]", "||", "c4 ", "[V:2]", '"a|b"']))
)
def test_bars_join_to_their_line_and_cross_no_barline(parts: list[str]) -> None:
    line = "[V:1]" + "".join(parts) + "\n"
    chunks = split_bars(line)
    assert "".join(chunks) == line
    assert all(chunk for chunk in chunks)


@given(interleaved_tunes())
def test_any_tune_comes_back(tune: str) -> None:
    tokenizer = PatchTokenizer(patch_length=10**6)
    for abc in (tune, omit_rests(tune)):
        decoded = tokenizer.decode(tokenizer.encode(abc).tolist())
        assert remove_counters(decoded) == abc
        assert tokenizer.decode(tokenizer.encode_lines(abc)) == abc
        # the patches of a body do not depend on who put the counters there
        assert (tokenizer.encode(decoded) == tokenizer.encode(abc)).all()


@pytest.mark.parametrize(
    "body",
    [
        "[V:1]|:|:c4|[V:2]|:|:C4|\n",
        "\n[V:1]c4|\n\n\n[V:1]d4|\n",
        "[V:1]c4|]",
        "[V:1]||:||:||\n|\n",
        "[V:1]" + "|:" * 30 + "\n",
        "[V:1]" + "|" * 5000,
        "[V:1]" + ":|" * 5000,
    ],
)
def test_odd_barlines_and_blank_lines_come_back(body: str) -> None:
    tokenizer = PatchTokenizer(patch_length=10**6)
    decoded = tokenizer.decode(tokenizer.encode("K:C\n" + body).tolist())
    assert re.sub(r"\[r:\d+/\d+\]", "", decoded) == "K:C\n" + body
    assert tokenizer.decode(tokenizer.encode_prompt("K:C\n" + body)) == "K:C\n" + body


@given(st.lists(st.text(st.sampled_from("abcdefg234 "), min_size=1), min_size=1, max_size=60))
def test_patches_fit_the_model(bars: list[str]) -> None:
    text = "L:1/8\nK:C\nV:1\n" + "".join(f"[V:1]{bar}|\n" for bar in bars)
    tokenizer = PatchTokenizer(patch_length=32)
    patches = tokenizer.encode(text, rng=random.Random(0))
    assert patches.shape[1:] == (16,)
    assert patches.dtype == np.uint8
    assert len(patches) <= 32
    assert patches.max() < 128
    assert patches[0].tolist() == [BOS] * 15 + [EOS]
    for patch in patches[1:].tolist():
        used = patch[: patch.index(PAD)] if PAD in patch else patch
        assert set(patch[len(used) :]) <= {PAD}
        assert EOS not in used[:-1] or patch == tokenizer.eos_patch


def test_counters_say_how_many_bars_are_done_and_to_come() -> None:
    body = [f"[V:1]c{n}|\n" for n in range(5)]
    counted = add_counters(body)
    assert counted[0] == "[r:0/4][V:1]c0|\n"
    assert counted[4] == "[r:4/0][V:1]c4|\n"
    assert add_counters(counted) == counted
    assert remove_counters("".join(counted)) == "".join(body)


def test_a_window_keeps_header_and_counters_of_the_whole_piece() -> None:
    text = "K:C\nV:1\n" + "".join(f"[V:1]{'cdef' * 6}|\n" for _ in range(40))
    tokenizer = PatchTokenizer(patch_length=30)
    starts, ends = set(), set()
    for seed in range(60):
        decoded = tokenizer.decode(tokenizer.encode(text, rng=random.Random(seed)).tolist())
        assert decoded.startswith("K:C\nV:1\n[r:")
        counters = [tuple(map(int, found)) for found in re.findall(r"\[r:(\d+)/(\d+)\]", decoded)]
        assert all(done + left == 39 for done, left in counters)
        assert [done for done, _ in counters] == list(
            range(counters[0][0], counters[0][0] + len(counters))
        )
        starts.add(counters[0][0])
        ends.add(decoded.endswith("|\n") and counters[-1][1] == 0)
    assert 0 in starts
    assert len(starts) > 5
    assert ends == {True, False}


def test_head_tail_and_middle_of_a_long_piece_are_equally_likely() -> None:
    lengths = [1] * 100  # room for ten: the head is line 0, the tail begins at line 90
    rng = random.Random(1)
    starts = Counter(choose_window(lengths, 10, rng)[0] for _ in range(3000))
    heads, tails = starts[0], starts[90]
    assert all(900 < number < 1100 for number in (heads, tails, 3000 - heads - tails))
    assert set(starts) <= set(range(91))
    assert len(starts) > 80


def test_windows_depend_on_the_seed_alone() -> None:
    text = "K:C\nV:1\n" + "".join(f"[V:1]{'cdef' * 6}|\n" for _ in range(40))
    tokenizer = PatchTokenizer(patch_length=30)
    windows = {
        seed: [tokenizer.encode(text, rng=random.Random(seed)).tolist() for _ in range(2)]
        for seed in range(5)
    }
    assert all(one == other for one, other in windows.values())
    assert len({str(one) for one, _ in windows.values()}) > 1
    assert tokenizer.encode(text).tolist() == tokenizer.encode(text).tolist()


def test_a_header_that_fills_the_context_is_cut() -> None:
    text = "".join(f"V:{n} treble\n" for n in range(40)) + "[V:1]c|\n"
    tokenizer = PatchTokenizer(patch_length=10)
    patches = tokenizer.encode(text, rng=random.Random(0))
    assert patches.shape == (10, 16)
    assert text.startswith(tokenizer.decode(patches.tolist()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("K:C\n[V:1]é|\n", "line 2, column 6: found 'é' (U+00E9)"),
        ("\x02", "line 1, column 1: found '\\x02' (U+0002)"),
        ("K:C\n\nab\x80", "line 3, column 3: found '\\x80' (U+0080)"),
        ("a\x00", "line 1, column 2: found '\\x00' (U+0000)"),
        ("𝄞", "line 1, column 1: found '𝄞' (U+1D11E)"),
    ],
)
def test_other_characters_are_refused_by_name_line_and_column(text: str, message: str) -> None:
    tokenizer = PatchTokenizer()
    for encode in (tokenizer.encode, tokenizer.encode_prompt, tokenizer.encode_lines):
        with pytest.raises(AlphabetError) as caught:
            encode(text)
        assert str(caught.value).startswith(message)


@given(st.text())
def test_a_text_is_encoded_within_the_alphabet_or_refused(text: str) -> None:
    tokenizer = PatchTokenizer()
    if all(3 <= ord(character) < 128 for character in text):
        assert tokenizer.encode(text).max() < 128
    else:
        with pytest.raises(AlphabetError):
            tokenizer.encode(text)


def test_a_closed_line_stays_closed_and_an_open_one_open() -> None:
    tokenizer = PatchTokenizer()
    assert tokenizer.encode_prompt("%Romantic\n")[-1] == [*b"%Romantic\n"]
    assert tokenizer.encode_lines("%Romantic\n") == [[*b"%Romantic\n", EOS, *[PAD] * 5]]
    assert tokenizer.encode_prompt("") == [tokenizer.bos_patch]
