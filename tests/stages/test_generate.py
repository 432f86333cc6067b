"""inference/generate.py in processes of its own: killed, stopped, shared out, JSON lines."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
import torch

from notagen.generation.prompt_table import write_prompt_table
from notagen.generation.prompts import Prompt
from notagen.model.notagen import NotaGen
from notagen.model.weights import save_model
from tests.stages.launching import PYTHON, ROOT, TINY, TORCHRUN, environment, run_to_end, signal_at

HEADER = "L:1/8\nM:4/4\nK:Eb\nV:1 treble\nV:2 bass\n"
SIX = ("--prompts", "six.jsonl", "--batch-size", "2", "--max-retries", "1")
FORMS = {"original", "interleaved", "standard", "musicxml", "midi", "svg"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generate")
    torch.manual_seed(0)
    save_model(NotaGen(TINY), folder / "weights")
    # The model has learned nothing. Its bars are mended, so that scores come out; or they are not,
    # and no two texts are the same.
    lines = []
    unmended = {"num_bars": 99, "valid_bars": False, "max_repeats": None, "max_patches": 40}
    for note in "cde":
        line = {"text": f"{HEADER}[V:1]{note}8|[V:2]C8|\n", "period": ""}
        line |= {"composer": "", "instrumentation": ""}
        lines += [line | {"bars": 2}, line | unmended]
    write_lines(folder / "six.jsonl", lines)
    return folder


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def command(place: Path, out: str, *flags: str, launcher: Sequence[str] = PYTHON) -> list[str]:
    return [
        *launcher,
        str(ROOT / "inference" / "generate.py"),
        *("--weights", str(place / "weights"), "--out", str(place / out), *flags),
    ]


def generate(
    place: Path, out: str, *flags: str, launcher: Sequence[str] = PYTHON, given: str = ""
) -> subprocess.CompletedProcess[str]:
    return run_to_end(command(place, out, *flags, launcher=launcher), place, given=given)


def records(place: Path, out: str) -> list[dict[str, Any]]:
    file = place / out / "generations.jsonl"
    text = file.read_text() if file.is_file() else ""
    return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def written(place: Path, out: str) -> dict[str, bytes]:
    """Return every file of each piece, and its record without the time it took."""
    files = {
        str(file.relative_to(place / out)): file.read_bytes() for file in (place / out).rglob("*/*")
    }
    for record in records(place, out):
        assert record["index"] not in files
        files[record["index"]] = json.dumps(record | {"seconds": 0}).encode()
    return files


def signal_when(
    moment: Callable[[], bool], number: signal.Signals, place: Path, out: str, *flags: str
) -> tuple[int, str]:
    """Start a run and send all its processes a signal; return its exit code and what it says."""
    run = command(place, out, *flags)
    code = signal_at(moment, number, run, place / "log", cwd=place, env=environment(place))
    return code, (place / "log").read_text()


@pytest.fixture(scope="module")
def whole(place: Path) -> dict[str, bytes]:
    done = generate(place, "whole", *SIX)
    assert done.returncode == 0, done.stderr
    assert "6 pieces: " in done.stdout
    assert "to see it:  python -m webbrowser" in done.stdout
    return written(place, "whole")


def test_every_form_is_written(place: Path, whole: dict[str, bytes]) -> None:
    found = records(place, "whole")
    assert sorted(record["index"] for record in found) == list(range(6))
    assert len({whole[record["files"][0]] for record in found}) == 6
    for record in found:
        assert set(record["files"]) <= whole.keys()
        if record["controls"]["valid_bars"]:
            sound = {"finished": True, "aligned": True, "converts": True, "n_bars": 3}
            assert sound.items() <= record.items(), record
            assert record["mended"] == [2, 3]
            assert {Path(file).parent.name for file in record["files"]} == FORMS
        else:
            assert (record["finished"], record["reason"]) == (False, "max_patches")
            assert record["mended"] == []


def test_a_killed_run_goes_on_and_writes_the_same(place: Path, whole: dict[str, bytes]) -> None:
    code, _ = signal_when(
        lambda: len(records(place, "killed")) >= 2, signal.SIGKILL, place, "killed", *SIX
    )
    assert code == -signal.SIGKILL
    there = len(records(place, "killed"))
    assert 2 <= there < 6
    with (place / "killed" / "generations.jsonl").open("a") as file:
        file.write('{"torn')
    done = generate(place, "killed", *SIX)
    assert done.returncode == 0, done.stderr
    assert f"{there} pieces of this run are there already" in done.stdout
    # a kill may leave a temporary file, which no line names
    found = written(place, "killed")
    assert {name: found.get(name) for name in whole} == whole


def test_two_processes_write_what_one_does(place: Path, whole: dict[str, bytes]) -> None:
    done = generate(place, "two", *SIX, launcher=TORCHRUN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("6 pieces: ") == 1
    assert written(place, "two") == whole


def test_ctrl_c_keeps_what_is_there(place: Path) -> None:
    line = {"text": f"{HEADER}[V:1]c8|[V:2]C8|\n", "period": ""}
    line |= {"composer": "", "instrumentation": ""}
    long = line | {"num_bars": 9999, "max_patches": None}
    write_lines(place / "long.jsonl", [line | {"id": "short", "bars": 1}, long, long])
    flags = ("--prompts", "long.jsonl", "--batch-size", "2", "--max-retries", "1")

    def stop(moment: Callable[[], bool]) -> tuple[str, list[dict[str, Any]]]:
        code, said = signal_when(moment, signal.SIGINT, place, "stopped", *flags)
        assert code == 1
        assert said.endswith("stopped; run the same command again to go on\n")
        assert "Traceback" not in said
        short, *stopped = records(place, "stopped")
        assert (short["id"], short["finished"]) == ("short", True)
        assert stopped
        for record in stopped:
            assert (record["finished"], record["reason"]) == (False, "stopped")
            assert (place / "stopped" / record["files"][0]).stat().st_size > len(line["text"])
        return said, stopped

    def writing() -> bool:
        begun = "0/2" in (place / "log").read_text()
        time.sleep(begun)
        return begun

    _, first = stop(lambda: bool(records(place, "stopped")))
    # the next run leaves the piece that is done, and begins the others anew
    said, both = stop(writing)
    assert "1 pieces of this run are there already" in said
    assert len(both) > len(first)


def test_json_lines_in_and_out(place: Path, whole: dict[str, bytes]) -> None:
    lines = (place / "six.jsonl").read_text()
    flags = ("--prompts", "-", "--max-retries", "1", "--json")
    for _ in range(2):  # the second time all are there
        done = generate(place, "json", *flags, given=lines)
        assert done.returncode == 0, done.stderr
        told = [json.loads(line) for line in done.stdout.splitlines()]
        told.sort(key=itemgetter("index"))
        assert told == sorted(records(place, "json"), key=itemgetter("index"))
    assert written(place, "json") == whole


def test_a_prompt_that_is_not_in_the_table_is_told(place: Path, tmp_path: Path) -> None:
    save_model(NotaGen(TINY), tmp_path / "weights")
    write_prompt_table({Prompt("Romantic", "Dvořák, Antonín", "Chamber"): 3}, tmp_path / "weights")
    flags = ("--weights", str(tmp_path / "weights"), "--period", "Romantic", "--max-patches", "1")
    flags += ("--composer", "Dvorak, Antonin")
    known = generate(place, "known", *flags, "--instrumentation", "Chamber")
    assert known.returncode == 0, known.stderr
    assert "warning" not in known.stderr
    other = generate(place, "other", *flags, "--instrumentation", "Choral")
    assert other.returncode == 0, other.stderr
    assert other.stderr.count("warning: the weights have not learned the prompt Romantic / ") == 1
    assert "most like it are Romantic / Dvořák, Antonín / Chamber; --list-prompts" in other.stderr
    none = generate(place, "none", "--list-prompts")
    assert (none.returncode, none.stdout) == (1, "")
    assert none.stderr.startswith("error: ")
    assert "found no prompts in a prompts.json beside the weights" in none.stderr
