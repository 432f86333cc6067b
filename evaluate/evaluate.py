"""Measure a model and its scores beside real music, with one command.

    python evaluate.py --name mine --model ../finetune/runs/mine/best --generations ../inference/out
    python evaluate.py --sheet                       # write a page on which people compare
    python evaluate.py --answers ~/answers-1.jsonl   # count what they said

Every setting is a flag:  python evaluate.py --help
"""

import logging
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from notagen.evaluation.distances import distance_figures, featured
from notagen.evaluation.likelihood import MODEL, PROMPTED, floor_rows, model_row, read_texts
from notagen.evaluation.pieces import Parts, PieceFile, describe, find_pieces, measure_pieces
from notagen.evaluation.plots import plot_likelihood, plot_statistics
from notagen.evaluation.results import Result, read_result, write_pieces, write_result
from notagen.evaluation.scores import statistics_figures, validity_figures
from notagen.evaluation.sheets import choose_pairs, judgement_figures
from notagen.evaluation.tables import format_judgements, format_tables
from notagen.foundation.config import run_stage
from notagen.foundation.features import FeatureSet, check_same_extractor, read_features
from notagen.metrics import relative
from notagen.metrics.figures import RESAMPLES
from notagen.metrics.frechet import GROUPS
from notagen.metrics.similarity import COPY
from notagen.model.weights import load_model, weights_sha256
from notagen.render.sheet import read_answers, write_sheet
from notagen.stages import EvaluateConfig, find_device


def main(config: EvaluateConfig) -> None:
    """Write the results of a model and its pieces, or a sheet, or count the answers to one."""
    logging.basicConfig(format="%(message)s")
    if config.answers:
        count_answers(config)
        return
    reference = find_pieces(config.reference)
    generated = find_pieces(config.generations) if config.generations else []
    if config.sheet:
        make_sheet(config, generated, reference)
        return

    # What may be wrong with the inputs is told before anything is measured
    fastest = torch.accelerator.current_accelerator(check_available=True)
    device = find_device(config.device, fastest or torch.device("cpu"))
    features = read_feature_sets(config)
    learned = find_pieces(config.train) if config.train else []
    if len(learned) > config.max_learned:
        warn(f"{config.train}: {config.max_learned:,} of {len(learned):,} pieces are drawn")
        learned = random.Random(config.seed).sample(learned, config.max_learned)  # noqa: S311 -- no secret
    result = known_judgements(config) | {
        "name": config.name,
        "settings": settings(config),
        "inputs": describe_inputs(config, reference, learned, generated),
    }
    if config.model or config.train:
        result["likelihood"] = measure_likelihood(config, reference, learned, device)
    if config.generations:
        result |= measure_scores(config, generated, reference, learned, features)
    write_result(config.file(".json"), result)
    print("\n\n".join(format_tables([read_result(config.file(".json"))])))
    print(f"\nthe figures stand in {config.file('.json')}; table.py puts them into {config.page}")


def settings(config: EvaluateConfig) -> dict[str, Any]:
    """Return all that figures depend on beside the inputs."""
    names = ("seed", "prompts", "check_notes", "patches_per_batch", "max_learned")
    return {name: getattr(config, name) for name in names} | {
        "resamples": RESAMPLES,
        "resamples_of_statistics": relative.RESAMPLES,
        "groups_of_frechet": GROUPS,
        "copy_above": COPY,
    }


def describe_inputs(
    config: EvaluateConfig,
    reference: Sequence[PieceFile],
    learned: Sequence[PieceFile],
    generated: Sequence[PieceFile],
) -> dict[str, Any]:
    """Return names and digests of what is measured; pieces of other weights are told."""
    inputs: dict[str, Any] = {"reference": describe(config.reference, reference)}
    if config.train:
        inputs["train"] = describe(config.train, learned)
    if config.model:
        digest = weights_sha256(config.model)
        inputs["model"] = {"name": config.model.name, "sha256": digest}
        others = {piece.weights_sha256 for piece in generated} - {digest, None}
        if others:
            warn(f"{config.generations}: found pieces of other weights than {config.model}")
    if config.generations:
        inputs["generations"] = describe(config.generations, generated)
    return inputs


def read_feature_sets(config: EvaluateConfig) -> list[FeatureSet | None]:
    """Return the given features of generated pieces, reference and pieces learned from."""
    folders = (config.generation_features, config.reference_features, config.train_features)
    sets = [read_features(folder) if folder else None for folder in folders]
    check_same_extractor(*filter(None, sets))
    return sets


def known_judgements(config: EvaluateConfig) -> Result:
    """Return what people said, if answers have been counted: a new evaluation keeps it."""
    if not config.file(".json").is_file():
        return {}
    known = read_result(config.file(".json"))
    return {"judgements": known["judgements"]} if "judgements" in known else {}


def measure_likelihood(
    config: EvaluateConfig,
    reference: Sequence[PieceFile],
    learned: Sequence[PieceFile],
    device: torch.device,
) -> dict[str, Any]:
    """Return the bits per character of the reference under the floor and the model."""
    texts, left_out = read_texts(reference)
    works = {piece.name: piece.work for piece in reference}
    rows = {}
    if learned:
        learned_texts, not_learned = read_texts(learned)
        learned_works = {piece.name: piece.work for piece in learned}
        rows = floor_rows(texts, works, learned_texts, learned_works, seed=config.seed)
        in_both = sorted(set(works.values()) & set(learned_works.values()))
        for line in (*not_learned, *(f"{work}: was learned from too" for work in in_both)):
            warn(line)
    if config.model:
        model = load_model(config.model, device)
        titles = {"without": (MODEL,), "with": (PROMPTED,), "both": (MODEL, PROMPTED)}
        for title in titles[config.prompts]:
            rows[title] = model_row(
                model,
                texts,
                reference,
                prompted=title == PROMPTED,
                patches_per_batch=config.patches_per_batch,
                seed=config.seed,
            )
    for line in left_out:
        warn(line)
    characters = {name: len(text) for name, text in texts.items()}
    if texts:
        plot_likelihood(rows, characters, config.file("-likelihood.png"))
    return {"left_out": left_out, "characters": characters, "works": works, "rows": rows}


def measure_scores(
    config: EvaluateConfig,
    generated: Sequence[PieceFile],
    reference: Sequence[PieceFile],
    learned: Sequence[PieceFile],
    features: Sequence[FeatureSet | None],
) -> dict[str, Any]:
    """Return how sound the generated pieces are, and how they compare to real ones."""
    parts: Parts = "all" if config.check_notes else "soundness"
    workers, seed = config.workers, config.seed
    ours = measure_pieces(generated, parts=parts, workers=workers, said="generated")
    theirs = measure_pieces(reference, parts=parts, workers=workers, said="reference")
    others = measure_pieces(learned, parts="statistics", workers=workers, said="learned")
    write_pieces(config.file(".jsonl"), ours)
    sets = [[piece.statistics for piece in pieces if piece.statistics] for pieces in (ours, theirs)]
    compared = relative.compare(*sets, seed=seed)
    if compared:
        plot_statistics(compared, config.file("-statistics.png"))
    of_ours, of_theirs, of_others = features
    # without features of theirs, the pieces learned from cannot be compared with features
    comparable = of_others is not None or of_ours is None
    return {
        "validity": {
            "generations": validity_figures(ours, seed=seed),
            "reference": validity_figures(theirs, seed=seed),
        },
        "statistics": statistics_figures(compared),
        "features": distance_figures(
            featured(ours, of_ours),
            featured(theirs, of_theirs),
            featured(others, of_others) if comparable else None,
            seed=seed,
        ),
    }


def make_sheet(
    config: EvaluateConfig, generated: Sequence[PieceFile], reference: Sequence[PieceFile]
) -> None:
    """Write the page on which people compare generated pieces with real ones."""
    pairs, refused = choose_pairs(
        generated,
        reference,
        count=config.pairs,
        max_bars=config.pair_bars,
        seed=config.seed,
    )
    page = config.file("-sheet.html")
    skipped = write_sheet(page, pairs, seed=config.seed, title=f"Which is which? {config.name}")
    for line in (*refused, *(pair.reason for pair in skipped)):
        print(f"left out: {line}")
    print(f"{len(pairs) - len(skipped)} of {config.pairs} pairs; open {page} in a browser")


def count_answers(config: EvaluateConfig) -> None:
    """Add what people answered to the results."""
    answers = read_answers(config.answers, config.file("-sheet-key.jsonl"))
    figures = judgement_figures(answers, seed=config.seed)
    result = read_result(config.file(".json")) | {"judgements": figures}
    write_result(config.file(".json"), result)
    print(format_judgements([read_result(config.file(".json"))]))


def warn(line: str) -> None:
    """Tell what a user should know on standard error."""
    print(f"warning: {line}", file=sys.stderr)


if __name__ == "__main__":
    run_stage(main, Path(__file__).with_name("config.py"))
