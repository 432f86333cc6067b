import os
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmarks import training
from benchmarks.original import original_loss
from benchmarks.training_steps import BOTH, Bench, Benches, Setting, Side
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"one_hot": False},
        {"one_hot": False, "eager": False},
    ],
)
def test_the_original_is_the_original(
    full_model: NotaGen,
    golden_arrays: Callable[[str], dict[str, NDArray[np.generic]]],
    parts: dict[str, bool],
) -> None:
    arrays = golden_arrays("train_forward")
    patches, mask = (torch.from_numpy(arrays[name]) for name in ("patches", "masks"))
    loss = original_loss(full_model, patches, mask.bool(), **parts)
    assert loss.item() == pytest.approx(float(arrays["loss"]), abs=2e-6)
    loss.backward()
    squares = [
        weight.grad.square().sum() for weight in full_model.parameters() if weight.grad is not None
    ]
    norm = torch.stack(squares).sum().sqrt().item()
    assert norm == pytest.approx(float(arrays["grad_norm_total"]), rel=1e-5)


def test_operations_are_those_that_torch_counts() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    config = ModelConfig(patch_length=64, patch_layers=3, char_layers=2, hidden_size=128)
    model = NotaGen(config)
    patches = torch.randint(1, 128, (2, 33, 16), dtype=torch.uint8)
    mask = torch.ones(2, 33, dtype=torch.bool)
    with FlopCounterMode(display=False) as counter:
        model(patches, mask).backward()
    # torch counts attention to later positions too, and not the gradient of the first input
    whole = 3 * 3 * 2 * 32 * 4 * 128 * (32 - 33 / 2) + 3 * 2 * 64 * 4 * 128 * 16 * (16 - 17 / 2)
    expected = counter.get_total_flops()
    assert training.step_flops(config, patches, mask) + whole == pytest.approx(expected, rel=0.01)


def test_pieces_are_joined_to_whole_batches() -> None:
    pieces = [np.full((length, 16), length, dtype=np.uint8) for length in (3, 4)]
    joined = training.join(pieces, 3, 5)
    assert joined[..., 0].tolist() == [[3, 3, 3, 4, 4], [4, 4, 3, 3, 3], [4, 4, 4, 4, 3]]


def process_of(_bench: Bench, _side: Side) -> float:
    return os.getpid()


def test_sides_that_keep_memory_have_a_process_of_their_own() -> None:
    patches = np.ones((1, 2, 16), dtype=np.uint8)
    with Benches(Setting(training.SIZES["tiny"], patches)) as benches:
        processes = {name: benches.ask(process_of, side) for name, side in BOTH.items()}
    theirs, ours = processes["original, fp32"], processes["ours, fp32"]
    assert len({theirs, ours, os.getpid()}) == 3
    assert (processes["original, bf16"], processes["ours, bf16"]) == (theirs, ours)


def test_a_quick_run_prints_both_sides(capsys: pytest.CaptureFixture[str]) -> None:
    training.main(["--quick"])
    rows = [
        [cell.strip() for cell in line.strip("| ").split("|")]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("| o")
    ]
    assert [row[0] for row in rows] == list(BOTH)
    for _, rate, ratio, *_, apart, memory in rows:
        assert float(rate) > 0
        assert float(ratio) > 0
        assert abs(float(apart)) < 1e-3
        assert float(memory) > 0
    assert abs(float(rows[1][-2])) < 2e-6
