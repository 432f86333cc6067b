import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen, count_targets
from notagen.model.weights import _published_names, load_model

GOLDEN = Path(__file__).parent.parent / "golden" / "notagen"
Arrays = Callable[[str], dict[str, NDArray[np.generic]]]


@pytest.fixture
def small_model() -> NotaGen:
    torch.manual_seed(0)
    return NotaGen(ModelConfig(patch_length=8, patch_layers=2, char_layers=1, hidden_size=64))


def batch(arrays: dict[str, NDArray[np.generic]]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(arrays["patches"]), torch.from_numpy(arrays["masks"])


def random_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Return two tunes of 5 and 3 patches, of 1 to 12 characters each, padded to 6."""
    torch.manual_seed(1)
    patches = torch.randint(1, 128, (2, 6, 16), dtype=torch.uint8)
    lengths = torch.randint(1, 13, (2, 6, 1))
    patches *= torch.arange(16) < lengths
    mask = torch.arange(6) < torch.tensor([[5], [3]])
    return patches * mask[:, :, None], mask


def test_states_logits_and_log_probs_are_the_original_ones(
    full_model: NotaGen, golden_arrays: Arrays
) -> None:
    arrays = golden_arrays("train_forward")
    patches, mask = batch(arrays)
    with torch.no_grad():
        hidden = full_model.patch_decoder(patches)
        real = mask.bool()
        expected = torch.from_numpy(arrays["encoded_patches"])
        torch.testing.assert_close(hidden[real], expected[real], atol=1e-5, rtol=0)
        targets = torch.from_numpy(arrays["targets"])
        before = hidden[:, :-1][real[:, 1:]]
        logits = full_model.char_decoder(before, targets[:, :-1])
    scored = targets != 0
    known = torch.cat([torch.ones(len(targets), 1, dtype=torch.bool), scored[:, :-1]], dim=1)
    expected = torch.from_numpy(arrays["logits"])[:, :16]
    torch.testing.assert_close(logits[known], expected[known], atol=1e-5, rtol=0)
    log_probs = logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0]
    expected = torch.from_numpy(arrays["token_logps"])
    torch.testing.assert_close(log_probs[scored], expected[scored], atol=1e-5, rtol=0)


def test_loss_and_gradients_are_the_original_ones(
    full_model: NotaGen, golden_arrays: Arrays
) -> None:
    arrays = golden_arrays("train_forward")
    patches, mask = batch(arrays)
    loss = full_model(patches, mask)
    assert loss.item() == pytest.approx(float(arrays["loss"]), abs=2e-6)
    assert int(count_targets(patches, mask)) == int(arrays["n_loss_tokens"])
    loss.backward()
    published = {own: name for name, own in _published_names(full_model.config).items()}
    norms = {
        published[name]: parameter.grad.norm().item()
        for name, parameter in full_model.named_parameters()
        if parameter.grad is not None
    }
    total = math.hypot(*norms.values())
    assert total == pytest.approx(float(arrays["grad_norm_total"]), rel=1e-5)
    original = json.loads((GOLDEN / "train_forward_grad_norms.json").read_text())["grad_norms"]
    assert norms == pytest.approx({name: original[name] for name in norms}, rel=1e-4)
    assert all(original[name] in (None, 0) for name in original.keys() - norms.keys())


def test_five_steps_of_adamw_are_the_original_ones(
    full_model: NotaGen, golden_arrays: Arrays
) -> None:
    patches, mask = batch(golden_arrays("train_forward"))
    steps = json.loads((GOLDEN / "adamw_steps.json").read_text())
    optimizer = torch.optim.AdamW(full_model.parameters(), lr=steps["lr"])
    losses = []
    for _ in steps["losses_before_each_step"]:
        loss = full_model(patches, mask)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses == pytest.approx(steps["losses_before_each_step"], abs=1e-4)


def test_log_probs_are_the_original_ones_tune_by_tune(
    golden_weights: Callable[[str], Path], golden_arrays: Arrays
) -> None:
    arrays = golden_arrays("rl_pair")
    sums = json.loads((GOLDEN / "rl_pair.json").read_text())["sum_logps"]
    pair = [torch.from_numpy(arrays[f"{side}_patches"])[0] for side in ("pos", "neg")]
    patches = torch.nn.utils.rnn.pad_sequence(pair, batch_first=True)
    mask = torch.arange(48) < torch.tensor([[len(tune)] for tune in pair])
    for name, model_name in (("ref", "tiny_full"), ("policy", "tiny_policy_model_only")):
        model = load_model(golden_weights(f"notagen_{model_name}"))
        with torch.no_grad():
            found = model.log_probs(patches, mask)
        assert found.tolist() == pytest.approx([sums[f"{name}_pos"], sums[f"{name}_neg"]], abs=5e-3)


def test_loss_is_that_of_each_character_predicted_alone(small_model: NotaGen) -> None:
    small_model.eval()
    patches, mask = random_batch()
    sums = [0.0, 0.0]
    count = 0
    with torch.no_grad():
        for tune in range(2):
            for place in range(1, int(mask[tune].sum())):
                hidden = small_model.patch_decoder(patches[tune : tune + 1, :place])[:, -1]
                for position in range(int((patches[tune, place] > 0).sum())):
                    before = patches[tune, place, None, :position]
                    logits = small_model.char_decoder(hidden, before)[0, -1].double()
                    target = int(patches[tune, place, position])
                    sums[tune] += float(logits[target] - logits.exp().sum().log())
                    count += 1
        loss = small_model(patches, mask).item()
        total = small_model(patches, mask, reduction="sum").item()
        log_probs = small_model.log_probs(patches, mask).tolist()
    assert loss == pytest.approx(-sum(sums) / count, rel=1e-6)
    assert total == pytest.approx(-sum(sums), rel=1e-6)
    assert log_probs == pytest.approx(sums, rel=1e-6)
    assert int(count_targets(patches, mask)) == count


def test_arguments_are_left_as_they_are(small_model: NotaGen) -> None:
    patches, mask = random_batch()
    before = patches.clone(), mask.clone()
    small_model(patches, mask).backward()
    assert torch.equal(patches, before[0])
    assert torch.equal(mask, before[1])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64, torch.float32])
def test_any_kind_of_mask_will_do(small_model: NotaGen, dtype: torch.dtype) -> None:
    small_model.eval()
    patches, mask = random_batch()
    assert torch.equal(small_model(patches.long(), mask.to(dtype)), small_model(patches, mask))


def test_padding_changes_nothing(small_model: NotaGen) -> None:
    small_model.eval()
    patches, mask = random_batch()
    garbage = torch.where(mask[:, :, None], patches, 77)
    assert torch.equal(small_model(garbage, mask), small_model(patches, mask))
    apart = [
        small_model.log_probs(patches[i : i + 1, :n], mask[i : i + 1, :n])
        for i, n in ((0, 5), (1, 3))
    ]
    torch.testing.assert_close(torch.cat(apart), small_model.log_probs(patches, mask))


def test_every_trained_parameter_has_a_gradient(small_model: NotaGen) -> None:
    small_model(*random_batch()).backward()
    for name, parameter in small_model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    assert [n for n, p in small_model.named_parameters() if not p.requires_grad] == [
        "patch_decoder.unused_row"
    ]


def test_a_batch_without_targets_costs_nothing(small_model: NotaGen) -> None:
    patches, mask = random_batch()
    loss = small_model(patches, torch.zeros_like(mask))
    loss.backward()
    assert loss.item() == 0
    assert count_targets(patches, torch.zeros_like(mask)).item() == 0


def test_batches_of_the_wrong_shape_are_refused(small_model: NotaGen) -> None:
    patches, mask = random_batch()
    with pytest.raises(ValueError, match=r"patches must have shape .* got \(2, 6, 15\)"):
        small_model(patches[:, :, :15], mask)
    with pytest.raises(ValueError, match=r"mask must have shape \(2, 6\), got \(2, 5\)"):
        small_model(patches, mask[:, :5])
    with pytest.raises(ValueError, match="patches must have shape"):
        small_model(patches.repeat(1, 2, 1), mask.repeat(1, 2))
