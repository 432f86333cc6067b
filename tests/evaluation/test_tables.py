from pathlib import Path
from typing import Any

import pytest

from notagen.evaluation.results import Result, read_result, write_result
from notagen.evaluation.tables import BEGIN, END, format_tables, write_tables
from notagen.foundation.errors import InputError, MissingInputError
from notagen.metrics.figures import NOTHING, Figure

GOLDEN = Path(__file__).parents[1] / "golden" / "evaluation" / "tables.md"
TRAIN = {"name": "train.jsonl", "pieces": 1200, "sha256": "t"}
REFERENCE = {"name": "eval.jsonl", "pieces": 3, "sha256": "r"}
CHARACTERS = {"a": 100, "b": 200, "c": 300}


def row(*bits: tuple[str, float, bool], **other: Any) -> dict[str, Any]:  # noqa: ANN401
    total = sum(cost for _, cost, _ in bits) / sum(CHARACTERS[name] for name, *_ in bits)
    return {
        "bits_per_character": Figure(total, total - 0.1, total + 0.1, len(bits)),
        "left_out": 3 - len(bits),
        "pieces": {name: [cost, fits] for name, cost, fits in bits},
    } | other


def result(name: str, context: int, *rows: tuple[str, float, bool]) -> Result:
    floor = row(("a", 200, True), ("b", 400, True), ("c", 600, True))
    share, part = Figure(0.75, 0.5, 1, 4), Figure(0.0125, 0, 0.03, 4)
    shares = (
        *("parses", "aligned", "converts", "has_notes", "sound_header", "in_range", "no_loop"),
        "finished",
    )
    parts = ("bar_alignment_error", "notes_out_of_range", "distinct_bars", "mended_bars")
    validity = dict.fromkeys(shares, share) | dict.fromkeys(parts, part) | {"same_notes": NOTHING}
    overlap = Figure(0.912, 0.85, 0.95, 4)
    return {
        "name": name,
        "settings": {"seed": 0},
        "inputs": {"reference": REFERENCE, "train": TRAIN},
        "likelihood": {
            "left_out": [],
            "characters": CHARACTERS,
            "works": {name: name for name in CHARACTERS},
            "rows": {
                "n-gram floor": floor | {"order": 6},
                "n-gram floor with cache": floor,
                "model": row(*rows, context=context),
            },
        },
        "validity": {
            "generations": validity,
            "reference": validity | {"finished": NOTHING, "mended_bars": NOTHING},
        },
        "statistics": {
            "pitch_count": {"overlap": overlap},
            "note_count": {"overlap": overlap if context > 50 else NOTHING},
        },
        "features": {
            "extractor": "note statistics",
            "without_features": {"generations": 1, "reference": 0},
            "frechet": {
                "mle": {"distance": overlap, "infinity": Figure(-0.01, -0.1, 0.1, 4), "bend": 0.25}
            },
            "probes": {"period": {"accuracy": share}},
            "diversity": {"generations": overlap, "reference": overlap},
        },
    }


PAIR = (
    result("long | context", 1024, ("a", 50, True), ("b", 100, True), ("c", 150, True)),
    result("short", 32, ("a", 150, True), ("c", 900, False))
    | {"judgements": {"preferred": Figure(0.4, 0.3, 0.5, 20), "told_apart": Figure(1, 1, 1, 20)}},
)


@pytest.fixture
def results(tmp_path: Path) -> list[Result]:
    """The two as their files give them back."""
    for number, one in enumerate(PAIR):
        write_result(tmp_path / f"{number}.json", one)
    return [read_result(tmp_path / f"{number}.json") for number in range(2)]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(f"# Results\n\nBefore.\n\n{BEGIN}\nold \\1 tables\n{END}\n\nAfter.\n")
    return path


def tables(results: list[Result]) -> list[str]:
    """Return the tables without their headings."""
    return [part for part in format_tables(results) if not part.startswith("#")]


def test_tables_as_reviewed(results: list[Result]) -> None:
    assert "\n\n".join(format_tables(results)) + "\n" == GOLDEN.read_text()


def test_bits_a_character_on_the_pieces_that_fit_all(results: list[Result]) -> None:
    table = tables(results)[0]
    cells = [
        [cell.strip() for cell in line.replace("\\|", "!").strip("| ").split("|")]
        for line in table.splitlines()
        if "(" in line
    ]
    head, *rows = [line for line in cells if len(line) > 3]
    assert "1 that fit" in head[2]
    # only the piece a fits the short context: 200, 50 and 150 bits for 100 characters
    on_common = {line[0].split(",")[0]: line[2].split(" ")[0] for line in rows}
    assert on_common == {
        "n-gram floor": "2.000",
        "n-gram floor with cache": "2.000",
        "long ! context": "0.500",
        "short": "1.500",
    }


def test_floors_of_two_training_sets_both_stand(results: list[Result]) -> None:
    results[1]["inputs"]["train"] = TRAIN | {"name": "less.jsonl", "sha256": "u"}
    table = tables(results)[0]
    assert table.count("n-gram floor,") == 2
    assert table.count("learned from less.jsonl") == 2


def test_sets_of_pieces_have_a_table_each(results: list[Result]) -> None:
    before = tables(results)
    results[1]["inputs"]["reference"] = REFERENCE | {"name": "others", "sha256": "s"}
    after = tables(results)
    assert len(after) == len(before) + 1
    assert "others (3 pieces)" in after[1]


@pytest.mark.parametrize("part", ["likelihood", "validity", "statistics", "features"])
def test_a_result_may_lack_any_part(part: str, results: list[Result]) -> None:
    del results[0][part]
    both = tables(results)
    assert both
    del results[1][part]
    assert len(tables(results)) == len(both) - 1


def test_no_result_no_table() -> None:
    assert format_tables([]) == []
    assert format_tables([{"name": "x", "settings": {}, "inputs": {}}]) == []


def test_tables_stand_between_the_marks(page: Path, results: list[Result]) -> None:
    write_tables(page, results)
    text = page.read_text()
    assert text.startswith(f"# Results\n\nBefore.\n\n{BEGIN}\n\n")
    assert text.endswith(f"\n\n{END}\n\nAfter.\n")
    assert "old \\1" not in text
    assert GOLDEN.read_text().strip() in text
    write_tables(page, results)
    assert page.read_text() == text


@pytest.mark.parametrize(
    "text",
    [
        "no mark",
        BEGIN,
        END,
        f"{END}\n{BEGIN}\n",
        f"in a line {BEGIN}\n{END}\n",
        f"{BEGIN}\n{BEGIN}\n{END}\n",
        f"{BEGIN}\n{END}\nbetween\n{BEGIN}\n{END}\n",
    ],
)
def test_a_page_without_one_place_for_tables(text: str, page: Path, results: list[Result]) -> None:
    page.write_text(text)
    with pytest.raises(InputError, match="found no place for tables"):
        write_tables(page, results)
    assert page.read_text() == text


def test_a_page_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="is not there; wanted a page with the line"):
        write_tables(tmp_path / "page.md", [])


def test_results_that_lack_something_are_one_line(results: list[Result], page: Path) -> None:
    del results[1]["likelihood"]["works"]
    with pytest.raises(InputError, match="results of short lack 'works'"):
        write_tables(page, results)


def test_each_model_stands_beside_the_floor_of_its_own_training_set(results: list[Result]) -> None:
    results[1]["inputs"]["train"] = TRAIN | {"sha256": "u"}
    for cost in results[1]["likelihood"]["rows"]["n-gram floor with cache"]["pieces"].values():
        cost[0] /= 4
    table = tables(results)[0]
    ratios = {
        line.split(" | ")[0].strip("| "): line.split(" | ")[3].split(" ")[0]
        for line in table.replace("\\|", "!").splitlines()[2:]
    }
    # 50 of 200 bits, 150 of 50
    assert (ratios["long ! context"], ratios["short"]) == ("0.250", "3.000")
