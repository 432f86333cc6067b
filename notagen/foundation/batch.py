"""One function over many items, on all cores or a cluster: refusals are kept apart."""

import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import joblib
import jsonlines

from notagen.foundation.errors import InputError, ScoreError
from notagen.foundation.files import replaced_when_done, writable
from notagen.foundation.lines import read_lines

Item = TypeVar("Item")
Result = TypeVar("Result")

Backend = Literal["loky", "threading", "dask", "ray"]
"""Where a batch runs: processes or threads of this machine, or a cluster's workers."""

_SECONDS_TO_CONNECT = 20


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
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    backend: Backend = "loky",
    scheduler: str | None = None,
) -> Iterator[Outcome[Item, Result]]:
    """Yield the outcome of `function(item)` for each item, in the order of `items`.

    A `ScoreError` refuses its item and no other; anything else is a fault and is raised.

    Args:
        function: Importable by its module and name; called in worker processes.
        items: Each is sent to a worker by pickle.
        workers: Number of processes; -1 for one a core (or all of a running cluster), 1 for none
            beside this one.
        backend: The machines of a cluster need this package, and the same paths to the files.
        scheduler: Address of a running cluster for `dask` or `ray`; None starts a local one.

    Raises:
        InputError: If the backend's library is not installed, or its scheduler cannot be reached.
    """
    with _parallel(backend, workers, scheduler) as parallel:
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
    write_refusals(rejects, stage, refusals)
    return results


def write_refusals(path: Path, stage: str, refusals: Iterable[Refusal]) -> None:
    """Put a stage's refusals into a JSONL file, in the place of its old ones.

    Raises:
        InputError: If a line of an existing file cannot be read.
    """
    kept: list[dict[str, str]] = []
    if path.is_file():
        kept = [line for _, line in read_lines(path) if line.get("stage") != stage]
    with replaced_when_done(path) as temporary, jsonlines.open(temporary, "w") as writer:
        writer.write_all(kept)
        for refusal in refusals:
            facts = dataclasses.asdict(refusal)
            writer.write({name: writable(value) for name, value in facts.items()})


def kept_line(results: Sequence[object], total: int, *, folder: Path, rejects: Path) -> str:
    """Return a script's closing words: how many pieces were kept, and where the reasons stand."""
    line = f"kept {len(results):,} of {total:,} pieces in {folder}"
    if len(results) < total:
        line += f"; the reasons for the others stand in {rejects}"
    return line


def _outcome(function: Callable[[Item], Result], item: Item) -> Outcome[Item, Result]:
    try:
        return Outcome(item, function(item), None)
    except ScoreError as error:
        return Outcome(item, None, " ".join(str(error).split()))


@contextmanager
def _parallel(backend: Backend, workers: int, scheduler: str | None) -> Iterator[Any]:
    """Yield joblib's Parallel on a backend, and take down afterwards what was set up for it."""
    if backend == "dask":
        with _dask_client(workers, scheduler):
            yield _on("dask", -1)  # the cluster was made as large as was asked for
    elif backend == "ray":
        with _ray(workers, scheduler):
            yield _on("ray", workers)
    else:
        yield _on(backend, workers)


def _on(backend: str, workers: int) -> Any:  # noqa: ANN401 -- joblib has no types
    # ray's backend hands its results over when all are done
    return_as = "list" if backend == "ray" else "generator"
    with joblib.parallel_config(backend=backend):
        return joblib.Parallel(n_jobs=workers, return_as=return_as, batch_size=1)


@contextmanager
def _dask_client(workers: int, scheduler: str | None) -> Iterator[None]:
    try:
        import dask
        import distributed
    except ImportError as error:
        raise _missing("dask", error) from error
    if scheduler is not None:
        try:
            client = distributed.Client(scheduler, timeout=_SECONDS_TO_CONNECT)
        except (OSError, ValueError) as error:
            raise InputError(f"dask scheduler {scheduler!r} cannot be reached: {error}") from error
        with client:
            yield
        return
    # daemon processes may have no children, and some conversions run in a process of their own
    with (
        dask.config.set({"distributed.worker.daemon": False}),
        distributed.LocalCluster(
            n_workers=joblib.cpu_count() if workers == -1 else workers,
            threads_per_worker=1,
            dashboard_address=None,
            silence_logs=logging.ERROR,
        ) as cluster,
        distributed.Client(cluster),
    ):
        yield


@contextmanager
def _ray(workers: int, scheduler: str | None) -> Iterator[None]:
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError as error:
        raise _missing("ray", error) from error
    cores = None if scheduler or workers == -1 else workers
    try:
        ray.init(
            address=scheduler or "local",
            num_cpus=cores,
            include_dashboard=None if scheduler else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, ValueError) as error:
        raise InputError(f"ray cluster {scheduler!r} cannot be reached: {error}") from error
    try:
        register_ray()
        yield
    finally:
        ray.shutdown()


def _missing(backend: str, error: ImportError) -> InputError:
    return InputError(f"backend {backend!r}: {error}; pip install 'notagen[cluster]'")
