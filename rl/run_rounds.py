"""Take a fine-tuned model through rounds of writing, choosing and training.

    python run_rounds.py --rounds 3

Each round writes pieces, extracts their features, measures them, chooses the best and the worst,
and trains on these. It ends with a table and a plot of what became better, also by measures that
nothing was trained on. Stopped anywhere, the same command goes on there.

Every setting is a flag:  python run_rounds.py --help
"""

import json
import logging
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tyro

from notagen.evaluation.pieces import find_pieces
from notagen.evaluation.results import plain, read_result
from notagen.evaluation.rounds import format_rounds, plot_rounds, real_figures, round_figures
from notagen.features.scoring import read_reference
from notagen.foundation.config import load_config, run_stage
from notagen.foundation.errors import InputError
from notagen.foundation.features import read_features
from notagen.foundation.files import sha256, write_text
from notagen.foundation.lines import read_lines
from notagen.foundation.steps import Step, hold_folder, run_step
from notagen.model.weights import weights_sha256
from notagen.stages.preference import RoundsConfig

ROOT = Path(__file__).resolve().parents[1]


def main(config: RoundsConfig) -> None:
    """Run all rounds, then say what became of them."""
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    # what may be wrong with later steps is told before the first
    for step in all_steps(config):
        check_flags(step)
    with hold_folder(config.out) as lock:
        check_inputs(config)
        for step in all_steps(config):
            run_step(step, lock)
            if step.mark.stem == "measure":
                table = write_rounds(config)
    print(f"{table}\n\nthe figures stand in {config.out / 'rounds.jsonl'}")


def all_steps(config: RoundsConfig) -> Iterator[Step]:
    """Yield the steps of all rounds; what the last weights write is measured too."""
    for name, index in (("reference", config.reference_index), ("eval", config.eval_index)):
        yield make_step(
            config,
            config.out / "real" / f"{name}.json",
            "clamp_features/3_extract.py",
            {"input": index, "out": config.out / "real" / name},
            makes=config.out / "real" / name / "features.json",
            flags=config.extract,
        )
    for number in range(config.rounds + 1):
        yield from writing_steps(config, number)
        if number < config.rounds:
            yield from learning_steps(config, number)


def writing_steps(config: RoundsConfig, number: int) -> Iterator[Step]:
    """Yield what shows how good a round's weights are: pieces, their features, the figures."""
    folder, weights, real = config.folder(number), config.weights_of(number), config.out / "real"
    written, features = folder / "generations", folder / "features"
    yield make_step(
        config,
        folder / "generate.json",
        "inference/generate.py",
        {"weights": weights, "out": written},
        settings={"samples": config.samples, "seed": config.seed + number},
        makes=written / "generations.jsonl",
        flags=f"--no-show {config.generate}",
    )
    yield make_step(
        config,
        folder / "extract.json",
        "clamp_features/3_extract.py",
        {"input": written, "out": features},
        makes=features / "features.json",
        flags=config.extract,
    )
    yield make_step(
        config,
        folder / "measure.json",
        "evaluate/evaluate.py",
        {
            "model": weights,
            "reference": config.eval_index,
            "train": config.reference_index,
            "generations": written,
            "generation-features": features,
            "reference-features": real / "eval",
            "train-features": real / "reference",
            "results": folder / "results",
        },
        settings={"name": folder.name, "prompts": "with"},
        makes=config.results(number),
        # the pieces are ours, and music21 reading each back takes most of the time
        flags="--no-check-notes",
        shared=False,
    )


def learning_steps(config: RoundsConfig, number: int) -> Iterator[Step]:
    """Yield what makes the next round's weights of a round's pieces: the choice, the training."""
    folder = config.folder(number)
    preferences = folder / "preferences" / "preferences.json"
    yield make_step(
        config,
        folder / "choose.json",
        "rl/1_preferences.py",
        {
            "generations": folder / "generations",
            "generation-features": folder / "features",
            "reference-features": config.out / "real" / "reference",
            "out": preferences.parent,
        },
        makes=preferences,
        flags=config.choose,
        shared=False,
    )
    yield make_step(
        config,
        folder / "train.json",
        "rl/2_train-dpo.py",
        {
            "weights": config.weights_of(number),
            "preferences": preferences,
            "run-folder": folder / "dpo",
        },
        settings={"seed": config.seed + number},
        makes=config.weights_of(number + 1),
        flags=config.train,
    )


def make_step(
    config: RoundsConfig,
    mark: Path,
    script: str,
    paths: Mapping[str, Path],
    *,
    settings: Mapping[str, int | str] | None = None,
    makes: Path,
    flags: str,
    shared: bool = True,
) -> Step:
    """Return the step of a script; one that processes can share is started by the launcher."""
    launcher = shlex.split(config.launcher) if shared else []
    given = {**paths, **(settings or {})}
    return Step(
        name=f"{mark.parent.name}: {script}",
        mark=mark,
        command=[
            *(launcher or [sys.executable]),
            str(ROOT / script),
            *(str(part) for name, value in given.items() for part in (f"--{name}", value)),
        ],
        makes=makes,
        settings=settings or {},
        flags=flags.strip(),
        mixes=script == "inference/generate.py",
    )


def check_flags(step: Step) -> None:
    """End with a message if a step's script does not know its flags, or they are ours to set.

    Raises:
        InputError: If a flag is ours to set.
    """
    place = next(
        place
        for place, word in enumerate(step.command)
        if word.startswith(str(ROOT)) and word.endswith(".py")
    )
    script, given = Path(step.command[place]), list(step.command[place + 1 :])
    for flag in shlex.split(step.flags):
        if flag.split("=")[0] in given:
            raise InputError(f"{script.name}: found the flag {flag}, which run_rounds.py sets")
    names = {"3_extract": "EXTRACT", "1_preferences": "PREFERENCES", "2_train-dpo": "DPO"}
    defaults = load_config(script.with_name("config.py"), names.get(script.stem, "CONFIG"))
    tyro.cli(
        type(defaults),
        prog=f"run_rounds.py: {script.name}",
        default=defaults,
        args=[*given, *shlex.split(step.flags)],
    )


def check_inputs(config: RoundsConfig) -> None:
    """Keep what the rounds began with, or see that it is still the same.

    Raises:
        InputError: If weights or indexes have another content than when the rounds began.
    """
    inputs = {
        "weights": weights_sha256(config.weights),
        "reference_index": sha256(config.reference_index),
        "eval_index": sha256(config.eval_index),
    }
    file = config.out / "inputs.json"
    if not file.is_file():
        write_text(file, json.dumps(inputs, indent=2) + "\n")
    known = json.loads(file.read_text(encoding="utf-8"))
    for name, digest in inputs.items():
        if known[name] != digest:
            raise InputError(
                f"{name}: found {getattr(config, name)} changed since these rounds began; wanted "
                "it as it was, or another --out"
            )


def write_rounds(config: RoundsConfig) -> str:
    """Write rounds.jsonl and rounds.png of the rounds that are measured; return the table."""
    real = config.out / "real"
    reference, held_out = read_reference(real / "reference"), read_features(real / "eval")
    lines: list[dict[str, Any]] = []
    number = 0
    while number <= config.rounds and config.results(number).is_file():
        result = read_result(config.results(number))
        pieces = find_pieces(config.folder(number) / "generations")
        if not lines:
            figures = real_figures(result, held_out, reference)
            lines.append({"round": "held out", "pieces": len(held_out.names)} | figures)
        features = read_features(config.folder(number) / "features")
        facts = {
            "round": number,
            "pieces": len(pieces),
            "weights_sha256": result["inputs"]["model"]["sha256"],
        }
        lines.append(facts | round_figures(result, pieces, features, reference))
        number += 1
    file = config.out / "rounds.jsonl"
    write_text(file, "".join(f"{json.dumps(plain(line))}\n" for line in lines))
    rounds = [line for _, line in read_lines(file)]
    plot_rounds(rounds, config.out / "rounds.png")
    return format_rounds(rounds)


if __name__ == "__main__":
    run_stage(main, Path(__file__).with_name("config.py"), "ROUNDS")
