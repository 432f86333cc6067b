"""Run folders: metrics, checkpoints, weights, and going on where a run stopped."""

import dataclasses
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError
from torch import nn

from notagen.foundation.config import check_fields
from notagen.foundation.errors import InputError, MissingInputError
from notagen.foundation.files import sha256, write_text
from notagen.training.ema import Ema
from notagen.training.plots import plot_losses
from notagen.training.spikes import SpikeGuard

Scalar = str | int | float | bool | None
Model = TypeVar("Model", bound=nn.Module)

_RESULTS = ("checkpoints", "best", "last", "samples", "trackers", "metrics.jsonl", "loss.png")
_EMA_NAME = "ema.pt"
_UNFINISHED = (".checkpoints.part", ".best.part", ".last.part")
_SECONDS_BETWEEN_PLOTS = 60
_STEP = re.compile(r"step-\d{8,}")


@dataclasses.dataclass
class Progress:
    """How far a run has come."""

    step: int = 0
    """Optimizer steps taken, skipped ones included."""
    epoch: int = 0
    """Epochs completed."""
    step_in_epoch: int = 0
    """Steps taken of the epoch that is under way."""
    skipped_steps: int = 0
    """Steps whose gradient was not finite or a spike."""
    best_loss: float | None = None
    """Lowest evaluation loss so far, in nats."""
    stale_evaluations: int = 0
    """Evaluations since the one with the lowest loss."""
    spikes: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What the guard against spikes remembers."""


class RunFolder:
    """The folder of one run, written by the main process, read by all.

    Layout: `config.json` (settings), `metrics.jsonl` (a line a step or evaluation), `loss.png`,
    `checkpoints/step-<n>/` (all that resuming needs), `best/` and `last/` (weights), `samples/`
    (what the model did on the way). A checkpoint appears whole, by a rename, and older ones are
    deleted only then: a kill at any time leaves the newest as it was. A run's first checkpoint has
    its unfinished folder from the beginning: while that is there, what else the folder holds is of
    a run that never came so far, and may go.
    Every method is to be called on every process.

    Args:
        folder: Created where it is missing.
        accelerator: Prepared model, optimizer and schedule.
        keep_checkpoints: How many of the newest stay, > 0.
    """

    def __init__(self, folder: Path, accelerator: Accelerator, *, keep_checkpoints: int) -> None:
        self.folder = folder
        self.accelerator = accelerator
        self.keep_checkpoints = keep_checkpoints
        self.samples = folder / "samples"
        self._checkpoints = folder / "checkpoints"
        self._first = self._checkpoints / ".step-first.part"
        self._is_first = False
        self._config = folder / "config.json"
        self._metrics = folder / "metrics.jsonl"
        self._plot_due = time.monotonic() + _SECONDS_BETWEEN_PLOTS

    def begin(
        self,
        settings: dict[str, Scalar],
        *,
        free: frozenset[str],
        fresh: bool,
        spelled: Mapping[str, str] | None = None,
        ema: Ema | None = None,
    ) -> Progress:
        """Load the newest checkpoint if there is one, else begin a new run.

        Args:
            settings: Written to config.json, `run_folder` among them: by it a later run knows
                the folder for one of ours.
            free: Names of settings that may differ from those the run was begun with.
            fresh: Whether to delete an earlier run and start anew.
            spelled: For messages, what to call settings that the user knows by another name.
            ema: The average of the weights, to be loaded with them.

        Returns:
            How far the run had come at that checkpoint; all zeros for a new run.

        Raises:
            InputError: If another setting differs, naming it and both values; if the folder holds
                results without a checkpoint and `fresh` is not set; if it is not a run's folder;
                if a file of the run is missing or damaged.
        """
        found = self._found()
        newest = found[-1] if found and not fresh else None
        progress = Progress()
        if newest is not None:
            self._check_settings(settings, free, spelled or {})
            progress, metrics_bytes, files = _read_progress(newest)
            self._check_files(newest, files)
        else:
            self._check_deletable(fresh=fresh)
        # nobody writes before everybody has read
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            left = [self.folder / name for name in _UNFINISHED]
            left += [path for path in self._checkpoints.glob(".step-*.part") if path != self._first]
            for unfinished in left:
                if unfinished.is_dir():
                    shutil.rmtree(unfinished)
            if newest is None:
                self._clear()
            elif self._metrics.is_file() and self._metrics.stat().st_size > metrics_bytes:
                os.truncate(self._metrics, metrics_bytes)
            write_text(self._config, json.dumps(settings, indent=2) + "\n")
        self._is_first = newest is None
        self.accelerator.wait_for_everyone()
        if newest is not None:
            self.accelerator.load_state(str(newest))
            if ema is not None:
                # not where it was saved from: every process would fill the first GPU
                averages = torch.load(newest / _EMA_NAME, map_location="cpu", weights_only=True)
                ema.load_state_dict(averages)
        return progress

    def log(self, step: int, values: dict[str, Scalar]) -> None:
        """Append a line to metrics.jsonl and tell the tracker.

        Args:
            step: Optimizer step, the first is 1.
            values: Name to value; a number that is not finite must be given as None.
        """
        if self.accelerator.is_main_process:
            with self._metrics.open("a", encoding="utf-8", newline="\n") as file:
                file.write(json.dumps({"step": step} | values, allow_nan=False) + "\n")
        self.accelerator.log({k: v for k, v in values.items() if v is not None}, step=step)

    def save_checkpoint(self, progress: Progress, *, ema: Ema | None = None) -> None:
        """Write `checkpoints/step-<n>/`, whole or not at all, then delete old checkpoints."""
        final = self._checkpoints / f"step-{progress.step:08d}"
        unfinished = self._first if self._is_first else _unfinished(final)
        self._is_first = False
        main = self.accelerator.is_main_process
        if main:
            unfinished.mkdir(parents=True, exist_ok=True)
        self.accelerator.wait_for_everyone()
        with _room_named(unfinished):
            self.accelerator.save_state(str(unfinished))
            if main and ema is not None:
                torch.save(ema.state_dict(), unfinished / _EMA_NAME)
        self.accelerator.wait_for_everyone()
        if main:
            size = self._metrics.stat().st_size if self._metrics.is_file() else 0
            files = {
                str(path.relative_to(unfinished)): sha256(path)
                for path in sorted(unfinished.rglob("*"))
                if path.is_file()
            }
            state = dataclasses.asdict(progress) | {"metrics_bytes": size, "files": files}
            write_text(unfinished / "progress.json", json.dumps(state, indent=2) + "\n")
            unfinished.rename(final)
            for old in self._found()[: -self.keep_checkpoints]:
                # renamed first, so that no half-deleted folder ever passes for a checkpoint
                shutil.rmtree(old.rename(_unfinished(old)))
        self.accelerator.wait_for_everyone()

    def save_weights(
        self, model: Model | None, name: str, save: Callable[[Model, Path], None]
    ) -> None:
        """Write the model's weights and shape to the folder `name`, replacing each file whole.

        Args:
            model: The whole model, without what the accelerator wrapped around it; None on other
                processes than the main one.
            name: `best` or `last`.
            save: Writes them into a folder.
        """
        if model is not None:
            target = self.folder / name
            target.mkdir(exist_ok=True)
            unfinished = _unfinished(target)
            unfinished.mkdir()
            with _room_named(unfinished):
                save(model, unfinished)
            for file in unfinished.iterdir():
                file.replace(target / file.name)
            unfinished.rmdir()

    def plot(self, *, unit: str, ended: bool) -> None:
        """Draw the losses so far into `loss.png`: once a minute, and when the run has ended."""
        now = time.monotonic()
        if self.accelerator.is_main_process and (ended or now >= self._plot_due):
            self._plot_due = now + _SECONDS_BETWEEN_PLOTS
            plot_losses(self._metrics, self.folder / "loss.png", unit=unit)

    def _check_files(self, checkpoint: Path, files: Mapping[str, str]) -> None:
        """Refuse a checkpoint with a file that is not as it was written.

        Much of a damaged file loads without an error, and damaged random states are passed over.
        """
        damaged = None
        if self.accelerator.is_main_process:
            whole = (
                (checkpoint / name).is_file() and sha256(checkpoint / name) == digest
                for name, digest in files.items()
            )
            damaged = next((name for name, ok in zip(files, whole, strict=True) if not ok), None)
        # read by one, refused by all
        damaged = broadcast_object_list([damaged])[0]
        if damaged is not None:
            raise InputError(
                f"{checkpoint / damaged} is not as it was written; delete {checkpoint} to go on "
                f"from an older checkpoint, or start anew with --fresh"
            )

    def _found(self) -> list[Path]:
        """Return the checkpoints, oldest first."""
        found = [path for path in self._checkpoints.glob("step-*") if _STEP.fullmatch(path.name)]
        return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))

    def _check_settings(
        self, settings: dict[str, Scalar], free: frozenset[str], spelled: Mapping[str, str]
    ) -> None:
        begun = _read_object(self._config)
        for name in [*settings, *(name for name in begun if name not in settings)]:
            if name not in free and begun.get(name) != settings.get(name):
                raise InputError(
                    f"{self.folder} was begun with {spelled.get(name, name)} = "
                    f"{begun.get(name)!r}, now it is {settings.get(name)!r}; set it back, choose "
                    f"another run_folder, or start anew with --fresh"
                )

    def _check_deletable(self, *, fresh: bool) -> None:
        """Refuse to begin where that would delete what is not a run's or was not given up."""
        results = [name for name in _RESULTS if (self.folder / name).exists()]
        if not self._is_ours() and (results or self._config.exists()):
            found = [*results, *([self._config.name] if self._config.exists() else [])]
            raise InputError(
                f"{self.folder} holds {', '.join(found)}, but not of a training run; choose "
                f"another run_folder"
            )
        trained = [name for name in results if name != self._checkpoints.name]
        if trained and not fresh and not self._first.is_dir():
            raise InputError(
                f"{self.folder} holds {', '.join(trained)} of a run, but no checkpoint to go on "
                f"from; --fresh deletes them and starts anew, another run_folder keeps them"
            )

    def _is_ours(self) -> bool:
        checkpoints = (path / "progress.json" for path in self._found())
        if self._first.is_dir() or any(path.is_file() for path in checkpoints):
            return True
        try:
            return "run_folder" in _read_object(self._config)
        except InputError:
            return False

    def _clear(self) -> None:
        """Delete what a run writes, and nothing else the folder may hold; config.json stays."""
        if self._found():
            given_up = self._checkpoints.rename(_unfinished(self._checkpoints))
            self._first.mkdir(parents=True)
            shutil.rmtree(given_up)
        self._first.mkdir(parents=True, exist_ok=True)
        for name in _RESULTS:
            if (self.folder / name).is_dir() and name != self._checkpoints.name:
                shutil.rmtree(self.folder / name, ignore_errors=True)
            elif (self.folder / name).is_file():
                (self.folder / name).unlink()
        # what a killed run wrote of its first checkpoint
        shutil.rmtree(self._first)
        self._first.mkdir()


def _read_progress(checkpoint: Path) -> tuple[Progress, int, dict[str, str]]:
    """Return the progress at a checkpoint, the bytes of metrics.jsonl then, files and SHA-256."""
    file = checkpoint / "progress.json"
    state = _read_object(file)
    try:
        metrics_bytes = int(state.pop("metrics_bytes"))
        files = dict(state.pop("files"))
        progress = Progress(**state)
        check_fields(progress)
        if progress.spikes:
            SpikeGuard(None).load_state_dict(progress.spikes)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{file}: found no progress of a run ({error}); delete {checkpoint} to go on from an "
            f"older checkpoint, or start anew with --fresh"
        ) from error
    return progress, metrics_bytes, files


def _read_object(file: Path) -> dict[str, Any]:
    """Return the JSON object in a file of a run folder."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingInputError(
            f"{file} is not there; a run that goes on needs it: put it back, choose another "
            f"run_folder, or start anew with --fresh"
        ) from error
    except (OSError, ValueError) as error:
        found = error
    if not isinstance(found, dict):
        raise InputError(
            f"{file}: found no JSON object, wanted the one a run wrote; put it back, choose "
            f"another run_folder, or start anew with --fresh"
        )
    return found


@contextmanager
def _room_named(folder: Path) -> Iterator[None]:
    """Say in one line that a folder cannot be written.

    Each library has an error of its own for a full disk, few of them an OSError.

    Raises:
        OSError: In place of what the libraries raise when they cannot write.
    """
    try:
        yield
    except (torch.OutOfMemoryError, torch.distributed.DistError):
        raise
    except (OSError, RuntimeError, SafetensorError) as error:
        free = shutil.disk_usage(folder.parent).free / 1e9
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise OSError(
            f"{folder} cannot be written, {free:.2f} GB are free ({reason[0]}); what was saved "
            f"before is whole: make room and run the same command again"
        ) from error


def _unfinished(folder: Path) -> Path:
    """Return the name a folder has while it is being written or deleted."""
    return folder.with_name(f".{folder.name}.part")
