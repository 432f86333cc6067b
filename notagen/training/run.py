"""A whole training run: the one body of all, whatever model they train."""

import dataclasses
import hashlib
import importlib.util
import logging
import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn

from notagen.foundation.errors import InputError
from notagen.foundation.files import sha256
from notagen.training.batching import eval_batches, train_batches
from notagen.training.ema import Ema
from notagen.training.examples import Examples
from notagen.training.launch import check_launch, describe_sharing, whole_model
from notagen.training.loop import StepResult, evaluate, train_steps
from notagen.training.runs import Progress, RunFolder, Scalar
from notagen.training.schedule import make_optimizer, make_schedule
from notagen.training.settings import FREE_FIELDS, RunConfig
from notagen.training.spikes import SpikeGuard

Model = TypeVar("Model", bound=nn.Module)

_SPELLED = {
    "precision": "precision (--mixed_precision of accelerate launch)",
    "sharing": "sharing (--config_file of accelerate launch)",
    "train_index_sha256": "train_index of SHA-256",
    "eval_index_sha256": "eval_index of SHA-256",
    "train_lengths_sha256": "training texts whose lengths have the SHA-256",
    "weights_sha256": "weights of SHA-256",
    "m3_sha256": "M3 weights of SHA-256",
    "words_sha256": "a vocabulary of SHA-256",
    "cosine_steps": "the length of its cosine in steps (epochs, max_steps)",
}
"""What decides a compared value that is no setting itself."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Task(Generic[Model]):
    """What a run trains, and on what."""

    model: Model
    """Its `config` is a dataclass, whose fields decide whether a run goes on; where processes share
    a model, `type(model)(model.config)` makes it anew. Called with a batch's tensors it returns
    their summed loss, a scalar."""
    train: Examples
    """To learn from."""
    eval: Examples
    """To measure the loss on."""
    save: Callable[[Model, Path], None]
    """Writes a whole model's weights into a folder."""
    unit: str
    """Of the loss, for messages: `nats per character`."""
    inputs: Mapping[str, Scalar] = dataclasses.field(default_factory=dict)
    """What else a run must have been begun with to go on, such as the SHA-256 of the first
    weights."""
    sample: Callable[[Model, Path, int], str] | None = None
    """Shows what the whole model can do after so many steps, in files of a folder, and says in a
    few words what came of it."""
    sample_steps: int | None = None
    """Optimizer steps from one sample to the next; None for none."""


def start(config: RunConfig) -> Accelerator:
    """Return the accelerator of a run, all random sources seeded; call it before the model is made.

    Precision, number of processes and device are those of `accelerate launch` or `torchrun`.

    Raises:
        InputError: If the tracker is not installed, or what `check_launch` refuses.
    """
    tracked = config.tracker != "none"
    if tracked and importlib.util.find_spec(config.tracker) is None:
        raise InputError(
            f"tracker = {config.tracker!r} is not installed; run: pip install {config.tracker}"
        )
    accelerator = Accelerator(
        log_with=config.tracker if tracked else None,
        project_dir=config.run_folder / "trackers",
        # else N processes would move the schedule on N times a step
        step_scheduler_with_optimizer=False,
    )
    check_launch(accelerator, config)
    # the same first weights on every process; what is drawn in training differs
    set_seed(config.seed)
    return accelerator


def train(accelerator: Accelerator, task: Task[Model], config: RunConfig) -> Progress:
    """Train until the epochs or `max_steps` are done, going on from the newest checkpoint.

    Each epoch, and each `eval_steps` steps, ends with an evaluation, weights in `last/` (in `best/`
    too if the loss is the lowest so far) and a checkpoint. A run that is done already is left as it
    is.

    Args:
        accelerator: From `start`.
        task: What is trained.
        config: The run's settings.

    Returns:
        How far the run has come.

    Raises:
        InputError: If the run folder holds a run with other settings, or what `RunFolder.begin`
            refuses, or a piece cannot be read.
        ScoreError: If a piece cannot be encoded.
    """

    def tell(message: str) -> None:
        if accelerator.is_main_process:
            _logger.info(message)

    steps_per_epoch = task.train.num_steps
    total_steps = config.epochs * steps_per_epoch
    if config.max_steps is not None:
        total_steps = min(total_steps, config.max_steps)

    # Model, optimizer, schedule, each built once; the schedule is counted in optimizer steps
    bare_optimizer = make_optimizer(
        task.model,
        peak_learning_rate=config.peak_learning_rate,
        weight_decay=config.weight_decay,
        kind=config.optimizer,
        eight_bit=config.eight_bit_optimizer,
    )
    bare_schedule = make_schedule(
        bare_optimizer, config.schedule, warmup_steps=config.warmup_steps, total_steps=total_steps
    )
    prepared, optimizer, schedule = accelerator.prepare(task.model, bare_optimizer, bare_schedule)
    set_seed(config.seed, device_specific=True)
    ema = None if config.ema_decay is None else Ema(task.model, config.ema_decay)
    guard = SpikeGuard(config.spike_factor)

    # Run folder: if there is a checkpoint in it, it is loaded here
    settings = _settings(config) | _settings(task.model.config, prefix="model.")
    settings |= {
        "precision": accelerator.mixed_precision,
        "sharing": describe_sharing(accelerator),
        "train_index_sha256": sha256(task.train.index),
        "eval_index_sha256": sha256(task.eval.index),
        # where an index does not say them, the texts decide them, and they decide what a step is
        "train_lengths_sha256": hashlib.sha256(task.train.lengths.tobytes()).hexdigest(),
    }
    settings |= task.inputs
    # what a cosine's length depends on stands before it: the first difference is reported
    settings["cosine_steps"] = total_steps if config.schedule == "cosine" else None
    run = RunFolder(config.run_folder, accelerator, keep_checkpoints=config.keep_checkpoints)
    progress = run.begin(settings, free=FREE_FIELDS, spelled=_SPELLED, fresh=config.fresh, ema=ema)
    if progress.spikes:
        guard.load_state_dict(progress.spikes)
    if end := _end(progress, config, total_steps):
        tell(
            f"{config.run_folder} is finished: {_spell(progress)}, {end}. Nothing was trained now; "
            f"--fresh deletes this run and starts anew, --run-folder starts another beside it"
        )
        return progress
    if progress.step:
        tell(f"{config.run_folder} goes on: {_spell(progress)}")
    if config.tracker != "none":
        trackers = config.run_folder / "trackers"
        trackers.mkdir(exist_ok=True)
        # without a folder of its own wandb writes where the script was started
        accelerator.init_trackers(
            "notagen", config=settings, init_kwargs={"wandb": {"dir": str(trackers)}}
        )

    def save() -> None:
        progress.spikes = guard.state_dict()
        run.save_checkpoint(progress, ema=ema)

    def measure() -> None:
        """Evaluate, write last/ and perhaps best/, then a checkpoint."""
        batches, num_batches = eval_batches(
            task.eval,
            rank=accelerator.process_index,
            num_processes=accelerator.num_processes,
            workers=config.workers,
        )
        with ema.applied() if ema is not None else nullcontext():
            loss = evaluate(accelerator, prepared, batches, num_batches=num_batches)
            finite = math.isfinite(loss)
            run.log(progress.step, {"epoch": progress.epoch, "eval_loss": loss if finite else None})
            whole = whole_model(accelerator, prepared, task.model)
            run.save_weights(whole, "last", task.save)
            progress.stale_evaluations += 1
            if finite and (progress.best_loss is None or loss < progress.best_loss):
                progress.best_loss, progress.stale_evaluations = loss, 0
                run.save_weights(whole, "best", task.save)
        if progress.step_in_epoch == steps_per_epoch:
            progress.epoch, progress.step_in_epoch = progress.epoch + 1, 0
        run.plot(unit=task.unit, ended=_end(progress, config, total_steps) is not None)
        save()
        measured = f"{loss:.4f} {task.unit}" if finite else "not finite"
        tell(f"{_spell(progress)}, evaluation loss {measured}")

    def sample(show: Callable[[Model, Path, int], str]) -> None:
        with ema.applied() if ema is not None else nullcontext():
            whole = whole_model(accelerator, prepared, task.model)
            if whole is not None:
                shown = show(whole.to(accelerator.device), run.samples, progress.step)
                tell(f"step {progress.step}, sample: {shown}")

    while not _end(progress, config, total_steps):
        plan = task.train.plan(progress.epoch)
        left = plan[progress.step_in_epoch :][: total_steps - progress.step]
        steps = train_batches(
            task.train,
            left,
            epoch=progress.epoch,
            rank=accelerator.process_index,
            num_processes=accelerator.num_processes,
            workers=config.workers,
        )
        for result in train_steps(
            accelerator,
            prepared,
            optimizer,
            schedule,
            steps,
            num_steps=len(left),
            max_gradient_norm=config.max_gradient_norm,
            guard=guard,
            ema=ema,
        ):
            progress.step += 1
            progress.step_in_epoch += 1
            progress.skipped_steps += result.skipped
            run.log(progress.step, _metrics(result, progress))
            if task.sample is not None and _is_due(progress.step, task.sample_steps):
                sample(task.sample)
            ends = progress.step == total_steps or progress.step_in_epoch == steps_per_epoch
            if ends or _is_due(progress.step, config.eval_steps):
                measure()
                if _end(progress, config, total_steps):
                    break
            elif _is_due(progress.step, config.save_steps):
                save()
    accelerator.wait_for_everyone()
    accelerator.end_training()
    if progress.step < total_steps:
        tell(f"stopped early: {_end(progress, config, total_steps)}")
    return progress


def _is_due(step: int, every: int | None) -> bool:
    return every is not None and step % every == 0


def _end(progress: Progress, config: RunConfig, total_steps: int) -> str | None:
    """Return why a run is at its end, in a few words; None if it goes on."""
    if progress.step >= total_steps:
        return "all steps taken"
    if config.patience is not None and progress.stale_evaluations >= config.patience:
        return f"{progress.stale_evaluations} evaluations without a lower loss (patience)"
    return None


def _metrics(result: StepResult, progress: Progress) -> dict[str, Scalar]:
    """Return one step's line of metrics.jsonl; what is not finite is null."""
    return {
        "epoch": progress.epoch,
        "loss": result.loss if math.isfinite(result.loss) else None,
        "learning_rate": result.learning_rate,
        "gradient_norm": result.gradient_norm if math.isfinite(result.gradient_norm) else None,
        "patches_per_second": round(result.patches_per_second, 2),
        "memory_gigabytes": round(result.memory_gigabytes, 3),
        "skipped_steps": progress.skipped_steps,
    }


def describe_launch(accelerator: Accelerator, model: nn.Module) -> str:
    """Return a few words on what trains: size, processes, device, precision."""
    learned = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    return (
        f"{learned:,} parameters to learn, {accelerator.num_processes} processes, "
        f"{accelerator.device}, precision {accelerator.mixed_precision}"
    )


def describe_result(task: Task[Model], config: RunConfig, progress: Progress) -> str:
    """Return one line for the user: where the best weights of a run are, and how good they are."""
    if progress.best_loss is None:
        return (
            f"no best weights after {progress.step} steps: no evaluation loss was finite; the "
            f"newest weights are in {config.run_folder / 'last'} (try a lower "
            f"peak_learning_rate and --fresh)"
        )
    return (
        f"{progress.step} steps taken; best weights: {config.run_folder / 'best'} (evaluation loss "
        f"{progress.best_loss:.4f} {task.unit})"
    )


def _settings(config: Any, prefix: str = "") -> dict[str, Scalar]:  # noqa: ANN401 -- a dataclass
    """Return a config's fields as JSON values, those of a nested config under its name."""
    settings: dict[str, Scalar] = {}
    for name in (field.name for field in dataclasses.fields(config)):
        value = getattr(config, name)
        if dataclasses.is_dataclass(value):
            settings |= _settings(value, prefix=f"{prefix}{name}.")
        elif isinstance(value, Path | tuple):
            settings[prefix + name] = str(value)
        else:
            settings[prefix + name] = value
    return settings


def _spell(progress: Progress) -> str:
    return f"step {progress.step}, {progress.epoch} epochs done"
