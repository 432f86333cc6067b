"""rl/run_rounds.py for real: a round of the shipped model, and what a kill in each step leaves."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from notagen.evaluation.rounds import MEASURES
from tests.evaluation.written import write_index
from tests.stages.launching import PYTHON, ROOT, environment, run_to_end, signal_at
from tests.stages.test_evaluate import tunes

pytestmark = pytest.mark.timeout(900)

STEPS = ("generate", "extract", "measure", "choose", "train")


def command(place: Path, out: str, *flags: str) -> list[str]:
    return [
        *(*PYTHON, str(ROOT / "rl" / "run_rounds.py")),
        *("--weights", str(ROOT / "weights" / "notagen-mini")),
        *("--reference-index", str(place / "train.jsonl")),
        *("--eval-index", str(place / "eval.jsonl")),
        *("--out", str(place / out), "--rounds", "1", "--samples", "8"),
        *("--generate=--num-bars 4 --batch-size 2", "--choose=--portion 0.25 --workers 1"),
        "--train=--epochs 6 --pairs-per-step 1 --peak-learning-rate 1e-5",
        *flags,
    ]


def start(place: Path, out: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return run_to_end(command(place, out, *flags), place, timeout=800)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with real pieces of both kinds, and a round in `whole`."""
    place = tmp_path_factory.mktemp("rounds")
    write_index(place, tunes("r", 6), name="eval")
    write_index(place, tunes("t", 6), name="train")
    done = start(place, "whole")
    assert done.returncode == 0, done.stderr
    (place / "said").write_text(done.stdout)
    return place


def json_lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def rounds(out: Path) -> list[dict[str, Any]]:
    return json_lines(out / "rounds.jsonl")


def test_a_round_ends_in_figures_a_table_and_a_plot(place: Path) -> None:
    out = place / "whole"
    real, before, after = rounds(out)
    assert (real["round"], real["pieces"]) == ("held out", 6)
    assert real["average_score"]["n"] == 6
    assert (before["round"], before["pieces"]) == (0, 8)
    assert (after["round"], after["pieces"]) == (1, 8)
    assert before["weights_sha256"] != after["weights_sha256"]
    for figures in (before, after):
        assert MEASURES.keys() <= figures.keys()
        assert all(figures[name]["n"] for name in MEASURES)
        assert -1 < figures["average_score"]["low"] <= figures["average_score"]["value"] < 1
        assert figures["valid"]["value"] == 1.0
        assert figures["distinct"]["value"] == 1.0
    # the same held-out music, under weights that have taken twelve steps
    bits = [one["bits_per_character"]["value"] for one in (before, after)]
    assert bits[0] != bits[1]
    assert bits[1] == pytest.approx(bits[0], rel=0.1)
    said = (place / "said").read_text()
    for words in (
        "held out | round 0 | round 1",
        *(measure.words for measure in MEASURES.values()),
    ):
        assert words in said
    assert (out / "rounds.png").read_bytes().startswith(b"\x89PNG")
    for step in STEPS:
        assert json.loads((out / "round-0" / f"{step}.json").read_text())["done"]
    assert not (out / "round-1" / "choose.json").exists()
    assert (out / "round-0" / "dpo" / "last" / "model.safetensors").is_file()


def test_the_same_command_does_nothing_again_and_another_is_refused(place: Path) -> None:
    before = time.monotonic()
    again = start(place, "whole")
    assert again.returncode == 0, again.stderr
    assert (place / "said").read_text().endswith(again.stdout)
    assert time.monotonic() - before < 60
    assert "inference/generate.py" not in again.stderr
    assert again.stdout
    other = start(place, "whole", "--samples", "9")
    assert other.returncode == 1
    assert "generate.json: found it begun with samples 8, seed 0" in other.stderr
    assert other.stderr.count("\n") == 1
    assert rounds(place / "whole")[1]["pieces"] == 8


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--train=--epoch 3", "2_train-dpo.py"),
        ("--choose=--portion much", "1_preferences.py"),
        ("--generate=--out elsewhere", "generate.py: found the flag --out"),
        ("--train=--seed=5", "2_train-dpo.py: found the flag --seed=5"),
    ],
)
def test_wrong_flags_are_told_before_anything_runs(place: Path, flag: str, said: str) -> None:
    refused = start(place, "refused", flag)
    assert refused.returncode in (1, 2)
    assert said in refused.stderr
    assert not (place / "refused").exists()


def test_another_content_behind_a_path_is_refused(place: Path) -> None:
    index = place / "eval.jsonl"
    before = index.read_text()
    index.write_text(before.splitlines(keepends=True)[0])
    refused = start(place, "whole")
    index.write_text(before)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: eval_index: found ")
    assert "changed since these rounds began" in refused.stderr


def test_what_is_kept_becomes_data(place: Path) -> None:
    folder, data = place / "whole" / "round-0", place / "data"
    kept = (folder / "preferences" / "kept.jsonl").read_text().splitlines()
    assert 1 <= len(kept) <= 4
    out = ("--out", str(data), "--workers", "1")
    metadata = ("--metadata", str(folder / "preferences" / "kept.jsonl"), "--only-listed")
    source = ("--source", "folder", "--folder", str(folder / "generations"), *metadata)
    shorter = ("--min-bars", "1", "--keys", "original", "--eval-share", "0.5")
    for script, more in (("0_fetch", source), ("1_xml2abc", ()), ("2_preprocess", shorter)):
        done = run_to_end([*PYTHON, str(ROOT / "data" / f"{script}.py"), *out, *more], place)
        assert done.returncode == 0, done.stderr
    lines = json_lines(data / "train.jsonl") + json_lines(data / "eval.jsonl")
    assert len(lines) == len(kept)
    assert {line["composer"] for line in lines} == {"Schubert, Franz"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_kill_in_each_step_changes_nothing(place: Path) -> None:
    out, log = place / "killed", place / "log"
    folder = out / "round-0"

    def said(step: str) -> Callable[[], bool]:
        def now() -> bool:
            if f"round-0: {step}" not in log.read_text():
                return False
            time.sleep(1)
            return True

        return now

    def lines(file: Path, count: int) -> Callable[[], bool]:
        return lambda: file.is_file() and file.read_bytes().count(b"\n") >= count

    for step, moment in (
        ("generate", lines(folder / "generations" / "generations.jsonl", 2)),
        ("extract", lambda: len([*folder.glob("features/**/*.npy")]) >= 1),
        ("measure", said("evaluate/evaluate.py")),
        ("choose", said("rl/1_preferences.py")),
        ("train", lines(folder / "dpo" / "metrics.jsonl", 3)),
    ):
        run = command(place, "killed")
        code = signal_at(moment, signal.SIGKILL, run, log, env=environment(place))
        assert code == -signal.SIGKILL
        assert not json.loads((folder / f"{step}.json").read_text())["done"], step
    again = start(place, "killed")
    assert again.returncode == 0, again.stderr
    whole = place / "whole"
    weights = "round-0/dpo/last/model.safetensors"
    assert (out / weights).read_bytes() == (whole / weights).read_bytes()
    assert rounds(out) == rounds(whole)
