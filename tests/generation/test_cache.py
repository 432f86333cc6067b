from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from notagen.generation.cache import CachedModel
from notagen.model.notagen import NotaGen

Arrays = Callable[[str], dict[str, NDArray[np.generic]]]


@pytest.mark.parametrize("sizes", [[1] * 53, [20, 1, 1, 7, 24], [53]])
def test_states_read_in_parts_are_those_read_at_once(
    full_model: NotaGen, golden_arrays: Arrays, sizes: list[int]
) -> None:
    patches = torch.from_numpy(golden_arrays("train_forward")["patches"])
    cached = CachedModel(full_model, batch_size=2)
    with torch.inference_mode():
        expected = full_model.patch_decoder(patches)
        end = 0
        for part in patches.split(sizes, dim=1):
            end += part.shape[1]
            found = cached.read(part)
            torch.testing.assert_close(found, expected[:, end - 1], atol=1e-5, rtol=0)
            assert cached.room == 64 - end


def test_logits_written_one_by_one_are_those_of_the_whole_patch(
    full_model: NotaGen, golden_arrays: Arrays
) -> None:
    targets = torch.from_numpy(golden_arrays("train_forward")["targets"])[:5]
    hidden = torch.randn(5, 128, generator=torch.Generator().manual_seed(0))
    cached = CachedModel(full_model, batch_size=5)
    with torch.inference_mode():
        expected = full_model.char_decoder(hidden, targets)
        for _ in range(2):  # the second patch begins afresh
            found = [cached.begin_patch(hidden)]
            found += [cached.go_on(targets[:, position]) for position in range(16)]
            torch.testing.assert_close(torch.stack(found, dim=1), expected, atol=1e-5, rtol=0)


def test_a_forgotten_context_leaves_no_trace(full_model: NotaGen, golden_arrays: Arrays) -> None:
    patches = torch.from_numpy(golden_arrays("train_forward")["patches"])[:1]
    cached = CachedModel(full_model)
    with torch.inference_mode():
        first = cached.read(patches[:, :9])
        cached.read(patches[:, 9:])
        cached.forget()
        assert torch.equal(cached.read(patches[:, :9]), first)
