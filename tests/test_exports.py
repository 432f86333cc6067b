import json
import re
from pathlib import Path
from typing import Any

import pytest
from music21 import converter

from notagen import exports
from notagen.exports import GenerationFolder, best_piece
from notagen.foundation.errors import InputError
from notagen.generation.engine import Generated

FORMS = ("original", "interleaved", "musicxml", "midi", "svg")

PROMPT = "%Romantic\n%Schubert, Franz\n%Art Song\n"
HEADER = "%%score 1 2\nL:1/8\nQ:1/4=60\nM:4/4\nK:Eb\nV:1 treble\nV:2 bass\n"
SOUND = f"{PROMPT}{HEADER}[r:0/1][V:1]e4 g4|[V:2]E,8|\n[r:1/0][V:1]b8|]\n"
RUN = {"seed": 3, "weights_sha256": "ab12", "sampling": {"top_k": 9}}


def piece(text: str = SOUND, index: int = 0, **other: Any) -> Generated:  # noqa: ANN401
    known: dict[str, Any] = {
        "prompt": PROMPT,
        "seed": 3,
        "finished": True,
        "reason": "eos",
        "patches": 20,
        "retries": 0,
        "seconds": 1.5,
    }
    return Generated(index=index, text=text, **(known | other))


def lines(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "generations.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_a_sound_piece_is_brought_into_every_form(tmp_path: Path) -> None:
    record = GenerationFolder(tmp_path, RUN).add(piece())
    name = record["name"]
    assert re.fullmatch("Romantic_Schubert-Franz_Art-Song_[0-9a-f]{6}_0001", name)
    assert record["files"] == [
        f"original/{name}.abc",
        f"interleaved/{name}.abc",
        f"musicxml/{name}.musicxml",
        f"midi/{name}.mid",
        f"svg/{name}-1.svg",
    ]
    assert {path.parent.name for path in tmp_path.rglob("*/*")} == set(FORMS)
    assert {"parses": True, "aligned": True, "converts": True, "n_bars": 2}.items() <= (
        record.items()
    )
    assert (record["problems"], record["repairs"], record["error"]) == ([], [], None)
    assert {"index": 0, "finished": True, "reason": "eos", "patches": 20}.items() <= record.items()
    assert RUN.items() <= record.items()
    assert lines(tmp_path) == [record]
    original, interleaved, musicxml, midi, svg = (tmp_path / path for path in record["files"])
    assert original.read_text(encoding="utf-8") == SOUND
    assert interleaved.read_text(encoding="utf-8").endswith("[V:1]b8|][V:2]z8|]\n")
    for file, reader in ((musicxml, "musicxml"), (midi, "midi")):
        score = converter.parse(file, format=reader, forceSource=True, storePickle=False)
        assert sorted(pitch.midi for pitch in score.pitches) == [51, 75, 79, 82]
    assert svg.read_text(encoding="utf-8").startswith("<svg")


def test_a_broken_piece_keeps_what_the_model_wrote(tmp_path: Path) -> None:
    text = f"{PROMPT}{HEADER}[r:0/1][V:1]e0|\n"
    record = GenerationFolder(tmp_path, RUN).add(piece(text, index=4))
    assert record["error"].startswith("bar 1: found no voice whose length can be read")
    assert record["files"] == [f"original/{record['name']}.abc"]
    assert (tmp_path / record["files"][0]).read_text(encoding="utf-8") == text
    assert not record["parses"]
    assert not record["converts"]
    assert not (tmp_path / "musicxml").exists()
    assert lines(tmp_path) == [record]


def test_a_mended_piece_does_not_count_as_parsing(tmp_path: Path) -> None:
    record = GenerationFolder(tmp_path, RUN).add(piece(SOUND.replace("b8|]", "[b8|]")))
    assert record["repairs"] == ["bar 2, V:1: closed `chord_open`"]
    assert record["error"] is None
    assert not record["parses"]
    assert record["converts"]
    assert len(record["files"]) == 5


def test_an_unaligned_piece_says_so(tmp_path: Path) -> None:
    record = GenerationFolder(tmp_path, RUN).add(piece(SOUND.replace("E,8", "E,7")))
    assert record["problems"] == ["bar 1: V:2 lasts 7/8, V:1 lasts 1"]
    assert record["parses"]
    assert not record["aligned"]


def test_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    folder = GenerationFolder(tmp_path, RUN)
    assert folder.records() == []
    last = folder.add(piece("rubbish", index=2))
    first = folder.add(piece(index=0))
    assert folder.records() == [first, last]
    assert GenerationFolder(tmp_path, RUN).records() == [first, last]
    # written again: the later line counts
    again = folder.add(piece("other rubbish", index=2))
    assert folder.records() == [first, again]


@pytest.mark.parametrize("other", [{"seed": 4}, {"weights_sha256": "cd"}, {"sampling": {}}])
def test_runs_in_one_folder_do_not_meet(tmp_path: Path, other: dict[str, Any]) -> None:
    ours = GenerationFolder(tmp_path, RUN).add(piece())
    theirs = GenerationFolder(tmp_path, RUN | other)
    assert theirs.records() == []
    record = theirs.add(piece())
    assert theirs.records() == [record]
    assert GenerationFolder(tmp_path, RUN).records() == [ours]
    assert not set(record["files"]) & set(ours["files"])
    assert all((tmp_path / path).is_file() for path in ours["files"] + record["files"])


@pytest.mark.parametrize("whole", [0, 1])
def test_a_torn_last_line_is_dropped(tmp_path: Path, whole: int) -> None:
    folder = GenerationFolder(tmp_path, RUN)
    for index in range(whole):
        folder.add(piece(index=index))
    before = lines(tmp_path) if whole else []
    with (tmp_path / "generations.jsonl").open("a") as file:
        file.write('{"name": "half')
    folder = GenerationFolder(tmp_path, RUN)
    assert lines(tmp_path) == before
    assert folder.records() == before
    record = folder.add(piece(index=5))
    assert lines(tmp_path) == [*before, record]


@pytest.mark.parametrize(
    "line", ["rubbish", "[1]", "3", json.dumps(RUN), json.dumps({"index": [1], **RUN})]
)
def test_lines_that_describe_no_piece_are_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "generations.jsonl").write_text(f"{line}\n")
    with pytest.raises(InputError, match=r"generations\.jsonl:1: found (no JSON|index)"):
        GenerationFolder(tmp_path, RUN).records()


def test_names_are_safe(tmp_path: Path) -> None:
    folder = GenerationFolder(tmp_path, RUN)
    hostile = "%../../etc\n%a/b\\c:\n%" + "x" * 99 + "\n"
    record = folder.add(piece("rubbish", prompt=hostile))
    assert re.fullmatch(f"etc_a-b-c_{'x' * 40}_[0-9a-f]{{6}}_0001", record["name"])
    unprompted = folder.add(piece("rubbish", prompt="", index=1))
    assert re.fullmatch("piece_[0-9a-f]{6}_0002", unprompted["name"])
    assert {path.parent.name for path in tmp_path.rglob("*.abc")} == {"original"}


def test_best_piece() -> None:
    def record(name: str, **other: object) -> dict[str, Any]:
        sound: dict[str, Any] = {
            "parses": True,
            "n_bars": 10,
            "problems": [],
            "repairs": [],
            "retries": 3,
        }
        return {"name": name, "error": None, **sound, **other}

    failed = record("failed", error="no notes")
    mended = record("mended", parses=False, repairs=["x"])
    uneven = record("uneven", problems=["x", "y"])
    longer = record("longer", problems=["x", "y"], n_bars=40)
    sound = record("sound")
    luckier = record("luckier", retries=0)
    assert best_piece([sound, luckier]) is luckier
    assert best_piece([]) is None
    assert best_piece([failed]) is None
    ranked = [sound, longer, uneven, mended, failed]
    for number in range(4):
        best = best_piece([*ranked[:number:-1], ranked[number]])
        assert best is ranked[number]


@pytest.mark.parametrize(
    ("error", "lines_left"), [(OSError(28, "No space left"), 0), (KeyError(1), 1)]
)
def test_a_full_disk_leaves_no_line_and_a_fault_of_ours_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, lines_left: int
) -> None:
    def fail(*_: object) -> None:
        raise error

    folder = GenerationFolder(tmp_path, RUN)
    monkeypatch.setattr(exports, "write_text", fail)
    with pytest.raises(type(error)):
        folder.add(piece())
    assert len(folder.records()) == lines_left
