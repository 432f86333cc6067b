"""Which pieces an optimizer step sees, and how they travel to it in padded batches."""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from notagen.foundation.errors import InputError, ScoreError
from notagen.training.data import Draw, TuneDataset

_STEPS_PER_WINDOW = 64
"""Steps whose pieces are sorted by length together: enough to spare most padding, few enough that
a step still mixes pieces from anywhere in the order."""


Piece = NDArray[np.uint8]
"""Patches of one tune, (num_patches, patch_size)."""
Refusal = InputError | ScoreError
"""Why a tune cannot be read."""


@dataclass(frozen=True)
class Batch:
    """Pieces padded to the longest: B of them, P patches of S characters."""

    patches: Tensor
    """Ids, (B, P, S), uint8; padded patches are all 0."""
    mask: Tensor
    """(B, P), bool; True for patches of the piece."""
    weight: int = 1
    """0 for a batch that only keeps a process in step with the others, 1 for all else."""

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on another device."""
        return Batch(
            self.patches.to(device, non_blocking=True),
            self.mask.to(device, non_blocking=True),
            self.weight,
        )


class _Reader(Dataset[Piece | Refusal]):
    """Tunes, or why they are refused.

    Raised in a worker, the reason would arrive wrapped in that worker's traceback.
    """

    def __init__(self, tunes: TuneDataset) -> None:
        self.tunes = tunes

    def __getitem__(self, draw: Draw) -> Piece | Refusal:
        try:
            return self.tunes[draw]
        except (InputError, ScoreError) as refusal:
            return refusal


class Collate:
    """Pads pieces to one batch.

    No pieces at all, where a last step has fewer than processes, become a batch of weight 0 with
    a bos and an eos patch: every process runs the model equally often.

    Args:
        blank: Patches of the piece that stands for none, (num_patches, patch_size).
    """

    def __init__(self, blank: Piece) -> None:
        self.blank = blank

    def __call__(self, read: Sequence[Piece | Refusal]) -> Batch | Refusal:
        """Return the batch of pieces, each (num_patches, patch_size), or why one is refused."""
        pieces: list[Piece] = []
        for piece in read:
            if isinstance(piece, Refusal):
                return piece
            pieces.append(piece)
        shown = pieces or [self.blank]
        longest = max(len(piece) for piece in shown)
        patches = np.zeros((len(shown), longest, shown[0].shape[1]), dtype=np.uint8)
        mask = np.zeros((len(shown), longest), dtype=np.bool_)
        for row, piece in enumerate(shown):
            patches[row, : len(piece)] = piece
            mask[row, : len(piece)] = True
        return Batch(torch.from_numpy(patches), torch.from_numpy(mask), int(bool(pieces)))


def plan_epoch(
    lengths: Sequence[int], *, pieces_per_step: int, seed: int, epoch: int
) -> list[list[int]]:
    """Return the pieces of each optimizer step of an epoch; each piece is in one step.

    The order is shuffled, cut into windows, sorted by length inside each and cut into steps, which
    are shuffled again. The pieces of a step do not depend on the number of processes.

    Args:
        lengths: Patches of each piece.
        pieces_per_step: Pieces in a step, over all processes and micro-steps, > 0.
        seed: Of the order.
        epoch: Each has an order of its own.
    """
    rng = random.Random(f"{seed}/{epoch}")  # noqa: S311 -- no secret
    order = list(range(len(lengths)))
    rng.shuffle(order)
    window = _STEPS_PER_WINDOW * pieces_per_step
    steps: list[list[int]] = []
    for start in range(0, len(order), window):
        pieces = sorted(order[start : start + window], key=lengths.__getitem__)
        steps += _cut(pieces, pieces_per_step)
    rng.shuffle(steps)
    return steps


def deal(pieces: Sequence[int], hands: int) -> list[list[int]]:
    """Return the pieces in `hands` runs whose sizes differ by one at most; none is left over."""
    bounds = [len(pieces) * hand // hands for hand in range(hands + 1)]
    return [list(pieces[start:end]) for start, end in itertools.pairwise(bounds)]


def train_batches(
    tunes: TuneDataset,
    steps: Sequence[Sequence[int]],
    *,
    epoch: int,
    rank: int,
    num_processes: int,
    accumulation_steps: int,
    workers: int,
) -> Iterator[list[Batch]]:
    """Yield one process's share of each optimizer step: `accumulation_steps` batches.

    Args:
        tunes: Where the pieces are.
        steps: Pieces of each step, from `plan_epoch`.
        epoch: Decides keys and windows.
        rank: This process, 0 to num_processes - 1.
        num_processes: Processes that train together.
        accumulation_steps: Batches a process sees in a step.
        workers: Processes that read ahead; 0 reads here.

    Raises:
        InputError: If a text cannot be read; it is named.
        ScoreError: If a text cannot be transposed or encoded; it is named.
    """
    draws: list[list[Draw]] = []
    for step in steps:
        hands = deal(step, num_processes * accumulation_steps)
        draws += [[(piece, epoch) for piece in hand] for hand in hands[rank::num_processes]]
    batches = _read(tunes, draws, workers)
    for _ in steps:
        yield [next(batches) for _ in range(accumulation_steps)]


def eval_batches(
    tunes: TuneDataset, *, batch_size: int, rank: int, num_processes: int, workers: int
) -> Iterator[Batch]:
    """Yield one process's share of an evaluation: over all processes each piece comes once.

    Own keys and fixed windows; processes may get unequal numbers of batches, or none. Raises what
    `train_batches` raises.
    """
    order = sorted(range(len(tunes)), key=tunes.lengths.__getitem__)
    share = _cut(order, batch_size)[rank::num_processes]
    yield from _read(tunes, [[(piece, None) for piece in pieces] for pieces in share], workers)


def _read(tunes: TuneDataset, draws: list[list[Draw]], workers: int) -> Iterator[Batch]:
    blank = np.array([tunes.tokenizer.bos_patch, tunes.tokenizer.eos_patch], dtype=np.uint8)
    # its pieces are collated to batches; its type names one type for both
    loader = DataLoader[Any](
        _Reader(tunes),
        batch_sampler=draws,
        collate_fn=Collate(blank),
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        # its own generator: each pass would otherwise draw from the one that dropout uses
        generator=torch.Generator(),
    )
    for batch in loader:
        if isinstance(batch, Refusal):
            raise batch
        yield batch


def _cut(pieces: Sequence[int], size: int) -> list[list[int]]:
    return [list(pieces[start : start + size]) for start in range(0, len(pieces), size)]
