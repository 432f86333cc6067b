"""Bits per character of real pieces under models and under the floor that needs no network."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from notagen.evaluation.pieces import PieceFile, read_training_text
from notagen.foundation.errors import ScoreError
from notagen.generation.prompts import training_prompt_lines
from notagen.metrics.figures import NOTHING, Figure, ratio_figure
from notagen.metrics.likelihood import likelihoods
from notagen.metrics.ngram import fit_floor
from notagen.model.notagen import NotaGen

FLOOR, CACHED = "n-gram floor", "n-gram floor with cache"
"""What the rows of the floor are called."""

MODEL, PROMPTED = "model", "model, prompted"
"""What the rows of a model are called."""

Row = dict[str, Any]
"""One predictor's results: its figures, and `pieces` with bits and whether the whole fits."""


def read_texts(pieces: Iterable[PieceFile]) -> tuple[dict[str, str], list[str]]:
    """Return the canonical texts of pieces by their names, and a line about each left out."""
    texts: dict[str, str] = {}
    left_out = []
    for piece in pieces:
        try:
            texts[piece.name] = read_training_text(piece)
        except ScoreError as error:
            left_out.append(str(error))
    return texts, left_out


def floor_rows(
    texts: Mapping[str, str],
    works: Mapping[str, str],
    learned: Mapping[str, str],
    learned_works: Mapping[str, str],
    *,
    seed: int,
) -> dict[str, Row]:
    """Return the rows of the floor: learned from some texts, measured on others.

    Args:
        texts: To measure, by name.
        works: Of each of them.
        learned: To learn from, by name.
        learned_works: Of each of them.
        seed: Of resamples.

    Raises:
        InputError: If there are fewer than two works to learn from.
    """
    floor = fit_floor(list(learned.values()), works=[learned_works[name] for name in learned])
    bits = [floor.bits(text) for text in tqdm(texts.values(), desc="floor", unit="piece")]
    total = max(1, sum(len(text) for text in texts.values()))
    by_order = np.sum([found.by_order for found in bits], axis=0) / total
    static, cached = (
        _row(texts, {n: (one, True) for n, one in zip(texts, costs, strict=True)}, works, seed)
        for costs in ([found.static for found in bits], [found.cached for found in bits])
    )
    order = {"order": floor.best_order}
    return {
        FLOOR: static | order | {"bits_per_character_by_order": by_order.tolist()},
        CACHED: cached | order,
    }


def model_row(
    model: NotaGen,
    texts: Mapping[str, str],
    pieces: Sequence[PieceFile],
    *,
    prompted: bool,
    patches_per_batch: int,
    seed: int,
) -> Row:
    """Return the row of a model, prompted with what is known of each piece or with nothing."""
    of_name = {piece.name: piece.prompt for piece in pieces}
    prompts = [
        "".join(training_prompt_lines(prompt)) if prompted and (prompt := of_name[name]) else ""
        for name in texts
    ]
    outcomes = likelihoods(
        model, texts.values(), prompts=prompts, patches_per_batch=patches_per_batch
    )
    found = {}
    for name, outcome in zip(tqdm(texts, desc="likelihood", unit="piece"), outcomes, strict=True):
        if outcome.result is not None:
            found[name] = outcome.result.bits, outcome.result.fits
    works = {piece.name: piece.work for piece in pieces}
    return _row(texts, found, works, seed) | {"context": model.config.patch_length}


class Common(NamedTuple):
    """A row's figures on the pieces that all rows have and that fit every context."""

    bits_per_character: Figure
    of_floor: Figure
    """Bits over those of the row's floor, piece beside piece: 0.85 is 15 % below it."""


def common_figures(
    rows: Mapping[str, Row],
    floors: Mapping[str, Row],
    characters: Mapping[str, int],
    works: Mapping[str, str],
    *,
    seed: int,
) -> dict[str, Common]:
    """Return each row's figures on the pieces that all have and that fit all.

    Args:
        rows: By title.
        floors: By title the row to compare with, for those that have one.
        characters: Of each piece.
        works: Of each piece; the intervals are of whole works.
        seed: Of resamples.
    """
    names = [
        name
        for name in characters
        if all(name in row["pieces"] and row["pieces"][name][1] for row in rows.values())
    ]
    figures = {}
    for title, row in rows.items():
        of_floor = NOTHING
        if title in floors:
            costs = {name: cost for name, (cost, _) in floors[title]["pieces"].items()}
            of_floor = _bits(row["pieces"], names, costs, works, seed)
        figures[title] = Common(_bits(row["pieces"], names, characters, works, seed), of_floor)
    return figures


def _row(
    texts: Mapping[str, str],
    found: Mapping[str, tuple[float, bool]],
    works: Mapping[str, str],
    seed: int,
) -> Row:
    lengths = {name: len(text) for name, text in texts.items()}
    fitting = [name for name, (_, fits) in found.items() if fits]
    return {
        "bits_per_character": _bits(found, list(found), lengths, works, seed),
        "bits_per_character_of_fitting": _bits(found, fitting, lengths, works, seed),
        "left_out": len(texts) - len(found),
        "pieces": {name: [round(bits, 2), fits] for name, (bits, fits) in found.items()},
    }


def _bits(
    found: Mapping[str, Sequence[float]],
    names: Sequence[str],
    wholes: Mapping[str, float],
    works: Mapping[str, str],
    seed: int,
) -> Figure:
    return ratio_figure(
        [found[name][0] for name in names],
        [wholes[name] for name in names],
        seed=seed,
        works=[works[name] for name in names],
    )
