import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from notagen.evaluation.pieces import (
    PieceFile,
    describe,
    find_pieces,
    measure_pieces,
    read_music,
    read_training_text,
)
from notagen.evaluation.scores import validity_figures
from notagen.exports import GenerationFolder
from notagen.foundation.errors import ConversionError, InputError, MissingInputError, ScoreError
from notagen.generation.engine import Generated
from notagen.generation.requests import Request
from notagen.notation.clean import clean
from notagen.notation.interleave import deinterleave, interleave
from notagen.notation.midi import musicxml_to_midi
from notagen.notation.musicxml import abc_to_musicxml, musicxml_to_abc
from notagen.notation.rests import omit_rests
from notagen.sources.music21_corpus import corpus_folder
from tests.evaluation.written import BACH, as_model_writes, prompt_lines, write_index, write_lines
from tests.evaluation.written import write_generations as write

TUNE = """%%score 1 2
L:1/8
M:4/4
K:Eb
V:1 treble nm="Violin"
V:2 bass nm="Cello"
[V:1]e4 g4|[V:2]E,8|
[V:1]b8|[V:2]z8|
[V:1]e8|][V:2]E,8|]
"""


def line_of(folder: Path, **other: Any) -> dict[str, Any]:  # noqa: ANN401
    (line,) = map(json.loads, (folder / "generations.jsonl").read_text().splitlines())
    return line | other


def test_pieces_of_a_generation_folder(tmp_path: Path) -> None:
    request = Request(prompt=BACH)
    folder = GenerationFolder(tmp_path, [request] * 3, {"seed": 0})
    kept = {"prompt": "".join(prompt_lines(BACH)), "seed": 0, "patches": 9, "retries": 0}
    for index, (text, mended) in enumerate(
        [(as_model_writes(TUNE, BACH), [2]), ("%Baroque\n%Bach", []), (TUNE[:-9], [])]
    ):
        folder.add(
            Generated(
                index=index,
                text=text,
                mended=mended,
                finished=index == 0,
                reason="eos",
                seconds=0.1,
                **kept,
            )
        )
    whole, headless, stopped = find_pieces(tmp_path)
    assert (whole.prompt, whole.finished, whole.num_mended) == (BACH, True, 1)
    assert (stopped.finished, stopped.num_mended) == (False, 0)
    assert len({piece.work for piece in (whole, headless, stopped)}) == 3
    assert whole.path is not None
    assert whole.path.read_text() == as_model_writes(TUNE, BACH)
    first, second, third = measure_pieces(
        [whole, headless, stopped], parts="all", workers=1, said="piece"
    )
    assert first.error is None
    assert first.soundness is not None
    assert first.soundness.same_notes
    assert first.statistics is not None
    assert first.statistics["note_count"] == [6]
    assert second.error == "found no music, wanted at least one bar of notes"
    assert second.soundness is None
    assert third.statistics is not None
    assert third.statistics["note_count"] == [4]


def test_of_lines_about_the_same_piece_the_last_counts(tmp_path: Path) -> None:
    write(tmp_path, {"one": TUNE, "two": TUNE})
    write(tmp_path, {"one": TUNE}, finished=False, add=True)
    pieces = find_pieces(tmp_path)
    assert [(piece.name, piece.finished) for piece in pieces] == [("one", False), ("two", True)]


def test_a_piece_of_which_nothing_was_written(tmp_path: Path) -> None:
    write(tmp_path, {"one": TUNE, "two": TUNE}, files=[])
    write(tmp_path, {"one": TUNE}, add=True)
    (tmp_path / "original" / "one.abc").unlink()
    lost, nothing = measure_pieces(find_pieces(tmp_path), parts="all", workers=1, said="piece")
    assert lost.error == f"{tmp_path}/original/one.abc is not there"
    assert nothing.error == "nothing was written of it"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"files": ["original/../../secret.abc"]}, "leads out of"),
        ({"files": ["/etc/original/x.abc", "original//../../x"]}, "leads out of"),
        ({"prompt": None}, ":1: found no line of a generated piece"),
        ({"files": [3]}, ":1: found no line of a generated piece"),
        ({"mended": 7}, ":1: found no line of a generated piece"),
    ],
)
def test_a_line_that_is_none_of_a_generated_piece(
    other: dict[str, Any], message: str, tmp_path: Path
) -> None:
    write(tmp_path, {"one": TUNE})
    write_lines(tmp_path / "generations.jsonl", [line_of(tmp_path, **other)])
    with pytest.raises(InputError, match=message):
        find_pieces(tmp_path)


def test_a_line_that_is_no_json(tmp_path: Path) -> None:
    write(tmp_path, {"one": TUNE})
    with (tmp_path / "generations.jsonl").open("a") as file:
        file.write('{"torn')
    with pytest.raises(InputError, match=r"generations\.jsonl:2: found no JSON object"):
        find_pieces(tmp_path)


def test_pieces_of_an_index_in_their_own_keys(tmp_path: Path) -> None:
    index = write_index(tmp_path, {"piece": TUNE})
    wrong = tmp_path / "interleaved" / "C" / "piece_C.abc"
    wrong.parent.mkdir()
    wrong.write_text("another key")
    (piece,) = find_pieces(index)
    assert piece.path == tmp_path / "interleaved" / "Eb" / "piece_Eb.abc"
    assert (piece.name, piece.work, piece.prompt, piece.finished) == (
        "interleaved/piece",
        "piece",
        BACH,
        None,
    )
    assert read_training_text(piece) == omit_rests(TUNE)


def test_an_index_of_files_without_key_or_labels(tmp_path: Path) -> None:
    (tmp_path / "a.abc").write_text(TUNE)
    for number, entry in enumerate([{"path": "a.abc", "key": "Eb"}, {"path": "a.abc"}]):
        write_lines(tmp_path / f"{number}.jsonl", [entry])
        (piece,) = find_pieces(tmp_path / f"{number}.jsonl")
        assert (piece.path, piece.prompt) == (tmp_path / "a.abc", None)
        assert piece.name == "a"


def test_a_folder_of_many_formats_is_the_same_piece_many_times(tmp_path: Path) -> None:
    document = abc_to_musicxml(TUNE)
    folder = tmp_path / "a folder | of scores"
    (folder / "inner").mkdir(parents=True)
    (folder / "standard.abc").write_text(deinterleave(TUNE))
    (folder / "reduced.ABC").write_text(as_model_writes(TUNE, BACH))
    (folder / "inner" / "schön.musicxml").write_text(document)
    (folder / "played.mid").write_bytes(musicxml_to_midi(document))
    (folder / "notes.txt").write_text("no score")
    pieces = find_pieces(folder)
    names = ["inner/schön", "played", "reduced", "standard"]
    assert [piece.name for piece in pieces] == names
    found = measure_pieces(pieces, parts="all", workers=1, said="piece")
    counts = [one.statistics["note_count"] for one in found if one.statistics]
    assert counts == [[6]] * 4
    assert all(one.soundness and one.soundness.same_notes for one in found)
    assert describe(folder, pieces)["pieces"] == 4


def test_what_is_no_set_of_pieces(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="found nothing there"):
        find_pieces(tmp_path / "missing")
    with pytest.raises(InputError, match="found no piece"):
        find_pieces(tmp_path)
    (tmp_path / "generations.jsonl").touch()
    with pytest.raises(InputError, match="found no piece"):
        find_pieces(tmp_path)
    write_lines(tmp_path / "twice.jsonl", [{"path": "a.abc"}, {"path": "a.abc"}])
    with pytest.raises(InputError, match=r"twice\.jsonl: found a 2 times, wanted each piece once"):
        find_pieces(tmp_path / "twice.jsonl")
    (tmp_path / "index.jsonl").write_text('{"path": "../x"}\n')
    with pytest.raises(InputError, match="leads out of"):
        find_pieces(tmp_path / "index.jsonl")


def test_the_digest_is_that_of_the_files_wherever_they_lie(tmp_path: Path) -> None:
    first = write(tmp_path / "first", {"one": TUNE, "two": TUNE + "[V:1]c8|\n"})
    shutil.copytree(first, tmp_path / "second")
    facts = [describe(folder, find_pieces(folder)) for folder in (first, tmp_path / "second")]
    assert [one["name"] for one in facts] == [f"{tmp_path.name}/first", f"{tmp_path.name}/second"]
    assert facts[0]["sha256"] == facts[1]["sha256"]
    assert facts[0]["pieces"] == 2
    (tmp_path / "second" / "original" / "one.abc").write_text(TUNE.replace("e4", "f4"))
    changed = describe(tmp_path / "second", find_pieces(tmp_path / "second"))
    assert changed["sha256"] != facts[0]["sha256"]


BROKEN = {
    "empty.abc": b"",
    "header.abc": TUNE[: TUNE.index("[V:1]")].encode(),
    "words.abc": b"hello\n",
    "torn.mxl": b"PK\x03\x04 no archive",
    "torn.xml": b"<score-partwise>",
    "torn.mid": b"MThd\x00",
}


def test_broken_pieces_are_a_line_each_and_failures_in_every_share(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, content in BROKEN.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "zz.abc").write_text(TUNE)
    with caplog.at_level(logging.WARNING):
        found = measure_pieces(find_pieces(tmp_path), parts="all", workers=1, said="piece")
    alike, *told = [record.getMessage() for record in caplog.records]
    assert alike.endswith("found 1 names more than once; each file counts")
    broken = [one for one in found if one.error is not None]
    assert told == [f"{one.piece.name}: {one.error}" for one in broken]
    assert all("\n" not in line and "Traceback" not in line for line in told)
    figures = validity_figures(found, seed=0)
    shares = ("parses", "aligned", "converts", "same_notes", "sound_header", "in_range", "no_loop")
    for name in shares:
        assert (figures[name].value, figures[name].n) == (pytest.approx(1 / 7), 7), name
    assert [one.piece.name for one in found if one.statistics] == ["zz"]
    for piece in find_pieces(tmp_path)[:-1]:
        with pytest.raises(ScoreError, match=f"^{piece.name}: "):
            read_training_text(piece)


def test_a_fault_of_ours_is_told_and_the_others_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trip(text: str, **_: bool) -> None:
        raise ZeroDivisionError("by\nzero")

    (tmp_path / "one.abc").write_text(TUNE)
    monkeypatch.setattr("notagen.evaluation.pieces.check_soundness", trip)
    (found,) = measure_pieces(find_pieces(tmp_path), parts="all", workers=1, said="piece")
    assert found.error == "ZeroDivisionError: by zero"
    (found,) = measure_pieces(find_pieces(tmp_path), parts="statistics", workers=1, said="piece")
    assert found.error is None
    assert found.soundness is None
    assert found.statistics is not None


@pytest.mark.parametrize(
    ("fault", "repair"),
    [("[V:1][e4 g4", "bar 1, V:1: closed "), ("[V:7]c8|[V:1]e4 g4", "bar 1, V:7: dropped, ")],
    ids=["open chord", "undefined voice"],
)
def test_what_had_to_be_mended_does_not_parse_as_written(
    fault: str, repair: str, tmp_path: Path
) -> None:
    write(tmp_path, {"one": TUNE.replace("[V:1]e4 g4", fault)})
    (piece,) = find_pieces(tmp_path)
    mended = read_music(piece)
    assert "[V:7]" not in mended
    assert mended.count("[e4 g4]") == fault.count("[e4 g4")
    (found,) = measure_pieces([piece], parts="all", workers=1, said="piece")
    assert found.soundness is not None
    assert not found.soundness.parses
    # as in inference/, where it is mended first
    assert found.soundness.converts
    assert found.soundness.same_notes
    assert found.soundness.problems[0].startswith(repair)
    assert found.statistics is not None
    assert found.statistics["note_count"] == [6]


def test_two_processes_find_the_same_as_one(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.abc").write_text(TUNE.replace("K:Eb", "K:C" if number else ""))
    one, two = (
        measure_pieces(find_pieces(tmp_path), parts="soundness", workers=workers, said="piece")
        for workers in (1, 2)
    )
    assert [(a.piece, a.error, a.soundness) for a in one] == [
        (b.piece, b.error, b.soundness) for b in two
    ]


def test_the_training_text_of_musicxml_is_the_one_that_is_learned_from(tmp_path: Path) -> None:
    score = corpus_folder() / "bach" / "bwv66.6.mxl"
    text = interleave(clean(musicxml_to_abc(score)))
    (from_index,) = find_pieces(write_index(tmp_path, {"bwv66.6": text}))
    of_score = PieceFile(name="bwv66.6", path=score, work="bwv66.6")
    assert read_training_text(of_score) == read_training_text(from_index) == omit_rests(text)
    assert from_index.path is not None
    learned = from_index.path.read_text()
    assert learned == "".join([*prompt_lines(BACH), "%end\n", read_training_text(of_score)])


def test_text_outside_the_vocabulary_is_no_training_text(tmp_path: Path) -> None:
    (tmp_path / "one.abc").write_text(TUNE.replace("Cello", "Violoncelló"))
    (piece,) = find_pieces(tmp_path)
    with pytest.raises(ScoreError, match=r"^one: .*found 'ó'"):
        read_training_text(piece)
    missing = PieceFile(name="two", path=None, work="two")
    with pytest.raises(ConversionError, match=r"^two: nothing was written of it"):
        read_training_text(missing)
