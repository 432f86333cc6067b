"""Which pieces an optimizer step sees, and how they travel to it in padded batches."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from notagen.foundation.errors import InputError, ScoreError
from notagen.training.data import TuneDataset
from notagen.training.examples import Batch, Dealt, Draw, Examples, Pieces
from notagen.training.settings import PatchRunConfig

_STEPS_PER_WINDOW = 16
"""Steps whose pieces are sorted by length together: enough to spare most padding, few enough that
an epoch's steps bring other pieces together than the one's before."""
_FEWEST_PER_WINDOW = 4
"""The same in a short epoch, whose windows are a quarter of it if that is more."""

Refusal = InputError | ScoreError
"""Why a piece cannot be read."""
Lengths = Sequence[int] | NDArray[np.int32]
"""Patches of each piece of a data set."""


def count_steps(lengths: Lengths, patches_per_step: int) -> int:
    """Return the number of optimizer steps of an epoch, the same for each: see `plan_epoch`."""
    total = int(np.sum(lengths, dtype=np.int64))
    return min(len(lengths), math.ceil(total / patches_per_step))


def plan_epoch(
    lengths: Lengths, *, patches_per_step: int, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Return the pieces of each optimizer step of an epoch; each piece is in one step.

    The order is shuffled, cut into windows, sorted by length inside each, up and down in turn, and
    cut into steps of equally many patches, as near as whole pieces allow. The steps are shuffled
    again. None is empty; the pieces of one are sorted by length. Nothing depends on the number of
    processes.

    Args:
        lengths: Patches of each piece, > 0.
        patches_per_step: In a step, over all processes and micro-steps, > 0; as the steps share
            the patches evenly, they have up to so many on average.
        seed: Of the order, >= 0.
        epoch: Each has an order of its own, >= 0.
    """
    num_pieces, num_steps = len(lengths), count_steps(lengths, patches_per_step)
    if not num_steps:
        return []
    rng = np.random.Generator(np.random.PCG64([seed, epoch]))
    order = rng.permutation(num_pieces)
    sizes = np.asarray(lengths, dtype=np.int64)
    # few steps still need two windows, else they would be the same in every epoch
    steps_per_window = min(_STEPS_PER_WINDOW, max(_FEWEST_PER_WINDOW, num_steps / 4), num_steps / 2)
    window = np.arange(num_pieces) // math.ceil(num_pieces * steps_per_window / num_steps)
    # up, then down: a step across two windows holds alike pieces too
    order = order[np.lexsort((np.where(window % 2, -1, 1) * sizes[order], window))]
    ends = np.cumsum(sizes[order])
    step = np.arange(1, num_steps)
    # where a cut falls inside a piece, the piece goes where its greater part lies
    cuts = np.searchsorted(ends - sizes[order] / 2, ends[-1] * step / num_steps)
    # at least one piece a step: before each cut, and after it
    cuts = np.maximum(np.maximum.accumulate(cuts - step), 0) + step
    cuts = np.minimum(cuts, num_pieces - num_steps + step)
    starts = np.concatenate(([0], cuts))
    stops = np.concatenate((cuts, [num_pieces]))
    order = order[np.lexsort((sizes[order], np.repeat(np.arange(num_steps), stops - starts)))]
    shuffled = rng.permutation(num_steps)
    bounds = zip(starts[shuffled].tolist(), stops[shuffled].tolist(), strict=True)
    return [order[start:stop] for start, stop in bounds]


def plan_pieces(
    num_pieces: int, *, pieces_per_step: int, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Return the pieces of each optimizer step of an epoch, equally many in each.

    What does not fill a step is left out of the epoch, other pieces in each; where there are too
    few for one step, they are one.

    Args:
        num_pieces: Of the data set.
        pieces_per_step: Over all processes, > 0.
        seed: Of the order, >= 0.
        epoch: Each has an order of its own, >= 0.
    """
    order = np.random.Generator(np.random.PCG64([seed, epoch])).permutation(num_pieces)
    size = min(pieces_per_step, num_pieces)
    return [order[end - size : end] for end in range(size, num_pieces + 1, size)] if size else []


def deal(pieces: Pieces, lengths: Lengths, *, patches_per_batch: int, num_processes: int) -> Dealt:
    """Deal the pieces of a step to processes and micro-steps: `[process][micro-step]` -> pieces.

    Each batch is a run of the pieces as they stand, padded to `patches_per_batch` at most; a longer
    piece is a batch alone. Every process has equally many micro-steps, as few as that allows; of
    all ways to cut them, one whose largest padded batch is smallest. Batches may be empty.

    Args:
        pieces: Sorted by length, else more is padded.
        lengths: Patches of each piece of the data set.
        patches_per_batch: Padded patches that a process takes at once, > 0.
        num_processes: Processes that share the step.
    """
    sizes = np.asarray(lengths)[np.asarray(pieces, dtype=np.int64)].tolist()
    fewest = len(_cut(sizes, patches_per_batch))
    num_runs = math.ceil(fewest / num_processes) * num_processes
    # the smallest room that so many runs can do with, by bisection
    high = patches_per_batch
    low = min(max(sizes, default=1), high)
    while low < high:
        middle = (low + high) // 2
        if len(_cut(sizes, middle)) <= num_runs:
            high = middle
        else:
            low = middle + 1
    ends = _cut(sizes, high)
    runs = [
        [int(piece) for piece in pieces[start:end]] for start, end in itertools.pairwise([0, *ends])
    ]
    runs += [[] for _ in range(num_runs - len(runs))]
    return [runs[process::num_processes] for process in range(num_processes)]


@dataclass(frozen=True)
class PatchedTunes:
    """Tunes whose steps and batches are counted in patches.

    It is all of a model's `Examples` but the two that each has its own of, `read` and `collate`.
    """

    tunes: TuneDataset
    patches_per_step: int
    """On average, over all processes and micro-steps; see `plan_epoch`."""
    patches_per_batch: int
    """Padded patches of a batch. A piece may be a little longer than the data set says, in another
    key and after its prompt, and so may a batch."""
    sampled_share: float = 1.0
    """Of the patches to predict, how many `read` chooses, in (0, 1]; of the fixed draw all."""

    @classmethod
    def of_run(cls, tunes: TuneDataset, config: PatchRunConfig) -> Self:
        """Return the examples of a run with these settings."""
        return cls(tunes, config.patches_per_step, config.patches_per_batch, config.sampled_share)

    @property
    def index(self) -> Path:
        """The tunes' index."""
        return self.tunes.index

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Patches of each tune."""
        return self.tunes.lengths

    @property
    def num_steps(self) -> int:
        """Optimizer steps of an epoch."""
        return count_steps(self.lengths, self.patches_per_step)

    def __len__(self) -> int:
        """Return the number of tunes."""
        return len(self.tunes)

    def plan(self, epoch: int) -> Sequence[Pieces]:
        """Return the tunes of each step: see `plan_epoch`."""
        return plan_epoch(
            self.lengths,
            patches_per_step=self.patches_per_step,
            seed=self.tunes.seed,
            epoch=epoch,
        )

    def deal(self, pieces: Pieces, num_processes: int) -> Dealt:
        """Deal the tunes of a step: see the function `deal`."""
        return deal(
            pieces,
            self.lengths,
            patches_per_batch=self.patches_per_batch,
            num_processes=num_processes,
        )

    def deal_eval(self, num_processes: int) -> Dealt:
        """Deal all tunes, those of like length together."""
        return self.deal(np.argsort(self.lengths, kind="stable"), num_processes)


def train_batches(
    examples: Examples,
    steps: Iterable[Pieces],
    *,
    epoch: int,
    rank: int,
    num_processes: int,
    workers: int,
) -> Iterator[list[Batch]]:
    """Yield one process's share of each optimizer step: its batches, on every process as many.

    Args:
        examples: Where the pieces are.
        steps: Pieces of each step, of the examples' plan.
        epoch: Decides what is drawn of each piece.
        rank: This process, 0 to num_processes - 1.
        num_processes: Processes that train together.
        workers: Processes that read ahead; 0 reads here.

    Raises:
        InputError: If a piece cannot be read; it is named.
        ScoreError: If a piece cannot be encoded; it is named.
    """
    dealt = (examples.deal(step, num_processes)[rank] for step in steps)
    # read ahead of the steps that are told here
    ahead, told = itertools.tee(dealt)
    batches = _read(examples, (run for runs in ahead for run in runs), epoch=epoch, workers=workers)
    for runs in told:
        yield [next(batches) for _ in runs]


def eval_batches(
    examples: Examples, *, rank: int, num_processes: int, workers: int
) -> tuple[Iterator[Batch], int]:
    """Return one process's share of an evaluation, and how many batches it is on every process.

    Over all processes each piece comes once at most, in its fixed draw. Arguments are those of
    `train_batches`; the iterator raises what it raises.
    """
    runs = examples.deal_eval(num_processes)[rank]
    return _read(examples, runs, epoch=None, workers=workers), len(runs)


def pad(rows: Sequence[NDArray[np.generic]]) -> torch.Tensor:
    """Return arrays of one shape but for their lengths as one tensor, (B, longest, ...), with 0."""
    padded = np.zeros((len(rows), max(map(len, rows)), *rows[0].shape[1:]), dtype=rows[0].dtype)
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return torch.from_numpy(padded)


def _cut(sizes: Sequence[int], room: int) -> list[int]:
    """Return the ends of the fewest runs that fit the room when padded, or hold one piece."""
    ends: list[int] = []
    start = longest = 0
    for place, size in enumerate(sizes):
        longest = max(longest, size)
        if place > start and (place - start + 1) * longest > room:
            ends.append(place)
            start, longest = place, size
    return [*ends, len(sizes)] if sizes else []


class _Reader(Dataset[Any]):
    """Drawn pieces, or why they are refused.

    Raised in a worker, the reason would arrive wrapped in that worker's traceback.
    """

    def __init__(self, examples: Examples) -> None:
        self.examples = examples

    def __getitem__(self, draw: Draw) -> Any:  # noqa: ANN401 -- each model has items of its own
        try:
            return self.examples.read(draw)
        except (InputError, ScoreError) as refusal:
            return refusal

    def collate(self, items: Sequence[Any]) -> Batch | Refusal:
        for item in items:
            if isinstance(item, Refusal):
                return item
        return self.examples.collate(items)


def _read(
    examples: Examples, runs: Iterable[list[int]], *, epoch: int | None, workers: int
) -> Iterator[Batch]:
    """Yield the batch of each run of pieces."""
    reader = _Reader(examples)
    # its pieces are collated to batches; its type names one type for both
    loader = DataLoader[Any](
        reader,
        batch_sampler=([(piece, epoch) for piece in run] for run in runs),
        collate_fn=reader.collate,
        num_workers=workers,
        # its own generator: each pass would otherwise draw from the one that dropout uses
        generator=torch.Generator(),
    )
    for batch in loader:
        if isinstance(batch, Refusal):
            raise batch
        yield batch
