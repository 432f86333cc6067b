"""Scores of other kinds on their way to MusicXML."""

import dataclasses
import os
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from mido import Message, MetaMessage, MidiFile, MidiTrack

from notagen.foundation.errors import ConversionError
from notagen.notation.musicxml import musicxml_to_abc
from notagen.preparation.export import export_musicxml, is_exported
from notagen.sources.abc_file import read_abc
from notagen.sources.folder import folder_pieces
from notagen.sources.music21_corpus import corpus_pieces
from notagen.sources.piece import SourcePiece

KERN = """!!!OTL: Two voices
**kern\t**kern
*clefF4\t*clefG2
*k[b-]\t*k[b-]
*M3/4\t*M3/4
=1\t=1
2.FF\t4f
.\t4a
.\t4b-
=2\t=2
2.C\t2.cc#
==\t==
*-\t*-
"""


def midi(path: Path) -> None:
    file = MidiFile(ticks_per_beat=480)
    track = MidiTrack()
    track.append(MetaMessage("time_signature", numerator=3, denominator=4))
    for pitch in (60, 64, 67, 72):
        track.append(Message("note_on", note=pitch, velocity=70, time=7))  # a little late
        track.append(Message("note_off", note=pitch, velocity=0, time=473))
    file.tracks.append(track)
    file.save(path)


def piece(path: Path, tune: int | None = None) -> SourcePiece:
    return SourcePiece(source=path, id="x", work="x", tune=tune)


def pitches(document: bytes) -> list[str]:
    root = ElementTree.fromstring(document)
    return [
        "".join(pitch.findtext(tag) or "" for tag in ("step", "alter", "octave"))
        for pitch in root.iter("pitch")
    ]


def test_native_pieces_are_copied_byte_for_byte(tmp_path: Path) -> None:
    pieces = corpus_pieces()
    for suffix in (".mxl", ".xml", ".musicxml"):
        native = next(p for p in pieces if p.source.suffix == suffix)
        target = tmp_path / suffix[1:] / f"{native.id}{native.suffix}"
        assert not is_exported(native, target)
        export_musicxml(native, target)
        assert target.read_bytes() == native.source.read_bytes()
        assert list(target.parent.iterdir()) == [target]
        assert is_exported(native, target)


def test_kern_is_converted_the_same_each_time(tmp_path: Path) -> None:
    source, target = tmp_path / "x.krn", tmp_path / "x.musicxml"
    source.write_text(KERN)
    export_musicxml(piece(source), target)
    document = target.read_bytes()
    assert sorted(pitches(document)) == sorted(["F2", "F4", "A4", "B-14", "C3", "C15"])
    assert "encoding-date" not in document.decode()
    target.unlink()
    export_musicxml(piece(source), target)
    assert target.read_bytes() == document
    assert "[V:1]" not in musicxml_to_abc(target)
    assert len(re.findall(r"^V:\d+ .*$", musicxml_to_abc(target), re.MULTILINE)) == 2


def test_midi_is_rounded_to_notes(tmp_path: Path) -> None:
    midi(tmp_path / "x.mid")
    target = tmp_path / "x.musicxml"
    export_musicxml(piece(tmp_path / "x.mid"), target)
    assert pitches(target.read_bytes()) == ["C4", "E4", "G4", "C5"]
    root = ElementTree.parse(target)
    assert [note.findtext("type") for note in root.iter("note")][:4] == ["quarter"] * 4
    assert len(list(root.iter("measure"))) == 2


def test_abc_keeps_its_voices(tmp_path: Path) -> None:
    book = tmp_path / "book.abc"
    voices = (
        'L:1/8\nM:4/4\nK:D\nV:1 treble nm="Flute"\nV:2 bass nm="Cello"\nV:1\nf8|e8|\nV:2\nD8|C8|\n'
    )
    book.write_text(f"X:1\nK:C\nL:1/8\nc8|\n\nX:2\n{voices}")
    documents = []
    for number, wanted in ((1, ["C5"]), (2, ["F15", "E5", "D4", "C14"])):
        target = tmp_path / f"{number}.musicxml"
        export_musicxml(piece(book, number), target)
        documents.append(target.read_bytes())
        assert pitches(documents[-1]) == wanted
    assert len(list(ElementTree.fromstring(documents[1]).iter("score-part"))) == 2
    # interleaved, with prompt lines, as a model writes it
    tune = tmp_path / "tune.abc"
    tune.write_text("%Romantic\n%Haydn\n%Chamber\nL:1/8\nM:4/4\nK:C\nV:1\nV:2\n[r:0/0][V:1]c8|\n")
    export_musicxml(piece(tune), tmp_path / "t.musicxml")
    assert pitches((tmp_path / "t.musicxml").read_bytes()) == ["C5"]


def test_what_was_converted_is_known_again(tmp_path: Path) -> None:
    book, target = tmp_path / "book.abc", tmp_path / "x.musicxml"
    book.write_text("X:1\nL:1/8\nK:C\nc8|\n\nX:2\nL:1/8\nK:C\nd8|\n")
    export_musicxml(piece(book, 1), target)
    assert is_exported(piece(book, 1), target)
    assert not is_exported(piece(book, 2), target)
    other = tmp_path / "other.abc"
    other.write_text("X:1\nL:1/8\nK:C\ne8|\n")
    assert not is_exported(piece(other), target)
    book.write_text("X:1\nL:1/8\nK:C\nd8|\n\nX:2\nL:1/8\nK:C\nd8|\n")
    os.utime(book, ns=(0, 1))  # the clock of a file system may be too coarse to tell
    assert not is_exported(piece(book, 1), target)


def test_a_book_is_read_once_for_all_its_tunes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def counted(path: Path) -> str:
        read.append(path)
        return read_abc(path)

    monkeypatch.setattr("notagen.preparation.export.read_abc", counted)
    for name in ("a", "b"):
        text = "".join(f"X:{n}\nL:1/8\nK:C\n{note}8|\n\n" for n, note in enumerate("cde"))
        (tmp_path / f"{name}.abc").write_text(text)
    pieces = folder_pieces(tmp_path)
    for tune in pieces:
        export_musicxml(tune, tmp_path / f"{tune.id}.musicxml")
    assert read == [tmp_path / "a.abc", tmp_path / "b.abc"]
    documents = [(tmp_path / f"{tune.id}.musicxml").read_bytes() for tune in pieces]
    assert [pitches(document) for document in documents] == 2 * [["C5"], ["D5"], ["E5"]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.krn", b"no kern at all"),
        ("x.mid", b"MThd torn"),
        ("x.mid", b""),
        ("x.abc", b""),
        ("x.abc", b"X:1\nT:words only\n"),
    ],
)
def test_what_cannot_be_converted_is_refused_by_path(
    name: str, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConversionError) as caught:
        export_musicxml(piece(tmp_path / name), tmp_path / "x.musicxml")
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert not (tmp_path / "x.musicxml").exists()


def test_too_large_or_missing_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notagen.notation.foreign._MAX_BYTES", 10)
    (tmp_path / "x.krn").write_text(KERN)
    with pytest.raises(ConversionError, match=r"x\.krn: found \d+ bytes, wanted at most 10"):
        export_musicxml(piece(tmp_path / "x.krn"), tmp_path / "x.musicxml")
    gone = dataclasses.replace(piece(tmp_path / "gone.abc"))
    with pytest.raises(ConversionError, match=r"gone\.abc: No such file"):
        export_musicxml(gone, tmp_path / "x.musicxml")


def test_a_tune_of_many_is_named_in_its_refusal(tmp_path: Path) -> None:
    (tmp_path / "book.abc").write_text("X:1\nK:C\nc|\n\nX:2\nT:no music\n")
    second = folder_pieces(tmp_path)[1]
    with pytest.raises(ConversionError, match=r"book\.abc: tune 2: "):
        export_musicxml(second, tmp_path / "x.musicxml")
