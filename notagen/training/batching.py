"""Which pieces an optimizer step sees, and how they travel to it in padded batches."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from notagen.foundation.errors import InputError, ScoreError
from notagen.training.data import Draw, TuneDataset

_STEPS_PER_WINDOW = 16
"""Steps whose pieces are sorted by length together: enough to spare most padding, few enough that
an epoch's steps bring other pieces together than the one's before."""
_FEWEST_PER_WINDOW = 4
"""The same in a short epoch, whose windows are a quarter of it if that is more."""

Piece = NDArray[np.uint8]
"""Patches of one tune, (num_patches, patch_size)."""
Read = tuple[Piece, NDArray[np.bool_]]
"""A piece, and which of its patches are predicted, (num_patches,)."""
Refusal = InputError | ScoreError
"""Why a tune cannot be read."""
Lengths = Sequence[int] | NDArray[np.int32]
"""Patches of each piece of a data set."""
Pieces = Sequence[int] | NDArray[np.int64]
"""Places of pieces in a data set."""


@dataclass(frozen=True)
class Batch:
    """Pieces padded to the longest: B of them, P patches of S characters."""

    patches: Tensor
    """Ids, (B, P, S), uint8; padded patches are all 0."""
    mask: Tensor
    """(B, P), bool; True for the patches whose characters are predicted, and for the first."""
    num_patches: int
    """Patches of its pieces, predicted or not."""
    weight: int = 1
    """0 for a batch that only keeps a process in step with the others, 1 for all else."""

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on another device."""
        return Batch(self.patches.to(device), self.mask.to(device), self.num_patches, self.weight)


class _Reader(Dataset[Read | Refusal]):
    """Tunes, or why they are refused.

    Raised in a worker, the reason would arrive wrapped in that worker's traceback.
    """

    def __init__(self, tunes: TuneDataset, sampled_share: float) -> None:
        self.tunes = tunes
        self.sampled_share = sampled_share

    def __getitem__(self, draw: Draw) -> Read | Refusal:
        try:
            piece = self.tunes[draw]
            return piece, self.tunes.predicted(draw, len(piece), self.sampled_share)
        except (InputError, ScoreError) as refusal:
            return refusal


class Collate:
    """Pads pieces to one batch.

    No pieces at all, where a step has too few for every process, become a batch of weight 0 with
    a bos and an eos patch: every process runs the model equally often.

    Args:
        blank: Patches of the piece that stands for none, (num_patches, patch_size).
    """

    def __init__(self, blank: Piece) -> None:
        self.blank = blank

    def __call__(self, read: Sequence[Read | Refusal]) -> Batch | Refusal:
        """Return the batch of pieces, or why one is refused."""
        pieces: list[Read] = []
        for one in read:
            if isinstance(one, Refusal):
                return one
            pieces.append(one)
        shown = pieces or [(self.blank, np.ones(len(self.blank), dtype=np.bool_))]
        longest = max(len(piece) for piece, _ in shown)
        patches = np.zeros((len(shown), longest, self.blank.shape[1]), dtype=np.uint8)
        mask = np.zeros((len(shown), longest), dtype=np.bool_)
        for row, (piece, predicted) in enumerate(shown):
            patches[row, : len(piece)] = piece
            mask[row, : len(piece)] = predicted
        return Batch(
            torch.from_numpy(patches),
            torch.from_numpy(mask),
            num_patches=sum(len(piece) for piece, _ in pieces),
            weight=int(bool(pieces)),
        )


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


def deal(
    pieces: Pieces, lengths: Lengths, *, patches_per_batch: int, num_processes: int
) -> list[list[list[int]]]:
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


def train_batches(
    tunes: TuneDataset,
    steps: Iterable[Pieces],
    *,
    epoch: int,
    rank: int,
    num_processes: int,
    patches_per_batch: int,
    sampled_share: float,
    workers: int,
) -> Iterator[list[Batch]]:
    """Yield one process's share of each optimizer step: its batches, on every process as many.

    Args:
        tunes: Where the pieces are.
        steps: Pieces of each step, from `plan_epoch`.
        epoch: Decides keys, windows and the patches that are predicted.
        rank: This process, 0 to num_processes - 1.
        num_processes: Processes that train together.
        patches_per_batch: Padded patches in a batch. A piece may be a little longer than the index
            says, in another key and after its prompt, and so may a batch.
        sampled_share: Of a piece's patches, how many are predicted, in (0, 1].
        workers: Processes that read ahead; 0 reads here.

    Raises:
        InputError: If a text cannot be read; it is named.
        ScoreError: If a text cannot be transposed or encoded; it is named.
    """
    dealt = (
        deal(step, tunes.lengths, patches_per_batch=patches_per_batch, num_processes=num_processes)[
            rank
        ]
        for step in steps
    )
    # read ahead of the steps that are told here
    ahead, told = itertools.tee(dealt)
    batches = _read(
        tunes,
        (run for runs in ahead for run in runs),
        epoch=epoch,
        sampled_share=sampled_share,
        workers=workers,
    )
    for runs in told:
        yield [next(batches) for _ in runs]


def eval_batches(
    tunes: TuneDataset, *, patches_per_batch: int, rank: int, num_processes: int, workers: int
) -> tuple[Iterator[Batch], int]:
    """Return one process's share of an evaluation, and how many batches it is on every process.

    Over all processes each piece comes once, in its own key and a fixed window, every patch
    predicted. Arguments are those of `train_batches`; the iterator raises what it raises.
    """
    order = np.argsort(tunes.lengths, kind="stable")
    runs = deal(
        order, tunes.lengths, patches_per_batch=patches_per_batch, num_processes=num_processes
    )[rank]
    return _read(tunes, runs, epoch=None, sampled_share=1, workers=workers), len(runs)


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


def _read(
    tunes: TuneDataset,
    runs: Iterable[list[int]],
    *,
    epoch: int | None,
    sampled_share: float,
    workers: int,
) -> Iterator[Batch]:
    """Yield the batch of each run of pieces."""
    blank = np.array([tunes.tokenizer.bos_patch, tunes.tokenizer.eos_patch], dtype=np.uint8)
    # its pieces are collated to batches; its type names one type for both
    loader = DataLoader[Any](
        _Reader(tunes, sampled_share),
        batch_sampler=([(piece, epoch) for piece in run] for run in runs),
        collate_fn=Collate(blank),
        num_workers=workers,
        # its own generator: each pass would otherwise draw from the one that dropout uses
        generator=torch.Generator(),
    )
    for batch in loader:
        if isinstance(batch, Refusal):
            raise batch
        yield batch
