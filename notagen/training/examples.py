"""What a run learns from: the examples of any model, and the batches they make."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Draw = tuple[int, int | None]
"""A piece's place in the index, and the epoch it is drawn in; None is the fixed draw."""
Pieces = Sequence[int] | NDArray[np.int64]
"""Places of pieces in a data set."""
Dealt = list[list[list[int]]]
"""Pieces of a step or an evaluation by process and micro-step: `[process][micro-step]`."""


@dataclass(frozen=True)
class Batch:
    """What a process computes at once.

    The loss of a step is the sum of what the model returns for its batches, on all processes, over
    the sum of their targets.
    """

    tensors: tuple[Tensor, ...]
    """The model's positional arguments; it returns a summed loss: `model(*tensors,
    reduction="sum")`."""
    num_targets: int
    """What its loss is a sum over: characters, pairs."""
    num_patches: int
    """Patches of its pieces, padding not counted: the speed of a run is counted in them."""
    weight: int = 1
    """0 for a batch that only keeps a process in step with the others, 1 for all else."""

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on another device; Apple's GPUs get 32 bits of a 64-bit float."""
        tensors = self.tensors
        if device.type == "mps":
            tensors = tuple(x.float() if x.is_floating_point() else x for x in tensors)
        return replace(self, tensors=tuple(tensor.to(device) for tensor in tensors))


class Examples(Protocol):
    """The pieces of an index as one model learns from them, or is measured on them.

    Which pieces a step sees, and all that is drawn of them, depends on the examples' own seed, the
    epoch and the piece, never on the number of processes: so a run goes on exactly, and gives the
    same on any machine. Workers that read ahead get a copy.
    """

    @property
    def index(self) -> Path:
        """The JSONL index; a run goes on only with one of the same content."""

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Length of each piece, which may decide what a step sees.

        A run goes on only with the same lengths.
        """

    @property
    def num_steps(self) -> int:
        """Optimizer steps of an epoch, the same for each."""

    def __len__(self) -> int:
        """Return the number of pieces."""

    def plan(self, epoch: int) -> Sequence[Pieces]:
        """Return the pieces of each of the `num_steps` optimizer steps of an epoch."""

    def deal(self, pieces: Pieces, num_processes: int) -> Dealt:
        """Deal the pieces of a step to processes and micro-steps: `[process][micro-step]`.

        Every process has as many micro-steps; the pieces of one may be none.
        """

    def deal_eval(self, num_processes: int) -> Dealt:
        """Deal the pieces of a whole evaluation likewise, always the same; no piece comes twice."""

    def read(self, draw: Draw) -> Any:  # noqa: ANN401 -- each model has items of its own
        """Return a drawn piece as `collate` wants it; in a worker, where there are some.

        Raises:
            InputError: If it cannot be read; it is named.
            ScoreError: If it cannot be encoded; it is named.
        """

    def collate(self, items: Sequence[Any]) -> Batch:
        """Return the batch of the pieces of a micro-step, in their order.

        No pieces become a batch of weight 0 that the model can compute all the same: every process
        runs the model equally often.
        """
