"""The settings that pretraining and fine-tuning share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from notagen.foundation.config import check_fields


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of one training run.

    Precision and the number of processes belong to `accelerate launch`. A tune is one piece of an
    index; an optimizer step sees batch_size x accumulation_steps x processes tunes.
    """

    train_index: Path
    """JSONL index of the tunes to learn from."""
    eval_index: Path
    """JSONL index of the tunes to measure the loss on, each epoch."""
    run_folder: Path
    """Receives config.json, metrics.jsonl, checkpoints/, best/ and last/."""
    keys: Literal["all", "near", "original"] = "all"
    """Keys to learn from: all 15, those within three semitones of the tune's own, or its own."""
    prompted: bool = False
    """Put period, composer and instrumentation before the tunes that have them."""
    epochs: int = 10
    """Passes over the tunes; each draws keys and windows of long tunes anew."""
    max_steps: int | None = None
    """Stop after this many optimizer steps, if the epochs have not ended before."""
    batch_size: int = 4
    """Tunes per process and micro-step."""
    accumulation_steps: int = 1
    """Micro-steps per optimizer step."""
    peak_learning_rate: float = 1e-4
    """Reached after warmup_steps."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate after the warm-up: held, or lowered to 0 at the run's end. A run with a cosine
    keeps its epochs and max_steps, which set that end."""
    warmup_steps: int = 0
    """Optimizer steps in which the learning rate grows to its peak."""
    weight_decay: float = 0.01
    """Of the weight matrices; norms and biases have none."""
    max_gradient_norm: float = 1.0
    """Longer gradients are scaled down to this norm."""
    seed: int = 0
    """Of first weights, dropout, order, keys and windows."""
    save_steps: int = 500
    """Optimizer steps between checkpoints; each epoch's end has one too."""
    keep_checkpoints: int = 2
    """Older checkpoints than the last so many are deleted."""
    workers: int = 0
    """Processes that read tunes, per training process; 0 reads in the training process."""
    tracker: Literal["none", "tensorboard", "wandb"] = "none"
    """Where the metrics go beside metrics.jsonl."""
    fresh: bool = False
    """Start anew, deleting what the run folder holds; otherwise a run goes on where it stopped."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            TypeError: If a value has another type than its field.
            ValueError: If a number is out of its range.
        """
        check_fields(self)
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise ValueError(f"{name} must be >= {least}, got {value}")
        for name in ("peak_learning_rate", "max_gradient_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be > 0, got {getattr(self, name)}")


_LEAST = {
    "epochs": 1,
    "max_steps": 1,
    "batch_size": 1,
    "accumulation_steps": 1,
    "warmup_steps": 0,
    "weight_decay": 0,
    "seed": 0,
    "save_steps": 1,
    "keep_checkpoints": 1,
    "workers": 0,
}

FREE_FIELDS = frozenset(
    {
        "train_index",
        "eval_index",
        "run_folder",
        "weights",
        "epochs",
        "max_steps",
        "batch_size",
        "accumulation_steps",
        "save_steps",
        "keep_checkpoints",
        "workers",
        "tracker",
        "fresh",
    }
)
"""Fields that may change when a run goes on: what they decide is compared otherwise or is free."""
