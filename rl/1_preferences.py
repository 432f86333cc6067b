"""Choose the best of the generated pieces of each prompt, and the worst, to learn from.

    python 1_preferences.py
    python 1_preferences.py --portion 0.05 --reward human.jsonl

Every setting is a flag:  python 1_preferences.py --help
"""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from notagen.evaluation.likeness import feature_rows
from notagen.evaluation.pieces import PieceFile, find_pieces
from notagen.features.scoring import Reference, judge, read_reference
from notagen.foundation.batch import run_batch
from notagen.foundation.config import run_stage
from notagen.foundation.cosine import nearest
from notagen.foundation.errors import InputError
from notagen.foundation.features import (
    Features,
    FeatureSet,
    check_same_extractor,
    read_features,
)
from notagen.foundation.files import write_text
from notagen.foundation.index import GENERATIONS, Labels
from notagen.preference.pairs import Candidate, Preferences, choose, find_best
from notagen.preference.rewards import TEXT_REWARDS, read_rewards
from notagen.preference.rules import Exclusion, find_copy, find_exclusions
from notagen.stages.preference import CLAMP, PreferencesConfig


def main(config: PreferencesConfig) -> None:
    """Write the preferences, and a line about each piece."""
    reference = read_reference(config.reference_features, config.reference_index)
    features = read_features(config.generation_features)
    known = read_known(config, reference)
    check_same_extractor(features, reference.features, *known)

    # Pieces of which a text and a feature are there
    pieces = find_pieces(config.generations / GENERATIONS)
    rows = feature_rows(features.names, pieces)
    found = [
        Scored(piece, piece.path.read_text(encoding="utf-8"), features.matrix[rows[place]])
        for place, piece in enumerate(pieces)
        if place in rows and piece.path and piece.path.is_file()
    ]
    if not found:
        raise InputError(
            f"{config.generation_features}: found no feature of a piece of {config.generations}"
        )

    # What each is worth, and what keeps it from being chosen
    rewards = reward_pieces(config, found, reference)
    copies = find_copies(found, known)
    outcomes = run_batch(find_exclusions, [one.text for one in found], workers=config.workers)
    faults = [outcome.result or [] for outcome in tqdm(outcomes, total=len(found), unit="piece")]
    candidates = [
        Candidate(one.piece.name, labels(one.piece), reward, (*fault, *copy))
        for one, reward, fault, copy in zip(found, rewards, faults, copies, strict=True)
    ]
    paths = {one.piece.name: one.piece.path for one in found if one.piece.path}
    # also where too few are left: the lines say why
    write_lines(config.out, candidates, paths, Preferences([], []))
    kept = find_best(candidates, portion=config.kept_portion)
    write_kept(config.out / "kept.jsonl", kept)
    preferences = choose(candidates, portion=config.portion)
    write_lines(config.out, candidates, paths, preferences)
    write_sides(config.out, paths, preferences)
    print(describe(candidates, preferences))
    if lost := len(pieces) - len(found):
        print(f"{lost} more pieces have no text or no feature")


class Scored(NamedTuple):
    """A piece to look at."""

    piece: PieceFile
    text: str
    feature: Features


def read_known(config: PreferencesConfig, reference: Reference) -> list[FeatureSet]:
    """Return the features of which no piece may be a copy."""
    known = [] if reference.sizes else [reference.features]
    if config.training_features:
        known.append(read_features(config.training_features))
    if not known:
        raise InputError(
            f"{config.reference_features} holds means, which tell no copies; wanted "
            f"--training-features beside it"
        )
    return known


def labels(piece: PieceFile) -> Labels | None:
    """Return what a piece was to be."""
    prompt = piece.prompt
    return (prompt.period, prompt.composer, prompt.instrumentation) if prompt else None


def reward_pieces(
    config: PreferencesConfig, found: Sequence[Scored], reference: Reference
) -> list[float]:
    """Return what each piece is worth."""
    if config.reward == CLAMP:
        vectors = np.stack([one.feature for one in found])
        asked = [labels(one.piece) for one in found]
        names = [one.piece.name for one in found]
        judged = judge(vectors, asked, reference, names=names, shrinkage=config.shrinkage)
        return [one.prompt_score for one in judged]
    if config.reward in TEXT_REWARDS:
        return [TEXT_REWARDS[config.reward](one.text) for one in found]
    rewards = read_rewards(Path(config.reward))
    if missing := [one.piece.name for one in found if one.piece.name not in rewards]:
        raise InputError(
            f"{config.reward}: found no reward of {missing[0]} ({len(missing)} pieces have none)"
        )
    return [rewards[one.piece.name] for one in found]


def find_copies(found: Sequence[Scored], known: Sequence[FeatureSet]) -> list[list[Exclusion]]:
    """Return of each piece whether it is the copy of a real one."""
    vectors = np.stack([one.feature for one in found])
    names = [name for features in known for name in features.names]
    places, similarities = nearest(vectors, np.concatenate([features.matrix for features in known]))
    return [
        find_copy(float(similarity), names[place])
        for place, similarity in zip(places, similarities, strict=True)
    ]


def write_lines(
    out: Path, candidates: Sequence[Candidate], paths: Mapping[str, Path], preferences: Preferences
) -> None:
    """Write preferences.jsonl, a line about each piece, the best first."""
    choice = {piece.name: "chosen" for piece in preferences.chosen}
    choice |= {piece.name: "rejected" for piece in preferences.rejected}
    lines = [
        {
            "name": piece.name,
            "path": seen_from(out, paths[piece.name]),
            "prompt": piece.prompt,
            "reward": piece.reward,
            "choice": choice.get(piece.name),
            "excluded": [exclusion._asdict() for exclusion in piece.exclusions],
        }
        for piece in sorted(candidates, key=lambda piece: (-piece.reward, piece.name))
    ]
    write_text(out / "preferences.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))


def write_kept(file: Path, kept: Sequence[Candidate]) -> None:
    """Write what data/0_fetch.py takes for metadata of the folder of generations."""
    lines = []
    for piece in kept:
        period, composer, instrumentation = piece.prompt or ("", "", "")
        line = {"path": f"standard/{piece.name}.abc", "period": period, "composer": composer}
        lines.append(line | {"instrumentation": instrumentation, "work": piece.name})
    write_text(file, "".join(f"{json.dumps(line)}\n" for line in lines))


def write_sides(out: Path, paths: Mapping[str, Path], preferences: Preferences) -> None:
    """Write preferences.json, the texts to learn from."""
    sides = {
        side: [seen_from(out, paths[piece.name]) for piece in pieces]
        for side, pieces in preferences._asdict().items()
    }
    write_text(out / "preferences.json", json.dumps(sides, indent=2) + "\n")


def seen_from(folder: Path, path: Path) -> str:
    """Return a path relative to a folder, so that both may be moved together."""
    return Path(os.path.relpath(path, folder)).as_posix()


def describe(candidates: Sequence[Candidate], preferences: Preferences) -> str:
    """Return what came of it, in two lines."""
    prompts = {piece.prompt for piece in candidates}
    rules = Counter(exclusion.rule for piece in candidates for exclusion in piece.exclusions)
    kept_out = ", ".join(f"{count} {rule}" for rule, count in sorted(rules.items())) or "none"
    chosen, rejected = (fmean(piece.reward for piece in side) for side in preferences)
    return (
        f"{len(candidates)} pieces of {len(prompts)} prompts; not to be chosen: {kept_out}\n"
        f"{len(preferences.chosen)} chosen, mean reward {chosen:.3f}; as many rejected, "
        f"{rejected:.3f}"
    )


if __name__ == "__main__":
    run_stage(main, Path(__file__).with_name("config.py"), "PREFERENCES")
