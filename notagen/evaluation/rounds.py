"""What became of the rounds of preference training: figures of each, a table and a plot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from notagen.evaluation.likelihood import PROMPTED
from notagen.evaluation.likeness import asked_labels
from notagen.evaluation.pieces import PieceFile
from notagen.evaluation.plots import plot_course
from notagen.evaluation.results import Result, figure
from notagen.evaluation.tables import format_number, format_percent, format_table
from notagen.features.scoring import Judged, Reference, judge
from notagen.foundation.errors import InputError
from notagen.foundation.features import FeatureSet
from notagen.metrics.figures import NOTHING, Figure, mean_figure
from notagen.metrics.similarity import COPY
from notagen.tokenizer.windows import prompt_lines


class Measure(NamedTuple):
    """How a figure of the rounds is shown."""

    words: str
    is_share: bool = False


MEASURES = {
    "average_score": Measure("average score"),
    "prompt_score": Measure("score beside real pieces of the prompt"),
    "valid": Measure("valid pieces", is_share=True),
    "finished": Measure("pieces ended by the model", is_share=True),
    "bar_alignment_error": Measure("unaligned bars", is_share=True),
    "mended_bars": Measure("bars in which voices were let rest", is_share=True),
    "retries": Measure("times a bar was begun again"),
    "bits_per_character": Measure("bits a character, held-out music"),
    "overlap": Measure("statistics: overlap with held-out music"),
    "divergence": Measure("statistics: divergence from it"),
    "frechet": Measure("Fréchet distance to it"),
    "similarity": Measure("similarity to the nearest piece learned from"),
    "copied": Measure(f"pieces nearer than {COPY} to one", is_share=True),
    "distinct": Measure("distinct pieces", is_share=True),
    "diversity": Measure("mean distance between two pieces"),
}
"""Figures of a round, in the order of the table."""


def round_figures(
    result: Result, pieces: Sequence[PieceFile], features: FeatureSet, reference: Reference
) -> dict[str, Figure]:
    """Return the figures of a round, by the names of `MEASURES`.

    Scores are of the pieces that have features.

    Args:
        result: Of `evaluate/evaluate.py`, with model, pieces and features.
        pieces: That the round's weights wrote.
        features: Of these pieces.
        reference: Real pieces that they are scored against.

    Raises:
        InputError: If the results lack something.
    """
    asked = asked_labels(features.names, pieces)
    judged = judge(features.matrix, asked, reference, names=features.names)
    texts = [_music(piece) for piece in pieces]
    distinct = len(set(texts) - {None}) / max(1, len(texts))
    try:
        likelihood = result["likelihood"]["rows"][PROMPTED]
        found = _figures(result, "generations", judged) | {
            "bits_per_character": figure(likelihood["bits_per_character"]),
            "frechet": figure(result["features"]["frechet"]["mle"]["distance"]),
            "distinct": Figure(distinct, np.nan, np.nan, len(texts)),
        }
    except (KeyError, TypeError) as error:
        raise InputError(f"results of {result['name']}: found no {error}") from error
    return {name: found[name] for name in MEASURES}


def real_figures(result: Result, features: FeatureSet, reference: Reference) -> dict[str, Figure]:
    """Return the figures that real music has too, which say what a good one is.

    Args:
        result: Of any round.
        features: Of the held-out pieces.
        reference: As for `round_figures`.

    Raises:
        InputError: If the results lack something.
    """
    labels = [None] * len(features.names)
    judged = judge(features.matrix, labels, reference, names=features.names)
    try:
        found = _figures(result, "reference", judged)
    except (KeyError, TypeError) as error:
        raise InputError(f"results of {result['name']}: found no {error}") from error
    # these are asked of what was written for a prompt
    del found["prompt_score"]
    return found


def format_rounds(rounds: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of rounds, each as `rounds.jsonl` has it, as Markdown."""
    lines = []
    for name, measure in MEASURES.items():
        found = [figure(one.get(name)) for one in rounds]
        spelled = [format_percent(f) if measure.is_share else format_number(f, 3) for f in found]
        lines.append([measure.words, *spelled])
    pieces = ["pieces", *(str(one["pieces"]) for one in rounds)]
    heads = [f"round {one['round']}" if _is_round(one) else one["round"] for one in rounds]
    return format_table(["", *heads], [pieces, *lines])


def plot_rounds(rounds: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Write the course of each figure over the rounds, a panel each, to a .png file.

    Where real music has the figure too, a line shows it.
    """
    numbered = [one for one in rounds if _is_round(one)]
    real = next((one for one in rounds if not _is_round(one)), {})
    courses = {
        measure.words: [figure(one.get(name)) for one in numbered]
        for name, measure in MEASURES.items()
    }
    levels = {measure.words: figure(real.get(name)) for name, measure in MEASURES.items()}
    plot_course([one["round"] for one in numbered], courses, levels, out)


def _figures(result: Result, side: str, judged: Sequence[Judged]) -> dict[str, Figure]:
    """Return the figures that both sides have, generations and reference."""
    seed = result["settings"]["seed"]
    validity = result["validity"][side]
    copying = result["features"]["copying"][side]
    prefix = "" if side == "generations" else "reference_"
    statistics = result["statistics"].values()
    shares = ("valid", "finished", "bar_alignment_error", "mended_bars", "retries")
    return {
        "average_score": mean_figure([one.score for one in judged], seed=seed),
        "prompt_score": mean_figure([one.prompt_score for one in judged], seed=seed),
        **{name: figure(validity.get(name)) for name in shares},
        **{
            name: _mean([figure(one[f"{prefix}{name}"]) for one in statistics])
            for name in ("overlap", "divergence")
        },
        "similarity": figure(copying["mean"]),
        "copied": figure(copying["copied"]),
        "diversity": figure(result["features"]["diversity"][side]),
    }


def _is_round(line: Mapping[str, Any]) -> bool:
    return isinstance(line["round"], int)


def _music(piece: PieceFile) -> str | None:
    """Return what a model wrote without its prompt; None where nothing was written."""
    if piece.path is None or not piece.path.is_file():
        return None
    text = piece.path.read_text(encoding="utf-8")
    return text.removeprefix(prompt_lines(text))


def _mean(figures: Sequence[Figure]) -> Figure:
    """Return the mean of figures that were measured on the same pieces; it has no interval."""
    found = [one for one in figures if one.n]
    if not found:
        return NOTHING
    return Figure(fmean(one.value for one in found), np.nan, np.nan, found[0].n)
