"""The settings of clamp_features/3_extract.py and 4_score.py."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from notagen.features.scoring import SHRINKAGE
from notagen.foundation.config import check_fields


@dataclass(frozen=True, kw_only=True)
class ScoreConfig:
    """Settings of clamp_features/4_score.py."""

    generation_features: Path
    """Folder of features of the pieces to score."""
    reference_features: Path
    """The same of the real pieces that they are scored against, made by the same extractor; or a
    file of their means, such as the `reference.npz` beside the weights."""
    out: Path
    """Receives scores.jsonl and scores.png."""
    weights: Path
    """Of the extractor, for queries."""
    generations: Path | None = None
    """Folder of inference/generate.py, whose generations.jsonl says what each piece was to be."""
    reference_index: Path | None = None
    """Index of the real pieces that count, with their prompts; None for `prompts.jsonl` beside the
    features, or, where there is none, all pieces without prompts."""
    shrinkage: float = SHRINKAGE
    """Pieces of the wider group that the mean of a prompt's real pieces is mixed with."""
    query: str | None = None
    """Search instead: words, a file that 3_extract.py reads, or the name of a piece in the
    folder."""
    folder: Path | None = None
    """Folder of features to search; None for those of the reference."""
    means: Path | None = None
    """Write the means of the reference to this `.npz`, for --score-reference of inference/, and
    nothing else."""
    num_found: int = 10
    """Pieces to show of a search."""
    seed: int = 0
    """Of the resamples that intervals come from."""
    device: str = "auto"
    """Where queries are encoded: `cpu`, `cuda`, `mps`, or `auto` for the fastest there is."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.num_found < 1:
            raise ValueError(f"num_found must be >= 1, got {self.num_found}")
        if not 0 <= self.shrinkage < math.inf:
            raise ValueError(f"shrinkage must be >= 0 and finite, got {self.shrinkage}")
        if self.seed < 0:
            raise ValueError(f"seed must be >= 0, got {self.seed}")


@dataclass(frozen=True, kw_only=True)
class ExtractConfig:
    """Settings of clamp_features/3_extract.py."""

    input: Path
    """Folder of music (ABC, MIDI, MIDI in its text form, MusicXML, kern) and of words (.txt), with
    its sub-folders; or an index, whose pieces are taken in their own keys."""
    out: Path
    """Receives a .npy for each file, features.json, rejects.jsonl and, of an index, the pieces'
    prompts.jsonl. It is of one input, weights and precision; features of gone files are removed."""
    weights: Path
    """A folder with model.safetensors, a published .pth file, or the name of published weights:
    `clamp2`, `m3`."""
    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    """Type of the weights; `auto` takes bf16 on CUDA, else fp32. On processors with products of
    matrices in bf16 or 8 bits these are much faster."""
    device: str = "auto"
    """`cpu`, `cuda`, `mps`, or `auto` for the fastest there is."""
    threads: int = 1
    """Processor threads of each process."""
    patches_per_batch: int | None = None
    """Patches that are computed at once; None for what suits the device."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.threads < 1:
            raise ValueError(f"threads must be >= 1, got {self.threads}")
        if self.patches_per_batch is not None and self.patches_per_batch < 1:
            raise ValueError(f"patches_per_batch must be >= 1, got {self.patches_per_batch}")
