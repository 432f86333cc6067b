"""Run folders: metrics, checkpoints, weights, and going on where a run stopped."""

import dataclasses
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from notagen.foundation.config import check_fields
from notagen.foundation.errors import InputError, MissingInputError
from notagen.foundation.files import write_text
from notagen.model.notagen import NotaGen
from notagen.model.weights import save_model

Scalar = str | int | float | bool | None

_RESULTS = ("checkpoints", "best", "last", "trackers", "metrics.jsonl")
_UNFINISHED = (".checkpoints.part", ".best.part", ".last.part")
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
    """Steps whose gradient was not finite."""
    best_loss: float | None = None
    """Lowest evaluation loss so far, nats per character."""


class RunFolder:
    """The folder of one run, written by the main process, read by all.

    Layout: `config.json` (settings), `metrics.jsonl` (a line a step or evaluation),
    `checkpoints/step-<n>/` (all that resuming needs), `best/` and `last/` (weights). A checkpoint
    appears whole, by a rename, and older ones are deleted only then: a kill at any time leaves the
    newest as it was. A run's first checkpoint has its unfinished folder from the beginning: while
    that is there, what else the folder holds is of a run that never came so far, and may go.
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
        self._checkpoints = folder / "checkpoints"
        self._first = self._checkpoints / ".step-first.part"
        self._is_first = False
        self._config = folder / "config.json"
        self._metrics = folder / "metrics.jsonl"

    def begin(
        self,
        settings: dict[str, Scalar],
        *,
        free: frozenset[str],
        fresh: bool,
        spelled: Mapping[str, str] | None = None,
    ) -> Progress:
        """Load the newest checkpoint if there is one, else begin a new run.

        Args:
            settings: Written to config.json, `run_folder` among them: by it a later run knows
                the folder for one of ours.
            free: Names of settings that may differ from those the run was begun with.
            fresh: Whether to delete an earlier run and start anew.
            spelled: For messages, what to call settings that the user knows by another name.

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
            progress, metrics_bytes = _read_progress(newest)
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
        unfinished = self._first if self._is_first else _unfinished(final)
        self._is_first = False
        main = self.accelerator.is_main_process
        if main:
            unfinished.mkdir(parents=True, exist_ok=True)
        self.accelerator.wait_for_everyone()
        self.accelerator.save_state(str(unfinished))
        self.accelerator.wait_for_everyone()
        if main:
            size = self._metrics.stat().st_size if self._metrics.is_file() else 0
            state = dataclasses.asdict(progress) | {"metrics_bytes": size}
            write_text(unfinished / "progress.json", json.dumps(state, indent=2) + "\n")
            unfinished.rename(final)
            for old in self._found()[: -self.keep_checkpoints]:
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
        for name in ("best", "last", "trackers"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self._metrics.unlink(missing_ok=True)
        # what a killed run wrote of its first checkpoint
        shutil.rmtree(self._first)
        self._first.mkdir()


def _read_progress(checkpoint: Path) -> tuple[Progress, int]:
    """Return the progress at a checkpoint and the size of metrics.jsonl then, in bytes."""
    file = checkpoint / "progress.json"
    state = _read_object(file)
    try:
        metrics_bytes = int(state.pop("metrics_bytes"))
        progress = Progress(**state)
        check_fields(progress)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{file}: found no progress of a run ({error}); delete {checkpoint} to go on from an "
            f"older checkpoint, or start anew with --fresh"
        ) from error
    return progress, metrics_bytes


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


def _unfinished(folder: Path) -> Path:
    """Return the name a folder has while it is being written or deleted."""
    return folder.with_name(f".{folder.name}.part")
