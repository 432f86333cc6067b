"""The settings that pretraining and fine-tuning share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from notagen.foundation.config import check_fields


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of one training run.

    Precision, the number of processes and how they share the model belong to `accelerate launch`.
    A tune is one piece of an index.
    """

    train_index: Path
    """JSONL index of the tunes to learn from."""
    eval_index: Path
    """JSONL index of the tunes to measure the loss on."""
    run_folder: Path
    """Receives config.json, metrics.jsonl, checkpoints/, best/, last/, samples/ and loss.png."""
    keys: Literal["all", "near", "original"] = "all"
    """Keys to learn from: all 15, those within three semitones of the tune's own, or its own."""
    prompted: bool = False
    """Put period, composer and instrumentation before the tunes that have them."""
    epochs: int = 10
    """Passes over the tunes; each draws keys and windows of long tunes anew."""
    max_steps: int | None = None
    """Stop after this many optimizer steps, if the epochs have not ended before."""
    patience: int | None = None
    """Stop after this many evaluations in a row without a lower loss; None goes on to the end."""
    patches_per_step: int = 2048
    """Patches of an optimizer step, over all processes: the batch that a gradient is averaged over,
    whatever machine computes it."""
    patches_per_batch: int = 4096
    """Most patches a process computes at once, padding included; a step of more is accumulated
    over several batches. Lower it where memory runs out: what is learned stays the same. Where it
    does not, leave it above 1.3 times a process's share of a step, or half the batches are small.
    Another key or a prompt can make a batch a tenth larger."""
    sampled_share: float = 1.0
    """Share of each tune's patches whose characters are learned, drawn anew each epoch; a smaller
    one makes steps cheaper. All patches are always read."""
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
    spike_factor: float | None = 10.0
    """A step whose gradient is longer than this many times the median of the last steps is skipped
    and counted; None takes every finite one."""
    ema_decay: float | None = None
    """Average the weights over the steps with this decay, such as 0.999; evaluation, best/, last/
    and samples then take the average. None keeps none."""
    eight_bit_optimizer: bool = False
    """Hold the optimizer's states in 8 bits, for large models on small GPUs."""
    checkpoint_activations: bool = False
    """Compute activations again in the backward pass instead of holding them: less memory, a
    third more time."""
    compile_layers: bool = False
    """Compile the layers with torch.compile: minutes at the start, faster steps on a GPU."""
    seed: int = 0
    """Of first weights, dropout, order, keys and windows."""
    eval_steps: int | None = None
    """Optimizer steps between evaluations; each epoch ends with one too."""
    save_steps: int = 500
    """Optimizer steps between checkpoints; each evaluation is followed by one too."""
    keep_checkpoints: int = 2
    """Older checkpoints than the last so many are deleted."""
    sample_steps: int | None = None
    """Optimizer steps between pieces that the model writes into samples/; None writes none."""
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
        if self.spike_factor is not None and not self.spike_factor > 1:
            raise ValueError(f"spike_factor must be > 1 or None, got {self.spike_factor}")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ValueError(f"ema_decay must be > 0 and < 1 or None, got {self.ema_decay}")
        if not 0 < self.sampled_share <= 1:
            raise ValueError(f"sampled_share must be > 0 and <= 1, got {self.sampled_share}")


_LEAST = {
    "epochs": 1,
    "max_steps": 1,
    "patience": 1,
    "patches_per_step": 1,
    "patches_per_batch": 1,
    "warmup_steps": 0,
    "weight_decay": 0,
    "seed": 0,
    "eval_steps": 1,
    "save_steps": 1,
    "keep_checkpoints": 1,
    "sample_steps": 1,
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
        "patience",
        "patches_per_batch",
        "checkpoint_activations",
        "compile_layers",
        "eval_steps",
        "save_steps",
        "keep_checkpoints",
        "sample_steps",
        "workers",
        "tracker",
        "fresh",
    }
)
"""Fields that may change when a run goes on: what they decide is compared otherwise or is free."""
