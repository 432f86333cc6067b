"""The settings of the scripts of `rl/`."""

import math
import shlex
from dataclasses import dataclass
from pathlib import Path

from notagen.features.scoring import SHRINKAGE
from notagen.foundation.config import check_fields
from notagen.preference.rewards import TEXT_REWARDS
from notagen.training.settings import RunConfig, check_least

CLAMP = "clamp"
"""The reward that is a piece's likeness to real ones of its prompt."""


@dataclass(frozen=True, kw_only=True)
class PreferencesConfig:
    """Settings of rl/1_preferences.py."""

    generations: Path
    """Folder of inference/generate.py, with its generations.jsonl."""
    generation_features: Path
    """Features of its pieces, from clamp_features/3_extract.py."""
    reference_features: Path
    """The same of the real pieces that they are scored against, and may be no copies of."""
    out: Path
    """Receives preferences.json, the chosen and the rejected texts; preferences.jsonl, a line about
    each piece; and kept.jsonl, the best pieces, for data/0_fetch.py."""
    reference_index: Path | None = None
    """Index of the real pieces that count, with their prompts; None for `prompts.jsonl` beside the
    features, or, where there is none, all pieces without prompts."""
    training_features: Path | None = None
    """Features of more pieces that none may be a copy of, such as all that the model learned
    from."""
    reward: str = CLAMP
    """What makes a piece better: `clamp`, likeness to real pieces of its prompt; `variety`, the
    share of its bars that are new; or a JSONL file with `name` and `reward` of each piece."""
    portion: float = 0.1
    """Share of each prompt's pieces that is chosen, and as many are rejected."""
    kept_portion: float = 0.5
    """Share of each prompt's pieces, the best that may be chosen, that kept.jsonl lists as new
    music to learn from."""
    shrinkage: float = SHRINKAGE
    """Pieces of the wider group that the mean of a prompt's real pieces is mixed with."""
    workers: int = -1
    """Processes that look at the pieces; -1 for one a core."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 < self.portion <= 0.5:
            raise ValueError(f"portion must be > 0 and at most 0.5, got {self.portion}")
        if not 0 < self.kept_portion <= 1:
            raise ValueError(f"kept_portion must be > 0 and at most 1, got {self.kept_portion}")
        if not 0 <= self.shrinkage < math.inf:
            raise ValueError(f"shrinkage must be >= 0 and finite, got {self.shrinkage}")
        if self.workers < 1 and self.workers != -1:
            raise ValueError(f"workers must be >= 1, or -1 for one a core, got {self.workers}")
        if self.reward not in (CLAMP, *TEXT_REWARDS) and not self.reward.endswith(".jsonl"):
            known = ", ".join((CLAMP, *TEXT_REWARDS))
            raise ValueError(f"reward must be {known} or a .jsonl file, got {self.reward!r}")


@dataclass(frozen=True, kw_only=True)
class DpoConfig(RunConfig):
    """Settings of rl/2_train-dpo.py."""

    preferences: Path
    """File that 1_preferences.py wrote, with its `.jsonl` beside it."""
    weights: Path
    """Weights to start from, which are the reference too: a folder with model.safetensors, a
    published .pth file, or the name of published weights."""
    epochs: int = 1
    """Passes over the chosen pieces, each with another rejected one in every pass."""
    peak_learning_rate: float = 1e-6
    """Reached after warmup_steps."""
    weight_decay: float = 0.0
    """Of the weight matrices; norms and biases have none."""
    spike_factor: float | None = None
    """None: the gradient of a chosen piece that gets less likely is many times that of others, and
    is what the penalty is for."""
    silent_share: float = 0.5
    """Share of the patches that a model with n-gram heads writes without them, the same of each
    piece always."""
    beta: float = 0.1
    """How much a nat of preference weighs."""
    penalty: float = 10.0
    """What it costs to make a chosen piece less likely than it was, the lambda of DPO-Positive;
    0 is plain DPO."""
    pairs_per_step: int = 4
    """Pairs of an optimizer step, over all processes."""
    patches_per_batch: int = 4096
    """Most patches a process computes at once, padding included; a step of more is accumulated
    over several batches. Lower it where memory runs out: what is learned stays the same."""
    lora_rank: int | None = None
    """Learn only corrections of this rank to the linear layers (LoRA); None learns all weights."""
    checkpoint_activations: bool = False
    """Compute activations again in the backward pass instead of holding them: less memory, a
    third more time."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, pairs_per_step=1, patches_per_batch=1)
        if not 0 <= self.silent_share < 1:
            raise ValueError(f"silent_share must be >= 0 and < 1, got {self.silent_share}")
        for name, fits in (("beta", self.beta > 0), ("penalty", self.penalty >= 0)):
            if not fits or not math.isfinite(getattr(self, name)):
                wanted = "> 0" if name == "beta" else ">= 0"
                raise ValueError(f"{name} must be {wanted} and finite, got {getattr(self, name)}")
        if self.lora_rank is not None and self.lora_rank < 1:
            raise ValueError(f"lora_rank must be >= 1 or None, got {self.lora_rank}")


@dataclass(frozen=True, kw_only=True)
class RoundsConfig:
    """Settings of rl/run_rounds.py."""

    weights: Path
    """Fine-tuned weights that the first round begins with."""
    reference_index: Path
    """Index of the real pieces that generations are scored against, and may be no copies of."""
    eval_index: Path
    """Index of real pieces that nothing was learned from, which the rounds are measured by."""
    out: Path
    """Receives a folder for each round, rounds.jsonl and rounds.png."""
    rounds: int = 3
    """Rounds of training. What the weights of the last one write is measured too, so that the table
    has one column more; with a higher number the same command goes on."""
    samples: int = 200
    """Pieces that each round writes."""
    seed: int = 0
    """Of the first round's pieces and training; the next ones count on from it."""
    generate: str = ""
    """More flags for inference/generate.py, behind an equals sign: `--generate="--num-bars 32"`."""
    extract: str = ""
    """More flags for clamp_features/3_extract.py."""
    choose: str = ""
    """More flags for 1_preferences.py."""
    train: str = ""
    """More flags for 2_train-dpo.py."""
    launcher: str = ""
    """What starts the scripts that several processes can share, such as `accelerate launch
    --multi_gpu --mixed_precision bf16`; empty for this Python, in one process."""

    def __post_init__(self) -> None:
        check_fields(self)
        for name, least in (("rounds", 1), ("samples", 2), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be >= {least}, got {getattr(self, name)}")
        for name in ("generate", "extract", "choose", "train", "launcher"):
            try:
                shlex.split(getattr(self, name))
            except ValueError as error:
                raise ValueError(f"{name} must be flags, got {error}") from error

    def folder(self, number: int) -> Path:
        """Return the folder of a round, from 0."""
        return self.out / f"round-{number}"

    def results(self, number: int) -> Path:
        """Return the file of a round's figures."""
        return self.folder(number) / "results" / f"round-{number}.json"

    def weights_of(self, number: int) -> Path:
        """Return the weights that write a round's pieces."""
        return self.folder(number - 1) / "dpo" / "last" if number else self.weights
