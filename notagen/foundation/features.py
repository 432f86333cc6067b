"""Folders of features: one vector a piece, and what made them.

A folder holds one `.npy` a piece, float32 of shape (1, H), in sub-folders where its pieces lie in
some, and `features.json`: the extractor's name and the SHA-256 of its weights, and where they are
known their precision and what the pieces were.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from notagen.foundation.errors import InputError, MissingInputError
from notagen.foundation.files import inside, replaced_when_done, write_text

Features = NDArray[np.floating[Any]]
"""Vectors of pieces, (n, H)."""
INFO = "features.json"
UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    OverflowError,
    RecursionError,
    MemoryError,
    TokenError,
)
"""What numpy raises at the head of a file that was not made by it."""


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Features of pieces, all of one extractor."""

    names: tuple[str, ...]
    """Paths in the folder without `.npy`, sorted."""
    matrix: NDArray[np.float32]
    """(n, H), in the order of the names."""
    extractor: str
    weights_sha256: str | None
    """Of the extractor's weights; None where it has none."""


@dataclass(frozen=True, kw_only=True)
class FeaturesInfo:
    """What a folder's `features.json` says."""

    extractor: str
    """Its name, for people: weights are told apart by their digest, where they have one."""
    weights_sha256: str | None
    precision: str | None = None
    """That the weights were computed in, such as `int8`; None where it is not known."""
    input: str | None = None
    """The folder or index of the pieces, as seen from the folder of features."""


def read_features(folder: Path) -> FeatureSet:
    """Read a folder of features.

    Raises:
        MissingInputError: If the folder or its `features.json` is not there.
        InputError: If either is not as it should be, no feature is in it, or one is no finite
            float32 of shape (1, H) with the width of the others; the file is named.
    """
    info = read_features_info(folder)
    paths = feature_files(folder)
    if not paths:
        raise InputError(f"{folder} holds no .npy file; wanted one for each piece")
    names = tuple(sorted(paths))
    rows = [_read_row(paths[name]) for name in names]
    for name, row in zip(names, rows, strict=True):
        if row.shape != rows[0].shape:
            raise InputError(
                f"{paths[name]}: found shape {row.shape}, wanted {rows[0].shape} as in "
                f"{paths[names[0]]}"
            )
    return FeatureSet(names, np.concatenate(rows), info.extractor, info.weights_sha256)


def feature_files(folder: Path) -> dict[str, Path]:
    """Return the files of a folder's features by the names of their pieces."""
    # a name that begins with a point is of a write that was stopped
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in folder.rglob("*.npy")
        if not path.name.startswith(".")
    }


def read_features_info(folder: Path) -> FeaturesInfo:
    """Return what a folder's `features.json` says.

    Raises:
        MissingInputError: If the folder or its `features.json` is not there.
        InputError: If that is not as it should be.
    """
    path = folder / INFO
    if not path.is_file():
        raise MissingInputError(f"{path} is not there; what extracts the features writes it")
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        info = None
    if not isinstance(info, dict) or not isinstance(info.get("extractor"), str):
        raise InputError(f"{path}: found no JSON object with the text `extractor`, wanted one")
    others = {name: info.get(name) for name in ("weights_sha256", "precision", "input")}
    for name, value in others.items():
        if not isinstance(value, str | None):
            raise InputError(f"{path}: found {name} = {value!r}, wanted text or null")
    return FeaturesInfo(extractor=info["extractor"], **others)


def write_features_info(
    folder: Path,
    *,
    extractor: str,
    weights_sha256: str | None,
    precision: str | None = None,
    input: str | None = None,
) -> None:
    """Write a folder's `features.json`, whole or not at all; see `FeaturesInfo`."""
    info = {"extractor": extractor, "weights_sha256": weights_sha256}
    known = {"precision": precision, "input": input}
    info |= {name: value for name, value in known.items() if value is not None}
    write_text(folder / INFO, json.dumps(info, indent=2) + "\n")


def write_feature(folder: Path, name: str, vector: ArrayLike) -> None:
    """Write one piece's feature, whole or not at all.

    Args:
        folder: Of the features.
        name: The piece's path in the folder, without `.npy`.
        vector: (H,) or (1, H).

    Raises:
        InputError: If the name leads out of the folder or would be passed over in reading, or the
            vector is not one that could be read.
    """
    path = inside(folder, f"{name}.npy")
    if path.name.startswith("."):
        raise InputError(f"{name!r} is no name of a piece; wanted one that begins with no point")
    row = np.atleast_2d(np.asarray(vector, dtype=np.float32))
    _check_row(row, path)
    with replaced_when_done(path) as temporary:
        np.save(temporary, row, allow_pickle=False)


def check_same_extractor(*sets: FeatureSet) -> None:
    """Refuse sets that no distance can be measured between.

    Raises:
        InputError: If extractors, their weights or the features' widths differ.
    """
    for other in sets[1:]:
        made = is_made_by(sets[0], other.extractor, other.weights_sha256)
        if not made or other.matrix.shape[1] != sets[0].matrix.shape[1]:
            raise InputError(
                f"found features of {_origin(sets[0])} and of {_origin(other)}; "
                "wanted them of one extractor"
            )


def is_made_by(
    features: FeatureSet | FeaturesInfo, extractor: str, weights_sha256: str | None
) -> bool:
    """Tell whether features are an extractor's: by the digest of its weights, else by its name.

    The same weights may lie in folders of two names.
    """
    if features.weights_sha256 and weights_sha256:
        return features.weights_sha256 == weights_sha256
    return (features.extractor, features.weights_sha256) == (extractor, weights_sha256)


def check_made_by(
    features: FeatureSet | FeaturesInfo, extractor: str, weights_sha256: str | None
) -> None:
    """Refuse features beside which those that an extractor is about to make say nothing.

    Raises:
        InputError: If they are not its own, see `is_made_by`.
    """
    if not is_made_by(features, extractor, weights_sha256):
        raise InputError(
            f"found features of {features.extractor} (weights {features.weights_sha256}), wanted "
            f"those of {extractor} (weights {weights_sha256})"
        )


def _origin(features: FeatureSet) -> str:
    return (
        f"{features.extractor} (weights {features.weights_sha256}, width "
        f"{features.matrix.shape[1]})"
    )


def _read_row(path: Path) -> NDArray[np.float32]:
    try:
        # a map, so that a false shape cannot ask for memory that the file does not fill
        row = np.lib.format.open_memmap(path, mode="r")
    except UNREADABLE as error:
        raise InputError(f"{path}: found no readable array, wanted a .npy file") from error
    _check_row(row, path)
    return np.array(row, dtype=np.float32)


def _check_row(row: NDArray[np.float32], path: Path) -> None:
    if row.dtype != np.float32 or row.ndim != 2 or row.shape[0] != 1 or not row.size:
        raise InputError(f"{path}: found {row.dtype} {row.shape}, wanted float32 of shape (1, H)")
    if not np.isfinite(row).all():
        raise InputError(f"{path}: found a value that is not finite, wanted numbers alone")
