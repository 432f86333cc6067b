import numpy as np

from benchmarks import encoders
from benchmarks.encoders import Piece
from notagen.foundation.index import IndexEntry


def pieces(count: int, start: int = 0) -> list[Piece]:
    return [
        Piece(
            IndexEntry(
                path=str(number),
                period=("Baroque", "Romantic")[number % 2],
                instrumentation="Keyboard",
            ),
            "",
        )
        for number in range(start, start + count)
    ]


def test_classes_of_too_few_works_are_said_to_be_so() -> None:
    rng = np.random.default_rng(0)
    for count, said in ((4, "too few works"), (2 * encoders.FEWEST_WORKS, "100.0%")):
        train, unseen = pieces(count), pieces(2, count)
        features = [
            np.array([[int(piece.entry.path) % 2, 1] for piece in some])
            + rng.normal(scale=0.01, size=(len(some), 2))
            for some in (train, unseen)
        ]
        found = encoders._probes(train, unseen, *features)
        by_name = {line.split("|")[1].strip(): line for line in found.splitlines()[2:]}
        assert "too few works" in by_name["instrumentation"]
        assert said in by_name["period"]
