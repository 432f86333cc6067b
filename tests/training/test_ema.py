from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.training.ema import Ema


def drift(model: nn.Module, seed: int) -> None:
    """Move every trained weight a little."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight += torch.randn(weight.shape, generator=generator)


def one_weight(value: float) -> nn.Module:
    model = nn.Module()
    model.weight = nn.Parameter(torch.tensor([value]))
    return model


def average(ema: Ema) -> float:
    return float(ema.state_dict()["weight"])


def test_averages_follow_hand_worked_figures() -> None:
    model = one_weight(0.0)
    ema = Ema(model, 0.25)
    nn.init.constant_(model.weight, 10.0)
    ema.update()  # keeps 1/10
    assert average(ema) == pytest.approx(9.0)
    ema.update()  # keeps 2/11
    assert average(ema) == pytest.approx(9 * 2 / 11 + 10 * 9 / 11)
    before = average(ema)
    ema.update()  # 3/12 is the decay itself
    assert average(ema) == pytest.approx(before / 4 + 7.5)
    before = average(ema)
    ema.update()  # 4/13 would be more
    assert average(ema) == pytest.approx(before / 4 + 7.5)


def test_averages_stand_in_for_the_weights_and_give_them_back(tiny: ModelConfig) -> None:
    model = NotaGen(tiny)
    ema = Ema(model, 0.9)
    drift(model, 1)
    ema.update()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    averages = {name: tensor.clone() for name, tensor in ema.state_dict().items()}
    addresses = [weight.data_ptr() for weight in model.parameters()]

    def fail_inside() -> None:
        with ema.applied():
            for name, weight in model.named_parameters():
                assert torch.equal(weight, averages.get(name, weights[name]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_inside()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert all(torch.equal(tensor, averages[name]) for name, tensor in ema.state_dict().items())
    # the optimizer and the processes' exchange of gradients hold on to the same tensors
    assert [weight.data_ptr() for weight in model.parameters()] == addresses


def test_a_state_goes_on_exactly_from_a_file(tiny: ModelConfig, tmp_path: Path) -> None:
    model, other = NotaGen(tiny), NotaGen(tiny)
    ema = Ema(model, 0.9)
    for seed in range(3):
        drift(model, seed)
        ema.update()
    save_file(ema.state_dict(), tmp_path / "ema.safetensors")
    other.load_state_dict(model.state_dict())
    resumed = Ema(other, 0.9)
    resumed.load_state_dict(load_file(tmp_path / "ema.safetensors"))
    for trained, averaged in ((model, ema), (other, resumed)):
        drift(trained, 7)
        averaged.update()
    for name, tensor in ema.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name])


def test_an_update_moves_nothing_but_the_averages(tiny: ModelConfig) -> None:
    model = NotaGen(tiny)
    ema = Ema(model, 0.9)
    addresses = [
        tensor.data_ptr() for name, tensor in ema.state_dict().items() if name != "updates"
    ]
    drift(model, 0)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ema.update()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert not any(weight.grad_fn for weight in ema.state_dict().values())
    after = [tensor.data_ptr() for name, tensor in ema.state_dict().items() if name != "updates"]
    assert after == addresses


def test_frozen_weights_have_no_average(tiny: ModelConfig) -> None:
    names = set(Ema(NotaGen(tiny), 0.9).state_dict())
    assert "patch_decoder.unused_row" not in names
    assert {"patch_decoder.table", "updates"} <= names


def test_a_state_of_another_model_is_refused(tiny: ModelConfig) -> None:
    ema = Ema(NotaGen(tiny), 0.9)
    with pytest.raises(ValueError, match=r"the first char_decoder\.table"):
        ema.load_state_dict(ema.state_dict() | {"char_decoder.table": torch.zeros(3)})
    with pytest.raises(ValueError, match="the first updates"):
        ema.load_state_dict({k: v for k, v in ema.state_dict().items() if k != "updates"})


def test_what_cannot_be_averaged_is_refused(tiny: ModelConfig) -> None:
    with pytest.raises(ValueError, match=r"decay must be >= 0 and < 1, got 1\.0"):
        Ema(NotaGen(tiny), 1.0)
    with pytest.raises(ValueError, match="must be float32 to be averaged"):
        Ema(NotaGen(tiny).bfloat16(), 0.9)
