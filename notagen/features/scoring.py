"""Pieces scored by their likeness to real ones: to all of them, and to those of the same kind.

What a piece is for decides its voices, and so most of its text; then comes its period, then its
composer. So real pieces stand in groups inside groups: all, an instrumentation, that in one period,
that of one composer. As few pieces say little, a group's mean is drawn toward the one around it:

    mean' = (n * mean + k * mean' of the wider group) / (n + k)

for n pieces and the shrinkage k. A piece is never compared with a mean that holds itself.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile
from zlib import error as ZlibError  # noqa: N812 -- an error is called like one

import numpy as np
from anyascii import anyascii
from numpy.typing import NDArray

from notagen.features.names import match_names
from notagen.features.similarity import cosine
from notagen.foundation.cosine import nearest
from notagen.foundation.errors import InputError, MissingInputError
from notagen.foundation.features import UNREADABLE, Features, FeatureSet, read_features
from notagen.foundation.files import replaced_when_done
from notagen.foundation.index import IndexEntry, Labels, read_index

SHRINKAGE = 5.0
"""Pieces of the wider group that a group's mean is mixed with."""
MEANS_SUFFIX = ".npz"
"""Of files that hold the means of a reference."""
PROMPTS = "prompts.jsonl"
"""Index beside features that are a reference: each piece's name as `path`, and its prompt."""
_SAME = 1e-4
"""Share of its length by which the feature of one piece may differ from run to run."""

Group = tuple[str, ...]
"""The labels that a group's pieces share: none, the last, the first and last, or all three."""


class Judged(NamedTuple):
    """What a piece is worth beside real ones; cosines, -1 to 1."""

    score: float
    """Likeness to the mean of all real pieces."""
    prompt_score: float
    """Likeness to the mean of those of the same kind."""
    group: str
    """The narrowest group that holds any of these, such as `Romantic / Art Song`, or `all`."""
    group_size: int
    """Pieces in it, the judged one left out."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Real pieces that others are scored against."""

    features: FeatureSet
    labels: tuple[Labels | None, ...]
    """Of each piece; one without stands in the group of all alone."""
    sizes: tuple[int, ...] | None = None
    """Pieces that each feature is the mean of; None where each is of one."""

    @cached_property
    def sums(self) -> dict[Group, tuple[NDArray[np.float64], int]]:
        """Of each group the sum of its features, (H,), and their number."""
        members: dict[Group, list[int]] = {}
        for place, labels in enumerate(self.labels):
            for group in _groups(labels):
                members.setdefault(group, []).append(place)
        sizes = np.array(self.sizes or (1,) * len(self.labels))
        weighted = self.features.matrix.astype(np.float64) * sizes[:, None]
        return {
            group: (weighted[places].sum(axis=0), int(sizes[places].sum()))
            for group, places in members.items()
        }

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean of all pieces, (H,), however many each feature stands for."""
        total, size = self.sums[()]
        return total / size

    @property
    def sha256(self) -> str:
        """Digest of names, labels and features."""
        facts = (self.features.names, self.labels, self.sizes)
        digest = hashlib.sha256(repr(facts).encode())
        digest.update(self.features.matrix.tobytes())
        return digest.hexdigest()


def read_reference(folder: Path, index: Path | None = None) -> Reference:
    """Read features of real pieces with what is known of these.

    Args:
        folder: Of the features; or a file of `write_means`, which needs no index.
        index: Names the pieces that count; found by name, see `match_names`. None for the
            `prompts.jsonl` in the folder, or, if there is none, all pieces without prompts.

    Raises:
        MissingInputError: If the folder or the index is not there.
        InputError: If either cannot be read, or the folder holds no piece of the index.
    """
    if folder.suffix == MEANS_SUFFIX:
        return _read_means(folder)
    features = read_features(folder)
    index = index or folder / PROMPTS
    if index == folder / PROMPTS and not index.is_file():
        return Reference(features, (None,) * len(features.names))
    entries = list(read_index(index, made_by="data/"))
    ways = [
        [path.removesuffix(".abc") for path in (entry.path, *_keyed_paths(entry))]
        for entry in entries
    ]
    places = {row: place for place, row in match_names(ways, features.names).items()}
    if not places:
        raise InputError(f"{folder}: found no feature of a piece of {index}, wanted some")
    rows = sorted(places)
    kept = dataclasses.replace(
        features, names=tuple(features.names[row] for row in rows), matrix=features.matrix[rows]
    )
    return Reference(kept, tuple(entries[places[row]].prompt for row in rows))


def write_means(reference: Reference, path: Path) -> None:
    """Write what scores need of a reference: the mean of the pieces of each prompt, and how many.

    The scores of other pieces stay the same; a piece of the reference is no longer known as such,
    unless it is the only one of its prompt.

    Args:
        reference: Real pieces.
        path: A file of arrays, `.npz`.
    """
    members: dict[Labels | None, list[int]] = {}
    for place, labels in enumerate(reference.labels):
        members.setdefault(labels, []).append(place)
    sizes = np.array(reference.sizes or (1,) * len(reference.labels))
    means = [
        np.average(reference.features.matrix[places], axis=0, weights=sizes[places])
        for places in members.values()
    ]
    with replaced_when_done(path) as temporary:
        np.savez(
            temporary,
            means=np.array(means, dtype=np.float32),
            sizes=np.array([sizes[places].sum() for places in members.values()]),
            labels=np.array([labels or ("", "", "") for labels in members]),
            extractor=np.array(reference.features.extractor),
            weights_sha256=np.array(reference.features.weights_sha256 or ""),
        )


def _read_means(path: Path) -> Reference:
    if not path.is_file():
        raise MissingInputError(f"{path} is not there; 4_score.py --means writes such a file")
    try:
        # given a path, numpy leaves a broken file open
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            means, sizes, labels = (arrays[name] for name in ("means", "sizes", "labels"))
            extractor, weights_sha256 = str(arrays["extractor"]), str(arrays["weights_sha256"])
        if sizes.dtype.kind not in "iu":
            raise ValueError("sizes that are no numbers of pieces")
        matrix, sizes = np.array(means, dtype=np.float32), sizes.tolist()
        known = tuple(tuple(map(str, row)) if any(row) else None for row in labels.tolist())
        fits = matrix.ndim == 2 and len(matrix) == len(sizes) == len(labels) and min(sizes) > 0
        if not (fits and matrix.size and np.isfinite(matrix).all()):
            raise ValueError("arrays that do not fit each other")
        if any(row is not None and len(row) != 3 for row in known):
            raise ValueError("labels that are not three")
    except (*UNREADABLE, KeyError, EOFError, RuntimeError, BadZipFile, ZlibError) as error:
        raise InputError(f"{path}: found no means of a reference ({error}), wanted some") from error
    names = tuple(_title(row or ()) for row in known)
    features = FeatureSet(names, matrix, extractor, weights_sha256 or None)
    return Reference(features, known, tuple(sizes))  # type: ignore[arg-type]  # three labels each


def judge(
    features: Features,
    labels: Sequence[Labels | None],
    reference: Reference,
    *,
    names: Sequence[str] | None = None,
    shrinkage: float = SHRINKAGE,
) -> list[Judged]:
    """Return the scores of pieces, in order; one that is itself in the reference is left out there.

    A piece is itself in the reference if one there is called like it, for features of one piece may
    differ from run to run and in another precision; else if one there has its feature.

    Args:
        features: (n, H), by the extractor that made the reference's.
        labels: What each piece is to be; None for nothing said, which is judged by all.
        reference: Real pieces.
        names: Of the pieces, paths as in the reference; None where they have none.
        shrinkage: Pieces of the wider group that a group's mean is mixed with, >= 0.

    Raises:
        InputError: If the reference holds nothing but the judged piece.
    """
    own = _own_places(features, names, reference)
    return [
        _judge(feature, asked, reference, shrinkage, place)
        for feature, asked, place in zip(features, labels, own, strict=True)
    ]


def judge_reference(reference: Reference, *, shrinkage: float = SHRINKAGE) -> list[Judged]:
    """Return the scores of the real pieces themselves, each left out of the means; see `judge`."""
    return [
        _judge(feature, labels, reference, shrinkage, place)
        for place, (feature, labels) in enumerate(
            zip(reference.features.matrix, reference.labels, strict=True)
        )
    ]


def _judge(
    feature: NDArray[np.floating[Any]],
    labels: Labels | None,
    reference: Reference,
    shrinkage: float,
    own: int | None,
) -> Judged:
    """Judge one piece, which stands at the place `own` of the reference, if anywhere."""
    own_groups = [] if own is None else list(_groups(reference.labels[own]))
    means: list[NDArray[np.float64]] = []
    narrowest: tuple[Group, int] = ((), 0)
    for group in _groups(labels):
        total, size = reference.sums.get(group, (np.zeros(len(feature)), 0))
        if group in own_groups:
            total, size = total - reference.features.matrix[own], size - 1
        if not size:  # and none in the groups inside it
            break
        wider = shrinkage * means[-1] if means else 0.0
        means.append((total + wider) / (size + (shrinkage if means else 0.0)))
        narrowest = group, size
    if not means:
        raise InputError("found one real piece, and that the judged one; wanted another beside it")
    group, size = narrowest
    return Judged(cosine(feature, means[0]), cosine(feature, means[-1]), _title(group), size)


def _groups(labels: Labels | None) -> Iterator[Group]:
    """Yield the groups that a piece belongs to, from the widest to the narrowest."""
    yield ()
    if labels is not None:
        # prompts are written in ASCII, an index has names as they are
        period, composer, instrumentation = (anyascii(label).strip() for label in labels)
        yield (instrumentation,)
        yield period, instrumentation
        yield period, composer, instrumentation


def _keyed_paths(entry: IndexEntry) -> list[str]:
    return [entry.keyed_path(entry.key)] if entry.key else []


def _title(group: Group) -> str:
    return " / ".join(group) or "all"


def _own_places(
    features: Features, names: Sequence[str] | None, reference: Reference
) -> list[int | None]:
    """Return the place of each piece in the reference, None for one that is not there."""
    known = reference.features
    places, _ = nearest(features, known.matrix)
    apart = np.linalg.norm(features - known.matrix[places], axis=1)
    same = apart <= _SAME * np.linalg.norm(features, axis=1)
    by_feature = [int(place) if found else None for place, found in zip(places, same, strict=True)]
    if names is None or reference.sizes is not None:  # means are not called like pieces
        return by_feature
    by_name = {name: place for place, name in enumerate(known.names)}
    return [by_name.get(name, place) for name, place in zip(names, by_feature, strict=True)]
