"""A run trains any model on any examples: here rows of numbers, in steps of equally many."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from notagen.foundation.errors import InputError
from notagen.training.examples import Batch, Dealt, Draw, Pieces
from notagen.training.run import Task, describe_result, start, train
from notagen.training.runs import Progress
from notagen.training.settings import RunConfig

NUM_ROWS = 10
PER_STEP = 4


@dataclass(frozen=True)
class Beginning:
    bias: float = 0.0


@dataclass(frozen=True)
class LineConfig:
    width: int = 3
    beginning: Beginning = Beginning()


class Line(nn.Module):
    """Fits y = w x: the loss of a row is its squared error."""

    def __init__(self, config: LineConfig) -> None:
        super().__init__()
        self.config = config
        self.layer = nn.Linear(config.width, 1)
        nn.init.constant_(self.layer.bias, config.beginning.bias)

    def forward(self, x: Tensor, y: Tensor, *, reduction: str) -> Tensor:
        assert reduction == "sum"
        loss: Tensor = (self.layer(x).squeeze(1) - y).square().sum()
        return loss


@dataclass(frozen=True)
class Rows:
    """Rows of an index, which says their y; each process takes an equal share of a step."""

    index: Path

    @property
    def lengths(self) -> NDArray[np.int32]:
        return np.ones(NUM_ROWS, dtype=np.int32)

    @property
    def num_steps(self) -> int:
        return -(-NUM_ROWS // PER_STEP)

    def __len__(self) -> int:
        return NUM_ROWS

    def plan(self, epoch: int) -> list[Pieces]:
        order = np.random.default_rng(epoch).permutation(NUM_ROWS)
        return [order[start : start + PER_STEP] for start in range(0, NUM_ROWS, PER_STEP)]

    def deal(self, pieces: Pieces, num_processes: int) -> Dealt:
        return [
            [[int(piece) for piece in pieces[rank::num_processes]]] for rank in range(num_processes)
        ]

    def deal_eval(self, num_processes: int) -> Dealt:
        return self.deal(range(NUM_ROWS), num_processes)

    def read(self, draw: Draw) -> tuple[list[float], float]:
        piece, _ = draw
        y = json.loads(self.index.read_text())[piece]
        if y is None:
            raise InputError(f"row {piece} has no y")
        return [piece / NUM_ROWS, 1 - piece / NUM_ROWS, 1], y

    def collate(self, items: Sequence[tuple[list[float], float]]) -> Batch:
        x = torch.tensor([x for x, _ in items]).reshape(-1, 3)
        return Batch(
            (x, torch.tensor([y for _, y in items])),
            num_targets=len(items),
            num_patches=len(items),
            weight=int(bool(items)),
        )


@pytest.fixture
def index(tmp_path: Path) -> Path:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([3.0 * row for row in range(NUM_ROWS)]))
    return file


def save(model: Line, folder: Path) -> None:
    save_file(model.state_dict(), folder / "line.safetensors")


def make_task(index: Path, **changes: object) -> Task[Line]:
    rows = {"train": Rows(index), "eval": Rows(index)}
    options = rows | {"model": Line(LineConfig()), "save": save, "unit": "squares per row"}
    return Task(**options | changes)  # type: ignore[arg-type]


def run(index: Path, name: str = "run", *, epochs: int = 4, **changes: object) -> Progress:
    config = RunConfig(
        run_folder=index.parent / name,
        epochs=epochs,
        peak_learning_rate=0.3,
        weight_decay=0.0,
    )
    accelerator = start(config)
    task = make_task(index, **changes)
    progress = train(accelerator, task, config)
    assert "squares per row" in describe_result(task, config, progress)
    return progress


def lines(folder: Path, value: str) -> list[float]:
    written = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line[value] for line in written if value in line]


@pytest.mark.usefixtures("forget_accelerator")
def test_any_model_is_trained_measured_and_saved(index: Path) -> None:
    assert run(index).step == 12
    folder = index.parent / "run"
    losses = lines(folder, "eval_loss")
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    # the loss is a mean over targets: that of the saved weights, worked by hand
    weights = load_file(folder / "last" / "line.safetensors")
    items = [Rows(index).read((piece, None)) for piece in range(NUM_ROWS)]
    guesses = [
        float(weights["layer.weight"][0] @ torch.tensor(x) + weights["layer.bias"])
        for x, _ in items
    ]
    wanted = np.mean([(guess - y) ** 2 for guess, (_, y) in zip(guesses, items, strict=True)])
    assert losses[-1] == pytest.approx(wanted, rel=1e-4)
    assert not (folder / "samples").exists()


@pytest.mark.usefixtures("forget_accelerator")
def test_run_that_was_stopped_goes_on_exactly(index: Path) -> None:
    run(index, "whole")
    run(index, "parts", epochs=2)
    run(index, "parts")
    whole, parts = (index.parent / name for name in ("whole", "parts"))
    assert lines(whole, "loss") == lines(parts, "loss")
    weights = [(folder / "last" / "line.safetensors").read_bytes() for folder in (whole, parts)]
    assert weights[0] == weights[1]


@pytest.mark.usefixtures("forget_accelerator")
def test_other_inputs_are_refused(index: Path) -> None:
    run(index, epochs=1, inputs={"weights_sha256": "ab"})
    with pytest.raises(InputError, match=r"begun with weights of SHA-256 = 'ab', now it is 'cd'"):
        run(index, epochs=1, inputs={"weights_sha256": "cd"})


@pytest.mark.usefixtures("forget_accelerator")
def test_another_shape_is_refused_however_deep_it_differs(index: Path) -> None:
    run(index, epochs=1)
    other = Line(LineConfig(beginning=Beginning(bias=1.0)))
    with pytest.raises(InputError, match=r"model\.beginning\.bias = 0\.0, now it is 1\.0"):
        run(index, epochs=1, model=other)


@pytest.mark.usefixtures("forget_accelerator")
def test_samples_are_shown_when_due(index: Path) -> None:
    shown = []

    def show(model: Line, folder: Path, step: int) -> str:
        assert isinstance(model, Line)
        shown.append((folder, step))
        return "fine"

    run(index, sample=show, sample_steps=5)
    assert shown == [(index.parent / "run" / "samples", step) for step in (5, 10)]


@pytest.mark.usefixtures("forget_accelerator")
def test_pieces_that_cannot_be_read_are_named(index: Path) -> None:
    index.write_text(json.dumps([1.0] * (NUM_ROWS - 1) + [None]))
    with pytest.raises(InputError, match="row 9 has no y"):
        run(index)
