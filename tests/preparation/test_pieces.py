"""Three pieces of music21's corpus on their way through every step of preparation."""

import dataclasses
import os
from pathlib import Path

import pytest

from notagen.foundation.errors import ConversionError, InputError, NotationError
from notagen.foundation.files import sha256, write_text
from notagen.foundation.index import IndexEntry
from notagen.notation.clean import clean
from notagen.notation.interleave import interleave, parse_interleaved
from notagen.notation.keys import KEYS, parse_key
from notagen.preparation.pieces import (
    ConvertJob,
    FetchJob,
    PreprocessJob,
    WriteJob,
    check_names,
    convert_back,
    convert_piece,
    examine_piece,
    fetch_piece,
    write_texts,
)
from notagen.sources.music21_corpus import corpus_pieces
from notagen.sources.piece import SourcePiece

IDS = ("bach-bwv66.6", "bach-bwv10.7", "mozart-k155-movement2")
KEY = {"bach-bwv66.6": "A", "bach-bwv10.7": "Bb", "mozart-k155-movement2": "A"}


@pytest.fixture(scope="module")
def pieces() -> list[SourcePiece]:
    found = {piece.id: piece for piece in corpus_pieces()}
    return [found[name] for name in IDS]


@pytest.fixture
def bwv66(pieces: list[SourcePiece]) -> SourcePiece:
    return pieces[0]


def walk(piece: SourcePiece, out: Path, keys: tuple[str, ...] = KEYS) -> list[IndexEntry]:
    """Take a piece through the three steps; return the entry after each."""
    fetched = fetch_piece(FetchJob(piece, out / "musicxml", "music21"))
    converted = convert_piece(ConvertJob(fetched, out / "musicxml.jsonl", out / "abc"))
    job = PreprocessJob(converted, out / "abc.jsonl", out / "interleaved", keys)
    return [fetched, converted, preprocess(job)]


def preprocess(job: PreprocessJob) -> IndexEntry:
    """Examine a piece and write its texts; return its line for the next index."""
    piece = examine_piece(job)
    assert piece.path == job.entry.path
    return write_texts(WriteJob(piece, job)).entry


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("number", range(3))
def test_from_score_to_15_keys(pieces: list[SourcePiece], number: int, tmp_path: Path) -> None:
    piece = pieces[number]
    fetched, converted, entry = walk(piece, tmp_path)
    assert fetched == IndexEntry(
        path=f"musicxml/{piece.id}.mxl",
        id=piece.id,
        work=piece.work,
        source="music21",
        licence=piece.licence,
        period=piece.period,
        composer=piece.composer,
        instrumentation=piece.instrumentation,
        sha256=sha256(piece.source),
    )
    assert converted == dataclasses.replace(fetched, path=f"abc/{piece.id}.abc")
    assert (entry.path, entry.key) == (f"interleaved/{piece.id}", KEY[piece.id])
    assert entry.n_voices == 4
    assert entry.extra == {"n_uneven_bars": 0}
    assert entry.prompt == (piece.period, piece.composer, piece.instrumentation)
    texts = {key: (tmp_path / entry.keyed_path(key)).read_text(encoding="utf-8") for key in KEYS}
    assert len(list((tmp_path / "interleaved").rglob("*.abc"))) == len(set(texts.values())) == 15
    for key, text in texts.items():
        tune = parse_interleaved(text)
        assert len(tune.bars) == entry.n_bars
        own = parse_key(tune.field("K") or "")
        assert own
        assert own.signature == key
        assert text.isascii()
    lengths = [len(line) // 16 + 1 for line in texts[KEY[piece.id]].splitlines()]
    assert entry.n_patches
    assert 0.5 * sum(lengths) < entry.n_patches < 2 * sum(lengths)


def test_fresh_files_are_left_alone_and_stale_ones_written(
    bwv66: SourcePiece, tmp_path: Path
) -> None:
    first = walk(bwv66, tmp_path)
    before = times(tmp_path)
    assert len(before) == 1 + 1 + 15
    assert walk(bwv66, tmp_path) == first
    assert times(tmp_path) == before
    # one lost file is written again, and no other
    lost = tmp_path / first[2].keyed_path("Eb")
    lost.unlink()
    walk(bwv66, tmp_path)
    after = times(tmp_path)
    assert {path for path in after if after[path] != before[path]} == {lost}
    # a newer tune makes its texts anew
    abc = tmp_path / first[1].path
    os.utime(abc, ns=(0, after[lost] + 1))
    for path in (tmp_path / "interleaved").rglob("*.abc"):
        os.utime(path, ns=(0, after[lost] + (path == lost)))
    before = times(tmp_path)
    walk(bwv66, tmp_path)
    after = times(tmp_path)
    changed = {path for path in after if after[path] != before[path]}
    assert changed == set((tmp_path / "interleaved").rglob("*.abc")) - {lost}


def test_every_text_is_written_once(
    bwv66: SourcePiece, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []

    def count(path: Path, text: str) -> None:
        written.append(len(text.encode()))
        write_text(path, text)

    monkeypatch.setattr("notagen.preparation.pieces.write_text", count)
    walk(bwv66, tmp_path)
    kept = [path.stat().st_size for path in tmp_path.rglob("*.abc")]
    assert len(kept) == len(written) == 16
    assert sum(written) <= 1.05 * sum(kept)


def test_a_tune_whose_rests_would_be_lost_is_refused(
    bwv66: SourcePiece, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notagen.preparation.pieces.restore_rests", lambda _: changed)
    fetched = fetch_piece(FetchJob(bwv66, tmp_path / "musicxml", "music21"))
    converted = convert_piece(ConvertJob(fetched, tmp_path / "musicxml.jsonl", tmp_path / "abc"))
    job = PreprocessJob(converted, tmp_path / "abc.jsonl", tmp_path / "interleaved", ())
    text = interleave(clean((tmp_path / converted.path).read_text(encoding="utf-8")))
    changed = text
    assert examine_piece(job).entry.n_bars == text.count("\n[V:1]")
    lines = text.splitlines()
    lines[-1] = lines[-1].replace("[V:2]", "[V:2]z")
    changed = "\n".join(lines)
    with pytest.raises(NotationError, match=r"bwv66\.6\.abc: bar \d+: V:2 .* would be read back"):
        examine_piece(job)


def test_own_key_alone(bwv66: SourcePiece, tmp_path: Path) -> None:
    entry = walk(bwv66, tmp_path, ())[2]
    assert [*(tmp_path / "interleaved").rglob("*.abc")] == [tmp_path / entry.keyed_path("A")]


def test_a_file_of_the_same_name_from_elsewhere_is_fetched_anew(
    bwv66: SourcePiece, tmp_path: Path
) -> None:
    other = tmp_path / "other.mxl"
    other.write_bytes(b"older, but another score")
    os.utime(other, ns=(0, 0))
    fetch_piece(FetchJob(bwv66, tmp_path / "musicxml", "music21"))
    entry = fetch_piece(
        FetchJob(dataclasses.replace(bwv66, source=other), tmp_path / "musicxml", "folder")
    )
    assert (tmp_path / entry.path).read_bytes() == other.read_bytes()
    assert entry.sha256 == sha256(other)


def test_damaged_scores_are_refused_by_path(tmp_path: Path) -> None:
    (tmp_path / "x.mxl").write_bytes(b"PK\x03\x04 torn")
    job = ConvertJob(IndexEntry(path="x.mxl"), tmp_path / "index.jsonl", tmp_path / "abc")
    with pytest.raises(ConversionError, match="damaged") as caught:
        convert_piece(job)
    assert str(caught.value).startswith(f"{tmp_path / 'x.mxl'}: ")
    assert not (tmp_path / "abc").exists()


def test_missing_files_are_refused_by_path(tmp_path: Path) -> None:
    entry = IndexEntry(path="gone.abc")
    said = f"{tmp_path / 'gone.abc'}: the index names it, but it is not there"
    with pytest.raises(ConversionError) as caught:
        convert_piece(ConvertJob(entry, tmp_path / "i.jsonl", tmp_path / "abc"))
    assert str(caught.value) == said
    with pytest.raises(NotationError) as other:
        examine_piece(PreprocessJob(entry, tmp_path / "i.jsonl", tmp_path / "out", ()))
    assert str(other.value) == said


def test_an_id_never_leads_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "x.mxl").touch()
    entry = IndexEntry(path="x.mxl", id="../../x")
    with pytest.raises(InputError, match="leads out of"):
        convert_piece(ConvertJob(entry, tmp_path / "i.jsonl", tmp_path / "abc"))


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (b"K:C\nV:1\nV:2\nV:1\nc|d|\nV:2\nC|\n", NotationError, "voice V:2 has 1 bars, V:1 has 2"),
        (b"", NotationError, "found no music"),
        (b"K:C\nc\xff|\n", NotationError, "found bytes that are not UTF-8 at 5"),
        (b"L:1/8\nc8|\n", NotationError, "found no K: line"),
        (b"K:G#\nc8|\n", NotationError, "K:G#: found 8 accidentals, wanted at most 7"),
    ],
)
def test_bad_tunes_are_refused_by_path(
    text: bytes, error: type[NotationError], said: str, tmp_path: Path
) -> None:
    (tmp_path / "x.abc").write_bytes(text)
    with pytest.raises(error) as caught:
        examine_piece(
            PreprocessJob(IndexEntry(path="x.abc"), tmp_path / "i.jsonl", tmp_path / "o", ())
        )
    assert str(caught.value).startswith(f"{tmp_path / 'x.abc'}: {said}")
    assert not (tmp_path / "o").exists()


def test_text_outside_the_alphabet_is_folded_first(tmp_path: Path) -> None:
    (tmp_path / "x.abc").write_text('L:1/8\nK:C\nV:1 nm="Flöte 長笛"\nc8|\n', encoding="utf-8")
    entry = IndexEntry(path="x.abc")
    preprocess(PreprocessJob(entry, tmp_path / "i.jsonl", tmp_path / "o", ()))
    assert "Flote" in (tmp_path / "o" / "C" / "x_C.abc").read_text(encoding="utf-8")


def test_back_to_musicxml(bwv66: SourcePiece, tmp_path: Path) -> None:
    entry = walk(bwv66, tmp_path, ())[2]
    tune, target = tmp_path / entry.keyed_path("A"), tmp_path / "back" / "x.musicxml"
    assert convert_back((tune, target)) == target
    assert target.read_text(encoding="utf-8").count("<pitch>") == 165
    before = times(target.parent)
    convert_back((tune, target))
    assert times(target.parent) == before
    tune.write_bytes(b"K:C\n\xff|\n")
    with pytest.raises(NotationError, match="not UTF-8") as caught:
        convert_back((tune, target))
    assert str(caught.value).startswith(f"{tune}: ")
    tune.write_text("K:C\n[V:1]c8|\nrubbish\n")
    with pytest.raises(NotationError, match="line 3: found 'rubbish'") as other:
        convert_back((tune, tmp_path / "new.musicxml"))
    assert str(other.value).startswith(f"{tune}: ")
    assert times(target.parent) == before
    # a namesake from another folder, older than what was made of the first
    tune.write_text("L:1/8\nK:C\nc8|\n")
    os.utime(tune, ns=(0, 0))
    convert_back((tune, target))
    assert target.read_text(encoding="utf-8").count("<pitch>") == 1


def test_pieces_that_would_share_a_file_are_refused() -> None:
    entries = [IndexEntry(path="a/Song.mxl"), IndexEntry(path="b/song.mxl")]
    with pytest.raises(InputError, match=r"a/Song\.mxl and b/song\.mxl would both"):
        check_names(entries, Path("musicxml.jsonl"))
    check_names([IndexEntry(path="a/song.mxl", id="a"), entries[1]], Path("musicxml.jsonl"))
    with pytest.raises(InputError, match=r"found a/song\.mxl twice, wanted it once"):
        check_names([IndexEntry(path="a/song.mxl", id=name) for name in "ab"], Path("x.jsonl"))
    with pytest.raises(InputError, match="found no pieces"):
        check_names([], Path("musicxml.jsonl"))
