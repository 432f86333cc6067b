"""One function over many items, on all cores: refusals are kept apart, the batch goes on."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import joblib
import jsonlines

from notagen.foundation.errors import ScoreError
from notagen.foundation.files import replaced_when_done
from notagen.foundation.lines import read_lines

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class Refusal:
    """A piece that a stage refused."""

    path: str
    """The piece, as the stage's input index names it."""
    stage: str
    """Script that refused it, such as `1_xml2abc`."""
    reason: str
    """One line: where, what was found, what was wanted."""


@dataclasses.dataclass(frozen=True)
class Outcome(Generic[Item, Result]):
    """What became of one item: a result, or the reason it was refused."""

    item: Item
    result: Result | None
    reason: str | None


def run_batch(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int
) -> Iterator[Outcome[Item, Result]]:
    """Yield the outcome of `function(item)` for each item, in the order of `items`.

    A `ScoreError` refuses its item and no other; anything else is a fault and is raised.

    Args:
        function: Importable by its module and name; called in worker processes.
        items: Each is sent to a worker by pickle.
        workers: Number of processes; -1 for one a core, 1 for none beside this one.
    """
    parallel = joblib.Parallel(n_jobs=workers, return_as="generator", batch_size=1)
    yield from parallel(joblib.delayed(_outcome)(function, item) for item in items)


def keep_results(
    outcomes: Iterable[Outcome[Item, Result]],
    *,
    path_of: Callable[[Item], object],
    stage: str,
    rejects: Path,
) -> list[Result]:
    """Return the results, in order, and write the refusals to `rejects` with their reasons.

    Lines that other stages wrote to `rejects` stay; this stage's old ones are replaced.

    Args:
        outcomes: From `run_batch`.
        path_of: Returns the path that names an item in `rejects`.
        stage: Script that asks, such as `1_xml2abc`.
        rejects: A JSONL file.

    Raises:
        InputError: If a line of an existing `rejects` cannot be read.
    """
    results: list[Result] = []
    refusals: list[Refusal] = []
    for outcome in outcomes:
        if outcome.reason is None:
            results.append(outcome.result)  # type: ignore[arg-type]  # no reason: there is one
        else:
            refusals.append(Refusal(str(path_of(outcome.item)), stage, outcome.reason))
    _write_refusals(rejects, stage, refusals)
    return results


def kept_line(results: Sequence[object], total: int, *, folder: Path, rejects: Path) -> str:
    """Return a script's closing words: how many pieces were kept, and where the reasons stand."""
    line = f"kept {len(results):,} of {total:,} pieces in {folder}"
    if len(results) < total:
        line += f"; the reasons for the others stand in {rejects}"
    return line


def _write_refusals(path: Path, stage: str, refusals: Iterable[Refusal]) -> None:
    kept: list[dict[str, str]] = []
    if path.is_file():
        kept = [line for _, line in read_lines(path) if line.get("stage") != stage]
    with replaced_when_done(path) as temporary, jsonlines.open(temporary, "w") as writer:
        writer.write_all(kept)
        writer.write_all(dataclasses.asdict(refusal) for refusal in refusals)


def _outcome(function: Callable[[Item], Result], item: Item) -> Outcome[Item, Result]:
    try:
        return Outcome(item, function(item), None)
    except ScoreError as error:
        return Outcome(item, None, " ".join(str(error).split()))
