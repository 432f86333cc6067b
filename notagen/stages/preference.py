"""The settings of rl/1_preferences.py."""

import math
from dataclasses import dataclass
from pathlib import Path

from notagen.features.scoring import SHRINKAGE
from notagen.foundation.config import check_fields
from notagen.preference.rewards import TEXT_REWARDS

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
