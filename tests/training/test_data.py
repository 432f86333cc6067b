import collections
import json
import math
import multiprocessing
import operator
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from notagen.foundation.errors import AlphabetError, InputError, MissingInputError, NotationError
from notagen.foundation.index import IndexEntry, read_index
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


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> TuneDataset:
    folder = tmp_path_factory.mktemp("drawn")
    (folder / "C").mkdir()
    lines = ""
    for name in ("a", "b"):
        (folder / f"C/{name}_C.abc").write_text("K:C\n[V:1]z8|\n")
        lines += json.dumps({"path": name, "key": "C"}) + "\n"
    (folder / "train.jsonl").write_text(lines)
    return dataset(folder, PatchTokenizer())


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
        assert shown_key(tokenizer, patches) == tunes.entry(piece).key
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
    assert estimated.dtype == np.int32
    assert estimated[0] < estimated[5] < estimated[10] <= tokenizer.patch_length
    index = corpus / "train.jsonl"
    given = [1000, -3, 1, 2, 17, 63, 64, 65, 10**12, 5, 40]
    lines = [
        json.loads(line) | {"n_patches": number}
        for line, number in zip(index.read_text().splitlines(), given, strict=True)
    ]
    index.write_text("\n".join(map(json.dumps, lines)))
    wanted = [64, 2, 2, 2, 17, 63, 64, 64, 64, 5, 40]
    assert dataset(corpus, tokenizer).lengths.tolist() == wanted


def test_another_tokenizer_brings_its_own_lengths(corpus: Path, tokenizer: PatchTokenizer) -> None:
    seen = {}

    def estimate(entry: IndexEntry, num_bytes: int) -> int:
        seen[entry.path] = num_bytes
        return num_bytes // 40

    tunes = dataset(corpus, tokenizer, estimate=estimate)
    for piece in range(len(tunes)):
        entry = tunes.entry(piece)
        size = (corpus / entry.keyed_path(entry.key or "")).stat().st_size
        assert seen[entry.path] == size
        assert tunes.lengths[piece] == min(size // 40, tokenizer.patch_length)


def test_text_is_what_the_patches_are_made_of(corpus: Path, tokenizer: PatchTokenizer) -> None:
    tunes = dataset(corpus, tokenizer, keys="all", prompted=True)
    for draw in ((0, 1), (4, 2), (10, None)):
        drawn = tunes.text(draw)
        own = corpus / drawn.entry.keyed_path(drawn.entry.key or "")
        assert drawn.entry == tunes.entry(draw[0])
        assert drawn.text.endswith(transpose(own.read_text(), drawn.key))
        assert drawn.text.startswith("%Romantic\n") == (draw[0] > 0)
        np.testing.assert_array_equal(tunes.encode(drawn), tunes[draw])
        # the key and then the window are drawn from one source
        drawn = tunes.text(draw)
        encoded = tokenizer.encode(drawn.text, rng=drawn.rng)
        np.testing.assert_array_equal(encoded, tunes[draw])


def test_estimated_lengths_are_near(corpus: Path) -> None:
    whole = PatchTokenizer(patch_length=1000)
    tunes = dataset(corpus, whole)
    real = [len(tunes[piece, None]) for piece in range(len(tunes))]
    assert 0.7 < tunes.lengths.sum() / sum(real) < 1.4


def test_entries_are_those_of_the_index(corpus: Path, tokenizer: PatchTokenizer) -> None:
    tunes = dataset(corpus, tokenizer)
    entries = list(read_index(corpus / "train.jsonl", made_by="a test"))
    assert len(tunes) == len(entries)
    assert [tunes.entry(piece) for piece in range(len(tunes))] == entries
    assert tunes.prompts.total() == sum(entry.prompt is not None for entry in entries) == 10


def test_changed_index_is_refused(corpus: Path, tokenizer: PatchTokenizer) -> None:
    tunes = dataset(corpus, tokenizer)
    index = corpus / "train.jsonl"
    index.write_text("".join(reversed(index.read_text().splitlines(keepends=True))) + "\n")
    with pytest.raises(InputError, match=r"train\.jsonl has changed since this run began"):
        tunes[0, 0]


def test_other_processes_read_the_same(corpus: Path, tokenizer: PatchTokenizer) -> None:
    tunes = dataset(corpus, tokenizer, keys="all")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(operator.getitem, (tunes, (3, 1)))
    np.testing.assert_array_equal(there, tunes[3, 1])


@given(num_patches=st.integers(1, 200), share=st.floats(0.01, 1), epoch=st.integers(0, 3))
def test_share_of_the_patches_is_predicted(
    drawn: TuneDataset, num_patches: int, share: float, epoch: int
) -> None:
    predicted = drawn.predicted((1, epoch), num_patches, share)
    assert predicted.shape == (num_patches,)
    assert predicted[0]
    assert predicted[1:].sum() == math.ceil(share * (num_patches - 1))
    np.testing.assert_array_equal(predicted, drawn.predicted((1, epoch), num_patches, share))


def test_predicted_patches_are_drawn_evenly_and_anew(
    corpus: Path, tokenizer: PatchTokenizer
) -> None:
    tunes = dataset(corpus, tokenizer)
    choices = [tunes.predicted((0, epoch), 21, 0.25) for epoch in range(800)]
    share = np.mean(choices, axis=0)[1:]
    assert np.all(abs(share - 0.25) < 0.07)
    other_seed = dataset(corpus, tokenizer, seed=1)
    for other in (tunes.predicted((1, 0), 21, 0.25), other_seed.predicted((0, 0), 21, 0.25)):
        assert other.tolist() != choices[0].tolist()


def test_silent_patches_are_drawn_apart_from_the_predicted(
    corpus: Path, tokenizer: PatchTokenizer
) -> None:
    tunes = dataset(corpus, tokenizer)
    draws = [(0, epoch) for epoch in range(400)]
    predicted = np.array([tunes.predicted(draw, 21, 0.5) for draw in draws])[:, 1:]
    silent = np.array([tunes.silent(draw, 21, 0.5) for draw in draws])[:, 1:]
    assert (silent.sum(1) == 10).all()
    assert abs((predicted & silent).mean() - 0.25) < 0.03


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


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "abc/" + "x" * 300, "abc/C/tune0_C.abc/x"])
def test_path_that_no_file_can_have_is_one_line(
    corpus: Path, tokenizer: PatchTokenizer, name: str
) -> None:
    (corpus / "train.jsonl").write_text(json.dumps({"path": name, "key": "C"}))
    with pytest.raises(InputError, match=r"train\.jsonl: .* cannot be read: ") as caught:
        dataset(corpus, tokenizer)
    assert str(caught.value).isprintable()


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
