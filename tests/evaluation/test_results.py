import json
import math
from pathlib import Path

import pytest

from notagen.evaluation.pieces import Measured, PieceFile
from notagen.evaluation.results import (
    figure,
    read_result,
    read_results,
    write_pieces,
    write_result,
)
from notagen.foundation.errors import InputError, MissingInputError
from notagen.metrics.figures import NOTHING, Figure
from tests.evaluation.test_scores import SOUND

RESULT = {"name": "x", "settings": {"seed": 0}, "inputs": {}}


def test_figures_come_back(tmp_path: Path) -> None:
    known = {
        "a": Figure(0.25, 0.125, 0.5, 7),
        "b": NOTHING,
        "c": Figure(1.0, math.nan, math.inf, 1),
        "long": Figure(1 / 3, 0, 2 / 3, 3),
    }
    path = tmp_path / "new" / "x.json"
    write_result(path, RESULT | {"figures": known, "path": tmp_path / "of.mxl", "row": (1, None)})
    text = path.read_text()
    assert text.endswith("}\n")
    assert "NaN" not in text
    assert "Infinity" not in text
    found = read_result(path)
    assert found["name"] == "x"
    assert (found["path"], found["row"]) == ("of.mxl", [1, None])
    assert found["figures"]["b"] == {"value": None, "low": None, "high": None, "n": 0}
    assert figure(found["figures"]["a"]) == known["a"]
    assert figure(found["figures"]["long"])[:3] == pytest.approx(known["long"][:3], abs=1e-6)
    back = figure(found["figures"]["c"])
    assert (back.value, back.n) == (1, 1)
    assert math.isnan(back.low)
    assert math.isnan(back.high)
    assert math.isnan(figure(found["figures"]["b"]).value)


def test_what_is_not_there_is_a_figure_of_no_piece() -> None:
    for nothing in (None, {}):
        assert figure(nothing).n == 0
        assert math.isnan(figure(nothing).value)


def test_names_of_all_the_world(tmp_path: Path) -> None:
    named = RESULT | {"name": "Für Élise | 1", "pieces": {"schön": [1.0, True]}}
    write_result(tmp_path / "x.json", named)
    assert read_result(tmp_path / "x.json") == named


def test_results_of_a_folder_by_name(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_result(tmp_path / f"{name}.json", RESULT | {"name": name})
    (tmp_path / "a.jsonl").write_text("{}\n")
    assert [found["name"] for found in read_results(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name"', "found no JSON"),
        ("[" * 100_000, "found no JSON"),
        ("[]", "found no results, wanted name, settings, inputs"),
        ('{"name": "x", "settings": {}}', "found no results"),
        ('{"name": 3, "settings": {}, "inputs": {}}', "found no results"),
    ],
)
def test_a_file_without_results(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(InputError, match=f"x.json: {message}"):
        read_result(path)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"x\.json: found no JSON"):
        read_result(tmp_path / "x.json")


def test_missing_results(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"evaluate\.py writes it"):
        read_result(tmp_path / "x.json")
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(MissingInputError, match="found no results"):
            read_results(folder)


def test_a_line_about_each_piece(tmp_path: Path) -> None:
    pieces = [PieceFile(name=name, path=None, work=name) for name in ("sound", "schön")]
    write_pieces(
        tmp_path / "x.jsonl",
        [Measured(piece=pieces[0], soundness=SOUND), Measured(piece=pieces[1], error="no K:")],
    )
    sound, broken = map(json.loads, (tmp_path / "x.jsonl").read_text().splitlines())
    assert {"name": "sound", "error": None, "parses": True, "n_bars": 10}.items() <= sound.items()
    assert sound["problems"] == []
    assert broken == {"name": "schön", "error": "no K:"}
