"""The settings that training runs share: those of any model, and those of NotaGen."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from notagen.features.m3 import M3Config
from notagen.foundation.config import check_fields


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Settings of one training run, whatever model it trains.

    Precision, the number of processes and how they share the model belong to `accelerate launch`.
    """

    run_folder: Path
    """Receives config.json, metrics.jsonl, checkpoints/, best/, last/, samples/ and loss.png."""
    epochs: int = 10
    """Passes over the pieces; what is drawn of each is drawn anew."""
    max_steps: int | None = None
    """Stop after this many optimizer steps, if the epochs have not ended before."""
    patience: int | None = None
    """Stop after this many evaluations in a row without a lower loss; None goes on to the end."""
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
    optimizer: Literal["adamw", "muon"] = "adamw"
    """AdamW, or Muon for the weights of linear layers, with which a new model learns in fewer
    steps; AdamW then takes the rest."""
    eight_bit_optimizer: bool = False
    """Hold the states of AdamW in 8 bits, for large models on small GPUs."""
    seed: int = 0
    """Of first weights, dropout, order, and all that is drawn of the pieces."""
    eval_steps: int | None = None
    """Optimizer steps between evaluations; each epoch ends with one too."""
    save_steps: int = 500
    """Optimizer steps between checkpoints; each evaluation is followed by one too."""
    keep_checkpoints: int = 2
    """Older checkpoints than the last so many are deleted."""
    workers: int = 0
    """Processes that read pieces, per training process; 0 reads in the training process."""
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
        check_least(
            self,
            epochs=1,
            max_steps=1,
            patience=1,
            warmup_steps=0,
            weight_decay=0,
            seed=0,
            eval_steps=1,
            save_steps=1,
            keep_checkpoints=1,
            workers=0,
        )
        for name in ("peak_learning_rate", "max_gradient_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be > 0, got {getattr(self, name)}")
        if self.optimizer == "muon" and self.eight_bit_optimizer:
            raise ValueError("eight_bit_optimizer is for optimizer = 'adamw', got 'muon'")
        if self.spike_factor is not None and not self.spike_factor > 1:
            raise ValueError(f"spike_factor must be > 1 or None, got {self.spike_factor}")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ValueError(f"ema_decay must be > 0 and < 1 or None, got {self.ema_decay}")

    @property
    def can_be_shared(self) -> bool:
        """Whether each process may hold a part of the model alone, as with FSDP and DeepSpeed."""
        return False


@dataclass(frozen=True, kw_only=True)
class IndexRunConfig(RunConfig):
    """Settings of a run that learns from the pieces of an index."""

    train_index: Path
    """JSONL index of the pieces to learn from."""
    eval_index: Path
    """JSONL index of the pieces to measure the loss on."""


@dataclass(frozen=True, kw_only=True)
class PatchRunConfig(IndexRunConfig):
    """Settings of a run whose steps are counted in patches."""

    keys: Literal["all", "near", "original"] = "all"
    """Keys to learn from: all 15, those within three semitones of the tune's own, or its own."""
    patches_per_step: int = 2048
    """Patches of an optimizer step, over all processes: the batch that a gradient is averaged over,
    whatever machine computes it."""
    patches_per_batch: int = 4096
    """Most patches a process computes at once, padding included; a step of more is accumulated
    over several batches. Lower it where memory runs out: what is learned stays the same. Where it
    does not, leave it above 1.3 times a process's share of a step, or half the batches are small.
    Another key or a prompt can make a batch a tenth larger. Pieces for M3 are estimated from the
    sizes of their texts: most batches are a quarter larger than this says, some nearly twice."""
    sampled_share: float = 1.0
    """Share of the patches to predict whose characters are learned, drawn anew each epoch; a
    smaller one makes steps cheaper. All patches are always read."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, patches_per_step=1, patches_per_batch=1)
        if not 0 < self.sampled_share <= 1:
            raise ValueError(f"sampled_share must be > 0 and <= 1, got {self.sampled_share}")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(PatchRunConfig):
    """Settings of a run that trains NotaGen on the tunes of an index."""

    prompted: bool = False
    """Put period, composer and instrumentation before the tunes that have them."""
    silent_share: float = 0.5
    """Share of the patches that a model with n-gram heads learns to write without them, drawn anew
    each epoch; with 0 it writes little but what it has found."""
    checkpoint_activations: bool = False
    """Compute activations again in the backward pass instead of holding them: less memory, a
    third more time."""
    compile_layers: bool = False
    """Compile the layers with torch.compile: minutes at the start, faster steps on a GPU."""
    sample_steps: int | None = None
    """Optimizer steps between pieces that the model writes into samples/; None writes none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, sample_steps=1)
        if not 0 <= self.silent_share < 1:
            raise ValueError(f"silent_share must be >= 0 and < 1, got {self.silent_share}")

    @property
    def can_be_shared(self) -> bool:
        """Whether each process may hold a part of the model alone."""
        return True


@dataclass(frozen=True, kw_only=True)
class M3TrainConfig(PatchRunConfig):
    """Settings of a run that trains a new M3 model on the pieces of an index."""

    model: M3Config = field(default_factory=M3Config)
    """Shape of the new model."""
    opening_epochs: int = 0
    """Epochs in which fewer of the selected patches are hidden or shuffled, in the n-th of N
    n / (N + 1) of them: the others can be read off. A small model that cannot yet tell a hidden
    patch from its surroundings may otherwise learn to leave its vectors out for good."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, opening_epochs=0)


@dataclass(frozen=True, kw_only=True)
class ClampTrainConfig(IndexRunConfig):
    """Settings of a run that trains CLaMP 2 on the pieces of an index and texts about them."""

    m3: Path
    """M3 weights that the music side begins with; the shape is read from them."""
    text_model: str | None = None
    """Name or folder of a text model of transformers, such as `FacebookAI/xlm-roberta-base`; None
    makes a small new one, with a vocabulary of the training texts."""
    text_layers: int = 4
    """Layers of a new text model."""
    text_hidden_size: int = 192
    """Its width, a multiple of 64."""
    vocabulary_size: int = 2000
    """Its word pieces, at most."""
    feature_size: int = 256
    """Width of the features."""
    scale: float = 20.0
    """What likeness is multiplied by: the higher, the more the nearest count. The published weights
    were trained with 1 and dot products."""
    normalised: bool = True
    """Whether likeness is the cosine; else the dot product."""
    damaged: bool = True
    """Let each piece come with a spoiled copy that must lie farther from real music."""
    keys: Literal["all", "near", "original"] = "all"
    """Keys to learn from: all 15, those within three semitones of the piece's own, or its own."""
    pairs_per_step: int = 128
    """Pieces of an optimizer step, over all processes, each told from all others by its text; a
    multiple of the number of processes."""
    patches_per_piece: int = 512
    """Patches of a piece that are read at once, no more than M3 can; fewer make steps cheaper."""
    dropout: float = 0.1
    """Share of activations dropped."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(
            self,
            text_layers=1,
            text_hidden_size=64,
            vocabulary_size=100,
            feature_size=1,
            pairs_per_step=2,
            patches_per_piece=4,
        )
        if self.text_hidden_size % 64:
            raise ValueError(
                f"text_hidden_size must be a multiple of 64, got {self.text_hidden_size}"
            )
        if not self.scale > 0:
            raise ValueError(f"scale must be > 0, got {self.scale}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be >= 0 and < 1, got {self.dropout}")


def check_least(config: RunConfig, **least: int) -> None:
    """Refuse a config whose named fields are below the numbers given; None is no number.

    Raises:
        ValueError: Naming the field.
    """
    for name, number in least.items():
        value = getattr(config, name)
        if value is not None and not value >= number:
            raise ValueError(f"{name} must be >= {number}, got {value}")


FREE_FIELDS = frozenset(
    {
        "train_index",
        "eval_index",
        "preferences",
        "run_folder",
        "weights",
        "m3",
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
"""Fields of all configs that may change when a run goes on: what they decide is compared otherwise
or is free."""
