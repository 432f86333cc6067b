import collections
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from notagen.foundation.errors import AlphabetError, InputError, MissingInputError, NotationError
from notagen.notation.keys import KEYS
from notagen.notation.transpose import transpose
from notagen.tokenizer.patches import PatchTokenizer
from notagen.training.data import TuneDataset, choose_key, near_keys


def dataset(corpus: Path, tokenizer: PatchTokenizer, **changes: object) -> TuneDataset:
    options: dict[str, Any] = {"keys": "original", "prompted": False, "seed": 0} | changes
    return TuneDataset(corpus / "train.jsonl", tokenizer, **options)


def shown_key(tokenizer: PatchTokenizer, patches: NDArray[np.uint8]) -> str:
    text = tokenizer.decode(patches)
    return next(line[2:] for line in text.splitlines() if line.startswith("K:"))


def test_near_keys_spell_with_fewer_accidentals() -> None:
    names = ["/".join(spellings) for spellings in near_keys("C")]
    assert names == ["A", "Bb", "B", "C", "Db", "D", "Eb"]
    assert ["/".join(spellings) for spellings in near_keys("Eb")][-1] == "F#/Gb"
    assert near_keys("C#")[3] == ["C#"]  # the own key is not respelled


def test_near_keys_are_drawn_by_their_weights() -> None:
    rng = random.Random(0)
    counts = collections.Counter(choose_key("near", "C", rng) for _ in range(16000))
    shares = [round(counts[key] / 1000) for key in ("A", "Bb", "B", "C", "Db", "D", "Eb")]
    assert shares == [1, 2, 3, 4, 3, 2, 1]


def test_all_keys_are_drawn_evenly() -> None:
    rng = random.Random(0)
    counts = collections.Counter(choose_key("all", "C", rng) for _ in range(15000))
    assert set(counts) == set(KEYS)
    assert all(850 < count < 1150 for count in counts.values())


def test_original_is_the_text_as_it_stands(corpus: Path, tokenizer: PatchTokenizer) -> None:
    tunes = dataset(corpus, tokenizer)
    text = (corpus / "abc/C/tune0_C.abc").read_text()
    np.testing.assert_array_equal(tunes[0, 3], tokenizer.encode(text))


def test_missing_key_is_transposed(corpus: Path, tokenizer: PatchTokenizer) -> None:
    tunes = dataset(corpus, tokenizer, keys="all")
    text = (corpus / "abc/C/tune0_C.abc").read_text()
    seen = set()
    for epoch in range(40):
        patches = tunes[0, epoch]
        key = shown_key(tokenizer, patches)
        seen.add(key)
        np.testing.assert_array_equal(patches, tokenizer.encode(transpose(text, key)))
    assert len(seen) > 8


def test_text_of_a_key_is_read_where_there_is_one(corpus: Path, tokenizer: PatchTokenizer) -> None:
    for key in KEYS:
        file = corpus / "abc" / key / f"tune0_{key}.abc"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"K:{key}\n[V:1]z8|\n")
    patches = dataset(corpus, tokenizer, keys="all")[0, 0]
    assert "z8" in tokenizer.decode(patches)


def test_draws_depend_on_seed_epoch_and_piece_alone(
    corpus: Path, tokenizer: PatchTokenizer
) -> None:
    first = dataset(corpus, tokenizer, keys="all")
    again = dataset(corpus, tokenizer, keys="all")
    draws = [(piece, epoch) for epoch in range(3) for piece in range(len(first))]
    here = {draw: first[draw].tobytes() for draw in draws}
    there = {draw: again[draw].tobytes() for draw in reversed(draws)}
    assert here == there
    other_seed = dataset(corpus, tokenizer, keys="all", seed=1)
    assert any(here[draw] != other_seed[draw].tobytes() for draw in draws)


def test_long_pieces_show_other_windows_in_other_epochs(
    corpus: Path, tokenizer: PatchTokenizer
) -> None:
    tunes = dataset(corpus, tokenizer)
    longest = len(tunes) - 1
    windows = {tunes[longest, epoch].tobytes() for epoch in range(12)}
    assert len(windows) > 3
    assert all(len(tunes[longest, epoch]) <= tokenizer.patch_length for epoch in range(12))


def test_fixed_draw_keeps_key_and_window(corpus: Path, tokenizer: PatchTokenizer) -> None:
    tunes = dataset(corpus, tokenizer, keys="all")
    for piece in range(len(tunes)):
        patches = tunes[piece, None]
        assert shown_key(tokenizer, patches) == tunes.entries[piece].key
        np.testing.assert_array_equal(patches, tunes[piece, None])


def test_prompts_stand_before_pieces_that_have_them(
    corpus: Path, tokenizer: PatchTokenizer
) -> None:
    tunes = dataset(corpus, tokenizer, prompted=True)
    assert tokenizer.decode(tunes[1, 0]).startswith("%Romantic\n%Dvorak\n%Keyboard\n%end\n%%score")
    assert tokenizer.decode(tunes[0, 0]).startswith("%%score")


def test_prompts_are_not_doubled(corpus: Path, tokenizer: PatchTokenizer) -> None:
    file = corpus / "abc/G/tune1_G.abc"
    file.write_text("%Romantic\n%Liszt, Franz\n%Keyboard\n%end\n" + file.read_text())
    text = tokenizer.decode(dataset(corpus, tokenizer, prompted=True)[1, 0])
    assert "Liszt" in text
    assert "Dvorak" not in text


def test_lengths_come_from_the_index_or_the_file(corpus: Path, tokenizer: PatchTokenizer) -> None:
    estimated = dataset(corpus, tokenizer).lengths
    assert estimated[0] < estimated[5] < estimated[10] == tokenizer.patch_length
    index = corpus / "train.jsonl"
    lines = [json.loads(line) | {"n_patches": 1000} for line in index.read_text().splitlines()]
    index.write_text("\n".join(map(json.dumps, lines)))
    assert set(dataset(corpus, tokenizer).lengths) == {tokenizer.patch_length}


def test_missing_index_names_the_stage_that_writes_it(
    corpus: Path, tokenizer: PatchTokenizer
) -> None:
    (corpus / "train.jsonl").unlink()
    with pytest.raises(MissingInputError, match=r"data/2_preprocess\.py writes it"):
        dataset(corpus, tokenizer)


def test_empty_index_is_refused(corpus: Path, tokenizer: PatchTokenizer) -> None:
    (corpus / "train.jsonl").write_text("")
    with pytest.raises(InputError, match=r"train\.jsonl is empty"):
        dataset(corpus, tokenizer)


def test_missing_text_is_refused_with_index_and_file(
    corpus: Path, tokenizer: PatchTokenizer
) -> None:
    (corpus / "abc/A/tune4_A.abc").unlink()
    with pytest.raises(MissingInputError, match=r"train\.jsonl: .*tune4_A\.abc") as caught:
        dataset(corpus, tokenizer)
    assert "\n" not in str(caught.value)


def test_piece_without_key_is_refused(corpus: Path, tokenizer: PatchTokenizer) -> None:
    (corpus / "train.jsonl").write_text(json.dumps({"path": "abc/tune0"}))
    with pytest.raises(InputError, match=r"abc/tune0 has key None, wanted one of C#"):
        dataset(corpus, tokenizer)


def test_refused_text_names_its_file(corpus: Path, tokenizer: PatchTokenizer) -> None:
    file = corpus / "abc/C/tune0_C.abc"
    file.write_text(file.read_text() + "é")
    with pytest.raises(AlphabetError, match=r"abc/C/tune0_C\.abc in C: line"):
        dataset(corpus, tokenizer)[0, 0]


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"K:C\n\xff\xfe", "found no UTF-8 text"), (None, "cannot be read: Is a directory")],
)
def test_unreadable_text_names_its_file(
    corpus: Path, tokenizer: PatchTokenizer, content: bytes | None, found: str
) -> None:
    file = corpus / "abc/C/tune0_C.abc"
    file.unlink()
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    with pytest.raises(InputError, match=rf"tune0_C\.abc:? {found}") as caught:
        dataset(corpus, tokenizer)[0, 0]
    assert "\n" not in str(caught.value)


def test_text_that_cannot_be_transposed_names_its_file(
    corpus: Path, tokenizer: PatchTokenizer
) -> None:
    (corpus / "abc/C/tune0_C.abc").write_text("no tune at all\n")
    tunes = dataset(corpus, tokenizer, keys="all")
    with pytest.raises(NotationError, match=r"abc/C/tune0_C\.abc in ") as caught:
        collections.deque(tunes[0, epoch] for epoch in range(20))
    assert "\n" not in str(caught.value)
