import json
import os
import sys
from pathlib import Path

import pytest

from notagen.foundation.errors import InputError, MissingInputError
from notagen.sources.folder import folder_pieces


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    folder = tmp_path / "scores"
    for name in ("a/movement1.mxl", "b/movement1.mxl", "b/x.XML", "c d.musicxml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    for name in ("notes.txt", ".hidden.xml", "b/tune.mscz"):
        (folder / name).touch()
    (folder / ".git").mkdir()
    (folder / ".git" / "y.xml").touch()
    (folder / "folder.xml").mkdir()
    return folder


def metadata(folder: Path, *lines: object) -> Path:
    path = folder.parent / "metadata.jsonl"
    text = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("".join(f"{line}\n" for line in text), encoding="utf-8")
    return path


def test_files_of_one_name_in_two_folders_stay_two(scores: Path) -> None:
    pieces = folder_pieces(scores)
    assert {piece.id: piece.work for piece in pieces} == {
        "a-movement1": "a/movement1",
        "b-movement1": "b/movement1",
        "b-x": "b/x",
        "c_d": "c d",
    }
    assert pieces[0].source == scores / "a" / "movement1.mxl"
    assert all(piece.composer is None and piece.is_native for piece in pieces)
    assert [piece.suffix for piece in pieces] == [".mxl", ".mxl", ".xml", ".musicxml"]


def test_metadata_is_taken_over(scores: Path) -> None:
    facts = {
        "composer": "Liszt, Franz",
        "period": "Romantic",
        "instrumentation": "Keyboard",
        "work": "S. 541",
        "title": "Liebestraum",
        "licence": "CC0",
    }
    path = metadata(
        scores, {"path": "a/movement1.mxl", "mood": "calm", **facts}, {"path": "b/x.XML"}
    )
    first, second, third, _ = folder_pieces(scores, path)
    assert {name: getattr(first, name) for name in facts} == facts
    assert (second.composer, second.work) == (None, "b/movement1")
    assert (third.composer, third.work) == (None, "b/x")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "found no JSON object, wanted one"),
        ('["a"]', "found no JSON object, wanted one"),
        ({"composer": "x"}, "found no field `path`"),
        ({"path": "b/x.XML", "Composer": "x"}, "found 'Composer', wanted 'composer'"),
        ({"path": ["a"]}, "found path ['a'], wanted str"),
        ({"path": "b/x.XML", "composer": ["x"]}, "found composer = ['x'], wanted str"),
        ({"path": "b/x.XML", "work": 541}, "found work = 541, wanted str"),
    ],
)
def test_bad_metadata_is_named_by_line(scores: Path, line: object, said: str) -> None:
    path = metadata(scores, {"path": "a/movement1.mxl"}, line)
    with pytest.raises(InputError) as caught:
        folder_pieces(scores, path)
    assert str(caught.value).startswith(f"{path}:2: {said}")


def test_nothing_to_find(tmp_path: Path, scores: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: found no \.mxl or \.xml or .* or \.midi file"):
        folder_pieces(tmp_path / "empty")
    with pytest.raises(MissingInputError, match="nowhere is not there"):
        folder_pieces(tmp_path / "nowhere")
    with pytest.raises(MissingInputError, match=r"no\.jsonl is not there"):
        folder_pieces(scores, tmp_path / "no.jsonl")


def test_lines_of_absent_files_are_counted(scores: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = metadata(
        scores, {"path": "no.mxl", "work": "x"}, {"path": "../scores/b/x.XML", "work": "x"}
    )
    assert all(piece.work != "x" for piece in folder_pieces(scores, path))
    assert "that it names and that are not there: 2, such as 'no.mxl'" in caplog.text


def test_other_formats_are_found_and_midi_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.mid", "b.MIDI", "c.krn", "d.abc"):
        (tmp_path / name).write_text("X:1\nK:C\nc|\n")
    pieces = folder_pieces(tmp_path)
    assert [(piece.id, piece.suffix, piece.is_native) for piece in pieces] == [
        (name, ".musicxml", False) for name in "abcd"
    ]
    (record,) = caplog.records
    assert record.getMessage().startswith("2 MIDI files: ")
    for lost in ("spelling", "voices", "dynamics", "tuplets"):
        assert lost in record.getMessage()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are Unicode")
def test_names_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    for name in (b"caf\xe9.mxl", b"caf\xe8.mxl"):
        (tmp_path / os.fsdecode(name)).touch()
    pieces = folder_pieces(tmp_path)
    assert [piece.id for piece in pieces] == ["caf_-mxl", "caf_-mxl-2"]
    assert [piece.work for piece in pieces] == ["caf\\udce8", "caf\\udce9"]
    assert all(piece.source.is_file() for piece in pieces)


def test_a_book_that_cannot_be_read_is_one_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(_: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("notagen.sources.folder.read_abc", locked)
    for name in ("a.mxl", "book.abc"):
        (tmp_path / name).touch()
    assert [(piece.id, piece.tune) for piece in folder_pieces(tmp_path)] == [
        ("a", None),
        ("book", None),
    ]


def test_each_tune_of_a_file_is_a_piece(tmp_path: Path) -> None:
    (tmp_path / "book.abc").write_text("X:7\nK:C\nc|\n\nX:7\nK:G\nd|\n")
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "2.abc").write_text("X:1\nK:C\nc|\n")
    pieces = folder_pieces(tmp_path)
    assert {piece.id: (piece.source.name, piece.tune, piece.work) for piece in pieces} == {
        "book-2": ("2.abc", None, "book/2"),
        "book.abc-1": ("book.abc", 1, "book.abc/1"),
        "book.abc-2": ("book.abc", 2, "book.abc/2"),
    }
    facts = {"path": "book.abc", "work": "a set", "composer": "Trad."}
    named = folder_pieces(tmp_path, metadata(tmp_path, facts))
    assert [piece.work for piece in named] == ["book/2", "a set", "a set"]
    assert named[2].name == f"{tmp_path / 'book.abc'}: tune 2"


def test_labels_hold_where_the_metadata_says_nothing(scores: Path) -> None:
    files = [str(piece.source.relative_to(scores)) for piece in folder_pieces(scores)]
    facts = metadata(scores, {"path": files[0], "composer": "Wolf, Hugo"})
    labels = {"composer": "Liszt, Franz", "period": "Romantic"}
    pieces = folder_pieces(scores, facts, labels=labels)
    composers = [piece.composer for piece in pieces]
    assert composers == ["Wolf, Hugo", *["Liszt, Franz"] * (len(files) - 1)]
    assert {piece.period for piece in pieces} == {"Romantic"}
    assert {piece.instrumentation for piece in pieces} == {None}


def test_only_what_is_listed(scores: Path) -> None:
    everything = [piece.id for piece in folder_pieces(scores)]
    listed = metadata(scores, {"path": "a/movement1.mxl"}, {"path": "b/x.XML"})
    found = folder_pieces(scores, listed, only_listed=True)
    assert len(found) == 2 < len(everything)
    assert found[0].source == scores / "a" / "movement1.mxl"
