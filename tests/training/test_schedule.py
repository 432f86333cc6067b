import math
from typing import Literal

import pytest
import torch
from torch import nn

from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.training.schedule import make_optimizer, make_schedule


def rates(
    shape: Literal["constant", "cosine"], *, warmup_steps: int, total_steps: int
) -> list[float]:
    weight = nn.Parameter(torch.zeros(2, 2))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    schedule = make_schedule(optimizer, shape, warmup_steps=warmup_steps, total_steps=total_steps)
    seen = []
    for _ in range(total_steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


def test_warm_up_reaches_the_peak_and_holds_it() -> None:
    assert rates("constant", warmup_steps=4, total_steps=6) == [0.125, 0.25, 0.375, 0.5, 0.5, 0.5]
    assert rates("constant", warmup_steps=0, total_steps=2) == [0.5, 0.5]


def test_cosine_falls_toward_nought() -> None:
    seen = rates("cosine", warmup_steps=2, total_steps=6)
    # four steps after the warm-up: the cosines of 0, 45, 90 and 135 degrees
    half = math.sqrt(0.5)
    expected = [0.25, 0.5, 0.5, 0.25 * (1 + half), 0.25, 0.25 * (1 - half)]
    assert seen == pytest.approx(expected)
    assert rates("cosine", warmup_steps=0, total_steps=2) == [0.5, 0.25]


@pytest.mark.parametrize("shape", ["constant", "cosine"])
def test_a_run_shorter_than_its_warm_up_learns(shape: Literal["constant", "cosine"]) -> None:
    assert rates(shape, warmup_steps=5, total_steps=1) == [0.1]


def test_only_matrices_decay(tiny: ModelConfig) -> None:
    model = NotaGen(tiny)
    optimizer = make_optimizer(model, peak_learning_rate=0.1, weight_decay=0.2)
    groups = {group["weight_decay"]: group["params"] for group in optimizer.param_groups}
    assert all(weight.ndim >= 2 for weight in groups[0.2])
    assert all(weight.ndim == 1 for weight in groups[0.0])
    learned = [weight for weight in model.parameters() if weight.requires_grad]
    assert sum(map(len, groups.values())) == len(learned)
