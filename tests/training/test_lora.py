import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel

from notagen.foundation.errors import InputError
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.model.weights import load_model, save_model
from notagen.training.lora import add_lora, merged
from notagen.training.samples import write_sample
from notagen.training.schedule import make_optimizer

pytest.importorskip("peft")


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    patches = torch.randint(40, 120, (2, 12, 16), generator=generator, dtype=torch.uint8)
    return patches, torch.ones(2, 12, dtype=torch.bool)


def adapted(config: ModelConfig, *, dropout: float = 0.0, seed: int = 0) -> NotaGen:
    torch.manual_seed(seed)
    model = NotaGen(config)
    add_lora(model, rank=4, dropout=dropout)
    return model


def trained(config: ModelConfig, batch: tuple[Tensor, Tensor]) -> NotaGen:
    model = adapted(config)
    optimizer = make_optimizer(model, peak_learning_rate=1e-2, weight_decay=0.0)
    for _ in range(10):
        model(*batch).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def test_a_fresh_addition_changes_nothing(tiny: ModelConfig, batch: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(0)
    plain = NotaGen(tiny)
    expected = plain(*batch)
    add_lora(plain, rank=4)
    assert torch.equal(plain(*batch), expected)


def test_only_the_additions_are_trained(tiny: ModelConfig) -> None:
    model = NotaGen(tiny)
    count = add_lora(model, rank=4)
    learned = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert all(".lora_A." in name or ".lora_B." in name for name in learned)
    # in and out widths of qkv, output, expand and contract, in one layer of either decoder
    assert count == 2 * 4 * 64 * ((1 + 3) + (1 + 1) + (1 + 4) + (4 + 1))
    assert len(learned) == 2 * 4 * 2


def test_training_moves_the_additions_and_nothing_else(
    tiny: ModelConfig, batch: tuple[Tensor, Tensor]
) -> None:
    before, model = adapted(tiny), trained(tiny, batch)
    for (name, old), weight in zip(before.named_parameters(), model.parameters(), strict=True):
        assert torch.equal(old, weight) is not weight.requires_grad, name
    with torch.no_grad():
        assert float(model(*batch)) < float(before(*batch)) - 0.1


def test_merged_weights_compute_the_same(
    tiny: ModelConfig, batch: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    model = trained(tiny, batch)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random_state = torch.get_rng_state()
    plain = merged(model)
    assert not plain.training
    assert model.training
    assert torch.equal(torch.get_rng_state(), random_state)
    assert plain.state_dict().keys() == NotaGen(tiny).state_dict().keys()
    with torch.no_grad():
        torch.testing.assert_close(plain(*batch), model(*batch), atol=1e-5, rtol=0)
        # a plain model like any other: what is done to it leaves the trained one alone
        for weight in plain.parameters():
            weight.zero_()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    save_model(merged(model), tmp_path)
    with torch.no_grad():
        loaded = load_model(tmp_path)(*batch)
        torch.testing.assert_close(loaded, model(*batch), atol=1e-5, rtol=0)


def test_a_model_without_additions_is_plain_without_peft(
    tiny: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    model = NotaGen(tiny)
    assert merged(model) is model
    assert model.training


def test_the_scale_is_alpha_over_rank(tiny: ModelConfig) -> None:
    torch.manual_seed(0)
    model = NotaGen(tiny)
    before = model.char_decoder.transformer.blocks[0].expand.weight.clone()
    add_lora(model, rank=4, alpha=6)
    layer = model.char_decoder.transformer.blocks[0].expand
    torch.nn.init.normal_(layer.lora_B["default"].weight)
    delta = layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    expected = before + 1.5 * delta
    after = merged(model).char_decoder.transformer.blocks[0].expand.weight
    torch.testing.assert_close(after, expected)


def test_first_values_come_from_the_seed(tiny: ModelConfig) -> None:
    one, same, other = adapted(tiny), adapted(tiny), adapted(tiny, seed=1)
    name = "patch_decoder.transformer.blocks.0.attention.qkv.lora_A.default.weight"
    assert torch.equal(one.state_dict()[name], same.state_dict()[name])
    assert not torch.equal(one.state_dict()[name], other.state_dict()[name])


def test_an_adapted_model_writes_what_the_merged_one_writes(
    tiny: ModelConfig, batch: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    model = trained(tiny, batch)
    for name, writer in {"adapted": model, "merged": merged(model)}.items():
        write_sample(writer, tmp_path / name, 1, prompt=None, seed=2, max_patches=12)
    texts = [(tmp_path / name / "step-00000001.abc").read_text() for name in ("adapted", "merged")]
    assert texts[0] == texts[1] != ""


def test_dropout_of_the_additions_acts_in_training_alone(
    tiny: ModelConfig, batch: tuple[Tensor, Tensor]
) -> None:
    model = adapted(tiny, dropout=0.5)
    for name, weight in model.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(weight, std=0.1)
    assert not torch.equal(model(*batch), model(*batch))
    model.eval()
    assert torch.equal(model(*batch), model(*batch))


def test_checkpointed_activations_give_the_same_gradients(
    tiny: ModelConfig, batch: tuple[Tensor, Tensor]
) -> None:
    gradients = []
    for checkpointed in (False, True):
        model = adapted(tiny)
        if checkpointed:
            model.checkpoint_activations()
        model(*batch).backward()
        gradients.append([w.grad for w in model.parameters() if w.requires_grad])
    for kept, computed_again in zip(*gradients, strict=True):
        assert torch.equal(kept, computed_again)


@pytest.fixture
def _one_process_group(tmp_path: Path) -> Iterator[None]:
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1
    )
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("_one_process_group")
def test_a_distributed_model_waits_for_no_frozen_weight(
    tiny: ModelConfig, batch: tuple[Tensor, Tensor]
) -> None:
    model = adapted(tiny)
    wrapped = DistributedDataParallel(model)
    for _ in range(3):  # a weight without gradient would stop the second
        wrapped(*batch).backward()
    assert all(weight.grad is not None for weight in model.parameters() if weight.requires_grad)


def test_without_peft_one_line_says_what_to_install(
    tiny: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InputError, match=r"pip install 'notagen\[lora\]'"):
        add_lora(NotaGen(tiny), rank=4)
