"""Figures of preference rounds from results, pieces and features."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from notagen.evaluation.pieces import find_pieces
from notagen.evaluation.results import plain
from notagen.evaluation.rounds import (
    MEASURES,
    format_rounds,
    plot_rounds,
    real_figures,
    round_figures,
)
from notagen.features.scoring import Reference
from notagen.foundation.errors import InputError
from notagen.foundation.features import FeatureSet
from tests.evaluation.written import BACH, MONTEVERDI, as_model_writes, write_generations

TUNE = "%%score { 1 | 2 }\nL:1/8\nM:4/4\nK:C\nV:1 treble\nV:2 bass\n[V:1]c8|[V:2]C8|\n"


def part(value: float, n: int = 3) -> dict[str, Any]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": n}


def result() -> dict[str, Any]:
    shares = ("valid", "finished", "bar_alignment_error", "mended_bars", "retries")
    statistics = {
        name: {
            "overlap": part(overlap),
            "divergence": part(0.2),
            "reference_overlap": part(0.9),
            "reference_divergence": part(0.1),
        }
        for name, overlap in (("a", 0.6), ("b", 0.8))
    }
    return {
        "name": "round-0",
        "settings": {"seed": 0},
        "inputs": {},
        "validity": {
            "generations": {name: part(0.5) for name in shares},
            "reference": {"valid": part(1.0)},
        },
        "statistics": statistics,
        "likelihood": {"rows": {"model, prompted": {"bits_per_character": part(1.1)}}},
        "features": {
            "frechet": {"mle": {"distance": part(9)}},
            "copying": {
                "generations": {"mean": part(0.7), "copied": part(0.25)},
                "reference": {"mean": part(0.8), "copied": part(0.35)},
            },
            "diversity": {"generations": part(0.4), "reference": part(0.6)},
        },
    }


def features(*angles: float) -> FeatureSet:
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    return FeatureSet(tuple("abc"[: len(angles)]), vectors, "m3", "ab")


def reference() -> Reference:
    real = np.array([[2, 0], [4, 0]], dtype=np.float32)
    return Reference(FeatureSet(("x", "y"), real, "m3", "ab"), (None, None))


def figures(tmp_path: Path, found: dict[str, Any]) -> dict[str, Any]:
    other = TUNE.replace("c8", "d8")
    # the second is the first for another composer
    texts = {"a": as_model_writes(TUNE, BACH), "b": as_model_writes(TUNE, MONTEVERDI)}
    write_generations(tmp_path, texts | {"c": as_model_writes(other, BACH)})
    ours = features(0.0, np.pi / 2, np.pi / 3)
    return dict(round_figures(found, find_pieces(tmp_path), ours, reference()))


def test_what_is_read_and_what_is_measured(tmp_path: Path) -> None:
    found = figures(tmp_path, result())
    assert list(found) == list(MEASURES)
    assert found["average_score"].value == pytest.approx((1 + 0 + 0.5) / 3)
    assert found["average_score"].low < found["average_score"].value < found["average_score"].high
    assert found["distinct"].value == pytest.approx(2 / 3)
    assert found["overlap"].value == pytest.approx(0.7)
    assert found["divergence"].value == pytest.approx(0.2)
    assert found["bits_per_character"].value == 1.1
    assert found["frechet"].value == 9


def test_real_music_has_most_of_them_too() -> None:
    found = real_figures(result(), features(0.0, np.pi / 3), reference())
    assert found["average_score"].value == pytest.approx(0.75)
    assert found["overlap"].value == pytest.approx(0.9)
    assert found["similarity"].value == 0.8
    assert found["valid"].value == 1.0
    assert not found["finished"].n
    assert not {"bits_per_character", "frechet", "distinct", "prompt_score"} & found.keys()


@pytest.mark.parametrize("missing", ["validity", "likelihood", "statistics", "features"])
def test_results_that_lack_something_are_refused(tmp_path: Path, missing: str) -> None:
    found = result()
    del found[missing]
    with pytest.raises(InputError, match=f"results of round-0: found no '{missing}'"):
        figures(tmp_path, found)


def test_the_table_and_the_plot_have_a_column_and_a_point_a_round(tmp_path: Path) -> None:
    found = plain(figures(tmp_path, result()))
    real = plain(real_figures(result(), features(0.0), reference()))
    lines: list[dict[str, Any]] = [{"round": "held out", "pieces": 1} | real]
    lines += [{"round": number, "pieces": 3} | found for number in range(2)]
    lines = json.loads(json.dumps(lines))
    del lines[2]["copied"]  # nothing was measured
    table = format_rounds(lines).splitlines()
    assert table[0] == "|  | held out | round 0 | round 1 |"
    assert len(table) == 3 + len(MEASURES)
    cells = {row.split("|")[1].strip(): row.split("|")[2:-1] for row in table}
    assert cells["valid pieces"][1].strip() == "50.0 % (40.0 to 60.0)"
    assert cells["statistics: overlap with held-out music"][0].strip() == "0.900"
    assert cells["statistics: overlap with held-out music"][1].strip() == "0.700"
    assert cells["distinct pieces"][1].strip() == "66.7 %"
    assert cells["distinct pieces"][0].strip() == ""
    assert cells["pieces nearer than 0.95 to one"][2].strip() == ""
    plot_rounds(lines, tmp_path / "rounds.png")
    assert (tmp_path / "rounds.png").read_bytes().startswith(b"\x89PNG")
