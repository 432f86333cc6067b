from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.tokenizer.patches import PatchTokenizer
from notagen.training.batching import eval_batches, train_batches
from notagen.training.data import TuneDataset
from notagen.training.ema import Ema
from notagen.training.examples import Batch
from notagen.training.loop import StepResult, evaluate, train_steps
from notagen.training.notagen import TuneExamples
from notagen.training.schedule import make_optimizer, make_schedule
from notagen.training.spikes import SpikeGuard


@pytest.fixture
def tunes(corpus: Path, tokenizer: PatchTokenizer) -> TuneDataset:
    return TuneDataset(corpus / "train.jsonl", tokenizer, keys="all", prompted=True, seed=0)


ALONE, TOGETHER = 1, 100_000
"""Patches in a batch: each piece in one of its own, or all in one."""


def run_steps(
    tunes: TuneDataset,
    tiny: ModelConfig,
    steps: list[list[int]],
    *,
    patches_per_batch: int = TOGETHER,
    scaled: Mapping[int, float] | None = None,
    ema_decay: float | None = None,
) -> tuple[list[StepResult], list[dict[str, torch.Tensor]], Ema | None]:
    """Train a fresh model; in steps named by `scaled` a gradient is so many times too large."""
    accelerator = Accelerator(cpu=True, step_scheduler_with_optimizer=False)
    torch.manual_seed(0)
    model = NotaGen(tiny)
    results: list[StepResult] = []

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        return gradient * (scaled or {}).get(len(results), 1.0)

    for weight in model.parameters():
        if weight.requires_grad:
            weight.register_hook(spoil)
    optimizer = make_optimizer(model, peak_learning_rate=1e-2, weight_decay=0.1)
    schedule = make_schedule(optimizer, "constant", warmup_steps=2, total_steps=99)
    ema = None if ema_decay is None else Ema(model, ema_decay)
    states: list[dict[str, torch.Tensor]] = []
    for result in train_steps(
        accelerator,
        *accelerator.prepare(model, optimizer, schedule),
        batches_of(tunes, steps, patches_per_batch),
        num_steps=len(steps),
        max_gradient_norm=1.0,
        guard=SpikeGuard(10.0),
        ema=ema,
    ):
        results.append(result)
        states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
    return results, states, ema


def batches_of(
    tunes: TuneDataset, steps: list[list[int]], patches_per_batch: int
) -> Iterator[list[Batch]]:
    examples = TuneExamples(tunes, patches_per_step=1, patches_per_batch=patches_per_batch)
    return train_batches(examples, steps, epoch=0, rank=0, num_processes=1, workers=0)


@pytest.mark.usefixtures("forget_accelerator")
def test_eight_accumulated_equal_a_batch_of_eight(tunes: TuneDataset, tiny: ModelConfig) -> None:
    steps = [list(range(8)), list(range(3, 11)), [0, 5, 10]]  # the last has fewer than eight
    assert [len(step) for step in batches_of(tunes, steps, ALONE)] == [8, 8, 3]
    assert [len(step) for step in batches_of(tunes, steps, TOGETHER)] == [1, 1, 1]
    together, whole, _ = run_steps(tunes, tiny, steps)
    apart, summed, _ = run_steps(tunes, tiny, steps, patches_per_batch=ALONE)
    for one, eight in zip(together, apart, strict=True):
        assert one.loss == pytest.approx(eight.loss, abs=1e-5)
        assert one.gradient_norm == pytest.approx(eight.gradient_norm, rel=1e-4)
    for name, tensor in whole[-1].items():
        torch.testing.assert_close(tensor, summed[-1][name], atol=2e-4, rtol=1e-3)


@pytest.mark.usefixtures("forget_accelerator")
def test_loss_is_the_mean_over_characters(tunes: TuneDataset, tiny: ModelConfig) -> None:
    results, _, _ = run_steps(tunes, tiny, [[0, 10]], patches_per_batch=ALONE)
    torch.manual_seed(0)
    model = NotaGen(tiny).eval()
    batch = next(batches_of(tunes, [[0, 10]], TOGETHER))[0]
    with torch.no_grad():
        expected = float(model(*batch.tensors))
    assert results[0].loss == pytest.approx(expected, abs=1e-5)


@pytest.mark.usefixtures("forget_accelerator")
def test_learning_rate_warms_up_by_optimizer_steps(tunes: TuneDataset, tiny: ModelConfig) -> None:
    steps = [[0, 1], [2, 3], [4, 5], [6, 7]]
    results, _, _ = run_steps(tunes, tiny, steps, patches_per_batch=ALONE)
    assert [result.learning_rate for result in results] == [0.005, 0.01, 0.01, 0.01]


@pytest.mark.usefixtures("forget_accelerator")
def test_steps_that_are_not_finite_are_skipped(tunes: TuneDataset, tiny: ModelConfig) -> None:
    steps = [[0, 1], [2, 3], [4, 5], [6, 7]]
    nan, inf = float("nan"), float("inf")
    results, states, ema = run_steps(tunes, tiny, steps, scaled={1: nan, 2: inf}, ema_decay=0.5)
    assert [result.skipped for result in results] == [False, True, True, False]
    assert [result.learning_rate for result in results] == [0.005, 0.01, 0.01, 0.01]
    assert all(torch.equal(tensor, states[2][name]) for name, tensor in states[0].items())
    assert all(tensor.isfinite().all() for tensor in states[3].values())
    assert not torch.equal(states[2]["char_decoder.table"], states[3]["char_decoder.table"])
    assert ema is not None
    # moved by the first step and the last alone
    assert int(ema.state_dict()["updates"]) == 2


@pytest.mark.usefixtures("forget_accelerator")
def test_spikes_are_skipped(tunes: TuneDataset, tiny: ModelConfig) -> None:
    steps = [[place % 11] for place in range(70)]
    results, states, _ = run_steps(tunes, tiny, steps, scaled={3: 1e4, 66: 1e4})
    # the third came before the guard knew what is usual
    assert [step for step, result in enumerate(results) if result.skipped] == [66]
    assert all(torch.equal(tensor, states[66][name]) for name, tensor in states[65].items())
    assert results[66].gradient_norm > 100 * results[65].gradient_norm


def evaluation(tunes: TuneDataset, patches_per_batch: int) -> tuple[Iterator[Batch], int]:
    examples = TuneExamples(tunes, patches_per_step=1, patches_per_batch=patches_per_batch)
    return eval_batches(examples, rank=0, num_processes=1, workers=0)


def test_evaluation_of_the_same_weights_is_the_same(
    tunes: TuneDataset, tiny: ModelConfig, accelerator: Accelerator
) -> None:
    model = accelerator.prepare(NotaGen(tiny).train())

    def measure(patches_per_batch: int) -> float:
        batches, num_batches = evaluation(tunes, patches_per_batch)
        return evaluate(accelerator, model, batches, num_batches=num_batches)

    first = measure(150)
    torch.manual_seed(99)
    assert measure(150) == first
    assert measure(ALONE) == pytest.approx(first, abs=1e-5)


def test_evaluation_averages_over_characters(
    tunes: TuneDataset, tiny: ModelConfig, accelerator: Accelerator
) -> None:
    model = NotaGen(tiny)
    batches = list(evaluation(tunes, TOGETHER)[0])
    with torch.no_grad():
        expected = float(model.eval()(*batches[0].tensors))
    loss = evaluate(accelerator, model, batches, num_batches=1)
    assert loss == pytest.approx(expected, abs=1e-5)


def test_evaluation_shows_how_far_it_is(
    tunes: TuneDataset,
    tiny: ModelConfig,
    accelerator: Accelerator,
    capsys: pytest.CaptureFixture[str],
) -> None:
    batches, num_batches = evaluation(tunes, ALONE)
    evaluate(accelerator, NotaGen(tiny), batches, num_batches=num_batches)
    assert "evaluate:   0%|          | 0/11" in capsys.readouterr().err
