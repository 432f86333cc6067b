"""What a run of DPO-Positive is made of: pairs of tunes, and a policy beside what it began as."""

import hashlib
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from numpy.typing import NDArray
from torch import Tensor, nn

from notagen.foundation.errors import ScoreError
from notagen.foundation.files import write_text
from notagen.generation.prompt_table import read_prompt_table, write_prompt_table
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.model.weights import save_model, weights_sha256
from notagen.preference.loss import Pair, dpo_positive_loss
from notagen.preference.pairs import Candidate, Preferences, draw_partners
from notagen.tokenizer.patches import PatchTokenizer
from notagen.tokenizer.windows import prompt_lines
from notagen.training.batching import deal, pad, plan_pieces
from notagen.training.examples import Batch, Dealt, Draw, Pieces
from notagen.training.lora import merged
from notagen.training.run import Task

Patches = NDArray[np.uint8]
"""A tune, (P, S)."""


class ReferencedTune(NamedTuple):
    """A tune as the policy reads it."""

    patches: Patches
    predicted: NDArray[np.bool_]
    """Patches whose characters count, (P,): all but those of the prompt, which is given."""
    silent: NDArray[np.bool_]
    """Patches that are predicted without n-gram heads, (P,), the same always: what is written
    with them and without them is learned alike."""
    log_prob: float = math.nan
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
        self,
        patches: Tensor,
        mask: Tensor,
        silent: Tensor,
        reference: Tensor,
        *,
        reduction: Literal["sum"] = "sum",
    ) -> Tensor:
        """Return the summed DPO-Positive loss of N pairs, a scalar.

        Args:
            patches: (2N, P, S), the chosen tunes, then the rejected ones.
            mask: (2N, P), true for patches whose characters count.
            silent: (2N, P), true for patches that are predicted without n-gram heads.
            reference: (2N,), the log-probabilities of the tunes under the reference, in nats.
            reduction: As `Batch` wants it; there is no other.
        """
        policy = self.policy.log_probs(patches, mask, silent, dtype=_sum_type(patches.device))
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
    _drawn: dict[int, list[Candidate]] = field(default_factory=dict, repr=False, compare=False)
    """Partners of the newest epoch."""

    @cached_property
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
        log_probs = torch.tensor([tune.log_prob for tune in tunes], dtype=torch.float64)
        return Batch(
            (*_tensors(tunes), log_probs),
            num_targets=len(items),
            num_patches=sum(len(tune.patches) for pair in items for tune in pair),
            weight=int(bool(items)),
        )

    def _length(self, piece: Candidate) -> int:
        return len(self.tunes[piece.name].patches)

    def _partners(self, number: int) -> list[Candidate]:
        if number not in self._drawn:
            self._drawn.clear()
            self._drawn[number] = draw_partners(self.preferences, seed=[self.seed, number])
        return self._drawn[number]


def reference_log_probs(
    accelerator: Accelerator,
    model: NotaGen,
    tunes: Mapping[str, ReferencedTune],
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
    names = sorted(tunes, key=lambda name: (len(tunes[name].patches), name))
    lengths = [len(tunes[name].patches) for name in names]
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
        tensors = _tensors([tunes[names[place]] for place in run])
        with torch.no_grad(), accelerator.autocast():
            sums = model.log_probs(
                *(tensor.to(accelerator.device) for tensor in tensors),
                dtype=_sum_type(accelerator.device),
            )
        found += zip((names[place] for place in run), sums.tolist(), strict=True)
    return dict(gather_object(found))


def reference_tunes(
    accelerator: Accelerator,
    model: NotaGen,
    texts: Mapping[str, str],
    file: Path,
    *,
    patches_per_batch: int,
    silent_share: float,
    origin: str | None,
) -> dict[str, ReferencedTune]:
    """Return tunes with their log-probabilities under a model, which are kept in a file.

    A tune longer than the model's context is seen in one window, the same always. The file is made
    anew where anything differs that the figures depend on.

    Args:
        accelerator: Of the run, whose precision is used.
        model: On any device.
        texts: What was written, by names; counters and rests as they are.
        file: Of the figures.
        patches_per_batch: Padded patches that a process takes at once.
        silent_share: Of the patches, how many a model with n-gram heads predicts without them.
        origin: Digest of the model's weights.

    Raises:
        ScoreError: If a text cannot be encoded; its name stands before.
    """
    tokenizer = PatchTokenizer(model.config.patch_size, model.config.patch_length)
    tunes = {}
    for name, text in texts.items():
        try:
            tunes[name] = _read_tune(text, tokenizer, silent_share)
        except ScoreError as error:
            raise type(error)(f"{name}: {error}") from error
    content = hashlib.sha256(f"{origin} {accelerator.mixed_precision}".encode())
    for name in sorted(tunes):
        content.update(name.encode())
        for part in tunes[name][:3]:
            content.update(str(part.shape).encode() + part.tobytes())
    digest = content.hexdigest()
    log_probs = _read_log_probs(file, digest)
    if log_probs is None:
        log_probs = reference_log_probs(
            accelerator,
            model.to(accelerator.device),
            tunes,
            patches_per_batch=patches_per_batch,
        )
        if accelerator.is_main_process:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text(file, json.dumps({"sha256": digest, "log_probs": log_probs}) + "\n")
    accelerator.wait_for_everyone()
    return {name: tune._replace(log_prob=log_probs[name]) for name, tune in tunes.items()}


def preference_task(
    model: NotaGen,
    examples: PreferenceExamples,
    *,
    beta: float,
    penalty: float,
    weights: Path,
) -> Task[PreferenceLearner]:
    """Return what `train` needs for a policy to learn preferences.

    Args:
        model: As loaded from `weights`, perhaps with `add_lora`.
        examples: The pairs, which the loss is measured on too.
        beta: See `dpo_positive_loss`.
        penalty: Likewise.
        weights: What the model was loaded from; its prompt table goes on with it.
    """
    known = read_prompt_table(weights)

    def save(whole: PreferenceLearner, folder: Path) -> None:
        save_model(merged(whole.policy), folder)
        if known:
            write_prompt_table(known, folder)

    return Task(
        model=PreferenceLearner(LearnerConfig(model.config, beta, penalty), model),
        train=examples,
        eval=examples,
        save=save,
        unit="nats per pair",
        inputs={"weights_sha256": weights_sha256(weights)},
    )


def _sum_type(device: torch.device) -> torch.dtype:
    """Return the type of sums that are compared: 64 bits, which Apple's GPUs do not have."""
    return torch.float32 if device.type == "mps" else torch.float64


def _read_tune(text: str, tokenizer: PatchTokenizer, silent_share: float) -> ReferencedTune:
    patches = tokenizer.encode(text)
    predicted = np.ones(len(patches), dtype=np.bool_)
    # behind the bos patch
    predicted[1 : 1 + len(tokenizer.encode_lines(prompt_lines(text)))] = False
    shares = np.random.Generator(np.random.PCG64(zlib.crc32(text.encode()))).random(len(patches))
    return ReferencedTune(patches, predicted, shares < silent_share)


def _tensors(tunes: Sequence[ReferencedTune]) -> tuple[Tensor, Tensor, Tensor]:
    """Return patches, mask and silent patches of B tunes, padded on the right."""
    patches, predicted, silent = (
        pad(list(parts)) for parts in zip(*(t[:3] for t in tunes), strict=True)
    )
    return patches, predicted, silent


def _read_log_probs(file: Path, digest: str) -> dict[str, float] | None:
    """Return the figures of a file, None where it is not there or of something else."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("sha256") != digest:
        return None
    return dict(content["log_probs"])
