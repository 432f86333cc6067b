"""One piece on its way through `data/`: fetched, converted, preprocessed, converted back.

Each function takes a job that travels to a worker process, writes its files whole or not at all,
leaves fresh files alone, and returns the piece's line for the next index.
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from notagen.foundation.errors import ConversionError, InputError, NotationError, ScoreError
from notagen.foundation.files import inside, is_fresh, sha256, write_text
from notagen.foundation.index import IndexEntry
from notagen.notation.checks import check_alignment
from notagen.notation.clean import clean
from notagen.notation.interleave import interleave, parse_interleaved
from notagen.notation.keys import parse_key
from notagen.notation.musicxml import abc_to_musicxml, musicxml_to_abc
from notagen.notation.rests import omit_rests, restore_rests
from notagen.notation.transpose import transpose_to_keys
from notagen.notation.tune import Tune
from notagen.preparation.content import count_staves, instruments, music_digest
from notagen.preparation.export import (
    export_musicxml,
    is_exported,
    is_marked,
    marked,
    origin_mark,
)
from notagen.preparation.filters import Examined
from notagen.sources.piece import SourcePiece
from notagen.tokenizer.patches import PatchTokenizer

_UNLIMITED = 2**31


@dataclass(frozen=True)
class FetchJob:
    """A source's piece, and the folder of MusicXML files it goes to."""

    piece: SourcePiece
    folder: Path
    source: str


@dataclass(frozen=True)
class ConvertJob:
    """A line of the MusicXML index at `index`, and the folder of ABC files it goes to."""

    entry: IndexEntry
    index: Path
    folder: Path


@dataclass(frozen=True)
class PreprocessJob:
    """A line of the ABC index at `index`, the folder of training texts, and the keys to write."""

    entry: IndexEntry
    index: Path
    folder: Path
    keys: tuple[str, ...]
    """Empty for the piece's own key alone."""


@dataclass(frozen=True)
class WriteJob:
    """A piece that is kept, and what is to be done with it."""

    piece: Examined
    job: PreprocessJob

    @property
    def entry(self) -> IndexEntry:
        """The line of the ABC index."""
        return self.job.entry


def piece_name(entry: IndexEntry) -> str:
    """Return the name of a piece's files: its id, or else its path's last part without suffix."""
    return entry.id or PurePosixPath(entry.path).stem


def check_names(entries: Sequence[IndexEntry], index: Path) -> None:
    """Check that an index lists each piece once, and no two would be written to the same file.

    Raises:
        InputError: If the index is empty, or lists a piece twice, or two of one name; it names
            them.
    """
    if not entries:
        raise InputError(
            f"{index}: found no pieces, wanted at least one; rejects.jsonl beside it says why "
            f"pieces were refused"
        )
    taken: dict[str, str] = {}
    paths: set[str] = set()
    for entry in entries:
        if entry.path in paths:
            raise InputError(f"{index}: found {entry.path} twice, wanted it once")
        paths.add(entry.path)
        # without case: on some file systems a.abc and A.abc are one file
        other = taken.setdefault(piece_name(entry).lower(), entry.path)
        if other != entry.path:
            raise InputError(
                f"{index}: {other} and {entry.path} would both be written as "
                f"{piece_name(entry)!r}; wanted a different `id` for each"
            )


def fetch_piece(job: FetchJob) -> IndexEntry:
    """Export a piece as MusicXML.

    Raises:
        ConversionError: If its file cannot be converted to MusicXML.
    """
    piece = job.piece
    target = job.folder / f"{piece.id}{piece.suffix}"
    if not is_exported(piece, target):
        export_musicxml(piece, target)
    return IndexEntry(
        path=f"{job.folder.name}/{target.name}",
        id=piece.id,
        work=piece.work,
        source=piece.collection or job.source,
        licence=piece.licence,
        period=piece.period,
        composer=piece.composer,
        instrumentation=piece.instrumentation,
        title=piece.title,
        sha256=sha256(target),
        extra={"origin": piece.origin} if piece.origin else {},
    )


def convert_piece(job: ConvertJob) -> IndexEntry:
    """Convert a MusicXML file to standard ABC.

    Raises:
        ConversionError: If the file is missing, damaged or no score.
    """
    source = inside(job.index.parent, job.entry.path)
    if not source.is_file():
        raise ConversionError(f"{source}: the index names it, but it is not there")
    name = piece_name(job.entry)
    target = inside(job.folder, f"{name}.abc")
    if not is_fresh(target, source):
        write_text(target, musicxml_to_abc(source))
    return dataclasses.replace(job.entry, path=f"{job.folder.name}/{name}.abc", id=name)


def examine_piece(job: PreprocessJob) -> Examined:
    """Clean and interleave a tune and omit its rests; return what the next index says of it.

    The entry's `key` is the written key; its extra field `n_uneven_bars` counts bars whose voices
    last unequally in the source. Nothing is written.

    Raises:
        NotationError: If the tune is missing, its bars or voices do not add up, or the rests that
            were omitted cannot be restored.
        AlphabetError: If it holds characters outside the vocabulary.
    """
    with _named(_source(job)) as source:
        interleaved, reduced = _read(source)
        tune = parse_interleaved(reduced)
        _check_restored(parse_interleaved(interleaved), parse_interleaved(restore_rests(reduced)))
        written = tune.field("K")
        if written is None:
            raise NotationError("found no K: line, wanted the tune's key")
        own = parse_key(written)
        entry = dataclasses.replace(
            job.entry,
            path=f"{job.folder.name}/{piece_name(job.entry)}",
            key=own.signature if own else "C",
            n_bars=len(tune.bars),
            n_voices=len(tune.voices),
            n_patches=len(PatchTokenizer(patch_length=_UNLIMITED).encode(reduced)),
            extra=job.entry.extra | {"n_uneven_bars": len(check_alignment(reduced).problems)},
        )
        return Examined(
            path=job.entry.path,
            entry=entry,
            digest=music_digest(tune),
            n_staves=count_staves(tune),
            metre=tune.field("M") or "none",
            instruments=instruments(tune),
        )


def write_texts(job: WriteJob) -> Examined:
    """Write an examined piece's training text in its own key and the others; fresh ones stay.

    Raises:
        NotationError: If the tune cannot be transposed.
    """
    piece, folder = job.piece, job.job.folder.parent
    with _named(_source(job.job)) as source:
        targets = {
            key: inside(folder, piece.entry.keyed_path(key))
            for key in job.job.keys or (piece.entry.key or "C",)
        }
        missing = [key for key, target in targets.items() if not is_fresh(target, source)]
        if missing:
            _, reduced = _read(source)
            for key, text in transpose_to_keys(reduced, missing).items():
                write_text(targets[key], text)
    return piece


def _source(job: PreprocessJob) -> Path:
    return inside(job.index.parent, job.entry.path)


@contextmanager
def _named(source: Path) -> Iterator[Path]:
    """Yield the file of a tune; refusals inside the block begin with its path."""
    if not source.is_file():
        raise NotationError(f"{source}: the index names it, but it is not there")
    try:
        yield source
    except UnicodeDecodeError as error:
        raise NotationError(f"{source}: found bytes that are not UTF-8 at {error.start}") from error
    except ScoreError as error:
        raise type(error)(f"{source}: {error}") from error


def _read(source: Path) -> tuple[str, str]:
    """Return a tune interleaved, and the same with its rests omitted."""
    interleaved = interleave(clean(source.read_text(encoding="utf-8")))
    return interleaved, omit_rests(interleaved)


def _check_restored(tune: Tune, restored: Tune) -> None:
    """Check that nothing was lost with the rests; `z1` and `z` are the same rest."""
    for number, (bar, again) in enumerate(zip(tune.bars, restored.bars, strict=True), start=1):
        for voice, cell in bar.items():
            found = again[voice].text
            if found != cell.text and found != re.sub(r"\b([zx])1\b", r"\1", cell.text):
                raise NotationError(
                    f"bar {number}: V:{voice} {cell.text[:40]!r} would be read back as "
                    f"{found[:40]!r}"
                )


def convert_back(job: tuple[Path, Path]) -> Path:
    """Convert an ABC file (standard, interleaved or reduced) to a MusicXML file, and return it.

    A file that was made of the same text stays; its age says nothing, since it may have been made
    of a namesake in another folder.

    Raises:
        NotationError: If its bars or voices do not add up.
        ConversionError: If it cannot be converted.
    """
    source, target = job
    with _named(source):
        mark = origin_mark(sha256(source))
        if not is_marked(target, mark):
            document = abc_to_musicxml(source.read_text(encoding="utf-8"))
            write_text(target, marked(document, mark))
    return target
