"""Linear probes: can a label be told from a feature, and do generations bear the one asked for.

A probe is a logistic regression on standardised features, fitted to real pieces: multinomial, every
piece weighs the same, L2 of fixed strength, so that probes of different sets can be compared.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from notagen.foundation.features import Features
from notagen.metrics.figures import NOTHING, Figure, mean_figure

FEWEST_WORKS = 5
"""Works that a class needs to be learnt; folds of the cross-validation."""
INVERSE_STRENGTH = 0.1
"""Of the L2 penalty (scikit-learn's `C`): features are many beside the pieces."""


class Accuracy(NamedTuple):
    """How well a label can be told from real features; intervals are of whole works."""

    accuracy: Figure
    """Share of pieces whose label a probe told that had seen no piece of their work."""
    majority: Figure
    """Share of the commonest label, what a guess would reach."""
    classes: tuple[str, ...]
    """Labels that were learnt, sorted."""
    n_left_out: int
    """Pieces without label, or of one with too few works."""


class Agreement(NamedTuple):
    """How often generations bear the label that was asked for."""

    agreement: Figure
    """Share of all generations that the probe gives the wanted label."""
    n_unknown: int
    """Generations whose wanted label no probe knows; they count as failures."""


def probe_accuracy(
    real: Features, labels: Sequence[str | None], groups: Sequence[str], *, seed: int
) -> Accuracy:
    """Return the accuracy of a probe by cross-validation that never parts a work.

    Args:
        real: Features, (n, H).
        labels: One a piece; None where it is not known.
        groups: The work of each piece.
        seed: Of folds and intervals. Without two classes there is no figure.
    """
    kept, classes = _learnable(labels, groups)
    n_left_out = len(labels) - len(kept)
    if len(classes) < 2:
        return Accuracy(NOTHING, NOTHING, classes, n_left_out)
    x, y, works = real[kept], np.array(labels, dtype=str)[kept], np.array(groups)[kept]
    told = np.empty_like(y)
    folds = StratifiedGroupKFold(FEWEST_WORKS, shuffle=True, random_state=seed)
    for seen, unseen in folds.split(x, y, works):
        told[unseen] = _fitted(x[seen], y[seen]).predict(x[unseen].astype(np.float64))
    commonest = max(classes, key=list(y).count)
    return Accuracy(
        mean_figure(told == y, seed=seed, works=works.tolist()),
        mean_figure(y == commonest, seed=seed, works=works.tolist()),
        classes,
        n_left_out,
    )


def probe_agreement(
    real: Features,
    labels: Sequence[str | None],
    groups: Sequence[str],
    generated: Features,
    wanted: Sequence[str],
    *,
    seed: int,
) -> Agreement:
    """Return how often a probe of all real pieces gives generations the label they were asked for.

    Args:
        real: Features to learn from, (n, H).
        labels: One a real piece; None where it is not known.
        groups: The work of each real piece; classes are those of `probe_accuracy`.
        generated: Features, (m, H).
        wanted: The label each generation was asked for.
        seed: Of the interval. Without two classes there is no figure.
    """
    kept, classes = _learnable(labels, groups)
    n_unknown = sum(label not in classes for label in wanted)
    if len(classes) < 2 or not len(generated):
        return Agreement(NOTHING, n_unknown)
    probe = _fitted(real[kept], np.array(labels, dtype=str)[kept])
    told = probe.predict(generated.astype(np.float64))
    return Agreement(mean_figure(told == np.array(wanted), seed=seed), n_unknown)


def _learnable(
    labels: Sequence[str | None], groups: Sequence[str]
) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Return the places of pieces whose label has enough works, and those labels."""
    works: dict[str, set[str]] = {}
    for label, group in zip(labels, groups, strict=True):
        if label is not None:
            works.setdefault(label, set()).add(group)
    classes = tuple(sorted(label for label in works if len(works[label]) >= FEWEST_WORKS))
    kept = [place for place, label in enumerate(labels) if label in classes]
    return np.array(kept, dtype=np.intp), classes


def _fitted(x: Features, y: NDArray[np.str_]) -> Pipeline:
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=INVERSE_STRENGTH, max_iter=1000))
    return probe.fit(x.astype(np.float64), y)
