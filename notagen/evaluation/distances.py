"""Distances between sets of pieces, measured on features of any extractor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from notagen.evaluation.pieces import Measured, PieceFile
from notagen.features.names import match_names
from notagen.foundation.errors import InputError
from notagen.foundation.features import FeatureSet, check_same_extractor
from notagen.metrics.figures import NOTHING
from notagen.metrics.frechet import Estimator, measure_frechet
from notagen.metrics.probes import probe_accuracy, probe_agreement
from notagen.metrics.similarity import copying, diversity
from notagen.metrics.statistics import statistics_features

STATISTICS = "note statistics"
"""The extractor that needs no weights: `notagen.metrics.statistics.statistics_features`."""
FEWEST = 50
"""Pieces of each set without which a line to endless samples says nothing."""
LABELS = ("period", "composer", "instrumentation")


@dataclass(frozen=True)
class Featured:
    """Pieces that have features, and those that have none."""

    pieces: list[PieceFile]
    features: FeatureSet
    """In the order of the pieces."""
    without: list[PieceFile]

    @property
    def matrix(self) -> NDArray[np.float32]:
        """The features, (n, H)."""
        return self.features.matrix


def featured(measured: Sequence[Measured], known: FeatureSet | None) -> Featured:
    """Return the features of pieces, of a folder or, without one, of the notes' statistics.

    In a folder a piece's feature is called like the piece, or like its file, with or without the
    key, or like the last part of such a name, where no other piece or feature is called so too.

    Raises:
        InputError: If the folder holds no feature of these pieces.
    """
    pieces = [one.piece for one in measured]
    if known is None:
        found = [(one.piece, one.statistics) for one in measured if one.statistics]
        vectors = [statistics_features(statistics) for _, statistics in found]
        matrix = np.array(vectors, dtype=np.float32).reshape(len(found), -1 if found else 0)
        pieces = [piece for piece, _ in found]
        features = FeatureSet(tuple(piece.name for piece in pieces), matrix, STATISTICS, None)
        without = [one.piece for one in measured if not one.statistics]
        return Featured(pieces, features, without)
    places = _match(pieces, known.names)
    if pieces and not places:
        raise InputError(f"found no feature of {pieces[0].name} or the others, wanted some")
    rows = [places[piece.name] for piece in pieces if piece.name in places]
    features = FeatureSet(
        tuple(known.names[row] for row in rows),
        known.matrix[rows],
        known.extractor,
        known.weights_sha256,
    )
    there = [piece for piece in pieces if piece.name in places]
    return Featured(there, features, [piece for piece in pieces if piece.name not in places])


def distance_figures(
    generated: Featured, reference: Featured, learned: Featured | None, *, seed: int
) -> dict[str, Any]:
    """Return what a results file holds of the features of three sets.

    Probes learn from all real pieces. Copies are looked for among the pieces learned from; the
    reference's own nearness to these says what is usual.

    Args:
        generated: Pieces to judge; those without features fail every probe.
        reference: Real pieces.
        learned: Pieces that the model has learned from, if they are known.
        seed: Of resamples and folds.

    Raises:
        InputError: If the features are not of one extractor.
    """
    real = [one for one in (reference, learned) if one and one.pieces]
    figures: dict[str, Any] = {
        "extractor": generated.features.extractor,
        "weights_sha256": generated.features.weights_sha256,
        "without_features": {
            "generations": len(generated.without),
            "reference": len(reference.without),
        },
    }
    if not (generated.pieces and reference.pieces):
        return figures
    check_same_extractor(generated.features, *(one.features for one in real))
    ours, theirs = generated.matrix, reference.matrix
    figures["frechet"] = {name: _frechet(ours, theirs, name, seed) for name in get_args(Estimator)}
    figures["probes"] = {label: _probe(generated, real, label, seed) for label in LABELS}
    # cosines are of directions; those of statistics, all positive numbers, hardly differ
    centre = theirs.mean(axis=0)
    around = centre if generated.features.extractor == STATISTICS else np.zeros_like(centre)
    figures["diversity"] = {
        "generations": diversity(ours - around, seed=seed),
        "reference": diversity(theirs - around, seed=seed),
    }
    if learned and learned.pieces:
        known = learned.matrix - around
        figures["copying"] = {
            "generations": copying(ours - around, known, seed=seed)._asdict(),
            "reference": copying(theirs - around, known, seed=seed)._asdict(),
        }
    return figures


def _frechet(
    ours: NDArray[np.float32], theirs: NDArray[np.float32], estimator: Estimator, seed: int
) -> dict[str, Any]:
    facts: dict[str, Any] = measure_frechet(ours, theirs, estimator=estimator, seed=seed)._asdict()
    if min(len(ours), len(theirs)) < FEWEST:
        facts |= {"infinity": NOTHING, "bend": None}
    return facts


def _probe(generated: Featured, real: Sequence[Featured], label: str, seed: int) -> dict[str, Any]:
    """Return how well a label can be told, and how often generated pieces bear the wanted one."""
    pieces = [piece for one in real for piece in one.pieces]
    labels, works = _labels(pieces, label), [piece.work for piece in pieces]
    matrix = np.concatenate([one.matrix for one in real])
    accuracy = probe_accuracy(matrix, labels, works, seed=seed)
    facts = accuracy._asdict() | {"classes": len(accuracy.classes)}
    # only pieces for which something was asked; one without features cannot bear any label
    asked = _labels(generated.pieces, label)
    kept = [name is not None for name in asked]
    num_lost = sum(name is not None for name in _labels(generated.without, label))
    if any(kept) or num_lost:
        nothing = np.zeros((num_lost, matrix.shape[1]), dtype=np.float32)
        ours = np.concatenate([generated.matrix[kept], nothing])
        wanted = [name for name in asked if name is not None] + [""] * num_lost
        found = probe_agreement(matrix, labels, works, ours, wanted, seed=seed)
        facts |= found._asdict()
    return facts


def _labels(pieces: Sequence[PieceFile], name: str) -> list[str | None]:
    """Return each piece's period, composer or instrumentation."""
    return [getattr(piece.prompt, name) if piece.prompt else None for piece in pieces]


def _match(pieces: Sequence[PieceFile], names: Sequence[str]) -> dict[str, int]:
    """Return for each piece that has a feature its place among the names of the features."""
    ways = [[piece.name, *([piece.path.stem] if piece.path else [])] for piece in pieces]
    return {pieces[piece].name: place for piece, place in match_names(ways, names).items()}
