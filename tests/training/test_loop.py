from collections.abc import Collection
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.tokenizer.patches import PatchTokenizer
from notagen.training.batching import eval_batches, train_batches
from notagen.training.data import TuneDataset
from notagen.training.loop import StepResult, evaluate, train_epoch
from notagen.training.schedule import make_optimizer, make_schedule


@pytest.fixture
def tunes(corpus: Path, tokenizer: PatchTokenizer) -> TuneDataset:
    return TuneDataset(corpus / "train.jsonl", tokenizer, keys="all", prompted=True, seed=0)


def run_steps(
    tunes: TuneDataset,
    tiny: ModelConfig,
    steps: list[list[int]],
    *,
    accumulation_steps: int,
    poison: Collection[int] = (),
) -> tuple[list[StepResult], list[dict[str, torch.Tensor]]]:
    """Train a fresh model; in steps named by `poison` a gradient is not a number."""
    accelerator = Accelerator(
        cpu=True,
        gradient_accumulation_steps=accumulation_steps,
        step_scheduler_with_optimizer=False,
    )
    torch.manual_seed(0)
    model = NotaGen(tiny)
    results: list[StepResult] = []

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        return gradient * float("nan") if len(results) in poison else gradient

    model.char_decoder.table.register_hook(spoil)
    optimizer = make_optimizer(model, peak_learning_rate=1e-2, weight_decay=0.1)
    schedule = make_schedule(optimizer, "constant", warmup_steps=2, total_steps=9)
    batches = train_batches(
        tunes,
        steps,
        epoch=0,
        rank=0,
        num_processes=1,
        accumulation_steps=accumulation_steps,
        workers=0,
    )
    states: list[dict[str, torch.Tensor]] = []

    def on_step(result: StepResult) -> None:
        results.append(result)
        states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})

    train_epoch(
        accelerator,
        *accelerator.prepare(model, optimizer, schedule),
        batches,
        num_steps=len(steps),
        max_gradient_norm=1.0,
        on_step=on_step,
    )
    return results, states


@pytest.mark.usefixtures("forget_accelerator")
def test_eight_accumulated_equal_a_batch_of_eight(tunes: TuneDataset, tiny: ModelConfig) -> None:
    steps = [list(range(8)), list(range(3, 11)), [0, 10, 5]]  # the last has fewer than eight
    together, whole = run_steps(tunes, tiny, steps, accumulation_steps=1)
    apart, summed = run_steps(tunes, tiny, steps, accumulation_steps=8)
    for one, eight in zip(together, apart, strict=True):
        assert one.loss == pytest.approx(eight.loss, abs=1e-5)
        assert one.gradient_norm == pytest.approx(eight.gradient_norm, rel=1e-4)
    for name, tensor in whole[-1].items():
        torch.testing.assert_close(tensor, summed[-1][name], atol=2e-4, rtol=1e-3)


@pytest.mark.usefixtures("forget_accelerator")
def test_loss_is_the_mean_over_characters(tunes: TuneDataset, tiny: ModelConfig) -> None:
    results, _ = run_steps(tunes, tiny, [[0, 10]], accumulation_steps=2)
    torch.manual_seed(0)
    model = NotaGen(tiny).eval()
    batch = next(
        train_batches(
            tunes, [[0, 10]], epoch=0, rank=0, num_processes=1, accumulation_steps=1, workers=0
        )
    )[0]
    with torch.no_grad():
        expected = float(model(batch.patches, batch.mask))
    assert results[0].loss == pytest.approx(expected, abs=1e-5)


@pytest.mark.usefixtures("forget_accelerator")
def test_learning_rate_warms_up_by_optimizer_steps(tunes: TuneDataset, tiny: ModelConfig) -> None:
    results, _ = run_steps(tunes, tiny, [[0, 1], [2, 3], [4, 5], [6, 7]], accumulation_steps=2)
    assert [result.learning_rate for result in results] == [0.005, 0.01, 0.01, 0.01]


@pytest.mark.usefixtures("forget_accelerator")
def test_steps_that_are_not_finite_are_skipped(tunes: TuneDataset, tiny: ModelConfig) -> None:
    steps = [[0, 1], [2, 3], [4, 5], [6, 7]]
    results, states = run_steps(tunes, tiny, steps, accumulation_steps=1, poison={1, 2})
    assert [result.skipped for result in results] == [False, True, True, False]
    assert [result.learning_rate for result in results] == [0.005, 0.01, 0.01, 0.01]
    assert all(torch.equal(tensor, states[2][name]) for name, tensor in states[0].items())
    assert all(tensor.isfinite().all() for tensor in states[3].values())
    assert not torch.equal(states[2]["char_decoder.table"], states[3]["char_decoder.table"])


def test_evaluation_of_the_same_weights_is_the_same(
    tunes: TuneDataset, tiny: ModelConfig, accelerator: Accelerator
) -> None:
    model = accelerator.prepare(NotaGen(tiny).train())

    def measure(batch_size: int) -> float:
        batches = eval_batches(tunes, batch_size=batch_size, rank=0, num_processes=1, workers=0)
        return evaluate(accelerator, model, batches, num_batches=-(-11 // batch_size))

    first = measure(4)
    torch.manual_seed(99)
    assert measure(4) == first
    assert measure(3) == pytest.approx(first, abs=1e-5)
    assert model.training


def test_evaluation_averages_over_characters(
    tunes: TuneDataset, tiny: ModelConfig, accelerator: Accelerator
) -> None:
    model = NotaGen(tiny)
    batches = list(eval_batches(tunes, batch_size=11, rank=0, num_processes=1, workers=0))
    with torch.no_grad():
        expected = float(model.eval()(batches[0].patches, batches[0].mask))
    loss = evaluate(accelerator, model, batches, num_batches=1)
    assert loss == pytest.approx(expected, abs=1e-5)


def test_evaluation_shows_how_far_it_is(
    tunes: TuneDataset,
    tiny: ModelConfig,
    accelerator: Accelerator,
    capsys: pytest.CaptureFixture[str],
) -> None:
    batches = eval_batches(tunes, batch_size=4, rank=0, num_processes=1, workers=0)
    evaluate(accelerator, NotaGen(tiny), batches, num_batches=3)
    assert "evaluate:   0%|          | 0/3" in capsys.readouterr().err
