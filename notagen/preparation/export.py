"""A source's piece as MusicXML: native files as they are, others converted."""

from functools import lru_cache
from pathlib import Path

from notagen.foundation.errors import ConversionError, ScoreError
from notagen.foundation.files import sha256, write_bytes
from notagen.notation.foreign import check_size, foreign_to_musicxml
from notagen.notation.musicxml import abc_to_musicxml
from notagen.sources.abc_file import read_abc, split_tunes
from notagen.sources.piece import SourcePiece


def export_musicxml(piece: SourcePiece, target: Path) -> None:
    """Write a piece as MusicXML, whole or not at all: native files byte for byte.

    ABC is read by our own reader, since music21's loses voices; kern and MIDI by music21. What
    was converted ends with a comment that names the source's digest, so that it is known again.

    Args:
        piece: From one of the sources.
        target: A file whose suffix is `piece.suffix`.

    Raises:
        ConversionError: If the file cannot be read or converted.
    """
    try:
        if piece.is_native:
            content = piece.source.read_bytes()
        else:
            content = marked(_converted(piece), _origin(piece)).encode()
    except OSError as error:
        raise ConversionError(f"{piece.source}: {error.strerror}") from error
    except ScoreError as error:
        raise ConversionError(f"{piece.name}: {error}") from error
    write_bytes(target, content)


def is_exported(piece: SourcePiece, target: Path) -> bool:
    """Tell whether the file was written by `export_musicxml` for just this piece, as it is now."""
    if not (target.is_file() and piece.source.is_file()):
        return False
    if piece.is_native:
        same_size = target.stat().st_size == piece.source.stat().st_size
        return same_size and target.read_bytes() == piece.source.read_bytes()
    return is_marked(target, _origin(piece))


def origin_mark(digest: str, tune: int = 1) -> str:
    """Return the comment that ends a MusicXML file made of the tune of a file with this digest."""
    return f"<!-- from {digest} tune {tune} -->"


def marked(document: str, mark: str) -> str:
    """Return a MusicXML document that ends with a mark."""
    return f"{document.rstrip()}\n{mark}\n"


def is_marked(target: Path, mark: str) -> bool:
    """Tell whether a file is there and ends with a mark."""
    return target.is_file() and target.read_bytes().endswith(f"\n{mark}\n".encode())


def _converted(piece: SourcePiece) -> str:
    if piece.source.suffix.lower() == ".abc":
        check_size(piece.source)
        return abc_to_musicxml(_book(*_version(piece.source))[(piece.tune or 1) - 1])
    return foreign_to_musicxml(piece.source)


def _origin(piece: SourcePiece) -> str:
    return origin_mark(_digest(*_version(piece.source)), piece.tune or 1)


def _version(source: Path) -> tuple[Path, int, int]:
    """Return what changes when a file does."""
    facts = source.stat()
    return source, facts.st_mtime_ns, facts.st_size


# a worker meets the tunes of a book one after another: it is read and split once, not for each
@lru_cache(maxsize=1)
def _book(source: Path, _time: int, _size: int) -> list[str]:
    return split_tunes(read_abc(source))


@lru_cache(maxsize=1)
def _digest(source: Path, _time: int, _size: int) -> str:
    return sha256(source)
