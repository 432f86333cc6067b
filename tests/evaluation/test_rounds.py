"""Figures of preference rounds from results, pieces and features."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from notagen.evaluation.pieces import find_pieces
from notagen.evaluation.results import plain
from notagen.evaluation.rounds import MEASURES, format_rounds, plot_rounds, round_figures
from notagen.features.scoring import Reference
from notagen.foundation.errors import InputError
from notagen.foundation.features import FeatureSet
from tests.evaluation.written import BACH, MONTEVERDI, as_model_writes, write_generations

TUNE = "%%score { 1 | 2 }\nL:1/8\nM:4/4\nK:C\nV:1 treble\nV:2 bass\n[V:1]c8|[V:2]C8|\n"


def part(value: float, n: int = 3) -> dict[str, Any]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": n}


def result() -> dict[str, Any]:
    shares = ("valid", "finished", "bar_alignment_error", "mended_bars")
    return {
        "name": "round-0",
        "settings": {"seed": 0},
        "inputs": {},
        "validity": {"generations": {name: part(0.5) for name in shares}},
        "statistics": {"a": {"overlap": part(0.6)}, "b": {"overlap": part(0.8)}},
        "likelihood": {"rows": {"model, prompted": {"bits_per_character": part(1.1)}}},
        "features": {
            "frechet": {"mle": {"distance": part(9)}},
            "copying": {"generations": {"mean": part(0.7), "copied": part(0.25)}},
            "diversity": {"generations": part(0.4)},
        },
    }


def figures(tmp_path: Path, found: dict[str, Any]) -> dict[str, Any]:
    other = TUNE.replace("c8", "d8")
    # the second is the first for another composer
    texts = {"a": as_model_writes(TUNE, BACH), "b": as_model_writes(TUNE, MONTEVERDI)}
    write_generations(tmp_path, texts | {"c": as_model_writes(other, BACH)})
    angles = np.array([0.0, np.pi / 2, np.pi / 3])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    ours = FeatureSet(("a", "b", "c"), vectors, "m3", "ab")
    real = np.array([[2, 0], [4, 0]], dtype=np.float32)
    reference = Reference(FeatureSet(("x", "y"), real, "m3", "ab"), (None, None))
    return dict(round_figures(found, find_pieces(tmp_path), ours, reference))


def test_what_is_read_and_what_is_measured(tmp_path: Path) -> None:
    found = figures(tmp_path, result())
    assert list(found) == list(MEASURES)
    assert found["average_score"].value == pytest.approx((1 + 0 + 0.5) / 3)
    assert found["average_score"].low < found["average_score"].value < found["average_score"].high
    assert found["distinct"].value == pytest.approx(2 / 3)
    assert found["overlap"].value == pytest.approx(0.7)
    assert found["bits_per_character"].value == 1.1
    assert found["frechet"].value == 9


@pytest.mark.parametrize("missing", ["validity", "likelihood", "statistics", "features"])
def test_results_that_lack_something_are_refused(tmp_path: Path, missing: str) -> None:
    found = result()
    del found[missing]
    with pytest.raises(InputError, match=f"results of round-0: found no '{missing}'"):
        figures(tmp_path, found)


def test_the_table_and_the_plot_have_a_column_and_a_point_a_round(tmp_path: Path) -> None:
    found = plain(figures(tmp_path, result()))
    lines = [{"round": number, "pieces": 3} | found for number in range(3)]
    lines = json.loads(json.dumps(lines))
    del lines[2]["copied"]  # nothing was measured
    table = format_rounds(lines).splitlines()
    assert table[0] == "|  | round 0 | round 1 | round 2 |"
    assert len(table) == 3 + len(MEASURES)
    cells = {row.split("|")[1].strip(): row.split("|")[2:-1] for row in table}
    assert cells["valid pieces"][0].strip() == "50.0 % (40.0 to 60.0)"
    assert cells["overlap of statistics with held-out music"][0].strip() == "0.700"
    assert cells["pieces nearer than 0.95 to one"][2].strip() == ""
    plot_rounds(lines, tmp_path / "rounds.png")
    assert (tmp_path / "rounds.png").read_bytes().startswith(b"\x89PNG")
