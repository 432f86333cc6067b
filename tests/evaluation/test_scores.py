import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from notagen.evaluation.pieces import Measured, PieceFile
from notagen.evaluation.scores import statistics_figures, validity_figures
from notagen.metrics.figures import Figure
from notagen.metrics.relative import compare
from notagen.metrics.validity import Soundness

SOUND = Soundness(
    parses=True,
    aligned=True,
    n_bars=10,
    n_unaligned_bars=0,
    converts=True,
    same_notes=True,
    header_problems=(),
    in_range=True,
    n_notes_in_known_ranges=50,
    n_notes_out_of_range=0,
    n_sounding_bars=8,
    n_distinct_bars=6,
    top_bar_share=0.25,
    longest_repeat=1,
    problems=(),
)


def measured(
    soundness: Soundness | None = SOUND, *, finished: bool | None = True, num_mended: int = 0
) -> Measured:
    piece = PieceFile(
        name="p", path=Path("p.abc"), work="p", finished=finished, num_mended=num_mended
    )
    return Measured(piece=piece, soundness=soundness)


def test_shares_are_of_all_pieces_and_parts_of_their_bars_and_notes() -> None:
    broken = dataclasses.replace(
        SOUND,
        aligned=False,
        n_bars=30,
        n_unaligned_bars=6,
        in_range=False,
        n_notes_in_known_ranges=40,
        n_notes_out_of_range=10,
        n_sounding_bars=12,
        n_distinct_bars=3,
        longest_repeat=4,
        header_problems=("no K:",),
    )
    loop = dataclasses.replace(SOUND, longest_repeat=3, parses=False, same_notes=False)
    pieces = [measured(), measured(broken, finished=False), measured(loop), measured(None)]
    found = {name: figure.value for name, figure in validity_figures(pieces, seed=0).items()}
    assert found == {
        "parses": 2 / 4,
        "aligned": 2 / 4,
        "converts": 3 / 4,
        "same_notes": 2 / 4,
        "has_notes": 3 / 4,
        "valid": 1 / 4,
        "sound_header": 2 / 4,
        "in_range": 2 / 4,
        "no_loop": 1 / 4,
        "finished": 3 / 4,
        "bar_alignment_error": 6 / 50,
        "notes_out_of_range": 10 / 150,
        "distinct_bars": pytest.approx(15 / 28),
        "mended_bars": 0,
        "retries": 0,
    }


def test_mended_bars_are_of_our_own_pieces() -> None:
    pieces = [
        measured(num_mended=3),
        measured(dataclasses.replace(SOUND, n_bars=20)),
        measured(finished=None),
    ]
    found = validity_figures(pieces, seed=0)
    assert found["mended_bars"].value == 3 / 30
    assert (found["finished"].value, found["finished"].n) == (1, 2)
    theirs = validity_figures([measured(finished=None)] * 3, seed=0)
    assert theirs["finished"].n == theirs["mended_bars"].n == 0
    # they are of one work
    assert theirs["parses"] == (1, pytest.approx(0.025), 1, 3)


def test_what_was_not_asked_for_is_no_figure() -> None:
    unasked = dataclasses.replace(SOUND, same_notes=None)
    found = validity_figures([measured(unasked)] * 2, seed=0)
    assert found["same_notes"].n == 0
    assert math.isnan(found["same_notes"].value)
    # a piece that cannot even be written as MusicXML fails all the same
    unwritten = dataclasses.replace(SOUND, converts=False, same_notes=False)
    assert validity_figures([measured(unasked), measured(unwritten)], seed=0)[
        "same_notes"
    ].value == pytest.approx(0)


@pytest.mark.parametrize("pieces", [[], [measured(None)], [measured(None, finished=None)] * 3])
def test_without_a_readable_piece(pieces: list[Measured]) -> None:
    found = validity_figures(pieces, seed=0)
    for name in ("bar_alignment_error", "notes_out_of_range", "distinct_bars", "mended_bars"):
        assert found[name].n == 0, name
    for name in ("parses", "aligned", "in_range", "no_loop"):
        assert found[name].n == len(pieces), name
        assert not pieces or found[name][:3] == (0, 0, pytest.approx(0.975)), name


def test_statistics_are_kept_without_their_curves() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = ([{"range": rng.normal(size=1)} for _ in range(n)] for n in (12, 15))
    (found,) = statistics_figures(compare(ours, theirs, seed=0)).values()
    assert found.keys() == {
        *("overlap", "divergence", "reference_overlap", "reference_divergence", "n_reference")
    }
    assert isinstance(found["overlap"], Figure)
    assert (found["overlap"].n, found["n_reference"]) == (12, 15)
    assert statistics_figures(compare([], theirs, seed=0))["range"]["overlap"].n == 0
