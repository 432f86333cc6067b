from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from notagen.generation.cache import CachedModel
from notagen.generation.sampling import probabilities
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.model.packed import pack
from tests.model.random_model import random_model

Arrays = Callable[[str], dict[str, NDArray[np.generic]]]
ALL = torch.zeros(128)
LENGTH = 200
PARTS: list[list[int]] = [
    [0] * LENGTH,
    [0, 7, 0, 0, 90, 30, 0, 1, 40],
    [150, 0, 0, 46],
    [LENGTH - 1],
]
"""Patches read before each step."""


@pytest.fixture(scope="module")
def long_model() -> NotaGen:
    config = ModelConfig(patch_length=LENGTH, patch_layers=2, char_layers=2, hidden_size=128)
    return random_model(config)


@pytest.fixture(scope="module")
def long_piece() -> Tensor:
    return torch.randint(3, 127, (LENGTH, 16), generator=torch.Generator().manual_seed(1))


def cache_of(model: NotaGen, num_slots: int = 1, **sizes: int) -> CachedModel:
    return CachedModel(pack(model, "fp32"), num_slots, **sizes)


def character_logits(cached: CachedModel, hidden: Tensor, patches: Tensor) -> Tensor:
    """Return the logits of each character of each row's patch, (N, S, 128)."""
    inputs, found = hidden, []
    for place in range(patches.shape[1]):
        found.append(cached.next_logits(inputs, place))
        inputs = cached.embed_characters(patches[:, place].long())
    return torch.stack(found, dim=1)


@torch.inference_mode()
@pytest.mark.parametrize("parts", PARTS)
def test_logits_are_those_of_the_whole_piece(
    long_model: NotaGen, long_piece: Tensor, parts: list[int]
) -> None:
    states = long_model.patch_decoder(long_piece[None])[0]
    cached = cache_of(long_model, max_rows=LENGTH)
    hidden, places = [], []
    for num_read in parts:
        if num_read:
            start = cached.lengths[0]
            cached.read(0, long_piece[start : start + num_read])
        places.append(cached.lengths[0])
        hidden.append(cached.step(long_piece[places[-1]][None])[0])
        assert cached.room(0) == LENGTH - places[-1] - 1
    followed = [place for place in places if place + 1 < LENGTH]
    found = torch.stack(hidden)
    torch.testing.assert_close(found, states[places], atol=1e-5, rtol=0)
    if followed:
        targets = long_piece[[place + 1 for place in followed]]
        expected = long_model.char_decoder(states[followed], targets[:, :-1])
        logits = character_logits(cached, found[: len(followed)], targets)
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_states_of_the_golden_pieces_are_the_original_ones(
    full_model: NotaGen, golden_arrays: Arrays
) -> None:
    arrays = golden_arrays("train_forward")
    patches = torch.from_numpy(arrays["patches"])
    expected = torch.from_numpy(arrays["encoded_patches"])
    cached = cache_of(full_model, 2)
    for place in range(31):  # the shorter one's length
        found = cached.step(patches[:, place])
        torch.testing.assert_close(found, expected[:, place], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_probabilities_of_greedy_patches_are_the_original_ones(
    trained_model: NotaGen, golden_arrays: Arrays
) -> None:
    arrays = golden_arrays("greedy_tiny_trained")
    prompt, fed, raw = (
        torch.from_numpy(arrays[name])
        for name in ("prompt_patches", "generated_after_eos_zeroed", "generated_raw")
    )
    cached = cache_of(trained_model)
    cached.read(0, prompt[:-1])
    for last, written, first, whole in zip(
        torch.cat([prompt[-1:], fed]),
        raw,
        torch.from_numpy(arrays["first_token_probs"]),
        torch.from_numpy(arrays["probs_all"]),
        strict=False,  # nothing follows the last patch
    ):
        logits = character_logits(cached, cached.step(last[None]), written[None])[0]
        found = probabilities(logits, ALL).float()
        torch.testing.assert_close(found[0], first.float(), atol=1e-6, rtol=0)
        torch.testing.assert_close(found, whole.float(), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_a_given_beginning_leads_to_the_original_probabilities(
    trained_model: NotaGen, golden_arrays: Arrays
) -> None:
    arrays = golden_arrays("greedy_tiny_trained")
    prompt = torch.from_numpy(arrays["prompt_patches"])
    begun = torch.from_numpy(arrays["forced_prefix"]).view(1, -1)
    cached = cache_of(trained_model)
    cached.read(0, prompt[:-1])
    padded = torch.cat([begun, torch.zeros(1, 1, dtype=begun.dtype)], dim=1)
    logits = character_logits(cached, cached.step(prompt[-1:]), padded)[0, -1]
    expected = torch.from_numpy(arrays["forced_first_probs"])
    found = probabilities(logits, ALL).float()
    torch.testing.assert_close(found, expected.float(), atol=1e-6, rtol=0)


@torch.inference_mode()
def test_tunes_of_different_lengths_do_not_touch_each_other(long_model: NotaGen) -> None:
    pieces = torch.randint(3, 127, (4, 60, 16), generator=torch.Generator().manual_seed(2))
    states = long_model.patch_decoder(pieces)
    cached = cache_of(long_model, 4)
    for slot, length in enumerate([31, 0, 1, 44]):
        if length:
            cached.read(slot, pieces[slot, :length])
    for count in (4, 4, 2, 3, 1, 4, 3, 4):
        places = cached.lengths[:count]
        found = cached.step(torch.stack([pieces[slot, place] for slot, place in enumerate(places)]))
        expected = torch.stack([states[slot, place] for slot, place in enumerate(places)])
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
        assert cached.lengths[:count] == [place + 1 for place in places]


@torch.inference_mode()
def test_memory_that_was_never_written_does_not_matter(
    full_model: NotaGen, golden_arrays: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *a, **k: empty(*a, **k).fill_(torch.nan))
    cached = cache_of(full_model, 2)
    monkeypatch.undo()
    patches = torch.from_numpy(golden_arrays("train_forward")["patches"])
    cached.read(0, patches[0, :40])
    found = cached.step(torch.stack([patches[0, 40], patches[1, 0]]))
    expected = full_model.patch_decoder(patches)
    torch.testing.assert_close(found[1], expected[1, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[0], expected[0, 40], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_patches_that_were_taken_back_leave_no_trace(
    full_model: NotaGen, golden_arrays: Arrays
) -> None:
    patches = torch.from_numpy(golden_arrays("train_forward")["patches"])
    wanted = full_model.patch_decoder(patches)[0]
    other = patches[1, :20]
    cached = cache_of(full_model)
    cached.read(0, patches[0, :9])
    for length in (9, 3, 0, 5):
        cached.cut(0, length)
        start = cached.lengths[0]
        assert start == length if length < 5 else start <= length
        cached.read(0, other)
        cached.cut(0, start)
        if start < 9:
            cached.read(0, patches[0, start:9])
        torch.testing.assert_close(cached.step(patches[0, 9:10])[0], wanted[9], atol=1e-5, rtol=0)
        cached.cut(0, 100)  # more than there is: nothing is lost, nothing is made up
        assert cached.lengths == [10]


@torch.inference_mode()
def test_a_tune_goes_on_in_the_slot_it_was_moved_to(
    full_model: NotaGen, golden_arrays: Arrays
) -> None:
    patches = torch.from_numpy(golden_arrays("train_forward")["patches"])
    expected = full_model.patch_decoder(patches)[1]
    cached = cache_of(full_model, 3)
    cached.read(0, patches[0, :50])  # longer than what comes in its place
    cached.read(2, patches[1, :12])
    cached.move(2, 0)
    assert cached.lengths == [12, 0, 12]
    torch.testing.assert_close(cached.step(patches[1, 12:13])[0], expected[12], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_some_patches_go_on_while_others_are_done(
    full_model: NotaGen, golden_arrays: Arrays
) -> None:
    targets = torch.from_numpy(golden_arrays("train_forward")["targets"])[:6].long()
    hidden = torch.randn(6, 128, generator=torch.Generator().manual_seed(0))
    cached = cache_of(full_model, 1, max_rows=6)
    expected = full_model.char_decoder(hidden, targets)
    for _ in range(2):  # the second patches begin afresh
        rows, inputs = torch.arange(6), hidden
        for place in range(16):
            found = cached.next_logits(inputs, place)
            torch.testing.assert_close(found, expected[rows, place], atol=1e-5, rtol=0)
            if place in (0, 3, 9):
                kept = torch.tensor([0, 2, 3, 4, 5][: len(rows) - 1])
                cached.keep_characters(kept, place + 1)
                rows = rows[kept]
            inputs = cached.embed_characters(targets[rows, place])
