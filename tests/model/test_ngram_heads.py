import json
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from notagen.foundation.errors import InputError
from notagen.model.config import ModelConfig
from notagen.model.ngram_heads import MATCHES, NONE, NgramHeads, find_followers
from notagen.model.notagen import NotaGen
from notagen.model.published import export_published
from notagen.model.weights import load_model, save_model
from notagen.tokenizer.patches import PatchTokenizer
from notagen.tokenizer.vocabulary import NEWLINE
from tests.model.random_model import random_model

LENGTHS = (1, 2, 4, 9)
SHAPE = ModelConfig(
    patch_length=64, patch_layers=1, char_layers=1, hidden_size=64, ngram_heads=LENGTHS
)

characters = st.sampled_from("a|[V:\n").map(ord)
patch = st.lists(characters, min_size=1, max_size=5).map(lambda ids: ids + [0] * (5 - len(ids)))
tunes = st.lists(
    st.lists(patch, min_size=1, max_size=12).map(lambda rows: rows + [[0] * 5] * (12 - len(rows))),
    min_size=1,
    max_size=3,
).map(lambda rows: torch.tensor(rows, dtype=torch.uint8))


def searched(tune: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Return what the heads find in a tune (P, S), by looking at each earlier place."""
    ids = [(place, id_) for place, id_ in enumerate(tune.flatten().tolist()) if id_]
    text = bytes(id_ for _, id_ in ids)
    found = torch.full((tune.numel(), len(lengths), MATCHES), NONE, dtype=tune.dtype)
    for here, (place, _) in enumerate(ids):
        begun = max([end.end() for end in re.finditer(rb"\n|\[V:", text[:here])], default=0)
        for head, length in enumerate(lengths):
            followers = [
                text[there]
                for there in range(begun - 1, length - 1, -1)
                if length <= here and text[there - length : there] == text[here - length : here]
            ][:MATCHES]
            found[place, head, : len(followers)] = torch.tensor(followers, dtype=tune.dtype)
    return found.view(*tune.shape, len(lengths) * MATCHES)


@given(tunes)
def test_followers_are_those_of_the_last_place_in_the_tune(patches: Tensor) -> None:
    found = find_followers(patches, LENGTHS)
    for tune, of_tune in zip(patches, found, strict=True):
        assert torch.equal(of_tune, searched(tune, LENGTHS))


def test_a_real_tune_is_searched_alike() -> None:
    bars = "[V:1]CDEF GABc|[V:2]C4 E4|\n[V:1]CDEF GABc'|[V:2]C4 E4|\n"
    patches = torch.from_numpy(PatchTokenizer().encode("L:1/8\nK:C\n" + bars * 9))
    (found,) = find_followers(patches[None], (4, 16))
    assert torch.equal(found, searched(patches, (4, 16)))
    # the music from its second time on; counters are new each time
    assert (found[..., 0] == patches)[patches > 0].float().mean() > 0.6


def some_patches() -> Tensor:
    patches = torch.randint(96, 100, (2, 20, 16), generator=torch.Generator().manual_seed(1))
    patches[patches == 96] = NEWLINE
    patches[1, 15:] = 0
    return patches


def test_new_heads_change_nothing() -> None:
    torch.manual_seed(0)
    model = NotaGen(SHAPE)
    heads = model.char_decoder.ngram_heads
    assert isinstance(heads, NgramHeads)
    assert not heads(find_followers(some_patches(), LENGTHS)).any()
    mask = some_patches()[..., 0] != 0
    model.char_decoder.ngram_heads = None
    without = model.eval()(some_patches(), mask)
    model.char_decoder.ngram_heads = heads
    assert model(some_patches(), mask) == without


@torch.no_grad()
def test_a_character_is_predicted_from_those_before_it() -> None:
    model, patches = random_model(SHAPE), some_patches()
    mask = torch.ones(patches.shape[:2], dtype=torch.bool)
    mask[1, 15:] = False
    losses, _ = model._character_losses(patches, mask)
    changed = patches.clone()
    changed[0, 9, 4] = 100
    found, tune = model._character_losses(changed, mask)
    # the patches come by length, the longest in their order: 20 - 1 of the first tune, then 14
    differs = (losses != found).flatten()[: 19 * 16]
    place = (9 - 1) * 16 + 4
    assert not differs[:place].any()
    assert differs[place : place + 16].all()
    assert torch.equal(losses[tune == 1], found[tune == 1])


@torch.no_grad()
def test_tunes_side_by_side_find_nothing_in_each_other() -> None:
    model, patches = random_model(SHAPE), some_patches()
    mask = patches[..., 0] != 0
    alone = [model.log_probs(patches[i : i + 1], mask[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(model.log_probs(patches, mask), torch.cat(alone))


@torch.no_grad()
def test_silent_heads_find_nothing() -> None:
    model, patches = random_model(SHAPE), some_patches()
    mask = patches[..., 0] != 0
    silent = torch.zeros_like(mask)
    silent[0, 7:9] = True
    heard, _ = model._character_losses(patches, mask)
    found, _ = model._character_losses(patches, mask, silent)
    rows = (heard != found).any(1)
    # the patches of the first tune come first, the second is predicted first
    assert rows.nonzero().flatten().tolist() == [6, 7]
    assert torch.equal(model(patches, mask, silent, reduction="sum"), found.sum())
    everywhere, _ = model._character_losses(patches, mask, torch.ones_like(mask))
    assert torch.equal(everywhere[6:8], found[6:8])


def test_heads_learn() -> None:
    model, patches = NotaGen(SHAPE), some_patches()
    model(patches, patches[..., 0] != 0).backward()
    assert model.char_decoder.ngram_heads is not None
    gradient = model.char_decoder.ngram_heads.table.grad
    assert gradient is not None
    used = gradient.view(len(LENGTHS) * MATCHES, 128, -1).abs().sum(2) > 0
    assert used[:, [NONE, 97, 98, 99]].any(1).all()
    assert not used[:, 100:].any()


def test_followers_are_not_left_out() -> None:
    decoder = random_model(SHAPE).char_decoder
    with pytest.raises(ValueError, match="followers must be given"):
        decoder(torch.zeros(2, 64), some_patches()[0, :2, :-1])


def test_weights_keep_their_heads(tmp_path: Path) -> None:
    model = random_model(SHAPE)
    save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.config == SHAPE
    assert model.char_decoder.ngram_heads is not None
    assert loaded.char_decoder.ngram_heads is not None
    assert torch.equal(loaded.char_decoder.ngram_heads.table, model.char_decoder.ngram_heads.table)


def test_the_authors_code_has_no_place_for_heads(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"out\.pth: found a model with n-gram heads"):
        export_published(random_model(SHAPE), tmp_path / "out.pth")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("lengths", "reason"),
    [([4, 2], "ascend"), ([2, 10**6], "1 to 1000"), (4, "tuple"), (["4"], "tuple")],
)
def test_heads_of_a_damaged_file_are_refused(tmp_path: Path, lengths: object, reason: str) -> None:
    save_model(random_model(SHAPE), tmp_path)
    shape = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(shape | {"ngram_heads": lengths}))
    with pytest.raises(InputError, match=f"config.json: .*ngram_heads.*{reason}"):
        load_model(tmp_path)


@pytest.mark.parametrize("lengths", [(0,), (4, 4), (8, 4), (-1, 3), (4, 1001)])
def test_lengths_that_make_no_sense_are_refused(lengths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="ngram_heads"):
        ModelConfig(ngram_heads=lengths)


def test_marks_of_another_shape_are_refused() -> None:
    patches = some_patches()
    mask = patches[..., 0] != 0
    with pytest.raises(ValueError, match=r"silent must have shape \(2, 20\), got \(2, 19\)"):
        NotaGen(SHAPE)(patches, mask, mask[:, 1:])
    # numbers are marks too, not places
    model = random_model(SHAPE)
    assert torch.equal(model(patches, mask, mask), model(patches, mask, mask.long()))
