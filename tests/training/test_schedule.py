import math
import sys
from pathlib import Path
from typing import Literal

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from notagen.foundation.errors import InputError
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


def learn(model: nn.Module, optimizer: torch.optim.Optimizer, *, steps: int) -> list[float]:
    """Take optimizer steps on one batch of four short pieces; return the loss before each."""
    generator = torch.Generator().manual_seed(1)
    patches = torch.randint(40, 50, (4, 6, 16), generator=generator, dtype=torch.uint8)
    mask = torch.ones(4, 6, dtype=torch.bool)
    losses = []
    for _ in range(steps):
        loss = model(patches, mask)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


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


def test_fused_steps_are_those_of_plain_adamw(tiny: ModelConfig) -> None:
    one_pass, plain = NotaGen(tiny), NotaGen(tiny)
    plain.load_state_dict(one_pass.state_dict())
    optimizer = make_optimizer(one_pass, peak_learning_rate=1e-3, weight_decay=0.1)
    reference = torch.optim.AdamW(
        [
            {"params": [w for w in plain.parameters() if w.requires_grad and w.ndim >= 2]},
            {
                "params": [w for w in plain.parameters() if w.requires_grad and w.ndim < 2],
                "weight_decay": 0.0,
            },
        ],
        lr=1e-3,
        weight_decay=0.1,
        foreach=False,
    )
    learn(one_pass, optimizer, steps=20)
    learn(plain, reference, steps=20)
    for (name, ours), theirs in zip(one_pass.named_parameters(), plain.parameters(), strict=True):
        # Adam divides tiny gradients by their own size: rounding there moves a weight visibly
        torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=0, msg=lambda m, n=name: n + m)


def test_muon_takes_the_linear_layers_and_adamw_the_rest(tiny: ModelConfig) -> None:
    torch.manual_seed(0)
    ours, plain = NotaGen(tiny), NotaGen(tiny)
    plain.load_state_dict(ours.state_dict())
    optimizer = make_optimizer(ours, peak_learning_rate=1e-3, weight_decay=0.1, kind="muon")
    layers = [m.weight for m in plain.modules() if isinstance(m, nn.Linear)]
    ids = set(map(id, layers))
    rest = [w for w in plain.parameters() if w.requires_grad and id(w) not in ids]
    assert len(layers) == 4 * (tiny.patch_layers + tiny.char_layers)
    muon = torch.optim.Muon(layers, lr=1e-3, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(
        [
            {"params": [w for w in rest if w.ndim >= 2], "weight_decay": 0.1},
            {"params": [w for w in rest if w.ndim < 2], "weight_decay": 0.0},
        ],
        lr=1e-3,
        fused=True,
    )
    schedule = make_schedule(optimizer, "constant", warmup_steps=2, total_steps=9)
    learn(ours, optimizer, steps=1)
    for group in (*muon.param_groups, *adamw.param_groups):
        group["lr"] = 5e-4
    patches = torch.randint(
        40, 50, (4, 6, 16), generator=torch.Generator().manual_seed(1), dtype=torch.uint8
    )
    plain(patches, torch.ones(4, 6, dtype=torch.bool)).backward()
    muon.step()
    adamw.step()
    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    # the schedule's next rate reaches both
    schedule.step()
    assert {group["lr"] for group in optimizer.param_groups} == {1e-3}


def test_muon_learns(tiny: ModelConfig) -> None:
    torch.manual_seed(0)
    model = NotaGen(tiny)
    optimizer = make_optimizer(model, peak_learning_rate=3e-3, weight_decay=0.0, kind="muon")
    losses = learn(model, optimizer, steps=60)
    assert losses[-1] < 2.0 < 4.0 < losses[0]


@pytest.mark.usefixtures("forget_accelerator")
def test_a_run_with_muon_goes_on_exactly(tiny: ModelConfig, tmp_path: Path) -> None:
    accelerator = Accelerator(cpu=True)
    losses = []
    for resumed in (False, True):
        torch.manual_seed(0)
        bare = NotaGen(tiny)
        bare_optimizer = make_optimizer(
            bare, peak_learning_rate=1e-2, weight_decay=0.1, kind="muon"
        )
        bare_schedule = make_schedule(bare_optimizer, "cosine", warmup_steps=2, total_steps=20)
        model, optimizer, schedule = accelerator.prepare(bare, bare_optimizer, bare_schedule)
        if resumed:
            accelerator.load_state(str(tmp_path / "state"))
        else:
            for _ in range(5):
                learn(model, optimizer, steps=1)
                schedule.step()
            accelerator.save_state(str(tmp_path / "state"))
            # nothing but tensors and plain values: no code runs when it is read
            torch.load(tmp_path / "state" / "optimizer.bin", weights_only=True)
        seen = []
        for _ in range(5):
            seen += learn(model, optimizer, steps=1)
            schedule.step()
            rates = {group["lr"] for group in bare_optimizer.param_groups}
            assert rates == set(schedule.get_last_lr())
            assert len(rates) == 1
        losses.append(seen)
        accelerator.free_memory()
    assert losses[0] == losses[1]


@pytest.mark.parametrize("eight_bit", [False, True])
def test_frozen_weights_are_left_to_themselves(tiny: ModelConfig, eight_bit: bool) -> None:
    if eight_bit:
        pytest.importorskip("bitsandbytes")
    model = NotaGen(tiny)
    model.patch_decoder.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = make_optimizer(
        model, peak_learning_rate=1e-2, weight_decay=0.1, eight_bit=eight_bit
    )
    learn(model, optimizer, steps=2)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]) is name.startswith("patch_decoder"), name


def test_eight_bit_states_learn_as_well(tiny: ModelConfig) -> None:
    pytest.importorskip("bitsandbytes")
    lowest = []
    for eight_bit in (False, True):
        torch.manual_seed(0)
        model = NotaGen(tiny)
        optimizer = make_optimizer(
            model, peak_learning_rate=3e-3, weight_decay=0.01, eight_bit=eight_bit
        )
        lowest.append(learn(model, optimizer, steps=150)[-1])
    assert lowest[0] < 2.0
    assert lowest[1] < lowest[0] + 0.1


def test_eight_bit_states_are_a_quarter_as_large(tiny: ModelConfig) -> None:
    pytest.importorskip("bitsandbytes")
    sizes = []
    for eight_bit in (False, True):
        model = NotaGen(tiny)
        optimizer = make_optimizer(
            model, peak_learning_rate=1e-3, weight_decay=0.0, eight_bit=eight_bit
        )
        learn(model, optimizer, steps=1)
        # the tables of the 8-bit values are shared by all weights: count each storage once
        tensors = {
            value.untyped_storage().data_ptr(): value.nbytes
            for state in optimizer.state.values()
            for value in state.values()
            if isinstance(value, torch.Tensor)
        }
        sizes.append(sum(tensors.values()))
    assert sizes[1] < 0.3 * sizes[0]


@pytest.mark.usefixtures("forget_accelerator")
def test_a_run_with_eight_bit_states_goes_on_exactly(tiny: ModelConfig, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    accelerator = Accelerator(cpu=True)
    losses = []
    for resumed in (False, True):
        torch.manual_seed(0)
        bare = NotaGen(tiny)
        model, optimizer = accelerator.prepare(
            bare,
            make_optimizer(bare, peak_learning_rate=1e-2, weight_decay=0.1, eight_bit=True),
        )
        if resumed:
            accelerator.load_state(str(tmp_path / "state"))
        else:
            learn(model, optimizer, steps=5)
            accelerator.save_state(str(tmp_path / "state"))
            # nothing but tensors and plain values: no code runs when it is read
            torch.load(tmp_path / "state" / "optimizer.bin", weights_only=True)
        losses.append(learn(model, optimizer, steps=5))
        accelerator.free_memory()
    assert losses[0] == losses[1]


def test_without_bitsandbytes_one_line_says_what_to_install(
    tiny: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(InputError, match=r"pip install 'notagen\[8bit\]'"):
        make_optimizer(NotaGen(tiny), peak_learning_rate=0.1, weight_decay=0.0, eight_bit=True)
