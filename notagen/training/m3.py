"""What a run that trains M3 is made of: pieces with patches to restore."""

import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from notagen.features.m3 import M3, count_restored
from notagen.features.masking import mask_patches
from notagen.features.patches import MusicTokenizer, Patches
from notagen.features.weights import save_m3
from notagen.foundation.index import IndexEntry
from notagen.training.batching import PatchedTunes, pad
from notagen.training.data import KeyChoice, TuneDataset
from notagen.training.examples import Batch, Draw
from notagen.training.run import Task
from notagen.training.settings import M3TrainConfig

_CHARACTERS_PER_PATCH = 25
"""Of reduced ABC: 25.0 in 300 pieces of many kinds; of one piece in twenty fewer than 17, or more
than 42. A run's steps depend on it: another number would change them."""


class Restoring(NamedTuple):
    """A piece, and what of it is to be restored."""

    patches: Patches
    """As they are, (n, patch_size)."""
    shown: Patches
    """As the model sees them, (n, patch_size)."""
    selected: NDArray[np.bool_]
    """Which are to be restored, (n,)."""


@dataclasses.dataclass(frozen=True)
class M3Examples(PatchedTunes):
    """Pieces as M3 learns from them; see `training.examples.Examples`.

    Its `sampled_share` is that of the hidden patches.
    """

    opening_epochs: int = 0
    """See `M3TrainConfig`."""

    def read(self, draw: Draw) -> Restoring:
        """Return a drawn piece, some of its patches spoiled.

        Raises:
            InputError: If the text cannot be read; it is named.
            ScoreError: If the text cannot be transposed or encoded; it is named.
        """
        drawn = self.tunes.text(draw)
        patches = self.tunes.encode(drawn)
        epoch = draw[1]
        spoiled = 1.0 if epoch is None else min(1.0, (epoch + 1) / (self.opening_epochs + 1))
        shown, selected = mask_patches(patches, drawn.rng, spoiled=spoiled)
        if epoch is not None and self.sampled_share < 1:
            selected = _sample(selected, self.sampled_share, drawn.rng)
        return Restoring(patches, shown, selected)

    def collate(self, items: Sequence[Restoring]) -> Batch:
        """Return B pieces, padded on the right to the longest.

        The tensors are patches and what is shown of them, both (B, P, S), uint8, padded with 0, and
        which are to be restored, (B, P), bool. No pieces become an empty one.
        """
        blank = self.tunes.tokenizer.encode("")
        pieces = items or [Restoring(blank, blank, np.ones(len(blank), dtype=np.bool_))]
        patches = pad([piece.patches for piece in pieces])
        selected = pad([piece.selected for piece in pieces])
        return Batch(
            (patches, pad([piece.shown for piece in pieces]), selected),
            num_targets=int(count_restored(patches, selected)),
            num_patches=sum(len(piece.patches) for piece in items),
            weight=int(bool(items)),
        )


def m3_task(
    model: M3, train_tunes: TuneDataset, eval_tunes: TuneDataset, config: M3TrainConfig
) -> Task[M3]:
    """Return what `train` needs to train a new M3 model on tunes that `MusicTokenizer` encodes."""
    train = M3Examples.of_run(train_tunes, config)
    return Task(
        model=model,
        train=dataclasses.replace(train, opening_epochs=config.opening_epochs),
        eval=M3Examples.of_run(eval_tunes, config),
        save=save_m3,
        unit="nats per restored character",
    )


def music_tunes(
    index: Path, tokenizer: MusicTokenizer, *, keys: KeyChoice, seed: int
) -> TuneDataset:
    """Return the pieces of an index as M3 and CLaMP 2 see them, without prompts.

    Arguments and errors are those of `TuneDataset`.
    """

    def estimate(_: IndexEntry, num_bytes: int) -> int:
        return num_bytes // _CHARACTERS_PER_PATCH

    return TuneDataset(index, tokenizer, keys=keys, prompted=False, seed=seed, estimate=estimate)


def _sample(selected: NDArray[np.bool_], share: float, rng: random.Random) -> NDArray[np.bool_]:
    places = np.flatnonzero(selected).tolist()
    sampled = np.zeros_like(selected)
    sampled[rng.sample(places, max(1, round(share * len(places))))] = True
    return sampled
