import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from notagen.model.config import ModelConfig
from notagen.model.decoders import LIMITS, Block
from notagen.model.notagen import NotaGen, count_targets
from notagen.model.published import published_names
from notagen.model.weights import load_model

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
    published = {own: name for name, own in published_names(full_model.config).items()}
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


@pytest.mark.parametrize("size", [1, 2, 5, 16])
def test_patches_of_all_lengths_are_predicted_whole(size: int) -> None:
    torch.manual_seed(0)
    model = NotaGen(
        ModelConfig(patch_size=size, patch_length=40, patch_layers=1, char_layers=1, hidden_size=64)
    ).eval()
    patches = torch.randint(1, 128, (2, 40, size))
    patches *= torch.arange(size) < torch.arange(80).view(2, 40, 1) % (size + 1)
    targets = patches[:, 1:].flatten(0, 1)
    with torch.no_grad():
        hidden = model.patch_decoder(patches[:, :-1]).flatten(0, 1)
        log_probs = model.char_decoder(hidden, targets[:, :-1]).log_softmax(-1)
        expected = log_probs.gather(-1, targets[..., None])[..., 0][targets != 0].sum()
        loss = model(patches, torch.ones(2, 40), reduction="sum")
    torch.testing.assert_close(-loss, expected)


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


def test_a_marked_share_of_patches_costs_what_it_costs_in_the_whole(small_model: NotaGen) -> None:
    small_model.eval()
    patches, mask = random_batch()
    places = mask.clone()
    places[:, 0] = False
    alone = {}
    for tune, place in places.nonzero().tolist():
        one = torch.zeros_like(mask)
        one[tune, place] = True
        alone[tune, place] = small_model(patches, one, reduction="sum").item()
        assert count_targets(patches, one) == (patches[tune, place] > 0).sum()
    whole = small_model(patches, mask, reduction="sum").item()
    assert whole == pytest.approx(sum(alone.values()), rel=1e-6)
    share = mask & torch.tensor([[1, 0, 1, 0, 1, 0], [0, 1, 0, 0, 0, 0]]).bool()
    chosen = {(0, 2), (0, 4), (1, 1)}
    expected = sum(alone[place] for place in chosen)
    assert small_model(patches, share, reduction="sum").item() == pytest.approx(expected, rel=1e-6)
    found = small_model.log_probs(patches, share)
    assert found.tolist() == pytest.approx([-alone[0, 2] - alone[0, 4], -alone[1, 1]], rel=1e-6)
    count = sum(int((patches[place] > 0).sum()) for place in chosen)
    assert small_model(patches, share).item() == pytest.approx(expected / count, rel=1e-6)


def test_every_trained_parameter_has_a_gradient_from_one_patch(small_model: NotaGen) -> None:
    patches, mask = random_batch()
    mask[:] = torch.arange(6) == 2
    small_model(patches, mask).backward()
    for name, parameter in small_model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def gradients(model: NotaGen, seed: int) -> list[torch.Tensor]:
    """Return the loss of a random batch, and the gradients, under dropout of a seed."""
    model.zero_grad()
    batch = random_batch()
    torch.manual_seed(seed)
    loss = model(*batch)
    loss.backward()
    learned = [weight.grad for weight in model.parameters() if weight.grad is not None]
    return [loss.detach(), *(gradient.clone() for gradient in learned)]


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_checkpointing_changes_no_bit(dropout: float) -> None:
    config = ModelConfig(
        patch_length=8, patch_layers=2, char_layers=2, hidden_size=64, dropout=dropout
    )
    torch.manual_seed(0)
    model = NotaGen(config)
    kept = gradients(model, 2)
    computed = count_block_calls(model)
    model.checkpoint_activations()
    again = gradients(model, 2)
    assert all(torch.equal(one, other) for one, other in zip(kept, again, strict=True))
    once = 2 + 2 * len(LIMITS)
    assert len(computed) == 2 * once  # each layer forward, and once more backward
    # what dropout draws is seen: the comparison above can fail
    other_seed = gradients(model, 3)
    assert torch.equal(kept[0], other_seed[0]) is (dropout == 0)
    computed.clear()
    with torch.no_grad():
        model(*random_batch())
    assert len(computed) == once  # where gradients are wanted alone


def count_block_calls(model: NotaGen) -> list[int]:
    """Return a list that grows by one with each layer computed."""
    calls: list[int] = []
    for module in model.modules():
        if isinstance(module, Block):
            module.norm_2.register_forward_hook(lambda *_: calls.append(1))
    return calls


def test_checkpointing_keeps_far_less_for_the_backward_pass(small_model: NotaGen) -> None:
    def kept_bytes() -> int:
        storages: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = small_model(*random_batch())
        del loss
        return sum(storages.values())

    whole = kept_bytes()
    small_model.checkpoint_activations()
    assert kept_bytes() < whole / 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # compiling, torch warns of itself
def test_compiled_layers_keep_names_and_losses(small_model: NotaGen) -> None:
    small_model.eval()
    names = list(small_model.state_dict())
    patches, mask = random_batch()
    expected = gradients(small_model, 0)
    one = small_model(patches[:1, :4], mask[:1, :4]).item()
    generated = small_model.patch_decoder(patches)
    small_model.compile_layers()
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    found = gradients(small_model, 0)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    assert small_model(patches[:1, :4], mask[:1, :4]).item() == pytest.approx(one, rel=1e-6)
    torch.testing.assert_close(small_model.patch_decoder(patches), generated)
    assert list(small_model.state_dict()) == names
    # other lengths need no other graph, but for batches of one and of none
    for length in (3, 4, 5, 6):
        small_model(patches[:, :length], mask[:, :length])
    assert 0 < torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 3
