"""A whole training run: the one body of pretraining and fine-tuning."""

import dataclasses
import importlib.util
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING

from accelerate import Accelerator
from accelerate.utils import DistributedType, set_seed

from notagen.foundation.errors import InputError
from notagen.foundation.files import sha256
from notagen.model.notagen import NotaGen
from notagen.model.weights import weights_sha256
from notagen.training.batching import eval_batches, plan_epoch, train_batches
from notagen.training.data import TuneDataset
from notagen.training.loop import StepResult, evaluate, train_epoch
from notagen.training.runs import Progress, RunFolder, Scalar
from notagen.training.schedule import make_optimizer, make_schedule
from notagen.training.settings import FREE_FIELDS, TrainConfig

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_LAUNCHES = {DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU}
_SPELLED = {
    "precision": "precision (--mixed_precision of accelerate launch)",
    "train_index_sha256": "train_index of SHA-256",
    "eval_index_sha256": "eval_index of SHA-256",
    "weights_sha256": "weights of SHA-256",
    "tunes_per_step": "batch_size x accumulation_steps x processes",
    "cosine_steps": "the length of its cosine in steps (epochs, max_steps)",
}
"""What decides a compared value that is no setting itself."""
_logger = logging.getLogger(__name__)


def start(config: TrainConfig) -> Accelerator:
    """Return the accelerator of a run, all random sources seeded; call it before the model is made.

    Precision, number of processes and device are those of `accelerate launch` or `torchrun`.

    Raises:
        InputError: If the tracker is not installed or the launch asks for sharded weights.
    """
    tracked = config.tracker != "none"
    if tracked and importlib.util.find_spec(config.tracker) is None:
        raise InputError(
            f"tracker = {config.tracker!r} is not installed; run: pip install {config.tracker}"
        )
    accelerator = Accelerator(
        gradient_accumulation_steps=config.accumulation_steps,
        log_with=config.tracker if tracked else None,
        project_dir=config.run_folder / "trackers",
        # else N processes would move the schedule on N times a step
        step_scheduler_with_optimizer=False,
    )
    if accelerator.distributed_type not in _LAUNCHES:
        raise InputError(
            f"launched as {accelerator.distributed_type.value}; wanted one process, or several "
            f"that each hold the whole model (--multi_gpu)"
        )
    set_seed(config.seed, device_specific=True)
    return accelerator


def train(
    accelerator: Accelerator,
    model: NotaGen,
    train_tunes: TuneDataset,
    eval_tunes: TuneDataset,
    config: TrainConfig,
    *,
    weights: Path | None = None,
) -> Progress:
    """Train until the epochs or `max_steps` are done, going on from the newest checkpoint.

    Each epoch ends with an evaluation, weights in `last/` (in `best/` too if the loss is the
    lowest so far) and a checkpoint. A run that is done already is left as it is.

    Args:
        accelerator: From `start`.
        model: New, or as loaded from `weights`.
        train_tunes: To learn from.
        eval_tunes: To measure the loss on.
        config: The run's settings.
        weights: What the model was loaded from; a run goes on only from the same content.

    Returns:
        How far the run has come.

    Raises:
        InputError: If the run folder holds a run with other settings, or what `RunFolder.begin`
            refuses, or a training text cannot be read.
        ScoreError: If a training text cannot be transposed or encoded.
    """

    def tell(message: str) -> None:
        if accelerator.is_main_process:
            _logger.info(message)

    rank, num_processes = accelerator.process_index, accelerator.num_processes
    accumulation_steps = accelerator.gradient_accumulation_steps
    tunes_per_step = config.batch_size * accumulation_steps * num_processes
    steps_per_epoch = math.ceil(len(train_tunes) / tunes_per_step)
    total_steps = config.epochs * steps_per_epoch
    if config.max_steps is not None:
        total_steps = min(total_steps, config.max_steps)

    # Optimizer and schedule: each built once, counted in optimizer steps
    bare_optimizer = make_optimizer(
        model, peak_learning_rate=config.peak_learning_rate, weight_decay=config.weight_decay
    )
    bare_schedule = make_schedule(
        bare_optimizer, config.schedule, warmup_steps=config.warmup_steps, total_steps=total_steps
    )
    prepared, optimizer, schedule = accelerator.prepare(model, bare_optimizer, bare_schedule)

    # Run folder: if there is a checkpoint in it, it is loaded here
    settings = _settings(config) | _settings(model.config, prefix="model.")
    settings |= {
        "precision": accelerator.mixed_precision,
        "train_index_sha256": sha256(train_tunes.index),
        "eval_index_sha256": sha256(eval_tunes.index),
        "weights_sha256": None if weights is None else weights_sha256(weights),
        # what a cosine's length depends on stands before it: the first difference is reported
        "tunes_per_step": tunes_per_step,
        "cosine_steps": total_steps if config.schedule == "cosine" else None,
    }
    run = RunFolder(config.run_folder, accelerator, keep_checkpoints=config.keep_checkpoints)
    progress = run.begin(settings, free=FREE_FIELDS, spelled=_SPELLED, fresh=config.fresh)
    if progress.step >= total_steps:
        tell(
            f"{config.run_folder} is finished: {_spell(progress)}. Nothing was trained now; "
            f"--fresh deletes this run and starts anew, --run-folder starts another beside it"
        )
        return progress
    if progress.step:
        tell(f"{config.run_folder} goes on: {_spell(progress)}")
    if config.tracker != "none":
        accelerator.init_trackers("notagen", config=settings)

    def on_step(result: StepResult) -> None:
        progress.step += 1
        progress.step_in_epoch += 1
        progress.skipped_steps += result.skipped
        run.log(
            progress.step,
            {
                "epoch": progress.epoch,
                "loss": result.loss if math.isfinite(result.loss) else None,
                "learning_rate": result.learning_rate,
                "gradient_norm": None if result.skipped else result.gradient_norm,
                "patches_per_second": round(result.patches_per_second, 2),
                "skipped_steps": progress.skipped_steps,
            },
        )
        # the last step of an epoch or a run has its checkpoint after the evaluation
        ends = progress.step == total_steps or progress.step_in_epoch == steps_per_epoch
        if progress.step % config.save_steps == 0 and not ends:
            run.save_checkpoint(progress)

    while progress.step < total_steps:
        plan = plan_epoch(
            train_tunes.lengths,
            pieces_per_step=tunes_per_step,
            seed=config.seed,
            epoch=progress.epoch,
        )
        left = plan[progress.step_in_epoch :][: total_steps - progress.step]
        steps = train_batches(
            train_tunes,
            left,
            epoch=progress.epoch,
            rank=rank,
            num_processes=num_processes,
            accumulation_steps=accumulation_steps,
            workers=config.workers,
        )
        train_epoch(
            accelerator,
            prepared,
            optimizer,
            schedule,
            steps,
            num_steps=len(left),
            max_gradient_norm=config.max_gradient_norm,
            on_step=on_step,
        )
        batches = eval_batches(
            eval_tunes,
            batch_size=config.batch_size,
            rank=rank,
            num_processes=num_processes,
            workers=config.workers,
        )
        # the main process has no fewer batches than another
        num_batches = math.ceil(len(eval_tunes) / (config.batch_size * num_processes))
        eval_loss = evaluate(accelerator, prepared, batches, num_batches=num_batches)
        finite = math.isfinite(eval_loss)
        run.log(
            progress.step, {"epoch": progress.epoch, "eval_loss": eval_loss if finite else None}
        )
        run.save_weights(model, "last")
        if finite and (progress.best_loss is None or eval_loss < progress.best_loss):
            progress.best_loss = eval_loss
            run.save_weights(model, "best")
        if progress.step_in_epoch == steps_per_epoch:
            progress.epoch, progress.step_in_epoch = progress.epoch + 1, 0
        run.save_checkpoint(progress)
        measured = f"{eval_loss:.4f} nats per character" if finite else "not finite"
        tell(f"{_spell(progress)}, evaluation loss {measured}")
    accelerator.end_training()
    return progress


def describe_result(config: TrainConfig, progress: Progress) -> str:
    """Return one line for the user: where the best weights of a run are, and how good they are."""
    if progress.best_loss is None:
        return (
            f"no best weights after {progress.step} steps: no evaluation loss was finite; the "
            f"newest weights are in {config.run_folder / 'last'} (try a lower "
            f"peak_learning_rate and --fresh)"
        )
    return (
        f"best weights after {progress.step} steps: {config.run_folder / 'best'} (evaluation loss "
        f"{progress.best_loss:.4f} nats per character)"
    )


def _settings(config: "DataclassInstance", prefix: str = "") -> dict[str, Scalar]:
    """Return a config's fields as JSON values; what is nested is left to its own call."""
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return {
        prefix + name: str(value) if isinstance(value, Path) else value
        for name, value in fields.items()
        if not dataclasses.is_dataclass(value)
    }


def _spell(progress: Progress) -> str:
    return f"step {progress.step}, {progress.epoch} epochs done"
