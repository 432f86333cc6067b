"""clamp_features/3_extract.py on small weights: bad inputs, kills, several processes, indexes."""

import json
import os
import runpy
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import mido
import numpy as np
import pytest
import torch
from accelerate import PartialState

from notagen.extraction import Extraction, claim_folder, find_sources, finish
from notagen.features.clamp import Clamp, ClampConfig
from notagen.features.extract import Extractor
from notagen.features.m3 import M3, M3Config
from notagen.features.mtf import midi_to_mtf
from notagen.features.scoring import read_reference
from notagen.features.text import new_text_model
from notagen.features.weights import save_clamp, save_m3
from notagen.foundation.features import read_features
from tests.stages.launching import PYTHON, ROOT, TORCHRUN, environment, run_to_end, signal_at

SCRIPT = ROOT / "clamp_features" / "3_extract.py"
HEADER = "L:1/8\nM:4/4\nK:C\nV:1 treble\nV:2 bass\n"
Run = Callable[..., str]


def piece(number: int) -> str:
    bars = [
        f"[V:1]{'CDEFGAB'[(number * bar) % 7]}8|[V:2]C,8|\n" for bar in range(1, 4 + number % 30)
    ]
    return HEADER + "".join(bars)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extract")
    torch.manual_seed(0)
    text, words = new_text_model(
        ["a slow song"], vocabulary_size=60, layers=1, hidden_size=64, dropout=0.0
    )
    shape = ClampConfig(patch_length=64, patch_layers=2, hidden_size=64, feature_size=32)
    save_clamp(Clamp(shape, text), folder / "weights", words)
    music = folder / "music"
    (music / "deep" / "down").mkdir(parents=True)
    for number in range(140):
        (music / "deep" / "down" / f"{number:03}.abc").write_text(piece(number))
    (music / "accents.abc").write_text(piece(9).replace("C8", '"^Più"C8'), encoding="latin-1")
    (music / "broken.abc").write_text(f"{HEADER}[V:1]c8|[V:1]d8|\nnonsense |\n")
    (music / "same.abc").write_text(piece(3))
    track = mido.MidiTrack(
        mido.Message(kind, note=60, velocity=64, time=time)
        for kind, time in (("note_on", 0), ("note_off", 480))
    )
    mido.MidiFile(tracks=[track]).save(music / "same.mid")
    (music / "text.mtf").write_text(midi_to_mtf(music / "same.mid"))
    (music / "words.txt").write_text("a slow song")
    # of which there are no features
    (music / "empty.abc").write_text("")
    (music / "no-words.txt").write_text(" ")
    (music / "book.abc").write_text("X:1\nK:C\nc|\nX:2\nK:C\nd|\n")
    (music / "bad.mid").write_bytes(b"MThd")
    with (music / "huge.abc").open("w") as file:
        file.truncate(10_000_000)
    (music / ".hidden.abc").write_text(piece(1))
    (music / "readme.md").write_text("no music")
    return folder


REFUSED = {
    "bad.mid": "MIDI",
    "book.abc": "found 2 tunes, wanted one a file",
    "empty.abc": "found no bar",
    "no-words.txt": "found no word",
    "huge.abc": "found 10,000,000 bytes, wanted 8,000,000 at most",
}


def flags(place: Path, out: str, **others: str) -> list[str]:
    known = {"input": "music", "out": out, "weights": "weights"} | others
    paths = {name: value if name == "precision" else place / value for name, value in known.items()}
    return [word for name, value in paths.items() for word in (f"--{name}", str(value))]


@pytest.fixture
def run(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the script in this process; returns what it prints, or its one line of error."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")

    def call(out: str, **others: str) -> str:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *flags(place, out, **others)])
        capsys.readouterr()
        try:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        except SystemExit as error:
            return str(error.code)
        finally:
            PartialState._reset_state()
        return capsys.readouterr().out

    return call


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in files
        if not file.name.startswith(".")  # a kill may leave a temporary file
    }


@pytest.fixture
def whole(place: Path, run: Run) -> dict[str, bytes]:
    if not (place / "whole" / "rejects.jsonl").is_file():
        said = run("whole")
        assert "146 features of 151 files" in said
        assert "the reasons for 5 stand in" in said
        assert len(said.splitlines()) == 1
    return contents(place / "whole")


def test_all_kinds_of_files_have_features_or_reasons(place: Path, whole: dict[str, bytes]) -> None:
    found = read_features(place / "whole")
    assert found.extractor == "weights"
    named = {"accents", "broken", "same.abc", "same.mid", "text", "words"}
    assert set(found.names) == named | {f"deep/down/{number:03}" for number in range(140)}
    lines = [json.loads(line) for line in whole["rejects.jsonl"].decode().splitlines()]
    assert [line["path"] for line in lines] == sorted(REFUSED)
    for line in lines:
        assert REFUSED[line["path"]] in line["reason"]
        assert str(place) not in line["reason"]
    assert set(whole) == {f"{name}.npy" for name in found.names} | {
        "features.json",
        "rejects.jsonl",
    }
    extractor = Extractor(place / "weights")
    rows = dict(zip(found.names, found.matrix, strict=True))
    for name, expected in {
        "deep/down/017": extractor.features(piece(17)),
        "accents": extractor.features(piece(9).replace("C8", '"^Piu"C8')),
        "same.mid": rows["text"],
        "words": extractor.text_features("a slow song"),
    }.items():
        np.testing.assert_allclose(rows[name], expected, atol=1e-5, rtol=0)


def test_killed_and_gone_on_with_by_two_processes(place: Path, whole: dict[str, bytes]) -> None:
    out = place / "killed"
    command = flags(place, "killed")
    code = signal_at(
        lambda: len(list(out.rglob("*.npy"))) > 70,
        signal.SIGKILL,
        [*PYTHON, str(SCRIPT), *command],
        place / "log",
        cwd=place,
        env=environment(place),
    )
    assert code == -signal.SIGKILL
    assert 70 < len(list(out.rglob("*.npy"))) < 146
    done = run_to_end([*TORCHRUN, str(SCRIPT), *command], place)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("146 features of 151 files") == 1
    assert contents(out) == whole


def test_a_second_run_makes_only_what_is_missing_or_changed(
    place: Path, whole: dict[str, bytes], run: Run
) -> None:
    shutil.copytree(place / "whole", place / "again")
    said = run("again")
    assert "made now" not in said
    assert "removed" not in said
    assert contents(place / "again") == whole
    # a chunk is made as a whole
    (place / "again" / "deep" / "down" / "030.npy").unlink()
    assert "64 of them made now" in run("again")
    assert contents(place / "again") == whole


def few(place: Path, name: str, **texts: str) -> Path:
    folder = place / name
    folder.mkdir()
    for stem, text in texts.items():
        (folder / f"{stem}.abc").write_text(text)
    return folder


def refused(out: Path) -> dict[str, str]:
    lines = map(json.loads, (out / "rejects.jsonl").read_text().splitlines())
    return {line["path"]: line["reason"] for line in lines}


def test_changed_files_are_read_anew_and_the_features_of_gone_ones_removed(
    place: Path, run: Run
) -> None:
    music, out = few(place, "few", a=piece(1), b=piece(2), bad="", gone=piece(3)), place / "of-few"
    assert "3 features of 4 files" in run("of-few", input="few")
    assert refused(out).keys() == {"bad.abc"}
    # mended while the run still wrote its refusals, made with an older date, spoiled
    (music / "bad.abc").write_text(piece(4))
    written = (out / "rejects.jsonl").stat().st_mtime_ns
    os.utime(music / "bad.abc", ns=(written - 10**9, written - 10**9))
    (music / "b.abc").write_text("")
    # x.npy is that of x.abc; then there are two of that name
    shutil.copy(place / "music" / "same.mid", music / "a.mid")
    (music / "gone.abc").unlink()
    said = run("of-few", input="few")
    assert "3 features of 4 files" in said
    assert "2 whose files are gone were removed" in said
    assert read_features(out).names == ("a.abc", "a.mid", "bad")
    assert refused(out).keys() == {"b.abc"}
    (music / "a.abc").unlink()
    assert "2 whose files are gone were removed" in run("of-few", input="few")
    assert read_features(out).names == ("a", "bad")


def test_a_mended_file_is_read_in_a_run_that_was_stopped(place: Path) -> None:
    music, out = few(place, "stopped", a=piece(1), bad=""), place / "of-stopped"
    extractor = Extractor(place / "weights")
    sources = find_sources(music)
    claim_folder(out, extractor, music)
    Extraction(out).add(sources, extractor)
    again = Extraction(out, process=1)
    assert all(map(again.is_done, sources))
    os.utime(music / "bad.abc", ns=(0, 0))
    assert [again.is_done(source) for source in sources] == [True, False]
    again.add(sources, extractor)
    # both have told of it, and one of them of the file as it is
    assert all(map(Extraction(out).is_done, sources))
    assert finish(out, sources) == 1
    (line,) = map(json.loads, (out / "rejects.jsonl").read_text().splitlines())
    assert (line["path"], line["modified"]) == ("bad.abc", 0)
    assert sorted(path.name for path in out.iterdir()) == [
        "a.npy",
        "features.json",
        "rejects.jsonl",
    ]


def test_a_folder_is_that_of_one_input_and_one_precision(place: Path, run: Run) -> None:
    few(place, "one", a=piece(1))
    few(place, "two", a=piece(2))
    shutil.copytree(place / "weights", place / "renamed")
    run("of-one", input="one")
    before = contents(place / "of-one")
    others = {"input": "two"}, {"input": "one", "precision": "int8"}
    for changed, wanted in zip(
        others,
        ("found features of input ../one, wanted ../two", "of precision fp32, wanted int8"),
        strict=True,
    ):
        said = run("of-one", **changed)
        assert wanted in said
        assert said.endswith("; choose another --out")
    (place / "arrays").mkdir()
    np.save(place / "arrays" / "mine.npy", np.ones(3))
    assert "found mine.npy without features.json" in run("arrays", input="one")
    assert f"found features in {place / 'of-one'} around it" in run("of-one/in", input="one")
    # the same weights under another name are the same
    assert "1 features of 1 files" in run("of-one", input="one", weights="renamed")
    assert contents(place / "of-one") == before


def test_words_are_refused_where_the_weights_lack_their_side(place: Path, run: Run) -> None:
    music = few(place, "with-words", a=piece(1))
    (music / "words.txt").write_text("a slow song")
    shutil.copytree(place / "weights", place / "no-words")
    tokenizer = place / "no-words" / "tokenizer.json"
    tokenizer.rename(place / "tokenizer.json")
    assert "1 features of 2 files" in run("worded", input="with-words", weights="no-words")
    assert "found no tokenizer" in refused(place / "worded")["words.txt"]
    (place / "tokenizer.json").rename(tokenizer)
    assert "2 features of 2 files" in run("worded", input="with-words", weights="no-words")


@pytest.mark.parametrize("name", ["accents.abc", "broken.abc", "same.mid", "text.mtf", "words.txt"])
def test_a_file_finds_itself(
    name: str,
    place: Path,
    whole: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = {
        "query": place / "music" / name,
        "folder": place / "whole",
        "weights": place / "weights",
        "device": "cpu",
    }
    words = [word for flag, value in flags.items() for word in (f"--{flag}", str(value))]
    monkeypatch.setattr(sys, "argv", ["4_score.py", *words])
    runpy.run_path(str(SCRIPT.with_name("4_score.py")), run_name="__main__")
    first, second, *_ = capsys.readouterr().out.splitlines()
    # same.mid and text.mtf are one piece
    assert "1.0000" in first
    own = {name, name.rpartition(".")[0]}
    assert own & {line.split()[1] for line in (first, second) if "1.0000" in line}


def test_an_index_is_read_in_the_pieces_own_keys(place: Path, run: Run) -> None:
    folder = place / "data" / "interleaved"
    for key in ("C", "Eb"):
        (folder / key).mkdir(parents=True)
        (folder / key / f"x_{key}.abc").write_text(piece(len(key)))
    prompt = {"period": "Romantic", "composer": "Bartók, Béla", "instrumentation": "Chamber"}
    lines = [
        {"path": "interleaved/x", "key": "Eb", **prompt},
        {"path": "interleaved/gone", "key": "C", "period": "Romantic"},
    ]
    index = place / "data" / "train.jsonl"
    index.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    said = run("of-index", input="data/train.jsonl")
    assert "1 features of 2 files" in said
    found = read_features(place / "of-index")
    assert found.names == ("interleaved/x",)
    expected = Extractor(place / "weights").features(piece(2))
    np.testing.assert_allclose(found.matrix[0], expected, atol=1e-5, rtol=0)
    line = json.loads((place / "of-index" / "rejects.jsonl").read_text())
    assert line["path"] == "interleaved/gone"
    assert "No such file" in line["reason"]
    # the folder is a reference by itself
    alone = read_reference(place / "of-index")
    assert alone.labels == (tuple(prompt.values()),)
    assert alone.sha256 == read_reference(place / "of-index", index).sha256
    assert "made now" not in run("of-index", input="data/train.jsonl")


def test_of_a_generation_folder_each_piece_is_read_once(place: Path, run: Run) -> None:
    for form in ("original", "interleaved", "standard"):
        (place / "written" / form).mkdir(parents=True)
        (place / "written" / form / "one.abc").write_text(piece(5))
    (place / "written" / "generations.jsonl").write_text("")
    run("of-written", input="written")
    assert read_features(place / "of-written").names == ("one",)


def test_what_cannot_be_done_is_one_line(place: Path, whole: dict[str, bytes], run: Run) -> None:
    save_m3(
        M3(M3Config(patch_length=64, patch_layers=1, char_layers=1, hidden_size=64)), place / "m3"
    )
    (place / "no-weights.pth").write_bytes(b"nothing")
    (place / "no-music").mkdir(exist_ok=True)
    for others, wanted in (
        ({"weights": "m3"}, "found features of weights"),
        ({"weights": "no-weights.pth"}, "no-weights.pth"),
        ({"weights": "gone"}, "gone is not there"),
        ({"input": "gone"}, "gone is not there; wanted a folder of music or an index"),
        ({"input": "no-music"}, "found no .abc"),
    ):
        said = run("whole", **others)
        assert said.startswith("error: ")
        assert wanted in said
        assert len(said.splitlines()) == 1
    assert contents(place / "whole") == whole
    # M3 reads the music, and says that it reads no words
    assert "145 features of 151 files" in run("of-m3", weights="m3")
    assert "which m3 does not read" in (place / "of-m3" / "rejects.jsonl").read_text()
