"""inference/generate.py --candidates, scored by the encoder that ships."""

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from notagen.candidates import score_with
from notagen.features.extract import Extractor
from notagen.features.scoring import read_reference
from notagen.foundation.features import write_feature, write_features_info
from notagen.generation.controls import Controls
from notagen.generation.engine import Generated, Generator
from notagen.generation.requests import Beginning, make_request
from notagen.generation.settings import Sampling
from notagen.model.weights import load_model
from tests.stages.launching import PYTHON, ROOT, TORCHRUN, run_to_end

HEADER = "L:1/8\nM:2/4\nK:Eb\nV:1 treble\nV:2 bass\n"
TEXTS = [f"{HEADER}[V:1]{note}4|[V:2]C4|\n" for note in "cde"]
CANDIDATES = 3
CONTROLS = Controls(num_bars=3, valid_bars=True, max_retries=3)
SAMPLING = Sampling(top_k=20, top_p=1.0, temperature=1.5)
FLAGS = (
    *("--prompts", "lines.jsonl", "--num-bars", "3", "--max-retries", "3", "--batch-size", "4"),
    *("--max-patches", "None", "--max-repeats", "None"),
    *("--top-k", "20", "--top-p", "1", "--temperature", "1.5"),
)
WEIGHTS = ROOT / "weights" / "clamp-mini"
REAL = [f"{HEADER}[V:1]{bar}|[V:2]{bass}|\n" * 3 for bar, bass in (("e2f2", "E,4"), ("gfed", "C4"))]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, golden_weights: Callable[[str], Path]) -> Path:
    folder = tmp_path_factory.mktemp("best-of")
    (folder / "weights.pth").symlink_to(golden_weights("notagen_tiny_trained_model_only"))
    style = {"period": "", "composer": "", "instrumentation": ""}
    lines = [style | {"text": text} for text in TEXTS]
    (folder / "lines.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    extractor = Extractor(WEIGHTS)
    write_features_info(
        folder / "real", extractor=extractor.name, weights_sha256=extractor.weights_sha256
    )
    for number, text in enumerate(REAL):
        write_feature(folder / "real", str(number), extractor.features(text))
    return folder


def generate(
    place: Path, *flags: str, launcher: Sequence[str] = PYTHON
) -> subprocess.CompletedProcess[str]:
    command = [
        *(*launcher, str(ROOT / "inference" / "generate.py")),
        *("--weights", str(place / "weights.pth"), "--out", str(place / "out")),
        *("--candidates", str(CANDIDATES), *FLAGS, *flags),
    ]
    return run_to_end(command, place)


def records(place: Path) -> list[dict[str, Any]]:
    text = (place / "out" / "generations.jsonl").read_text()
    return sorted(map(json.loads, text.splitlines()), key=lambda record: record["index"])


def plain(place: Path) -> list[Generated]:
    """Return the pieces of a run in which each line stands three times."""
    requests = [
        make_request(Beginning(text=text), CONTROLS) for text in TEXTS for _ in range(CANDIDATES)
    ]
    generator = Generator(load_model(place / "weights.pth"), SAMPLING, batch_size=4)
    return sorted(generator.generate(requests, seed=0), key=lambda piece: piece.index)


def test_two_processes_keep_the_best_of_what_a_plain_run_writes(place: Path) -> None:
    done = generate(place, "--score-reference", str(place / "real"), launcher=TORCHRUN)
    assert done.returncode == 0, done.stderr
    candidates = plain(place)
    score = score_with(Extractor(WEIGHTS).features, read_reference(place / "real"))
    found = records(place)
    assert [record["index"] for record in found] == [0, 1, 2]
    for record in found:
        own = candidates[CANDIDATES * record["index"] :][:CANDIDATES]
        assert record["candidates"] == pytest.approx([score(piece) for piece in own], abs=1e-6)
        assert min(record["candidates"]) < max(record["candidates"]) == record["score"]
        text = (place / "out" / record["files"][0]).read_text()
        assert text == own[record["candidate"]].text
        assert f"{record['candidates'][0]:.3f}" in done.stdout
        assert record["best_of"]["candidates"] == CANDIDATES
    assert {record["candidate"] for record in found} != {0}
    # nothing of the other candidates stays
    assert len(list((place / "out" / "original").iterdir())) == 3
    assert "3 pieces: " in done.stdout
    assert done.stderr.count("found no prompts of its pieces, wanted a prompts.jsonl") == 1


def test_a_run_goes_on_and_says_json_lines(place: Path) -> None:
    before = records(place)
    lines = place / "out" / "generations.jsonl"
    lines.write_text("".join(f"{json.dumps(record)}\n" for record in before[:2]) + '{"torn')
    done = generate(place, "--score-reference", str(place / "real"), "--json")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == records(place)
    assert [r | {"seconds": 0} for r in records(place)] == [r | {"seconds": 0} for r in before]


def test_without_real_pieces_those_that_the_encoder_learned_from_count(place: Path) -> None:
    # the later value of a flag counts
    done = generate(place, "--out", str(place / "default"))
    assert done.returncode == 0, done.stderr
    text = (place / "default" / "generations.jsonl").read_text()
    found = [json.loads(line) for line in text.splitlines()]
    score = score_with(Extractor(WEIGHTS).features, read_reference(WEIGHTS / "reference.npz"))
    candidates = plain(place)
    for record in found:
        own = candidates[CANDIDATES * record["index"] :][:CANDIDATES]
        assert record["candidates"] == pytest.approx([score(piece) for piece in own], abs=1e-6)
