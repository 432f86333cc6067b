import itertools

import pytest

from notagen.foundation.index import IndexEntry
from notagen.preparation.filters import Examined, Filters, filter_pieces


def piece(path: str, *, bars: int = 8, staves: int = 1, digest: str = "") -> Examined:
    return Examined(
        path=path,
        entry=IndexEntry(path=path, n_bars=bars),
        digest=digest or path,
        n_staves=staves,
        metre="4/4",
        instruments=(),
    )


def sorted_out(pieces: list[Examined], filters: Filters) -> tuple[set[str], dict[str, str]]:
    kept, refused = filter_pieces(pieces, filters)
    assert {refusal.stage for refusal in refused} <= {"filter"}
    return {p.path for p in kept}, {refusal.path: refusal.reason for refusal in refused}


def test_the_papers_limits() -> None:
    pieces = [
        piece("a", bars=7),
        piece("b", bars=8),
        piece("c", staves=16),
        piece("d", staves=17),
    ]
    assert sorted_out(pieces, Filters()) == (
        {"b", "c"},
        {"a": "found 7 bars, wanted at least 8", "d": "found 17 staves, wanted at most 16"},
    )
    assert sorted_out(pieces, Filters(min_bars=1, max_staves=20))[1] == {}


def test_the_first_of_equal_pieces_is_kept_in_whatever_order_they_come() -> None:
    pieces = [piece("c", digest="x"), piece("a", digest="x"), piece("b", digest="x"), piece("d")]
    for order in itertools.permutations(pieces):
        kept, reasons = sorted_out(list(order), Filters())
        assert kept == {"a", "d"}
        assert reasons == dict.fromkeys("bc", "found the same music as in a, wanted it once")
    assert sorted_out(pieces, Filters(duplicates="keep"))[0] == set("abcd")


def test_a_piece_that_is_left_out_is_no_first() -> None:
    pieces = [piece("a", staves=20, digest="x"), piece("b", digest="x")]
    assert sorted_out(pieces, Filters())[0] == {"b"}


@pytest.mark.parametrize("name", ["min_bars", "max_staves"])
def test_values_out_of_range_are_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be >= 1, got 0"):
        Filters(**{name: 0})  # type: ignore[arg-type]
