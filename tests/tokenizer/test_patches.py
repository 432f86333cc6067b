import json
import random
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notagen.foundation.errors import AlphabetError
from notagen.tokenizer.patches import PatchTokenizer, split_bars
from notagen.tokenizer.vocabulary import BOS, EOS, PAD
from notagen.tokenizer.windows import add_counters, remove_counters, split_header

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


@pytest.mark.parametrize(("text", "where"), [("K:C\n[V:1]é|\n", "line 2, column 6"), ("\x02", "1")])
def test_other_characters_are_refused(text: str, where: str) -> None:
    with pytest.raises(AlphabetError, match=where):
        PatchTokenizer().encode(text)


def test_a_closed_line_stays_closed_and_an_open_one_open() -> None:
    tokenizer = PatchTokenizer()
    assert tokenizer.encode_prompt("%Romantic\n")[-1] == [*b"%Romantic\n"]
    assert tokenizer.encode_lines("%Romantic\n") == [[*b"%Romantic\n", EOS, *[PAD] * 5]]
    assert tokenizer.encode_prompt("") == [tokenizer.bos_patch]
