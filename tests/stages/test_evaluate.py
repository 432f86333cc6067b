"""evaluate/evaluate.py and evaluate/table.py as users run them, in processes of their own."""

import json
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from notagen.evaluation.pieces import find_pieces
from notagen.evaluation.tables import BEGIN, END
from notagen.generation.prompt_table import write_prompt_table
from notagen.metrics.figures import RESAMPLES
from notagen.model.notagen import NotaGen
from notagen.model.weights import save_model
from notagen.stages import EvaluateConfig
from tests.evaluation.written import (
    BACH,
    as_model_writes,
    write_generations,
    write_index,
    write_lines,
)
from tests.stages.launching import PYTHON, ROOT, TINY, run_to_end

HEADER = "%%score { 1 | 2 }\nL:1/8\nM:4/4\nK:C\nV:1 treble\nV:2 bass\n"
ODD = "schön | 7"


def tunes(letter: str, count: int) -> dict[str, str]:
    """Return tunes of random notes, some longer than the model's context."""
    rng = random.Random(letter)
    return {
        f"{letter}{number}": HEADER
        + "".join(
            f"[V:1]{''.join(rng.choices('CDEFGABcdefg', k=8))}|[V:2]{rng.choice('CDEFG')},8|\n"
            for _ in range(rng.choice([3, 5, 25]))
        )
        for number in range(count)
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with real pieces of both kinds, weights, and pieces of which one is broken."""
    place = tmp_path_factory.mktemp("evaluate")
    write_index(place, tunes("r", 6), name="eval")
    write_index(place, tunes("t", 6), name="train")
    written = {name: as_model_writes(text, BACH) for name, text in tunes("g", 4).items()}
    written |= {"broken": "nothing", ODD: written["g0"].replace("C", "D")}
    write_generations(place / "pieces", written)
    torch.manual_seed(0)
    save_model(NotaGen(TINY), place / "weights")
    (place / "page.md").write_text(f"# Results\n\n{BEGIN}\n{END}\n")
    return place


def run(
    place: Path, *flags: str, script: str = "evaluate.py", **inputs: str
) -> subprocess.CompletedProcess[str]:
    """Run a script on the inputs of `place`, or others instead of these."""
    known = {
        "reference": "eval.jsonl",
        "train": "train.jsonl",
        "model": "weights",
        "generations": "pieces",
        "results": "results",
        "page": "page.md",
        "name": "tiny",
        "workers": "1",
        "device": "cpu",
    }
    words = [word for name, value in (known | inputs).items() for word in (f"--{name}", value)]
    return run_to_end([*PYTHON, str(ROOT / "evaluate" / script), *words, *flags], place)


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the lines of standard error that are no progress bar."""
    lines = re.split(r"[\r\n]+", done.stderr)
    return [line.strip() for line in lines if line.strip() and "%|" not in line]


def figures(found: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:  # noqa: ANN401
    if isinstance(found, dict) and found.keys() == {"value", "low", "high", "n"}:
        yield path, found
    elif isinstance(found, dict):
        for name, member in found.items():
            yield from figures(member, f"{path}/{name}")


@pytest.fixture(scope="module")
def whole(place: Path) -> subprocess.CompletedProcess[str]:
    done = run(place, "--no-check-notes")
    assert done.returncode == 0, done.stderr
    return done


def test_every_figure_is_there(place: Path, whole: subprocess.CompletedProcess[str]) -> None:
    assert said(whole) == ["broken: found no K: line, wanted the tune's key"]
    result = json.loads((place / "results" / "tiny.json").read_text())
    assert result["name"] == "tiny"
    settings = {"seed": 0, "resamples": RESAMPLES, "prompts": "both", "check_notes": False}
    assert settings.items() <= result["settings"].items()
    inputs = result["inputs"]
    assert inputs.keys() == {"reference", "train", "model", "generations"}
    assert all(re.fullmatch("[0-9a-f]{64}", one["sha256"]) for one in inputs.values())
    assert [inputs[name]["pieces"] for name in ("reference", "train", "generations")] == [6, 6, 6]
    rows = result["likelihood"]["rows"]
    assert list(rows) == [*("n-gram floor", "n-gram floor with cache", "model", "model, prompted")]
    for title, row in rows.items():
        assert row["bits_per_character"]["n"] == len(row["pieces"]) == 6, title
        assert 0 < row["bits_per_character"]["value"] < 20, title
    fitting = [fits for _, fits in rows["model"]["pieces"].values()]
    assert rows["model"]["bits_per_character_of_fitting"]["n"] == sum(fitting)
    assert 0 < sum(fitting) < 6
    validity = result["validity"]
    assert validity["reference"]["parses"]["value"] == 1
    for name in ("parses", "aligned", "converts", "sound_header", "no_loop"):
        assert validity["generations"][name]["value"] == pytest.approx(5 / 6, abs=1e-6), name
        assert validity["generations"][name]["n"] == 6, name
    assert len(result["statistics"]) == 11
    features = result["features"]
    assert features["without_features"] == {"generations": 1, "reference": 0}
    assert {"frechet", "probes", "diversity", "copying"} < features.keys()
    measured = dict(figures(result))
    assert len(measured) > 50
    for path, figure in measured.items():
        assert figure["n"] == 0 or figure["low"] <= figure["value"] + 1e-6, path
        assert figure["n"] == 0 or figure["value"] <= figure["high"] + 1e-6, path


def test_a_line_about_each_piece_and_two_pictures(
    place: Path, whole: subprocess.CompletedProcess[str]
) -> None:
    results = place / "results"
    lines = [json.loads(line) for line in (results / "tiny.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == ["g0", "g1", "g2", "g3", "broken", ODD]
    assert [line["name"] for line in lines if line["error"]] == ["broken"]
    for name in ("likelihood", "statistics"):
        assert (results / f"tiny-{name}.png").read_bytes().startswith(b"\x89PNG")
    assert f"bits a character of {place.name}/eval.jsonl (6 pieces)" in whole.stdout
    assert "the figures stand in results/tiny.json" in whole.stdout


def test_the_same_command_gives_the_same_bytes(
    place: Path, whole: subprocess.CompletedProcess[str]
) -> None:
    again = run(place, "--no-check-notes", results="again")
    assert again.stdout.replace("again/", "results/") == whole.stdout
    names = {path.name for path in (place / "again").iterdir()}
    assert names == {"tiny.json", "tiny.jsonl", "tiny-likelihood.png", "tiny-statistics.png"}
    for name in names:
        assert (place / "again" / name).read_bytes() == (place / "results" / name).read_bytes()


def test_the_floor_alone_and_all_tables_in_a_page(
    place: Path, whole: subprocess.CompletedProcess[str]
) -> None:
    inputs = {"model": "None", "generations": "None", "name": "floor"}
    done = run(place, "--max-learned", "5", **inputs)
    drawn = "warning: train.jsonl: 5 of 6 pieces are drawn"
    assert (done.returncode, said(done)) == (0, [drawn])
    assert list((place / "results").glob("floor*")) != []
    done = run(place, script="table.py")
    assert (done.returncode, said(done)) == (0, [])
    page = (place / "page.md").read_text()
    for count in (5, 6):
        assert page.count(f"train.jsonl ({count} pieces)") == 2
    assert "| tiny, prompted |" in page


def test_a_sheet_and_what_people_answer(
    place: Path, whole: subprocess.CompletedProcess[str]
) -> None:
    done = run(place, "--sheet", "--pairs", "1", "--pair-bars", "2")
    assert (done.returncode, said(done)) == (0, [])
    assert "1 pairs; open results/tiny-sheet.html in a browser" in done.stdout
    assert "<svg" in (place / "results" / "tiny-sheet.html").read_text()
    pair = json.loads((place / "results" / "tiny-sheet-key.jsonl").read_text())
    before = json.loads((place / "results" / "tiny.json").read_text())
    # one likes the program's piece much better and takes it for a person's, the other cannot tell
    program = pair["generated"]
    answers = [
        {"listener": "first", "preference": f"{program} much", "person": program},
        {"listener": "second", "preference": "none", "person": "unknown"},
    ]
    known = {"sheet": pair["sheet"], "pair": pair["pair"], "time": 1}
    known |= {"seconds": 9, "experience": "some", "comment": ""}
    write_lines(place / "answers.jsonl", [known | answer for answer in answers])
    done = run(place, "--answers", "answers.jsonl")
    assert (done.returncode, said(done)) == (0, [])
    result = json.loads((place / "results" / "tiny.json").read_text())
    judged = result.pop("judgements")
    assert (judged["preferred"]["value"], judged["preferred"]["n"]) == (0.75, 2)
    assert (judged["told_apart"]["value"], judged["told_apart"]["n"]) == (0.25, 2)
    assert result == before
    assert "75.0 %" in done.stdout


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"reference": "no.jsonl"}, "no.jsonl: found nothing there, wanted an index or a folder"),
        ({"generations": "empty"}, "empty: found no piece, wanted one at least"),
    ],
    ids=["reference", "generations"],
)
def test_what_a_user_can_mend_is_one_line(
    inputs: dict[str, str], message: str, place: Path
) -> None:
    (place / "empty").mkdir(exist_ok=True)
    done = run(place, **({"train": "None", "results": "failed"} | inputs))
    assert (done.returncode, said(done)) == (1, [f"error: {message}"])
    assert not (place / "failed").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"name": "../out"}, r"name must be letters, digits, `_`, `\.` and `-`, got '\.\./out'"),
        ({"pairs": 0}, "pairs must be >= 1, got 0"),
        ({"pair_bars": -1}, "pair_bars must be >= 1, got -1"),
        ({"patches_per_batch": 0}, "patches_per_batch must be >= 1, got 0"),
        ({"workers": 0}, "workers must be >= 1, or -1 for one a core, got 0"),
        ({"sheet": True}, "sheet needs generations, got None"),
        ({"model": None}, "one of model, train and generations must be set, got None for each"),
        ({"generation_features": Path("f")}, "generation_features and reference_features go"),
        ({"train_features": Path("f")}, "generation_features and reference_features go"),
        ({"seed": "1"}, "seed must be int, got '1'"),
        ({"prompts": "neither"}, "prompts must be 'without' | 'with' | 'both'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_that_cannot_be(flags: dict[str, Any], message: str) -> None:
    known = dict.fromkeys(("results", "page", "reference", "model"), Path()) | {"name": "x"}
    assert EvaluateConfig(**known).file(".json") == Path("x.json")
    with pytest.raises((ValueError, TypeError), match=message):
        EvaluateConfig(**(known | flags))


def test_the_floor_writes_pieces_for_the_prompts_of_a_table(place: Path, tmp_path: Path) -> None:
    def write(weights: Path, *more: str) -> subprocess.CompletedProcess[str]:
        flags = ("--train", "train.jsonl", "--weights", str(weights), "--samples", "3", *more)
        command = [*PYTHON, str(ROOT / "evaluate" / "floor.py"), *flags]
        return run_to_end([*command, "--out", str(tmp_path / "out")], place, timeout=100)

    none = write(place / "weights")
    assert none.returncode == 1
    assert said(none) == [
        f"error: {place / 'weights'}: found no prompts in a prompts.json beside the weights, "
        "wanted some as finetune/ writes them"
    ]
    save_model(NotaGen(TINY), tmp_path / "weights")
    write_prompt_table({BACH: 2}, tmp_path / "weights")
    wrong = write(tmp_path / "weights", "--order", "10")
    assert wrong.returncode == 1
    assert said(wrong)[0].endswith("and order 10, wanted numbers from 1 and an order of 9 at most")
    done = write(tmp_path / "weights")
    assert done.returncode == 0, done.stderr
    assert "3 pieces by n-grams of " in done.stdout
    written = find_pieces(tmp_path / "out")
    assert [piece.prompt for piece in written] == [BACH] * 3
    assert all(piece.path and piece.path.is_file() for piece in written)
