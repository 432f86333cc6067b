"""Take a fine-tuned model through rounds of writing, choosing and training.

    python run_rounds.py --rounds 3

Each round writes pieces, extracts their features, measures them, chooses the best and the worst,
and trains on these. It ends with a table and a plot of what became better, also by measures that
nothing was trained on. Stopped anywhere, the same command goes on there.

Every setting is a flag:  python run_rounds.py --help
"""

import fcntl
import json
import logging
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from notagen.evaluation.pieces import find_pieces
from notagen.evaluation.results import plain, read_result
from notagen.evaluation.rounds import format_rounds, plot_rounds, round_figures
from notagen.features.scoring import read_reference
from notagen.foundation.config import run_stage
from notagen.foundation.errors import InputError
from notagen.foundation.features import read_features
from notagen.foundation.files import write_text
from notagen.foundation.lines import read_lines
from notagen.model.weights import weights_sha256
from notagen.stages.preference import RoundsConfig

ROOT = Path(__file__).resolve().parents[1]
_log = logging.getLogger(__name__)


def main(config: RoundsConfig) -> None:
    """Run all rounds, then say what became of them."""
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    with held(config.out) as lock:
        for step in (*real_steps(config), *writing_steps(config, 0)):
            run(config, step, lock)
        for number in range(config.rounds):
            for step in (*learning_steps(config, number), *writing_steps(config, number + 1)):
                run(config, step, lock)
        table = write_rounds(config)
    print(f"{table}\n\nthe figures stand in {config.out / 'rounds.jsonl'}")


class Step(NamedTuple):
    """A script to run to its end."""

    done: Path
    """Marks that it has come to its end; holds what it was given."""
    script: str
    """Path in the project."""
    flags: dict[str, object]
    more: str = ""
    """The user's own flags."""
    shared: bool = False
    """Whether several processes can share the work."""


def real_steps(config: RoundsConfig) -> Iterator[Step]:
    """Yield what is done once: features of real pieces."""
    indexes = {"reference": config.reference_index, "eval": config.eval_index}
    for name, index in indexes.items():
        out = config.out / "real"
        flags: dict[str, object] = {"input": index, "out": out / name}
        yield Step(out / f"{name}.done", "clamp_features/3_extract.py", flags, config.extract, True)


def writing_steps(config: RoundsConfig, number: int) -> Iterator[Step]:
    """Yield what shows how good a round's weights are: pieces, their features, the figures."""
    folder, weights, real = config.folder(number), config.weights_of(number), config.out / "real"
    written, features = folder / "generations", folder / "features"
    yield Step(
        folder / "generate.done",
        "inference/generate.py",
        {
            "weights": weights,
            "out": written,
            "samples": config.samples,
            "seed": config.seed + number,
        },
        f"--no-show {config.generate}",
        shared=True,
    )
    yield Step(
        folder / "extract.done",
        "clamp_features/3_extract.py",
        {"input": written, "out": features},
        config.extract,
        shared=True,
    )
    yield Step(
        folder / "measure.done",
        "evaluate/evaluate.py",
        {
            "name": folder.name,
            "model": weights,
            "prompts": "with",
            "reference": config.eval_index,
            "train": config.reference_index,
            "generations": written,
            "generation-features": features,
            "reference-features": real / "eval",
            "train-features": real / "reference",
            "results": folder,
        },
        # the pieces are ours, and music21 reading each back takes most of the time
        "--no-check-notes",
    )


def learning_steps(config: RoundsConfig, number: int) -> Iterator[Step]:
    """Yield what makes the next round's weights of a round's pieces: the choice, the training."""
    folder = config.folder(number)
    yield Step(
        folder / "choose.done",
        "rl/1_preferences.py",
        {
            "generations": folder / "generations",
            "generation-features": folder / "features",
            "reference-features": config.out / "real" / "reference",
            "out": folder / "preferences",
        },
        config.choose,
    )
    yield Step(
        folder / "train.done",
        "rl/2_train-dpo.py",
        {
            "weights": config.weights_of(number),
            "preferences": folder / "preferences" / "preferences.json",
            "run-folder": folder / "dpo",
            "seed": config.seed + number,
        },
        config.train,
        shared=True,
    )


def run(config: RoundsConfig, step: Step, lock: int) -> None:
    """Run a step to its end, unless it has come there.

    Raises:
        InputError: If it fails, or has come to its end with other flags.
    """
    flags = [str(part) for name, value in step.flags.items() for part in (f"--{name}", value)]
    flags += shlex.split(step.more)
    if step.done.is_file():
        known = json.loads(step.done.read_text(encoding="utf-8"))
        if known != flags:
            raise InputError(
                f"{step.done}: found it done with {shlex.join(known)}; wanted "
                f"{shlex.join(flags)}, or another --out"
            )
        return
    _log.info("%s: %s", step.done.parent.name, step.script)
    launcher = shlex.split(config.launcher) if step.shared else []
    command = [*(launcher or [sys.executable]), str(ROOT / step.script), *flags]
    # the script holds the lock too: left alone by a kill of this one, it ends before another begins
    done = subprocess.run(command, check=False, pass_fds=[lock])  # noqa: S603 -- the user's own
    if code := done.returncode:
        raise InputError(
            f"{step.done.parent.name}: {step.script} ended with exit code {code}: "
            f"{shlex.join(command)}"
        )
    write_text(step.done, json.dumps(flags) + "\n")


@contextmanager
def held(out: Path) -> Iterator[int]:
    """Hold a folder for this run alone; yield the lock, which ends with the last that has it."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.info("%s: another run works there; waiting for the end of what it does", out)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def write_rounds(config: RoundsConfig) -> str:
    """Write rounds.jsonl and rounds.png; return the table."""
    reference = read_reference(config.out / "real" / "reference")
    lines = []
    for number in range(config.rounds + 1):
        folder = config.folder(number)
        pieces = find_pieces(folder / "generations")
        figures = round_figures(
            read_result(folder / f"{folder.name}.json"),
            pieces,
            read_features(folder / "features"),
            reference,
        )
        facts: dict[str, Any] = {
            "round": number,
            "pieces": len(pieces),
            "weights_sha256": weights_sha256(config.weights_of(number)),
        }
        lines.append(json.dumps(plain(facts | figures)))
    write_text(config.out / "rounds.jsonl", "".join(f"{line}\n" for line in lines))
    rounds = [line for _, line in read_lines(config.out / "rounds.jsonl")]
    plot_rounds(rounds, config.out / "rounds.png")
    return format_rounds(rounds)


if __name__ == "__main__":
    run_stage(main, Path(__file__).with_name("config.py"), "ROUNDS")
