import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from notagen.model.notagen import NotaGen
from notagen.model.weights import load_model
from notagen.preference.loss import Pair, dpo_positive_loss
from tests.conftest import GOLDEN

NATS = st.floats(-5000, 0)


def pair(chosen: float, rejected: float) -> Pair:
    return Pair(*(torch.tensor([x], dtype=torch.float64) for x in (chosen, rejected)))


def log_probs(model: NotaGen, patches: NDArray[np.generic]) -> Tensor:
    tune = torch.from_numpy(patches)
    return model.log_probs(tune, torch.ones(tune.shape[:2], dtype=torch.bool))


# the second order makes the chosen tune less likely than it was: the penalty is active
@pytest.mark.parametrize("order", ["pos_neg", "neg_pos"])
@pytest.mark.parametrize(("beta", "penalty"), [(0.1, 10), (0.1, 0), (0.5, 1)])
def test_losses_and_gradients_are_those_of_the_original(
    full_model: NotaGen,
    golden_weights: Callable[[str], Path],
    golden_arrays: Callable[[str], dict[str, NDArray[np.generic]]],
    order: str,
    beta: float,
    penalty: float,
) -> None:
    figures = json.loads((GOLDEN / "rl_pair.json").read_text())
    wanted = figures["dpop"][f"{order}_beta{beta}_lambda{penalty}"]
    arrays = golden_arrays("rl_pair")
    chosen, rejected = (arrays[f"{name}_patches"] for name in order.split("_"))
    policy_model = load_model(golden_weights("notagen_tiny_policy_model_only"))
    with torch.no_grad():
        reference = Pair(log_probs(full_model, chosen), log_probs(full_model, rejected))
    policy = Pair(log_probs(policy_model, chosen), log_probs(policy_model, rejected))
    loss = dpo_positive_loss(policy, reference, beta=beta, penalty=penalty)
    assert loss.shape == (1,)
    assert loss.item() == pytest.approx(wanted["loss"], abs=1e-3)

    # Sums in 32 bits are 5e-4 nats off, in the original as here, which moves the smallest gradient
    # by 3e-4 of itself: its own sums stand in place of ours
    def original(sums: Pair, side: str) -> Pair:
        stored = [figures["sum_logps"][f"{side}_{name}"] for name in order.split("_")]
        return Pair(*(own + (old - own).detach() for own, old in zip(sums, stored, strict=True)))

    policy, reference = original(policy, "policy"), original(reference, "ref")
    dpo_positive_loss(policy, reference, beta=beta, penalty=penalty).sum().backward()
    gradients = [weight.grad for weight in policy_model.parameters() if weight.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients).item()
    assert norm == pytest.approx(wanted["grad_norm"], rel=1e-4)


@pytest.mark.parametrize(
    ("policy", "reference", "beta", "penalty", "wanted"),
    [
        # gain (-90 + 100) - (-210 + 200) = 20, times beta
        (pair(-90, -210), pair(-100, -200), 0.1, 10, math.log1p(math.exp(-2))),
        (pair(-90, -210), pair(-100, -200), 0.05, 10, math.log1p(math.exp(-1))),
        # gain (-101 + 100) - (-203 + 200) = 2, less 10 times the nat that the chosen tune lost
        (pair(-101, -203), pair(-100, -200), 0.1, 10, math.log1p(math.exp(0.8))),
        (pair(-101, -203), pair(-100, -200), 0.1, 0, math.log1p(math.exp(-0.2))),
    ],
)
def test_losses_worked_by_hand(
    policy: Pair, reference: Pair, beta: float, penalty: float, wanted: float
) -> None:
    loss = dpo_positive_loss(policy, reference, beta=beta, penalty=penalty)
    assert loss.item() == pytest.approx(wanted, rel=1e-12)


@given(NATS, NATS, st.floats(0.01, 1), st.floats(0, 50))
def test_of_equal_models_it_is_the_logarithm_of_two(
    chosen: float, rejected: float, beta: float, penalty: float
) -> None:
    same = pair(chosen, rejected)
    loss = dpo_positive_loss(same, same, beta=beta, penalty=penalty)
    assert loss.item() == pytest.approx(math.log(2), abs=1e-12)


@given(NATS, NATS, NATS, NATS)
def test_a_penalty_only_adds_and_only_where_the_chosen_tune_lost(
    chosen: float, rejected: float, old_chosen: float, old_rejected: float
) -> None:
    policy, reference = pair(chosen, rejected), pair(old_chosen, old_rejected)
    plain = dpo_positive_loss(policy, reference, penalty=0).item()
    positive = dpo_positive_loss(policy, reference, penalty=10).item()
    assert positive == plain if chosen >= old_chosen else positive >= plain


def test_where_both_agree_the_penalty_has_no_gradient() -> None:
    reference = pair(-100, -200)
    policy = Pair(*(sums.clone().requires_grad_() for sums in reference))
    dpo_positive_loss(policy, reference, beta=0.1, penalty=10).sum().backward()
    assert policy.chosen.grad is not None
    assert policy.chosen.grad.item() == pytest.approx(-0.05)


def test_each_pair_has_its_own_loss() -> None:
    rows = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)) * 10 - 100
    together = dpo_positive_loss(Pair(rows[0], rows[1]), Pair(rows[2], rows[3]))
    for column, loss in zip(rows.T[:, :, None], together, strict=True):
        alone = dpo_positive_loss(Pair(column[0], column[1]), Pair(column[2], column[3]))
        assert alone.item() == pytest.approx(loss.item())


@pytest.mark.parametrize(
    ("beta", "penalty"), [(0, 1), (-1, 1), (math.nan, 1), (1, -1), (1, math.nan)]
)
def test_weights_out_of_range_are_refused(beta: float, penalty: float) -> None:
    with pytest.raises(ValueError, match=r"must be >=? 0, got"):
        dpo_positive_loss(pair(-1, -1), pair(-1, -1), beta=beta, penalty=penalty)


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        dpo_positive_loss(pair(-1, -1), Pair(torch.zeros(2), torch.zeros(2)))
