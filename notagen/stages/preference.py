"""The settings of rl/1_preferences.py and 2_train-dpo.py."""

import math
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
    """Receives preferences.json, the chosen and the rejected texts, and preferences.jsonl, a line
    about each piece."""
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
    shrinkage: float = SHRINKAGE
    """Pieces of the wider group that the mean of a prompt's real pieces is mixed with."""
    workers: int = -1
    """Processes that look at the pieces; -1 for one a core."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 < self.portion <= 0.5:
            raise ValueError(f"portion must be > 0 and at most 0.5, got {self.portion}")
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
