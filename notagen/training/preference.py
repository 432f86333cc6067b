"""What a run of DPO-Positive is made of: pairs of tunes, and a policy beside what it began as."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from numpy.typing import NDArray
from torch import Tensor, nn

from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.preference.loss import Pair, dpo_positive_loss
from notagen.preference.pairs import Candidate, Preferences, draw_partners
from notagen.training.batching import deal, pad, plan_pieces
from notagen.training.examples import Batch, Dealt, Draw, Pieces

Patches = NDArray[np.uint8]
"""A tune, (P, S)."""


class ReferencedTune(NamedTuple):
    """A tune as the policy reads it."""

    patches: Patches
    log_prob: float
    """Its summed log-probability under the reference, in nats."""


@dataclass(frozen=True)
class LearnerConfig:
    """What `PreferenceLearner` is made of."""

    model: ModelConfig
    beta: float
    penalty: float


class PreferenceLearner(nn.Module):
    """A policy that learns to prefer chosen tunes to rejected ones.

    The reference is no second model: its log-probabilities come with the tunes. The policy's
    dropout stays off, as theirs was, so that both agree before the first step.
    """

    def __init__(self, config: LearnerConfig, policy: NotaGen | None = None) -> None:
        super().__init__()
        self.config = config
        self.policy = policy or NotaGen(config.model)

    def train(self, mode: bool = True) -> "PreferenceLearner":
        """Change nothing but the module's own mode: the policy stays without dropout."""
        super().train(mode)
        self.policy.eval()
        return self

    def forward(
        self, patches: Tensor, mask: Tensor, reference: Tensor, *, reduction: Literal["sum"] = "sum"
    ) -> Tensor:
        """Return the summed DPO-Positive loss of N pairs, a scalar.

        Args:
            patches: (2N, P, S), the chosen tunes, then the rejected ones.
            mask: (2N, P), true for real patches.
            reference: (2N,), the log-probabilities of the tunes under the reference, in nats.
            reduction: As `Batch` wants it; there is no other.
        """
        policy = self.policy.log_probs(patches, mask)
        losses = dpo_positive_loss(
            Pair(*policy.chunk(2)),
            Pair(*reference.to(policy).chunk(2)),
            beta=self.config.beta,
            penalty=self.config.penalty,
        )
        return losses.sum()


@dataclass(frozen=True)
class PreferenceExamples:
    """Pairs of a chosen and a rejected tune; see `training.examples.Examples`.

    A piece is a chosen tune; each epoch draws it another partner of the same prompt.
    """

    index: Path
    """The file that the preferences were read from."""
    preferences: Preferences
    tunes: Mapping[str, ReferencedTune]
    """By their names, chosen and rejected."""
    pairs_per_step: int
    """Over all processes and micro-steps."""
    patches_per_batch: int
    """Padded patches of a batch, of both tunes of its pairs; a longer pair is one alone."""
    seed: int

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Padded patches of each pair: twice the longest tune that may be in it."""
        longest: dict[object, int] = {}
        for piece in self.preferences.rejected:
            longest[piece.prompt] = max(longest.get(piece.prompt, 0), self._length(piece))
        lengths = [
            2 * max(self._length(piece), longest[piece.prompt]) for piece in self.preferences.chosen
        ]
        return np.array(lengths, dtype=np.int32)

    @property
    def num_steps(self) -> int:
        """Optimizer steps of an epoch."""
        return max(1, len(self) // self.pairs_per_step)

    def __len__(self) -> int:
        """Return the number of chosen tunes."""
        return len(self.preferences.chosen)

    def plan(self, epoch: int) -> Sequence[Pieces]:
        """Return the pairs of each step; what fills none is left out of the epoch."""
        return plan_pieces(
            len(self), pieces_per_step=self.pairs_per_step, seed=self.seed, epoch=epoch
        )

    def deal(self, pieces: Pieces, num_processes: int) -> Dealt:
        """Deal the pairs of a step, those of like length together: see the function `deal`."""
        lengths = self.lengths
        return deal(
            sorted((int(piece) for piece in pieces), key=lambda piece: (lengths[piece], piece)),
            lengths,
            patches_per_batch=self.patches_per_batch,
            num_processes=num_processes,
        )

    def deal_eval(self, num_processes: int) -> Dealt:
        """Deal all pairs."""
        return self.deal(range(len(self)), num_processes)

    def read(self, draw: Draw) -> tuple[ReferencedTune, ReferencedTune]:
        """Return the chosen tune and its partner in the epoch; the fixed draw has another."""
        place, epoch = draw
        partner = self._partners(0 if epoch is None else epoch + 1)[place]
        return self.tunes[self.preferences.chosen[place].name], self.tunes[partner.name]

    def collate(self, items: Sequence[tuple[ReferencedTune, ReferencedTune]]) -> Batch:
        """Return N pairs as the arguments of `PreferenceLearner.forward`.

        No pairs become one of two tunes of this data set that counts nothing.
        """
        pairs = items or [self.read((0, None))]
        tunes = [*(chosen for chosen, _ in pairs), *(rejected for _, rejected in pairs)]
        tensors = (
            pad([tune.patches for tune in tunes]),
            pad([np.ones(len(tune.patches), dtype=np.bool_) for tune in tunes]),
            torch.tensor([tune.log_prob for tune in tunes], dtype=torch.float64),
        )
        return Batch(
            tensors,
            num_targets=len(items),
            num_patches=sum(len(tune.patches) for pair in items for tune in pair),
            weight=int(bool(items)),
        )

    def _length(self, piece: Candidate) -> int:
        return len(self.tunes[piece.name].patches)

    def _partners(self, number: int) -> list[Candidate]:
        return draw_partners(self.preferences, seed=[self.seed, number])


def reference_log_probs(
    accelerator: Accelerator,
    model: NotaGen,
    tunes: Mapping[str, Patches],
    *,
    patches_per_batch: int,
) -> dict[str, float]:
    """Return each tune's summed log-probability under a model, in nats, its dropout off.

    The processes share the work; each has all figures at the end.

    Args:
        accelerator: Of the run, whose precision is used.
        model: On the accelerator's device.
        tunes: By their names.
        patches_per_batch: Padded patches that a process takes at once.
    """
    names = sorted(tunes, key=lambda name: (len(tunes[name]), name))
    lengths = [len(tunes[name]) for name in names]
    dealt = deal(
        range(len(names)),
        lengths,
        patches_per_batch=patches_per_batch,
        num_processes=accelerator.num_processes,
    )
    model.eval()
    found: list[tuple[str, float]] = []
    for run in dealt[accelerator.process_index]:
        if not run:
            continue
        batch = [tunes[names[place]] for place in run]
        patches = pad(batch).to(accelerator.device)
        mask = pad([np.ones(len(tune), dtype=np.bool_) for tune in batch]).to(accelerator.device)
        with torch.no_grad(), accelerator.autocast():
            sums = model.log_probs(patches, mask)
        found += zip((names[place] for place in run), sums.tolist(), strict=True)
    return dict(gather_object(found))
