"""The file of results: figures as JSON, and back."""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from notagen.evaluation.pieces import Measured
from notagen.foundation.errors import InputError, MissingInputError
from notagen.foundation.files import write_text
from notagen.metrics.figures import NOTHING, Figure

Result = dict[str, Any]
"""What a results file holds: `name`, `settings`, `inputs`, and the parts that were measured."""

_WANTED = {"name": str, "settings": dict, "inputs": dict}


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write a results file, whole or not at all; what is not finite becomes null."""
    text = json.dumps(plain(result), ensure_ascii=False, indent=1, allow_nan=False)
    write_text(path, text + "\n")


def read_results(folder: Path) -> list[Result]:
    """Return all results of a folder, by file name.

    Raises:
        MissingInputError: If there is none.
        InputError: If a file holds no results.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise MissingInputError(f"{folder}: found no results, wanted what evaluate.py writes")
    return [read_result(path) for path in paths]


def write_pieces(path: Path, measured: Iterable[Measured]) -> None:
    """Write one line about each piece: what was found, and what is wrong with it."""
    lines = [
        {"name": piece.piece.name, "error": piece.error}
        | (dataclasses.asdict(piece.soundness) if piece.soundness else {})
        for piece in measured
    ]
    write_text(path, "".join(json.dumps(plain(line)) + "\n" for line in lines))


def figure(facts: Mapping[str, Any] | None) -> Figure:
    """Return the figure that a results file gives, or one of no piece where it gives none."""
    if not facts:
        return NOTHING
    value, low, high = (
        math.nan if facts.get(name) is None else float(facts[name])
        for name in ("value", "low", "high")
    )
    return Figure(value, low, high, int(facts["n"]))


def read_result(path: Path) -> Result:
    """Return the results that a file holds.

    Raises:
        MissingInputError: If it is not there.
        InputError: If it holds no results.
    """
    if not path.is_file():
        raise MissingInputError(f"{path} is not there; evaluate.py writes it")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: found no JSON, wanted results: {error}") from error
    if not isinstance(found, dict) or not all(
        isinstance(found.get(name), kind) for name, kind in _WANTED.items()
    ):
        raise InputError(f"{path}: found no results, wanted {', '.join(_WANTED)} in it")
    return found


def plain(value: Any) -> Any:  # noqa: ANN401 -- any JSON value
    """Return figures and what holds them as JSON knows it; what is not finite becomes null."""
    if isinstance(value, Figure):
        return plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(name): plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain(member) for member in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, Path):
        return value.name
    return value
