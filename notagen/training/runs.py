"""Run folders: metrics, checkpoints, weights, and going on where a run stopped."""

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from notagen.foundation.errors import InputError
from notagen.foundation.files import write_text
from notagen.model.notagen import NotaGen
from notagen.model.weights import save_model

Scalar = str | int | float | bool | None


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
    """Steps whose gradient was not finite."""
    best_loss: float | None = None
    """Lowest evaluation loss so far, nats per character."""


class RunFolder:
    """The folder of one run, written by the main process, read by all.

    Layout: `config.json` (settings), `metrics.jsonl` (a line a step or evaluation),
    `checkpoints/step-<n>/` (all that resuming needs), `best/` and `last/` (weights). A checkpoint
    appears whole, by a rename, and older ones are deleted only then: a kill at any time leaves the
    newest as it was. Every method is to be called on every process.

    Args:
        folder: Created where it is missing.
        accelerator: Prepared model, optimizer and schedule.
        keep_checkpoints: How many of the newest stay, > 0.
    """

    def __init__(self, folder: Path, accelerator: Accelerator, *, keep_checkpoints: int) -> None:
        self.folder = folder
        self.accelerator = accelerator
        self.keep_checkpoints = keep_checkpoints
        self._checkpoints = folder / "checkpoints"
        self._config = folder / "config.json"
        self._metrics = folder / "metrics.jsonl"

    def begin(self, settings: dict[str, Scalar], *, free: frozenset[str], fresh: bool) -> Progress:
        """Load the newest checkpoint if there is one, else clear the folder of an earlier run.

        Args:
            settings: Written to config.json.
            free: Names of settings that may differ from those the run was begun with.
            fresh: Whether to start anew even if there is a checkpoint.

        Returns:
            How far the run had come at that checkpoint; all zeros for a new run.

        Raises:
            InputError: If another setting differs, naming it and both values.
        """
        found = sorted(self._checkpoints.glob("step-*"))
        newest = found[-1] if found and not fresh else None
        progress = Progress()
        if newest is not None:
            self._check_settings(settings, free)
            progress, metrics_bytes = _read_progress(newest)
        # nobody writes before everybody has read
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            for place in (self.folder, self._checkpoints):
                for unfinished in place.glob(".*.part"):
                    shutil.rmtree(unfinished)
            if newest is None:
                self._clear()
            elif self._metrics.is_file() and self._metrics.stat().st_size > metrics_bytes:
                os.truncate(self._metrics, metrics_bytes)
            write_text(self._config, json.dumps(settings, indent=2) + "\n")
        self.accelerator.wait_for_everyone()
        if newest is not None:
            self.accelerator.load_state(str(newest))
            # counted in micro-steps: a run that goes on may accumulate another number of them
            self.accelerator.step = 0
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

    def save_checkpoint(self, progress: Progress) -> None:
        """Write `checkpoints/step-<n>/`, whole or not at all, then delete old checkpoints."""
        final = self._checkpoints / f"step-{progress.step:08d}"
        unfinished = _unfinished(final)
        main = self.accelerator.is_main_process
        if main:
            unfinished.mkdir(parents=True)
        self.accelerator.wait_for_everyone()
        self.accelerator.save_state(str(unfinished))
        self.accelerator.wait_for_everyone()
        if main:
            size = self._metrics.stat().st_size if self._metrics.is_file() else 0
            state = dataclasses.asdict(progress) | {"metrics_bytes": size}
            write_text(unfinished / "progress.json", json.dumps(state, indent=2) + "\n")
            unfinished.rename(final)
            for old in sorted(self._checkpoints.glob("step-*"))[: -self.keep_checkpoints]:
                # renamed first, so that no half-deleted folder ever passes for a checkpoint
                shutil.rmtree(old.rename(_unfinished(old)))
        self.accelerator.wait_for_everyone()

    def save_weights(self, model: NotaGen, name: str) -> None:
        """Write the model's weights and shape to the folder `name`, replacing each file whole.

        Args:
            model: The model without what the accelerator wrapped around it.
            name: `best` or `last`.
        """
        if self.accelerator.is_main_process:
            target = self.folder / name
            target.mkdir(exist_ok=True)
            unfinished = _unfinished(target)
            unfinished.mkdir()
            save_model(model, unfinished)
            for file in unfinished.iterdir():
                file.replace(target / file.name)
            unfinished.rmdir()

    def _check_settings(self, settings: dict[str, Scalar], free: frozenset[str]) -> None:
        begun: dict[str, Any] = json.loads(self._config.read_text(encoding="utf-8"))
        for name in [*settings, *(name for name in begun if name not in settings)]:
            if name not in free and begun.get(name) != settings.get(name):
                raise InputError(
                    f"{self.folder} was begun with {name} = {begun.get(name)!r}, now it is "
                    f"{settings.get(name)!r}; set it back, choose another run_folder, or start "
                    f"anew with --fresh"
                )

    def _clear(self) -> None:
        """Delete what a run writes, and nothing else the folder may hold."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("checkpoints", "best", "last", "trackers"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for file in (self._metrics, self._config):
            file.unlink(missing_ok=True)


def _read_progress(checkpoint: Path) -> tuple[Progress, int]:
    """Return the progress at a checkpoint and the size of metrics.jsonl then, in bytes."""
    state = json.loads((checkpoint / "progress.json").read_text(encoding="utf-8"))
    metrics_bytes = state.pop("metrics_bytes")
    return Progress(**state), metrics_bytes


def _unfinished(folder: Path) -> Path:
    """Return the name a folder has while it is being written or deleted."""
    return folder.with_name(f".{folder.name}.part")
