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
from notagen.features.scoring import Reference, judge
from notagen.foundation.errors import InputError
from notagen.foundation.features import FeatureSet
from notagen.metrics.figures import NOTHING, Figure, mean_figure


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
    "bits_per_character": Measure("bits a character, held-out music"),
    "overlap": Measure("overlap of statistics with held-out music"),
    "frechet": Measure("Fréchet distance to held-out music"),
    "similarity": Measure("similarity to the nearest piece learned from"),
    "copied": Measure("pieces nearer than 0.95 to one", is_share=True),
    "distinct": Measure("distinct pieces", is_share=True),
    "diversity": Measure("mean distance between two pieces"),
}
"""Figures of a round, in the order of the table."""


def round_figures(
    result: Result, pieces: Sequence[PieceFile], features: FeatureSet, reference: Reference
) -> dict[str, Figure]:
    """Return the figures of a round, by the names of `MEASURES`.

    Args:
        result: Of `evaluate/evaluate.py`, with model, pieces and features.
        pieces: That the round's weights wrote.
        features: Of these pieces.
        reference: Real pieces that they are scored against.

    Raises:
        InputError: If the results lack something.
    """
    seed = result["settings"]["seed"]
    asked = asked_labels(features.names, pieces)
    judged = judge(features.matrix, asked, reference, names=features.names)
    texts = [_music(piece) for piece in pieces]
    try:
        validity = result["validity"]["generations"]
        distances = result["features"]
        copying = distances["copying"]["generations"]
        likelihood = result["likelihood"]["rows"][PROMPTED]
        frechet = figure(distances["frechet"]["mle"]["distance"])
        diversity = figure(distances["diversity"]["generations"])
        overlaps = [figure(one["overlap"]) for one in result["statistics"].values()]
    except (KeyError, TypeError) as error:
        raise InputError(f"results of {result['name']}: found no {error}") from error
    return {
        "average_score": mean_figure([one.score for one in judged], seed=seed),
        "prompt_score": mean_figure([one.prompt_score for one in judged], seed=seed),
        **{
            name: figure(validity.get(name))
            for name in ("valid", "finished", "bar_alignment_error", "mended_bars")
        },
        "bits_per_character": figure(likelihood["bits_per_character"]),
        "overlap": _mean(overlaps),
        "frechet": frechet,
        "similarity": figure(copying["mean"]),
        "copied": figure(copying["copied"]),
        # of equal pieces one counts
        "distinct": mean_figure(
            [text is not None and text not in texts[:place] for place, text in enumerate(texts)],
            seed=seed,
        ),
        "diversity": diversity,
    }


def format_rounds(rounds: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of rounds, each as `rounds.jsonl` has it, as Markdown."""
    lines = []
    for name, measure in MEASURES.items():
        found = [figure(one.get(name)) for one in rounds]
        spelled = [format_percent(f) if measure.is_share else format_number(f, 3) for f in found]
        lines.append([measure.words, *spelled])
    pieces = ["pieces", *(str(one["pieces"]) for one in rounds)]
    return format_table(["", *(f"round {one['round']}" for one in rounds)], [pieces, *lines])


def plot_rounds(rounds: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Write the course of each figure over the rounds, a panel each, to a .png file."""
    courses = {
        measure.words: [figure(one.get(name)) for one in rounds]
        for name, measure in MEASURES.items()
    }
    plot_course([one["round"] for one in rounds], courses, out)


def _music(piece: PieceFile) -> str | None:
    """Return what a model wrote without the prompt's lines; None where nothing was written."""
    if piece.path is None or not piece.path.is_file():
        return None
    lines = piece.path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("%"))


def _mean(figures: Sequence[Figure]) -> Figure:
    """Return the mean of figures that were measured on the same pieces; it has no interval."""
    found = [one for one in figures if one.n]
    if not found:
        return NOTHING
    return Figure(fmean(one.value for one in found), np.nan, np.nan, found[0].n)
