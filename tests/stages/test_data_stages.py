"""The scripts of data/ as a user runs them, each in a process of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from notagen.notation.keys import KEYS
from notagen.notation.transpose import transpose
from notagen.sources.collections import COLLECTIONS
from notagen.sources.music21_corpus import corpus_folder
from tests.sources.web import server, zipped

DATA = Path(__file__).resolve().parents[2] / "data"
PIECES = ("bach-bwv66.6", "bach-bwv10.7", "bach-bwv101.7", "bach-bwv102.7")
ROAD = ("0_fetch.py", "1_xml2abc.py", "2_preprocess.py", "3_abc2xml.py")


def command(script: str, out: Path, *flags: str) -> list[str]:
    workers = () if "--workers" in flags else ("--workers", "1")
    return [sys.executable, script, "--out", str(out), *workers, *flags]


def run(script: str, out: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(script, out, *flags),
        cwd=DATA,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def printed(result: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the result's lines after checking that nothing but a progress bar was complained."""
    assert result.returncode == 0, result.stderr
    assert complaints(result) == []
    return result.stdout.splitlines()


def complaints(result: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the lines on standard error besides the progress bar."""
    lines = result.stderr.replace("\r", "\n").splitlines()
    return [line for line in lines if line.strip() and "it/s]" not in line and "s/it]" not in line]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files if not p.name.startswith(".")}


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that four chorales leave, once through all scripts."""
    out = tmp_path_factory.mktemp("data") / "out"
    for script in ROAD:
        flags = {"0_fetch.py": ("--pieces", *PIECES), "1_xml2abc.py": ("--workers", "2")}
        lines = printed(run(script, out, *flags.get(script, ())))
        assert lines[-1].startswith("kept 4 of 4 "), script
    return out


def test_every_script_writes_what_the_next_one_reads(walked: Path) -> None:
    for name, suffix in (("musicxml", ".mxl"), ("abc", ".abc")):
        entries = read(walked / f"{name}.jsonl")
        assert {entry["id"] for entry in entries} == set(PIECES)
        for entry in entries:
            assert entry["path"] == f"{name}/{entry['id']}{suffix}"
            assert (walked / entry["path"]).is_file()
    train, kept = read(walked / "train.jsonl"), read(walked / "eval.jsonl")
    assert {entry["id"] for entry in train + kept} == set(PIECES)
    assert (len(train), len(kept)) == (3, 1)
    assert {entry["split"] for entry in train} == {"train"}
    assert not {entry["work"] for entry in train} & {entry["work"] for entry in kept}
    for entry in train + kept:
        folder, name = entry["path"].split("/")
        assert all((walked / folder / key / f"{name}_{key}.abc").is_file() for key in KEYS)
    assert {path.stem for path in (walked / "abc2xml").iterdir()} == set(PIECES)
    assert read(walked / "rejects.jsonl") == []


def test_a_second_run_writes_no_score_again(walked: Path) -> None:
    before, files = contents(walked), times(walked)
    printed(run("0_fetch.py", walked, "--pieces", *PIECES))
    for script in ROAD[1:]:
        printed(run(script, walked))
    assert contents(walked) == before
    again = times(walked)
    changed = {path for path in again if again[path] != files[path]}
    # the indexes and the report are written anew, whatever was made stays
    assert {path.suffix for path in changed} == {".jsonl", ".json", ".md"}
    assert all(path.parent == walked for path in changed)


RESULTS = ("train.jsonl", "eval.jsonl", "rejects.jsonl", "report.json", "report.md")


def kill(script: str, out: Path, pattern: str, at_least: int, *flags: str) -> None:
    """Run a script until so many files match the pattern, and kill it with all its workers."""
    process = subprocess.Popen(
        command(script, out, *flags),
        cwd=DATA,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len(list(out.glob(pattern))) < at_least:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.0005)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_killed_and_run_again_it_writes_the_same(walked: Path, tmp_path: Path) -> None:
    shutil.copytree(walked / "musicxml", tmp_path / "musicxml")
    shutil.copyfile(walked / "musicxml.jsonl", tmp_path / "musicxml.jsonl")
    # indexes of an earlier run must not outlive what they describe
    for name in ("abc", "train", "eval"):
        shutil.copyfile(walked / f"{name}.jsonl", tmp_path / f"{name}.jsonl")
    kill("1_xml2abc.py", tmp_path, "abc/[!.]*.abc", 1)
    assert not (tmp_path / "abc.jsonl").exists()
    printed(run("1_xml2abc.py", tmp_path))
    assert contents(tmp_path / "abc") == contents(walked / "abc")
    # past the first piece of 15 texts, before the last
    kill("2_preprocess.py", tmp_path, "interleaved/*/[!.]*.abc", 17)
    left = contents(tmp_path / "interleaved")
    whole = contents(walked / "interleaved")
    assert 17 <= len(left) < len(whole) == 60
    assert left.items() <= whole.items()
    assert not (tmp_path / "train.jsonl").exists()
    printed(run("2_preprocess.py", tmp_path))
    assert contents(tmp_path / "interleaved") == whole
    for name in RESULTS:
        assert (tmp_path / name).read_bytes() == (walked / name).read_bytes()


def test_the_report_says_what_was_kept(walked: Path) -> None:
    report = json.loads((walked / "report.json").read_text(encoding="utf-8"))
    entries = read(walked / "train.jsonl") + read(walked / "eval.jsonl")
    assert report["pieces"] == {"in": 4, "kept": 4, "rejected": 0, "with a prompt": 4}
    assert report["patches"]["total"] == sum(entry["n_patches"] for entry in entries)
    assert report["bars"] == sum(entry["n_bars"] for entry in entries)
    assert report["instruments"]["Soprano"] == 4
    assert report["prompts"] == {"Baroque / Bach, Johann Sebastian / Choral": 4}
    again = printed(run("2_preprocess.py", walked))
    assert "\n".join(again).startswith((walked / "report.md").read_text(encoding="utf-8"))


def test_pieces_of_one_name_and_pieces_that_come_twice(walked: Path, tmp_path: Path) -> None:
    scores, out = tmp_path / "scores", tmp_path / "out"
    for folder, name in (("a", "bwv10.7"), ("b", "bwv66.6"), ("z", "bwv66.6")):
        (scores / folder).mkdir(parents=True)
        bach = corpus_folder() / "bach" / f"{name}.mxl"
        shutil.copyfile(bach, scores / folder / "movement1.mxl")
    # the first chorale once more: in another key, with other words, as ABC
    abc = (walked / "abc" / "bach-bwv10.7.abc").read_text(encoding="utf-8")
    (scores / "moved.abc").write_text(transpose(abc, "E").replace("Soprano", "Flute"))
    (scores / "short.abc").write_text("X:1\nL:1/8\nM:4/4\nK:C\nc8|d8|e8|\n")
    printed(run("0_fetch.py", out, "--source", "folder", "--folder", str(scores)))
    printed(run("1_xml2abc.py", out))
    assert {path.name for path in (out / "abc").iterdir()} == {
        f"{name}.abc" for name in ("a-movement1", "b-movement1", "z-movement1", "moved", "short")
    }
    printed(run("2_preprocess.py", out, "--workers", "2"))
    same = "found the same music as in abc/{}-movement1.abc, wanted it once"
    assert read(out / "rejects.jsonl") == [
        {"path": path, "stage": "filter", "reason": reason}
        for path, reason in (
            ("abc/moved.abc", same.format("a")),
            ("abc/short.abc", "found 3 bars, wanted at least 8"),
            ("abc/z-movement1.abc", same.format("b")),
        )
    ]
    kept = read(out / "train.jsonl") + read(out / "eval.jsonl")
    assert {entry["id"] for entry in kept} == {"a-movement1", "b-movement1"}
    assert {path.name for path in (out / "interleaved" / "C").iterdir()} == {
        "a-movement1_C.abc",
        "b-movement1_C.abc",
    }
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert report["rejected"] == {
        "filter": {
            "found the same music as in ..., wanted it once": 2,
            "found ... bars, wanted at least ...": 1,
        }
    }
    lines = printed(run("2_preprocess.py", out, "--min-bars", "1", "--duplicates", "keep"))
    assert lines[-1].startswith("kept 5 of 5 ")
    assert read(out / "rejects.jsonl") == []


def test_scores_of_every_kind(tmp_path: Path) -> None:
    scores, out = tmp_path / "scores", tmp_path / "out"
    scores.mkdir()
    shutil.copyfile(corpus_folder() / "bach" / "bwv66.6.mxl", scores / "a.mxl")
    tune = "L:1/8\nM:4/4\nK:{}\n" + 8 * "{} d4|"
    (scores / "book.abc").write_text(
        f"X:1\n{tune.format('C', *8 * ['c4'])}\n\nX:2\n{tune.format('G', *8 * ['g4'])}\n"
    )
    bars = "".join(f"={number}\n4{'c' * (number % 3 + 1)}\n2.d\n" for number in range(1, 10))
    (scores / "k.krn").write_text(f"**kern\n*clefG2\n*k[]\n*M4/4\n{bars}==\n*-\n")
    (scores / "torn.mid").write_bytes(b"MThd")
    result = run("0_fetch.py", out, "--source", "folder", "--folder", str(scores))
    assert result.returncode == 0
    (warned,) = complaints(result)
    assert warned.startswith("1 MIDI files: MIDI holds when notes sound")
    (reject,) = read(out / "rejects.jsonl")
    assert (reject["path"], reject["stage"]) == (str(scores / "torn.mid"), "0_fetch")
    assert reject["reason"].startswith(f"{scores / 'torn.mid'}: ")
    before = times(out / "musicxml")
    run("0_fetch.py", out, "--source", "folder", "--folder", str(scores))
    assert times(out / "musicxml") == before
    printed(run("1_xml2abc.py", out))
    assert printed(run("2_preprocess.py", out, "--keys", "original"))[-1].startswith("kept 4 of 4")
    kept = read(out / "train.jsonl") + read(out / "eval.jsonl")
    assert {(entry["id"], entry["key"]) for entry in kept} == {
        ("a", "A"),
        ("book.abc-1", "C"),
        ("book.abc-2", "G"),
        ("k", "C"),
    }
    assert {entry["n_bars"] for entry in kept if entry["id"] != "a"} == {8, 9}


def test_a_public_collection(tmp_path: Path) -> None:
    collection = COLLECTIONS["openscore-lieder"]
    page = f"/{collection.repository}/zip/{collection.commit}"
    songs = {
        f"scores/Abbott,_Jane_Bingham/_/{name}/lc{name}.mxl": (
            corpus_folder() / "bach" / f"{name}.mxl"
        ).read_bytes()
        for name in ("bwv10.7", "bwv66.6")
    }
    flags = ("--source", "openscore-lieder", "--download-from")
    with server({page: zipped(songs)}) as (address, asked):
        lines = printed(run("0_fetch.py", tmp_path, *flags, address))
        printed(run("0_fetch.py", tmp_path, *flags, address))
    assert asked == [page]
    assert lines[0] == f"openscore-lieder: {collection.attribution}"
    assert lines[1] == "2 of 2 have period, composer and instrumentation"
    for entry in read(tmp_path / "musicxml.jsonl"):
        assert entry["source"] == "openscore-lieder"
        assert entry["licence"] == "CC0-1.0"
        assert entry["origin"].startswith(
            f"https://github.com/OpenScore/Lieder/blob/{collection.commit}/"
        )
    result = run("0_fetch.py", tmp_path / "other", *flags, address)
    assert result.returncode == 1
    (line,) = complaints(result)
    assert line.startswith(f"error: {address}{page}: cannot be reached: ")


def test_a_dask_cluster_writes_the_same(walked: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    for name in ("musicxml", "musicxml.jsonl"):
        (shutil.copytree if name == "musicxml" else shutil.copyfile)(walked / name, tmp_path / name)
    for script in ("1_xml2abc.py", "2_preprocess.py"):
        printed(run(script, tmp_path, "--backend", "dask", "--workers", "2"))
    for name in ("abc.jsonl", *RESULTS):
        assert (tmp_path / name).read_bytes() == (walked / name).read_bytes(), name
    for name in ("abc", "interleaved"):
        assert contents(tmp_path / name) == contents(walked / name)


def test_a_damaged_file_is_rejected_and_the_rest_is_done(tmp_path: Path) -> None:
    scores, out = tmp_path / "scores", tmp_path / "out"
    (scores / "b").mkdir(parents=True)
    for number, name in enumerate(("bwv66.6.mxl", "bwv10.7.mxl", "bwv11.6.mxl"), start=6):
        shutil.copyfile(corpus_folder() / "bach" / name, scores / f"{number}.mxl")
    whole = (scores / "6.mxl").read_bytes()
    (scores / "b" / "broken.mxl").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "about.jsonl").write_text('{"path": "6.mxl", "composer": "Bach"}\n')
    folder = ("--source", "folder", "--folder", str(scores))
    lines = printed(run("0_fetch.py", out, *folder, "--metadata", str(tmp_path / "about.jsonl")))
    assert lines == [
        "0 of 4 have period, composer and instrumentation",
        f"kept 4 of 4 pieces in {out / 'musicxml'}",
    ]
    reasons = f"; the reasons for the others stand in {out / 'rejects.jsonl'}"
    assert printed(run("1_xml2abc.py", out)) == [f"kept 3 of 4 pieces in {out / 'abc'}{reasons}"]
    (reject,) = read(out / "rejects.jsonl")
    assert (reject["path"], reject["stage"]) == ("musicxml/b-broken.mxl", "1_xml2abc")
    path = out / "musicxml" / "b-broken.mxl"
    assert reject["reason"].startswith(f"{path}: damaged .mxl archive: ")
    # a tune that does not add up is refused by the next script; the first reason stays
    tune = out / "abc" / "7.abc"
    tune.write_text("L:1/8\nK:C\nV:1\nV:2\nV:1\nc|d|\nV:2\nC|\n")
    assert printed(run("2_preprocess.py", out, "--keys", "original"))[-1] == (
        f"kept 2 of 3 pieces in {out / 'interleaved'}{reasons}"
    )
    assert read(out / "rejects.jsonl") == [
        reject,
        {
            "path": "abc/7.abc",
            "stage": "2_preprocess",
            "reason": f"{tune}: voice V:2 has 1 bars, V:1 has 2",
        },
    ]
    entries = {
        entry["path"]: entry for name in ("train", "eval") for entry in read(out / f"{name}.jsonl")
    }
    assert set(entries) == {"interleaved/6", "interleaved/8"}
    assert entries["interleaved/6"]["composer"] == "Bach"
    assert (out / "interleaved" / "A" / "6_A.abc").is_file()
    # a folder of any other ABC files, with what a kill may leave beside them
    (tmp_path / "tunes" / "deep").mkdir(parents=True)
    (tmp_path / "tunes" / "deep" / "x.abc").write_text("L:1/8\nK:C\nc8|\n")
    (tmp_path / "tunes" / ".x-12.part.abc").write_text("L:1/8\nK:")
    (tmp_path / "tunes" / "bad.abc").write_text("no tune")
    back = printed(run("3_abc2xml.py", out, "--abc", str(tmp_path / "tunes")))
    assert back == [f"kept 1 of 2 pieces in {out / 'abc2xml'}{reasons}"]
    assert "<pitch>" in (out / "abc2xml" / "deep" / "x.musicxml").read_text(encoding="utf-8")
    assert read(out / "rejects.jsonl")[2] == {
        "path": str(tmp_path / "tunes" / "bad.abc"),
        "stage": "3_abc2xml",
        "reason": f"{tmp_path / 'tunes' / 'bad.abc'}: found no K: line, wanted the tune's key",
    }


@pytest.mark.parametrize(
    ("script", "index", "flags", "said"),
    [
        ("0_fetch.py", None, ("--pieces", "nope"), "found no score whose id begins with nope"),
        (
            "1_xml2abc.py",
            None,
            (),
            "{out}/musicxml.jsonl is not there; data/0_fetch.py writes it",
        ),
        (
            "1_xml2abc.py",
            '{"id": "x"}',
            (),
            "{out}/musicxml.jsonl:1: found no field `path`, wanted the piece's path",
        ),
        (
            "2_preprocess.py",
            '{"path": 3}',
            (),
            "{out}/abc.jsonl:1: found path = 3, wanted str",
        ),
        (
            "3_abc2xml.py",
            None,
            ("--abc", "{out}"),
            "{out}: found no .abc file, wanted at least one",
        ),
    ],
)
def test_input_that_cannot_be_used_is_one_line(
    script: str, index: str | None, flags: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    if index is not None:
        name = "musicxml.jsonl" if script.startswith("1") else "abc.jsonl"
        (tmp_path / name).write_text(f"{index}\n" if index else "")
    result = run(script, tmp_path, *(flag.format(out=tmp_path) for flag in flags))
    assert result.returncode == 1
    assert complaints(result) == [f"error: {said.format(out=tmp_path)}"]
    assert result.stdout == ""


def test_flags_that_cannot_be_used_end_with_code_2(tmp_path: Path) -> None:
    result = run("0_fetch.py", tmp_path, "--speed", "3")
    assert result.returncode == 2
    assert "--speed" in result.stderr + result.stdout
    assert "Traceback" not in result.stderr + result.stdout
    assert list(tmp_path.iterdir()) == []
