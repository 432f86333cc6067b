import json
import multiprocessing
import os
import sys
import time
from pathlib import Path

import pytest

from notagen.foundation.batch import (
    Backend,
    Outcome,
    Refusal,
    keep_results,
    run_batch,
    write_refusals,
)
from notagen.foundation.errors import ConversionError, InputError, NotationError


def judge(number: int) -> int:
    """Double a number; the first are done last; 3 and 5 are refused, 99 is a fault."""
    time.sleep(max(0, 4 - number) * 0.02)
    if number == 3:
        raise NotationError("bar 3:\n  too long")
    if number == 5:
        raise ConversionError("damaged")
    if number == 99:
        raise ZeroDivisionError("ours")
    return 2 * number


BACKENDS: list[tuple[Backend, str]] = [
    ("loky", "joblib"),
    ("threading", "joblib"),
    ("dask", "distributed"),
    ("ray", "ray"),
]


# what the clusters leave behind when they stop is none of ours
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("backend", "library"), BACKENDS)
def test_order_is_kept_and_refusals_have_reasons(
    backend: Backend, library: str, workers: int
) -> None:
    pytest.importorskip(library)
    outcomes = list(run_batch(judge, range(7), workers=workers, backend=backend))
    assert [outcome.item for outcome in outcomes] == list(range(7))
    assert [outcome.result for outcome in outcomes] == [0, 2, 4, None, 8, None, 12]
    reasons = {outcome.item: outcome.reason for outcome in outcomes if outcome.reason}
    assert reasons == {3: "bar 3: too long", 5: "damaged"}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_fault_is_raised(workers: int) -> None:
    with pytest.raises(ZeroDivisionError, match="ours"):
        list(run_batch(judge, [1, 99, 2], workers=workers))


def test_nothing_in_nothing_out() -> None:
    assert list(run_batch(judge, [], workers=1)) == []


def process(_: int) -> int:
    time.sleep(0.1)
    return os.getpid()


def grandchild(_: int) -> int:
    """Start a process from a worker, as conversions with a time limit do."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(os.getpid)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_dask_cluster_of_two_processes_shares_the_work() -> None:
    pytest.importorskip("distributed")
    pids = {outcome.result for outcome in run_batch(process, range(12), workers=2, backend="dask")}
    assert len(pids) == 2
    assert os.getpid() not in pids
    ((child,)) = [
        outcome.result for outcome in run_batch(grandchild, [0], workers=1, backend="dask")
    ]
    assert child not in {None, os.getpid()}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_running_dask_cluster_is_found_by_its_address() -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None, processes=True
    ) as cluster:
        outcomes = run_batch(
            judge, [1, 3], workers=-1, backend="dask", scheduler=cluster.scheduler_address
        )
        assert [outcome.result for outcome in outcomes] == [2, None]
        # it is not ours to stop
        assert len(cluster.scheduler_info["workers"]) == 1


@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_a_missing_library_is_one_line(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, backend, None)
    with pytest.raises(InputError, match=r"pip install 'notagen\[cluster\]'") as caught:
        list(run_batch(judge, [1], workers=1, backend=backend))
    assert str(caught.value).startswith(f"backend '{backend}': ")
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense"])
def test_an_address_without_scheduler_is_named(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("notagen.foundation.batch._SECONDS_TO_CONNECT", 1)
    with pytest.raises(InputError, match=f"dask scheduler '{address}' cannot be reached"):
        list(run_batch(judge, [1], workers=1, backend="dask", scheduler=address))


def outcomes(*refused: str) -> list[Outcome[str, str]]:
    return [
        Outcome(name, None, "too long") if name in refused else Outcome(name, name.upper(), None)
        for name in ("a", "b", "c")
    ]


def lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rejects_replace_only_their_own_stage(tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.jsonl"

    def keep(stage: str, *refused: str) -> list[str]:
        return keep_results(
            outcomes(*refused), path_of=lambda name: f"x/{name}", stage=stage, rejects=rejects
        )

    assert keep("0_fetch", "b") == ["A", "C"]
    first = {"path": "x/b", "stage": "0_fetch", "reason": "too long"}
    assert lines(rejects) == [first]
    assert keep("1_xml2abc", "a", "c") == ["B"]
    assert lines(rejects) == [
        first,
        {"path": "x/a", "stage": "1_xml2abc", "reason": "too long"},
        {"path": "x/c", "stage": "1_xml2abc", "reason": "too long"},
    ]
    assert keep("1_xml2abc") == ["A", "B", "C"]
    assert lines(rejects) == [first]
    assert keep("0_fetch") == ["A", "B", "C"]
    assert lines(rejects) == []


def test_a_result_may_be_none(tmp_path: Path) -> None:
    done: list[Outcome[int, None]] = [Outcome(1, None, None)]
    kept = keep_results(done, path_of=str, stage="s", rejects=tmp_path / "r.jsonl")
    assert kept == [None]


def test_a_path_that_is_no_text_can_be_written(tmp_path: Path) -> None:
    rejects = tmp_path / "r.jsonl"
    write_refusals(rejects, "s", [Refusal("caf\udce9.mid", "s", "caf\udce9.mid: torn")])
    assert lines(rejects) == [
        {"path": "caf\\udce9.mid", "stage": "s", "reason": "caf\\udce9.mid: torn"}
    ]


def test_unreadable_rejects_are_named(tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.jsonl"
    rejects.write_text('{"path": "x", "stage": "0_fetch"}\nbroken\n')
    with pytest.raises(InputError, match=r"rejects\.jsonl"):
        keep_results(outcomes(), path_of=str, stage="s", rejects=rejects)
    assert rejects.read_text().endswith("broken\n")
