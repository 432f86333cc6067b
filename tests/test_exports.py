import dataclasses
import json
import multiprocessing
import re
from pathlib import Path
from typing import Any

import pytest
from music21 import converter

from notagen import exports
from notagen.exports import GenerationFolder, best_piece
from notagen.foundation.errors import InputError
from notagen.generation.controls import Controls
from notagen.generation.engine import Generated
from notagen.generation.header import HeaderWishes
from notagen.generation.prompts import Prompt
from notagen.generation.requests import Request

FORMS = ("original", "interleaved", "standard", "musicxml", "midi", "svg")

PROMPT = "%Romantic\n%Schubert, Franz\n%Art Song\n"
HEADER = "%%score 1 2\nL:1/8\nQ:1/4=60\nM:4/4\nK:Eb\nV:1 treble\nV:2 bass\n"
SOUND = f"{PROMPT}{HEADER}[r:0/1][V:1]e4 g4|[V:2]E,8|\n[r:1/0][V:1]b8|]\n"
RUN = {"seed": 3, "weights_sha256": "ab12", "sampling": {"top_k": 9}}
REQUEST = Request(
    prompt=Prompt("Romantic", "Schubert, Franz", "Art Song"),
    wishes=HeaderWishes(instruments=("Violin", "Cello")),
)
REQUESTS = [REQUEST] * 6


def piece(text: str = SOUND, index: int = 0, **other: Any) -> Generated:  # noqa: ANN401
    known: dict[str, Any] = {
        "prompt": PROMPT,
        "seed": 3,
        "finished": True,
        "reason": "eos",
        "patches": 20,
        "retries": 0,
        "mended": [],
        "seconds": 1.5,
    }
    return Generated(index=index, text=text, **(known | other))


def lines(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "generations.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_a_sound_piece_is_brought_into_every_form(tmp_path: Path) -> None:
    record = GenerationFolder(tmp_path, REQUESTS, RUN).add(piece())
    name = record["name"]
    assert re.fullmatch("Romantic_Schubert-Franz_Art-Song_[0-9a-f]{6}_0001", name)
    assert record["files"] == [
        f"original/{name}.abc",
        f"interleaved/{name}.abc",
        f"musicxml/{name}.musicxml",
        f"midi/{name}.mid",
        f"standard/{name}.abc",
        f"svg/{name}-1.svg",
    ]
    assert {path.parent.name for path in tmp_path.rglob("*/*")} == set(FORMS)
    assert {"parses": True, "aligned": True, "converts": True, "n_bars": 2}.items() <= (
        record.items()
    )
    assert (record["problems"], record["repairs"], record["error"]) == ([], [], None)
    assert {"index": 0, "finished": True, "reason": "eos", "patches": 20}.items() <= record.items()
    assert RUN.items() <= record.items()
    assert record["prompt"] == PROMPT
    assert record["wishes"]["instruments"] == ["Violin", "Cello"]
    assert {"id": None, "mended": [], "retries": 0}.items() <= record.items()
    assert lines(tmp_path) == [record]
    original, interleaved, musicxml, midi, standard, svg = (
        tmp_path / path for path in record["files"]
    )
    assert original.read_text(encoding="utf-8") == SOUND
    assert interleaved.read_text(encoding="utf-8").endswith("[V:1]b8|][V:2]z8|]\n")
    voices = standard.read_text(encoding="utf-8").split("V:2")
    assert "e4 g4 | b8 |]" in voices[-2]
    assert "E,8 | z8 |]" in voices[-1]
    for file, reader in ((musicxml, "musicxml"), (midi, "midi")):
        score = converter.parse(file, format=reader, forceSource=True, storePickle=False)
        assert sorted(pitch.midi for pitch in score.pitches) == [51, 75, 79, 82]
    assert svg.read_text(encoding="utf-8").startswith("<svg")


def test_a_broken_piece_keeps_what_the_model_wrote(tmp_path: Path) -> None:
    text = f"{PROMPT}{HEADER}[r:0/1][V:1]e0|\n"
    record = GenerationFolder(tmp_path, REQUESTS, RUN).add(piece(text, index=4))
    assert record["error"].startswith("bar 1, V:1: found length '0'")
    assert record["files"] == [f"original/{record['name']}.abc"]
    assert (tmp_path / record["files"][0]).read_text(encoding="utf-8") == text
    assert not record["parses"]
    assert not record["converts"]
    assert not (tmp_path / "musicxml").exists()
    assert lines(tmp_path) == [record]


def test_a_mended_piece_does_not_count_as_parsing(tmp_path: Path) -> None:
    record = GenerationFolder(tmp_path, REQUESTS, RUN).add(piece(SOUND.replace("b8|]", "[b8|]")))
    assert record["repairs"] == ["bar 2, V:1: closed `chord_open`"]
    assert record["error"] is None
    assert not record["parses"]
    assert record["converts"]
    assert len(record["files"]) == 6


def test_an_unaligned_piece_says_so(tmp_path: Path) -> None:
    record = GenerationFolder(tmp_path, REQUESTS, RUN).add(piece(SOUND.replace("E,8", "E,7")))
    assert record["problems"] == ["bar 1: V:2 lasts 7/8, V:1 lasts 1"]
    assert record["parses"]
    assert not record["aligned"]


def test_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    folder = GenerationFolder(tmp_path, REQUESTS, RUN)
    assert folder.records() == []
    last = folder.add(piece("rubbish", index=2))
    first = folder.add(piece(index=0))
    assert folder.records() == [first, last]
    assert GenerationFolder(tmp_path, REQUESTS, RUN).records() == [first, last]
    # written again: the later line counts
    again = folder.add(piece("other rubbish", index=2))
    assert folder.records() == [first, again]


@pytest.mark.parametrize("other", [{"seed": 4}, {"weights_sha256": "cd"}, {"sampling": {}}])
def test_runs_in_one_folder_do_not_meet(tmp_path: Path, other: dict[str, Any]) -> None:
    ours = GenerationFolder(tmp_path, REQUESTS, RUN).add(piece())
    theirs = GenerationFolder(tmp_path, REQUESTS, RUN | other)
    assert theirs.records() == []
    record = theirs.add(piece())
    assert theirs.records() == [record]
    assert GenerationFolder(tmp_path, REQUESTS, RUN).records() == [ours]
    assert not set(record["files"]) & set(ours["files"])
    assert all((tmp_path / path).is_file() for path in ours["files"] + record["files"])


@pytest.mark.parametrize("whole", [0, 1])
def test_a_torn_last_line_is_dropped(tmp_path: Path, whole: int) -> None:
    folder = GenerationFolder(tmp_path, REQUESTS, RUN)
    for index in range(whole):
        folder.add(piece(index=index))
    before = lines(tmp_path) if whole else []
    with (tmp_path / "generations.jsonl").open("a") as file:
        file.write('{"name": "half')
    folder = GenerationFolder(tmp_path, REQUESTS, RUN)
    folder.drop_torn_line()
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
        GenerationFolder(tmp_path, REQUESTS, RUN).records()


def test_names_are_safe(tmp_path: Path) -> None:
    hostile = "%../../etc\n%a/b\\c:\n%" + "x" * 99 + "\n"
    requests = [Request(prompt=hostile), Request(), Request(name="../my id"), Request(prompt="K:C")]
    folder = GenerationFolder(tmp_path, requests, RUN)
    names = [folder.add(piece("rubbish", index=index))["name"] for index in range(4)]
    wanted = [f"etc_a-b-c_{'x' * 40}", "piece", "my-id", "piece"]
    for number, (name, begun) in enumerate(zip(names, wanted, strict=True), start=1):
        assert re.fullmatch(f"{begun}_[0-9a-f]{{6}}_{number:04d}", name)
    assert {path.parent.name for path in tmp_path.rglob("*.abc")} == {"original"}


def test_a_piece_belongs_to_its_own_request(tmp_path: Path) -> None:
    three = [
        REQUEST,
        dataclasses.replace(REQUEST, name="mine"),
        dataclasses.replace(REQUEST, controls=Controls(num_bars=8)),
    ]
    folder = GenerationFolder(tmp_path, three, RUN)
    records = [folder.add(piece("rubbish", index=index)) for index in range(3)]
    assert len({record["name"][:-5] for record in records}) == 3
    assert folder.records() == records
    assert [record["id"] for record in records] == [None, "mine", None]
    # a line that was added leaves the others' pieces, a line that was changed its own
    for requests, there in (
        ([*three, REQUEST], [0, 1, 2]),
        (three[:1], [0]),
        ([three[0], three[2], three[2]], [0, 2]),
        ([three[0], dataclasses.replace(three[1], wishes=HeaderWishes(key="G"))], [0]),
    ):
        found = GenerationFolder(tmp_path, requests, RUN).records()
        assert found == [records[index] for index in there]


def test_processes_write_to_one_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=add_rubbish, args=(tmp_path, part)) for part in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    records = GenerationFolder(tmp_path, [REQUEST] * 400, RUN).records()
    assert [record["index"] for record in records] == list(range(400))
    assert len(lines(tmp_path)) == 400


def add_rubbish(folder: Path, part: int) -> None:
    receiver = GenerationFolder(folder, [REQUEST] * 400, RUN)
    for index in range(part, 400, 2):
        receiver.add(piece("%" + "rubbish" * 2000, index=index))


def test_best_piece() -> None:
    def record(name: str, **other: object) -> dict[str, Any]:
        sound: dict[str, Any] = {
            "finished": True,
            "parses": True,
            "n_bars": 10,
            "problems": [],
            "repairs": [],
            "mended": [],
            "retries": 3,
        }
        return {"name": name, "error": None, **sound, **other}

    failed = record("failed", error="no notes")
    cut = record("cut", finished=False)
    mended = record("mended", parses=False, repairs=["x"])
    rested = record("rested", mended=[3], n_bars=25)
    uneven = record("uneven", problems=["x", "y"])
    longer = record("longer", problems=["x", "y"], n_bars=40)
    sound = record("sound")
    luckier = record("luckier", retries=0)
    assert best_piece([sound, luckier]) is luckier
    assert best_piece([]) is None
    assert best_piece([failed]) is None
    ranked = [sound, rested, longer, uneven, mended, cut, failed]
    for number in range(6):
        best = best_piece([*ranked[:number:-1], ranked[number]])
        assert best is ranked[number]


def test_a_full_disk_leaves_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left")

    folder = GenerationFolder(tmp_path, REQUESTS, RUN)
    monkeypatch.setattr(exports, "write_text", fail)
    with pytest.raises(OSError, match="No space left"):
        folder.add(piece())
    assert folder.records() == []


def test_a_fault_of_ours_is_told_and_the_next_piece_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise KeyError(1)

    folder = GenerationFolder(tmp_path, REQUESTS, RUN)
    with monkeypatch.context() as patch:
        patch.setattr(exports, "abc_to_musicxml", fail)
        faulty = folder.add(piece())
    assert faulty["error"] == "KeyError: 1"
    assert len(faulty["files"]) == 2
    assert "Traceback" in caplog.text
    assert folder.records() == [faulty]
    assert folder.add(piece(index=1))["error"] is None
