"""Scores of generated pieces beside real ones: what each was asked to be, and a table."""

from collections.abc import Sequence

import numpy as np

from notagen.evaluation.pieces import PieceFile
from notagen.features.names import match_names
from notagen.features.scoring import Judged
from notagen.foundation.index import Labels
from notagen.metrics.figures import Figure, mean_figure


def asked_labels(names: Sequence[str], pieces: Sequence[PieceFile]) -> list[Labels | None]:
    """Return the prompt of the piece that each feature is of, None where none is known.

    Args:
        names: Of the features.
        pieces: Generated ones, from `find_pieces`.
    """
    labels: list[Labels | None] = [None] * len(names)
    for place, row in feature_rows(names, pieces).items():
        if prompt := pieces[place].prompt:
            labels[row] = prompt.period, prompt.composer, prompt.instrumentation
    return labels


def feature_rows(names: Sequence[str], pieces: Sequence[PieceFile]) -> dict[int, int]:
    """Return for each generated piece that has a feature, by its place, the place of the feature.

    Arguments are those of `asked_labels`.
    """
    ways = [[piece.name, *([piece.path.stem] if piece.path else [])] for piece in pieces]
    return match_names(ways, names)


def format_scores(
    judged: Sequence[Judged],
    asked: Sequence[Labels | None],
    real: Sequence[Judged],
    *,
    seed: int,
) -> str:
    """Return lines about all pieces beside real ones, and one about each prompt.

    Args:
        judged: Generated pieces.
        asked: The prompt of each.
        real: Real ones, each left out of the means that it was compared with; may be none.
        seed: Of the resamples of the 95 % intervals.
    """
    sets = {"generated": judged} | ({"real": real} if real else {})
    rows = [["", *(f"{len(found)} {title}" for title, found in sets.items())]]
    for kind, field in (("score", "score"), ("score beside its kind", "prompt_score")):
        values = [[getattr(one, field) for one in found] for found in sets.values()]
        rows.append([kind, *(_spell(mean_figure(found, seed=seed)) for found in values)])
    prompts: dict[Labels | None, list[Judged]] = {}
    for labels, one in zip(asked, judged, strict=True):
        prompts.setdefault(labels, []).append(one)
    lines = [["pieces", "score", "beside its kind", "real pieces of its kind", "asked for"]]
    for labels, found in sorted(prompts.items(), key=lambda item: item[0] or ("",)):
        means = np.mean([(one.score, one.prompt_score) for one in found], axis=0)
        lines.append(
            [
                str(len(found)),
                *(f"{mean:.3f}" for mean in means),
                f"{found[0].group_size} of {found[0].group}",
                " / ".join(labels) if labels else "anything",
            ]
        )
    return f"{_columns(rows)}\n\n{_columns(lines)}"


def _spell(found: Figure) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})" if found.n else "-"


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
