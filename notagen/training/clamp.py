"""What a run that trains CLaMP 2 is made of: pieces, texts about them, and spoiled copies."""

import hashlib
import math
import random
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from notagen.features.clamp import Clamp
from notagen.features.damage import NEED_OTHER, TAUGHT, damage
from notagen.features.descriptions import describe, drop_fields, remove_instruments, sentence
from notagen.features.patches import Patches
from notagen.features.text import TEXT_LENGTH
from notagen.features.weights import encoder_sha256, save_clamp
from notagen.foundation.errors import InputError
from notagen.notation.transpose import transpose
from notagen.training.batching import pad, plan_pieces
from notagen.training.data import TuneDataset, named
from notagen.training.examples import Batch, Dealt, Draw, Examples, Pieces
from notagen.training.run import Task
from notagen.training.settings import ClampTrainConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ANONYMOUS = 0.9
"""Share of the training samples whose music loses the names of its instruments."""
_METRE = re.compile(r"^M:.*", re.MULTILINE)
_TRIES = 8
"""Pieces looked at to find one of the same metre."""


class Pair(NamedTuple):
    """A piece and its text."""

    patches: Patches
    """A segment of the piece, (n, patch_size)."""
    ids: NDArray[np.int64]
    """Its text, (m,)."""
    name: int
    """Equal for equal texts."""
    damaged: Patches | None
    """A segment of a spoiled copy."""


@dataclass(frozen=True)
class PairExamples:
    """Pieces with their texts as CLaMP 2 learns from them; see `training.examples.Examples`.

    Every step has equally many pairs, and every process equally many of them at once: each pair is
    told from all others of its step. What does not fill a step is left out of an epoch.
    """

    tunes: TuneDataset
    words: "PreTrainedTokenizerBase"
    """Tokenizer of the text side."""
    pairs_per_step: int
    damaged: bool
    """Whether each piece comes with a spoiled copy."""

    @property
    def index(self) -> Path:
        """The tunes' index."""
        return self.tunes.index

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Patches of each piece; the speed of a run is counted in them."""
        return self.tunes.lengths

    @property
    def num_steps(self) -> int:
        """Optimizer steps of an epoch."""
        return max(1, len(self.tunes) // self.pairs_per_step)

    def __len__(self) -> int:
        """Return the number of pieces."""
        return len(self.tunes)

    def plan(self, epoch: int) -> Sequence[Pieces]:
        """Return the pieces of each step, in an order of its own for each epoch."""
        return plan_pieces(
            len(self), pieces_per_step=self.pairs_per_step, seed=self.tunes.seed, epoch=epoch
        )

    def deal(self, pieces: Pieces, num_processes: int) -> Dealt:
        """Deal the pairs of a step evenly, one batch a process.

        Raises:
            InputError: If the processes cannot share them evenly.
        """
        share, over = divmod(len(pieces), num_processes)
        if over:
            raise InputError(
                f"found {len(pieces)} pairs in a step for {num_processes} processes, wanted as "
                f"many for each: set pairs_per_step to a multiple of the processes"
            )
        return [
            [[int(piece) for piece in pieces[share * rank : share * (rank + 1)]]]
            for rank in range(num_processes)
        ]

    def deal_eval(self, num_processes: int) -> Dealt:
        """Deal all pieces in steps as large as in training, each computed by one process alone."""
        order = np.random.Generator(np.random.PCG64(self.tunes.seed)).permutation(len(self))
        num_steps = math.ceil(len(order) / self.pairs_per_step)
        steps = [[int(piece) for piece in step] for step in np.array_split(order, num_steps)]
        steps += [[]] * (-len(steps) % num_processes)
        return [steps[rank::num_processes] for rank in range(num_processes)]

    def read(self, draw: Draw) -> Pair:
        """Return a drawn piece with a text about it.

        The fixed draw has all that can be said about it; others have part of that, and mostly no
        names of instruments.

        Raises:
            InputError: If a text cannot be read; it is named.
            ScoreError: If a text cannot be transposed or encoded; it is named.
        """
        drawn = self.tunes.text(draw)
        fixed = draw[1] is None
        with named(drawn.file, drawn.key):
            fields = describe(drawn.entry, drawn.text)
            said = sentence(fields) if fixed else drop_fields(fields, drawn.rng)
            ids = self.words(said, truncation=True, max_length=TEXT_LENGTH)["input_ids"]
            music = drawn.text
            if not fixed and drawn.rng.random() < ANONYMOUS:
                music = remove_instruments(music)
            spoiled = self._spoiled(music, drawn.key, drawn.rng) if self.damaged else None
            patches, copy = self._segments(music, spoiled, None if fixed else drawn.rng)
        return Pair(patches, np.array(ids, dtype=np.int64), zlib.crc32(said.encode()), copy)

    def collate(self, items: Sequence[Pair]) -> Batch:
        """Return B pairs, padded on the right: the arguments of `Clamp.forward`.

        No pairs become an empty one.
        """
        blank = self.tunes.tokenizer.encode("")
        pairs = items or [Pair(blank, np.zeros(1, dtype=np.int64), 0, blank)]
        ids = pad([pair.ids for pair in pairs])
        lengths = torch.tensor([len(pair.ids) for pair in pairs])
        names = torch.tensor([pair.name for pair in pairs])
        tensors = [pad([pair.patches for pair in pairs]), ids, lengths, names]
        copies = [pair.damaged for pair in pairs if pair.damaged is not None]
        if copies:
            tensors.append(pad(copies))
        num_patches = sum(len(pair.patches) for pair in items) + sum(map(len, copies))
        return Batch(
            tuple(tensors),
            num_targets=len(items),
            num_patches=num_patches,
            weight=int(bool(items)),
        )

    def _spoiled(self, music: str, key: str, rng: random.Random) -> str:
        """Return a copy of a piece, spoiled in a way that is drawn."""
        kind = rng.choice(sorted(TAUGHT))
        other = self._partner(music, key, rng) if kind in NEED_OTHER else None
        return damage(music, kind, rng, other=other)

    def _partner(self, music: str, key: str, rng: random.Random) -> str:
        """Return another piece, whose voices may stand in this one.

        It is of the same metre, if one is soon found, and half of the time brought into the same
        key: so the copy is wrong in its music, not only in its signs.
        """
        for _ in range(_TRIES):
            other = self.tunes.text((rng.randrange(len(self.tunes)), None)).text
            if _METRE.findall(other)[:1] == _METRE.findall(music)[:1]:
                break
        return transpose(other, key) if rng.random() < 0.5 else other

    def _segments(
        self, music: str, spoiled: str | None, rng: random.Random | None
    ) -> tuple[Patches, Patches | None]:
        """Return the same segment of a piece and of its copy; the head without random numbers."""
        tokenizer = self.tunes.tokenizer
        state = rng.getstate() if rng else None
        patches = tokenizer.encode(music, rng=rng)
        if spoiled is None:
            return patches, None
        if rng is not None and state is not None:
            rng.setstate(state)
        return patches, tokenizer.encode(spoiled, rng=rng)


def clamp_task(
    model: Clamp,
    words: "PreTrainedTokenizerBase",
    train_tunes: TuneDataset,
    eval_tunes: TuneDataset,
    config: ClampTrainConfig,
) -> Task[Clamp]:
    """Return what `train` needs to train CLaMP 2.

    Args:
        model: New, its music side perhaps of M3.
        words: Tokenizer of its text side.
        train_tunes: To learn from, encoded by `MusicTokenizer`.
        eval_tunes: To measure the loss on.
        config: The run's settings.
    """

    def examples(tunes: TuneDataset) -> PairExamples:
        return PairExamples(tunes, words, config.pairs_per_step, config.damaged)

    return Task(
        model=model,
        train=examples(train_tunes),
        eval=examples(eval_tunes),
        save=partial(save_clamp, tokenizer=words),
        unit="nats per pair",
        inputs={"m3_sha256": encoder_sha256(config.m3), "words_sha256": _digest(words)},
    )


def _digest(words: "PreTrainedTokenizerBase") -> str:
    """Return the SHA-256 of a tokenizer's vocabulary."""
    return hashlib.sha256(repr(sorted(words.get_vocab().items())).encode()).hexdigest()


def centre(model: Clamp, examples: Examples) -> None:
    """Centre the features of a new model, see `Clamp.centre`, on the pairs of the first step."""
    pairs = [examples.read((int(piece), 0)) for piece in examples.plan(0)[0]]
    patches, ids, lengths, *_ = examples.collate(pairs).tensors
    model.eval().centre(patches, ids, lengths)


def training_texts(tunes: TuneDataset) -> Iterator[str]:
    """Yield what can be said about each piece, for the vocabulary of a new text model."""
    for piece in range(len(tunes)):
        drawn = tunes.text((piece, None))
        with named(drawn.file, drawn.key):
            fields = describe(drawn.entry, drawn.text)
        yield sentence(fields)
        yield from (drop_fields(fields, drawn.rng) for _ in range(3))
