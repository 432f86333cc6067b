"""The whole road on a few tunes, by the scripts that users run."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import mido
import music21
import pytest

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = ("-m", "accelerate.commands.launch", "--cpu", "--num_processes=1")


def run(stage: str, *words: str, home: Path) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT / stage,
        env=os.environ | {"HF_HOME": str(home), "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every stage has run once, each reading what the one before wrote."""
    road = tmp_path_factory.mktemp("road")
    data, out = road / "data", ("--out", str(road / "data"), "--workers", "1")
    run("data", "0_fetch.py", *out, "--pieces", "bach-bwv24.6", "bach-bwv25.6", home=road)
    run("data", "1_xml2abc.py", *out, home=road)
    run("data", "2_preprocess.py", *out, "--keys", "original", home=road)
    indexes = (
        *("--train-index", str(data / "train.jsonl")),
        *("--eval-index", str(data / "eval.jsonl")),
    )
    shape = (
        *("--model.patch-layers", "2", "--model.char-layers", "1"),
        *("--model.hidden-size", "128", "--model.dropout", "0"),
    )
    rate = ("--keys", "original", "--peak-learning-rate", "3e-3", "--patches-per-step", "256")
    run(
        "pretrain",
        *(*LAUNCH, "train-gen.py", *indexes, "--run-folder", str(road / "pretrain")),
        *(*shape, *rate, "--epochs", "10"),
        home=road,
    )
    run(
        "finetune",
        *(*LAUNCH, "train-gen.py", *indexes, "--run-folder", str(road / "finetune")),
        *("--weights", str(road / "pretrain" / "best"), *rate, "--epochs", "90"),
        home=road,
    )
    return road


CHORALE = (
    *("--period", "Baroque", "--composer", "Bach, Johann Sebastian"),
    *("--instrumentation", "Choral"),
)


def generate(road: Path, *flags: str) -> str:
    weights = ("--weights", str(road / "finetune" / "last"))
    out = ("--out", str(road / "out"))
    # the last weights know the one tune by heart, nearly; the best for other tunes came long before
    sure = ("--top-k", "2", "--temperature", "0.5", "--no-show")
    return run("inference", "generate.py", *weights, *out, *sure, *CHORALE, *flags, home=road)


def records(road: Path) -> list[dict[str, Any]]:
    lines = (road / "out" / "generations.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_score_comes_out(road: Path) -> None:
    # of the length that the model knows the counters of
    (tune,) = (json.loads(line) for line in (road / "data/train.jsonl").read_text().splitlines())
    n_bars = tune["n_bars"]
    assert n_bars >= 8
    generate(road, "--samples", "2", "--num-bars", str(n_bars), "--max-patches", "600")
    found = records(road)
    assert [record["index"] for record in found] == [0, 1]
    assert all((road / "out" / path).stat().st_size for record in found for path in record["files"])
    sound = [record for record in found if record["error"] is None and record["aligned"]]
    assert sound, found
    forms = {Path(path).parent.name: road / "out" / path for path in sound[0]["files"]}
    assert set(forms) == {"original", "interleaved", "standard", "musicxml", "midi", "svg"}
    score = music21.converter.parse(forms["musicxml"])
    assert len(score.parts[0].getElementsByClass("Measure")) == n_bars
    assert forms["svg"].read_text().count('class="measure') >= n_bars
    assert sum(m.type == "note_on" for track in mido.MidiFile(forms["midi"]).tracks for m in track)
    assert sound[0]["prompt"].startswith("%Baroque\n%Bach, Johann Sebastian\n")


def test_weights_say_which_prompts_they_have_learned(road: Path) -> None:
    assert not (road / "pretrain" / "best" / "prompts.json").exists()
    assert generate(road, "--list-prompts") == "    1  Baroque / Bach, Johann Sebastian / Choral\n"
    drawn = ("--draw-prompts", "--composer", "", "--period", "", "--instrumentation", "")
    generate(road, *drawn, "--num-bars", "2", "--seed", "9", "--max-patches", "60")
    (mine,) = (record for record in records(road) if record["seed"] == 9)
    assert mine["prompt"] == "%Baroque\n%Bach, Johann Sebastian\n%Choral\n"


def test_a_run_goes_on_and_the_same_seed_gives_the_same_piece(road: Path) -> None:
    flags = ("--num-bars", "4", "--seed", "5", "--max-patches", "300")
    generate(road, *flags, "--samples", "1")
    assert "1 pieces of this run are there already" in generate(road, *flags, "--samples", "2")
    mine = [record for record in records(road) if record["seed"] == 5]
    assert [record["index"] for record in mine] == [0, 1]
    first = (road / "out" / mine[0]["files"][0]).read_bytes()
    (road / "out" / "generations.jsonl").unlink()
    generate(road, *flags, "--samples", "1")
    assert (road / "out" / mine[0]["files"][0]).read_bytes() == first
