"""Scripts run one after the other, each to its end and once: a run goes on where it was stopped."""

import fcntl
import json
import logging
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from notagen.foundation.errors import InputError
from notagen.foundation.files import write_text

_log = logging.getLogger(__name__)


class Step(NamedTuple):
    """A script to run to its end."""

    name: str
    """What it is called where it is told of, such as `round-0: inference/generate.py`."""
    mark: Path
    """A JSON file about it: its settings, its flags, and whether it is done."""
    command: Sequence[str]
    makes: Path
    """What is there when it is done."""
    settings: Mapping[str, int | str]
    """What its results depend on; with others it is refused."""
    flags: str = ""
    """The user's own, which the command ends with. A step that is done keeps what it made with
    others."""
    mixes: bool = False
    """Whether what it has begun would be mixed with the results of other flags."""


def run_step(step: Step, lock: int) -> None:
    """Run a step to its end, unless it is done; its exit code and what it makes decide.

    Args:
        step: To be run.
        lock: From `hold_folder`. The script holds it too: one that a kill of this process leaves
            alone ends before another begins.

    Raises:
        InputError: If it fails, or has begun with other settings.
        KeyboardInterrupt: If it was stopped, after its own end.
    """
    mark = {"settings": dict(step.settings), "flags": step.flags}
    if step.mark.is_file():
        known = json.loads(step.mark.read_text(encoding="utf-8"))
        is_done = known.pop("done")
        if known["settings"] != mark["settings"] or (
            step.mixes and not is_done and known["flags"] != step.flags
        ):
            raise InputError(
                f"{step.mark}: found it begun with {_spell(known)}; wanted {_spell(mark)}, or "
                "another folder"
            )
        if is_done:
            if known["flags"] != step.flags:
                _log.info("%s: done with %s; what it made is kept", step.name, _spell(known))
            return
    step.mark.parent.mkdir(parents=True, exist_ok=True)
    write_text(step.mark, json.dumps(mark | {"done": False}) + "\n")
    _log.info("%s", step.name)
    code = _run([*step.command, *shlex.split(step.flags)], lock)
    if code or not step.makes.exists():
        how = f"exit code {code}" if code else f"no {step.makes}"
        raise InputError(f"{step.name} ended with {how}: {shlex.join(step.command)} {step.flags}")
    write_text(step.mark, json.dumps(mark | {"done": True}) + "\n")


@contextmanager
def hold_folder(folder: Path) -> Iterator[int]:
    """Keep other runs out of a folder, which is made; yield the lock for the steps to hold too.

    Waits until a run that has it ends, and the step that it may have left alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.info("%s: another run works there; waiting for the end of what it does", folder)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def _run(command: Sequence[str], lock: int) -> int:
    """Return the exit code of a command; a stop reaches it and is raised after its end."""
    told = []
    with subprocess.Popen(command, pass_fds=[lock]) as process:  # noqa: S603 -- the user's own

        def pass_on(number: int, _: object) -> None:
            told.append(number)
            process.send_signal(number)

        before = signal.signal(signal.SIGTERM, pass_on)
        try:
            while process.returncode is None:
                try:
                    process.wait()
                except KeyboardInterrupt:  # the terminal tells both
                    told.append(signal.SIGINT)
        finally:
            signal.signal(signal.SIGTERM, before)
    if told:
        raise KeyboardInterrupt
    return process.returncode


def _spell(mark: Mapping[str, Any]) -> str:
    """Return settings and flags in one line."""
    words = [f"{name} {value}" for name, value in mark["settings"].items()]
    return ", ".join([*words, f"flags {mark['flags']!r}"])
