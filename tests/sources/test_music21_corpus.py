"""Tests of the reviewed table of music21's corpus, run on the corpus itself."""

import codecs
import hashlib
import io
import re
import zipfile
from collections import defaultdict
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import pytest

from notagen.sources.music21_corpus import (
    corpus_folder,
    corpus_pieces,
    first_match,
    table_rows,
    work_id,
)
from notagen.sources.piece import SourcePiece, unique_ids

PERIODS = {"Medieval", "Renaissance", "Baroque", "Classical", "Romantic", "Modern"}
INSTRUMENTATIONS = {
    "Art Song",
    "Chamber",
    "Choral",
    "Keyboard",
    "Orchestral",
    "Vocal-Orchestral",
}
PITCH = re.compile(r"<(step|alter|octave)>\s*([^<\s]*)")
STRINGS = re.compile(r"(1st |2nd )?Violin|Viola|Violoncello|Cello")


@pytest.fixture(scope="module")
def pieces() -> list[SourcePiece]:
    return corpus_pieces()


@pytest.fixture(scope="module")
def paths() -> list[PurePosixPath]:
    folder = corpus_folder()
    return [
        PurePosixPath(file.relative_to(folder).as_posix())
        for file in folder.rglob("*")
        if file.is_file()
    ]


def document(source: Path) -> bytes:
    if source.suffix != ".mxl":
        return source.read_bytes()
    with zipfile.ZipFile(source) as archive:
        container = archive.read("META-INF/container.xml").decode()
        found = re.search(r'full-path="([^"]+)"', container)
        assert found, source
        return archive.read(found[1])


def part_names(piece: SourcePiece) -> list[str]:
    # the names stand before the music, which need not be read
    for _, element in ElementTree.iterparse(io.BytesIO(document(piece.source))):
        if element.tag == "part-list":
            return [e.findtext("part-name") or "" for e in element.iter("score-part")]
    raise AssertionError(f"{piece.source}: no part-list")


def notes_digest(piece: SourcePiece) -> str:
    # parsing 600 documents takes half a minute, a pattern two seconds
    content = document(piece.source)
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    pitches = PITCH.findall(content.decode("utf-16" if utf16 else "utf-8"))
    assert pitches, piece.source
    return hashlib.sha256(repr(pitches).encode()).hexdigest()


def test_every_file_matches_a_row(paths: list[PurePosixPath]) -> None:
    rows = table_rows()
    assert [str(path) for path in paths if first_match(path, rows) is None] == []


def test_every_row_is_the_first_match_of_a_file(paths: list[PurePosixPath]) -> None:
    rows = table_rows()
    matched = {row.pattern for path in paths if (row := first_match(path, rows))}
    # Byte-compiled files exist only after music21 has been imported once.
    assert {row.pattern for row in rows} - matched <= {"*.pyc"}


def test_rows_say_all_they_must() -> None:
    for row in table_rows():
        values = (row.pattern, row.composer, row.licence, row.note)
        assert all(value.isascii() for value in values), row
        if not row.use:
            assert row.note, f"{row.pattern}: excluded without a reason"
            continue
        assert row.period in PERIODS, row
        assert row.instrumentation in INSTRUMENTATIONS, row
        assert row.composer, row
        assert row.work, row
        assert row.licence, row


def test_many_varied_pieces(pieces: list[SourcePiece]) -> None:
    assert len(pieces) >= 400
    assert {piece.period for piece in pieces} == PERIODS
    first = pieces[:20]
    assert len({piece.id.split("-")[0] for piece in first}) == 20
    assert pieces == corpus_pieces()


def test_ids_are_safe_and_unique(pieces: list[SourcePiece]) -> None:
    ids = [piece.id for piece in pieces]
    assert len({id_.lower() for id_ in ids}) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z0-9][\w.-]*", id_, re.ASCII) for id_ in ids)
    assert "bach-bwv66.6" in ids


def test_colliding_ids_are_told_apart() -> None:
    paths = ["a/b.mxl", "a/b.krn", "a/c d.xml", "d/b c.mxl", "d/b,c.mxl"]
    ids = unique_ids([PurePosixPath(path) for path in paths])
    assert {str(path): id_ for path, id_ in ids.items()} == {
        "a/b.krn": "a-b-krn",
        "a/b.mxl": "a-b-mxl",
        "a/c d.xml": "a-c_d",
        "d/b c.mxl": "d-b_c-mxl",
        "d/b,c.mxl": "d-b_c-mxl-2",
    }


def test_work_rules() -> None:
    path = PurePosixPath("mozart/k80/movement1.mxl")
    assert work_id(path, "folder") == "mozart/k80"
    assert work_id(path, "file") == "mozart/k80/movement1"
    assert work_id(path, "=mozart/quartets") == "mozart/quartets"
    assert work_id(path, r"(k\d+)") == "k80"
    with pytest.raises(ValueError, match="does not match"):
        work_id(path, r"(bwv\d+)")


def test_movements_of_a_work_share_it(pieces: list[SourcePiece]) -> None:
    works = defaultdict(set)
    for piece in pieces:
        if found := re.match(r".*(?=-movement\d)", piece.id):
            works[found[0]].add(piece.work)
        if found := re.match(r"bach-bwv\d+(?=\.)", piece.id):
            works[found[0]].add(piece.work)
    assert len(works) > 100
    assert {key: value for key, value in works.items() if len(value) > 1} == {}


def test_no_two_pieces_have_the_same_notes(pieces: list[SourcePiece]) -> None:
    by_notes = defaultdict(list)
    for piece in pieces:
        if piece.is_native:
            by_notes[notes_digest(piece)].append(piece.id)
    assert [names for names in by_notes.values() if len(names) > 1] == []


def test_instrumentation_is_true_of_bach_and_the_quartets(pieces: list[SourcePiece]) -> None:
    voices = re.compile(r"(Soprano|Alto|Tenor|Bass|Continuo)( 1| 2)?")
    for piece in pieces:
        if piece.id.startswith("bach-") and piece.instrumentation == "Choral":
            assert all(voices.fullmatch(name) for name in part_names(piece)), piece.id
        if piece.id.startswith("bach-") and piece.instrumentation == "Vocal-Orchestral":
            assert not all(voices.fullmatch(name) for name in part_names(piece)), piece.id
        if piece.id.startswith(("beethoven-", "haydn-")):
            assert all(STRINGS.match(name) for name in part_names(piece)), piece.id
