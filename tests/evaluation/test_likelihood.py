from pathlib import Path

import pytest
import torch

from notagen.evaluation.likelihood import (
    CACHED,
    FLOOR,
    common_figures,
    floor_rows,
    model_row,
    read_texts,
)
from notagen.evaluation.pieces import PieceFile, find_pieces
from notagen.foundation.errors import InputError
from notagen.generation.prompts import training_prompt_lines
from notagen.metrics.likelihood import likelihoods
from notagen.metrics.ngram import fit_floor
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from tests.evaluation.written import BACH, write_index

TINY = ModelConfig(patch_length=64, patch_layers=1, char_layers=1, hidden_size=64)


def tune(notes: str, bars: int = 2) -> str:
    header = "%%score 1\nL:1/8\nM:4/4\nK:Eb\nV:1 treble\n"
    return header + f"[V:1]{notes}|\n" * (bars - 1) + f"[V:1]{notes}|]\n"


TUNES = {name: tune(f"{name}4 {name}4", bars) for name, bars in (("c", 2), ("d", 3), ("e", 40))}

WORKS = {name: name for name in TUNES}


@pytest.fixture
def pieces(tmp_path: Path) -> list[PieceFile]:
    return find_pieces(write_index(tmp_path, TUNES))


@pytest.fixture
def model() -> NotaGen:
    torch.manual_seed(0)
    return NotaGen(TINY)


def test_texts_by_name_and_a_line_about_each_left_out(
    pieces: list[PieceFile], tmp_path: Path
) -> None:
    (tmp_path / "bad.abc").write_text(TUNES["c"].replace("treble", 'treble nm="Flöte"'))
    bad = PieceFile(name="bad", path=tmp_path / "bad.abc", work="bad")
    texts, left_out = read_texts([*pieces, bad, PieceFile(name="no", path=None, work="no")])
    assert list(texts) == ["interleaved/c", "interleaved/d", "interleaved/e"]
    assert list(texts.values()) == list(TUNES.values())
    assert [line.split(":")[0] for line in left_out] == ["bad", "no"]


def test_rows_of_the_floor() -> None:
    learned = {str(n): tune(notes) for n, notes in enumerate(("c2 d2 e4", "c4 d2 d2", "e8", "f8"))}
    works = {"0": "one", "1": "one", "2": "two", "3": "three"}
    rows = floor_rows(TUNES, WORKS, learned, works, seed=0)
    floor = fit_floor(list(learned.values()), works=list(works.values()))
    costs = {name: floor.bits(text) for name, text in TUNES.items()}
    characters = sum(map(len, TUNES.values()))
    assert list(rows) == [FLOOR, CACHED]
    for title, kind in ((FLOOR, "static"), (CACHED, "cached")):
        row = rows[title]
        bits = {name: getattr(cost, kind) for name, cost in costs.items()}
        found = row["bits_per_character"]
        assert found.value == pytest.approx(sum(bits.values()) / characters)
        assert found.low <= found.value <= found.high
        assert found.n == 3
        assert row["pieces"] == {name: [pytest.approx(bits[name], abs=0.01), True] for name in bits}
        assert (row["order"], row["left_out"]) == (floor.best_order, 0)
    by_order = rows[FLOOR]["bits_per_character_by_order"]
    assert len(by_order) == 8
    static = rows[FLOOR]["bits_per_character"].value
    assert by_order[floor.best_order - 1] == pytest.approx(static, abs=1e-6)


def test_the_floor_needs_two_works() -> None:
    with pytest.raises(InputError, match="found 1 works, wanted two"):
        floor_rows(TUNES, WORKS, TUNES, dict.fromkeys(TUNES, "one"), seed=0)


def test_the_row_of_a_model(model: NotaGen, pieces: list[PieceFile]) -> None:
    texts, _ = read_texts(pieces)
    rows = {
        prompted: model_row(model, texts, pieces, prompted=prompted, patches_per_batch=64, seed=0)
        for prompted in (False, True)
    }
    for prompted, row in rows.items():
        prompt = "".join(training_prompt_lines(BACH)) if prompted else ""
        outcomes = likelihoods(model, texts.values(), prompts=[prompt] * 3)
        results = [outcome.result for outcome in outcomes if outcome.result]
        for (bits, fits), result in zip(row["pieces"].values(), results, strict=True):
            assert bits == pytest.approx(result.bits, rel=1e-4)
            assert fits == result.fits
        assert [fits for _, fits in row["pieces"].values()] == [True, True, False]
        assert (row["context"], row["left_out"]) == (64, 0)
        bits = [result.bits for result in results]
        lengths = [len(text) for text in texts.values()]
        assert row["bits_per_character"].value == pytest.approx(sum(bits) / sum(lengths), rel=1e-4)
        fitting = row["bits_per_character_of_fitting"]
        assert fitting.value == pytest.approx(sum(bits[:2]) / sum(lengths[:2]), rel=1e-4)
    assert rows[False]["pieces"] != rows[True]["pieces"]


def test_figures_of_fitting_pieces_are_of_these_alone(
    model: NotaGen, pieces: list[PieceFile]
) -> None:
    texts, _ = read_texts(pieces)
    row = model_row(model, texts, pieces, prompted=False, patches_per_batch=64, seed=0)
    fitting = row["bits_per_character_of_fitting"]
    assert fitting.n == 2
    assert fitting.low <= fitting.value <= fitting.high


def test_pieces_without_labels_have_no_prompt(model: NotaGen, pieces: list[PieceFile]) -> None:
    texts, _ = read_texts(pieces)
    bare = [PieceFile(name=piece.name, path=piece.path, work=piece.work) for piece in pieces]
    with_prompt, without = (
        model_row(model, texts, bare, prompted=prompted, patches_per_batch=64, seed=0)
        for prompted in (True, False)
    )
    assert with_prompt["pieces"] == without["pieces"]


def test_common_figures_are_of_the_pieces_that_fit_all() -> None:
    rows = {
        "short": {"pieces": {"a": [10.0, True], "b": [30.0, True], "c": [99.0, False]}},
        "long": {"pieces": {"a": [20.0, True], "b": [40.0, True], "c": [50.0, True]}},
        "left one out": {"pieces": {"b": [60.0, True], "c": [70.0, True]}},
    }

    def found(*titles: str) -> dict[str, tuple[float, int]]:
        chosen = {title: rows[title] for title in titles}
        lengths, works = {"a": 10, "b": 20, "c": 30}, dict.fromkeys("abc", "one")
        figures = common_figures(chosen, {}, lengths, works, seed=0)
        assert all(figure.of_floor.n == 0 for figure in figures.values())
        bits = {title: figure.bits_per_character for title, figure in figures.items()}
        return {title: (figure.value, figure.n) for title, figure in bits.items()}

    assert found(*rows) == {"short": (1.5, 1), "long": (2.0, 1), "left one out": (3.0, 1)}
    assert found("short", "long") == {"short": (pytest.approx(40 / 30), 2), "long": (2.0, 2)}
    assert found("long") == {"long": (pytest.approx(110 / 60), 3)}
    assert found() == {}
    none = {"x": {"pieces": {"a": [1.0, False]}}}
    nothing = common_figures(none, {}, {"a": 10}, {"a": "one"}, seed=0)["x"]
    assert nothing.bits_per_character.n == 0
    beside = common_figures(
        {"short": rows["short"]}, {"short": rows["long"]}, {"a": 10, "b": 20, "c": 30},
        dict.fromkeys("abc", "one"), seed=0,
    )  # fmt: skip
    assert beside["short"].of_floor[0::3] == (pytest.approx(40 / 60), 2)


def test_intervals_are_of_whole_works() -> None:
    rows = {
        "x": {
            "pieces": {
                name: [float(cost), True] for name, cost in zip("abcd", [1, 2, 3, 6], strict=True)
            }
        }
    }
    lengths = dict.fromkeys("abcd", 1)
    each, together = (
        common_figures(rows, {}, lengths, dict(zip("abcd", works, strict=True)), seed=0)[
            "x"
        ].bits_per_character
        for works in ("abcd", "mmnn")
    )
    assert each.value == together.value == 3
    assert each.n == together.n == 4
    # of two works with the means 1.5 and 4.5 a quarter of the resamples has one twice
    assert (together.low, together.high) == (1.5, 4.5)
    assert (each.low, each.high) != (1.5, 4.5)
