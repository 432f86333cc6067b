"""One piece on its way through `data/`: fetched, converted, preprocessed, converted back.

Each function takes a job that travels to a worker process, writes its files whole or not at all,
leaves fresh files alone, and returns the piece's line for the next index.
"""

import dataclasses
import filecmp
from collections.abc import Sequence
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
from notagen.notation.rests import omit_rests
from notagen.notation.transpose import transpose
from notagen.sources.piece import SourcePiece, export_musicxml
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


def piece_name(entry: IndexEntry) -> str:
    """Return the name of a piece's files: its id, or else its path's last part without suffix."""
    return entry.id or PurePosixPath(entry.path).stem


def check_names(entries: Sequence[IndexEntry], index: Path) -> None:
    """Check that no two pieces of an index would be written to the same file.

    Raises:
        InputError: If the index is empty, or two pieces would; it names them.
    """
    if not entries:
        raise InputError(
            f"{index}: found no pieces, wanted at least one; rejects.jsonl beside it says why "
            f"pieces were refused"
        )
    taken: dict[str, str] = {}
    for entry in entries:
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
    if not _is_fetched(piece, target):
        export_musicxml(piece, target)
    return IndexEntry(
        path=f"{job.folder.name}/{target.name}",
        id=piece.id,
        work=piece.work,
        source=job.source,
        licence=piece.licence,
        period=piece.period,
        composer=piece.composer,
        instrumentation=piece.instrumentation,
        title=piece.title,
        sha256=sha256(target),
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


def preprocess_piece(job: PreprocessJob) -> IndexEntry:
    """Clean and interleave a tune, omit its rests, and write it in its own key and the others.

    The entry's `key` is the written key; its extra field `n_uneven_bars` counts bars whose voices
    last unequally in the source.

    Raises:
        NotationError: If the tune is missing or its bars or voices do not add up.
        AlphabetError: If it holds characters outside the vocabulary.
    """
    source = inside(job.index.parent, job.entry.path)
    if not source.is_file():
        raise NotationError(f"{source}: the index names it, but it is not there")
    name = piece_name(job.entry)
    try:
        reduced = omit_rests(interleave(clean(source.read_text(encoding="utf-8"))))
        tune = parse_interleaved(reduced)
        own = parse_key(tune.field("K") or "")
        key = own.signature if own else "C"
        entry = dataclasses.replace(
            job.entry,
            path=f"{job.folder.name}/{name}",
            key=key,
            n_bars=len(tune.bars),
            n_voices=len(tune.voices),
            n_patches=len(PatchTokenizer(patch_length=_UNLIMITED).encode(reduced)),
            extra=job.entry.extra | {"n_uneven_bars": len(check_alignment(reduced).problems)},
        )
        for written in job.keys or (key,):
            target = inside(job.folder.parent, entry.keyed_path(written))
            if not is_fresh(target, source):
                write_text(target, transpose(reduced, written))
    except UnicodeDecodeError as error:
        raise NotationError(f"{source}: found bytes that are not UTF-8 at {error.start}") from error
    except ScoreError as error:
        raise type(error)(f"{source}: {error}") from error
    return entry


def _is_fetched(piece: SourcePiece, target: Path) -> bool:
    """Tell whether the file is this very piece; one of that name may come from another folder."""
    if piece.is_native:
        return target.is_file() and filecmp.cmp(piece.source, target, shallow=False)
    return is_fresh(target, piece.source)


def convert_back(job: tuple[Path, Path]) -> Path:
    """Convert an ABC file (standard, interleaved or reduced) to a MusicXML file, and return it.

    Raises:
        NotationError: If its bars or voices do not add up.
        ConversionError: If it cannot be converted.
    """
    source, target = job
    if not is_fresh(target, source):
        try:
            write_text(target, abc_to_musicxml(source.read_text(encoding="utf-8")))
        except UnicodeDecodeError as error:
            message = f"{source}: found bytes that are not UTF-8 at {error.start}"
            raise NotationError(message) from error
        except ScoreError as error:
            raise type(error)(f"{source}: {error}") from error
    return target
