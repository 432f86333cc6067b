import json
import time
from pathlib import Path

import pytest

from notagen.foundation.batch import Outcome, keep_results, run_batch
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


@pytest.mark.parametrize("workers", [1, 2])
def test_order_is_kept_and_refusals_have_reasons(workers: int) -> None:
    outcomes = list(run_batch(judge, range(7), workers=workers))
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


def test_unreadable_rejects_are_named(tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.jsonl"
    rejects.write_text('{"path": "x", "stage": "0_fetch"}\nbroken\n')
    with pytest.raises(InputError, match=r"rejects\.jsonl"):
        keep_results(outcomes(), path_of=str, stage="s", rejects=rejects)
    assert rejects.read_text().endswith("broken\n")
