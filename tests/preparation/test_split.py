import dataclasses

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from notagen.foundation.errors import InputError
from notagen.foundation.index import IndexEntry
from notagen.preparation.split import split_by_work

ENTRIES = st.lists(
    st.builds(
        IndexEntry,
        path=st.uuids().map(str),
        work=st.none() | st.sampled_from([f"work{n}" for n in range(8)]),
    ),
    max_size=30,
)


@given(entries=ENTRIES, share=st.floats(0.01, 0.99), seed=st.integers(0, 9))
def test_works_are_never_parted(entries: list[IndexEntry], share: float, seed: int) -> None:
    assume(len({entry.work or entry.path for entry in entries}) >= 2)
    split = split_by_work(entries, eval_share=share, seed=seed)
    assert [dataclasses.replace(entry, split=None) for entry in split] == entries
    sides: dict[str, set[str | None]] = {}
    for entry in split:
        sides.setdefault(entry.work or entry.path, set()).add(entry.split)
    assert all(len(side) == 1 for side in sides.values())
    kept = sum(side == {"eval"} for side in sides.values())
    assert 1 <= kept <= len(sides) - 1
    assert split == split_by_work(entries, eval_share=share, seed=seed)


def works(count: int) -> list[IndexEntry]:
    return [IndexEntry(path=f"p{n}", work=f"w{n}") for n in range(count)]


def kept(entries: list[IndexEntry], seed: int) -> set[str]:
    split = split_by_work(entries, eval_share=0.2, seed=seed)
    return {entry.path for entry in split if entry.split == "eval"}


def test_the_seed_chooses() -> None:
    assert len({frozenset(kept(works(50), seed)) for seed in range(5)}) == 5
    # a fifth of 2,000, give or take three standard deviations
    assert abs(len(kept(works(2000), 0)) - 400) < 54


def test_the_order_does_not_choose() -> None:
    assert kept(works(50), 3) == kept(works(50)[::-1], 3)


def test_one_more_piece_moves_no_other() -> None:
    for seed in range(20):
        before, after = kept(works(50), seed), kept(works(51), seed)
        assert before - after == set()
        assert after - before <= {"p50"}


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_works_cannot_be_split(count: int) -> None:
    with pytest.raises(InputError, match=f"found {count} works, wanted two or more"):
        split_by_work(works(count), eval_share=0.2, seed=0)


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_both_sides_have_something(share: float) -> None:
    sides = {entry.split for entry in split_by_work(works(2), eval_share=share, seed=0)}
    assert sides == {"train", "eval"}
