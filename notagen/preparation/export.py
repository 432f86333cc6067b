"""A source's piece as MusicXML: native files as they are, others converted."""

import re
from pathlib import Path

from notagen.foundation.errors import ConversionError, ScoreError
from notagen.foundation.files import replaced_when_done, sha256
from notagen.foundation.limits import limited
from notagen.notation.musicxml import abc_to_musicxml
from notagen.sources.abc_file import read_abc, split_tunes
from notagen.sources.piece import SourcePiece

_MAX_BYTES = 50_000_000
_SECONDS = 300.0
_FORMATS = {".krn": "humdrum", ".mid": "midi", ".midi": "midi"}
_RANDOM_ID = re.compile(r'(?<=id=")[PI][0-9a-f]{32}(?=")')


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
            text = f"{_converted(piece).rstrip()}\n{_origin(piece)}\n"
            content = text.encode()
    except OSError as error:
        raise ConversionError(f"{piece.source}: {error.strerror}") from error
    except ScoreError as error:
        raise ConversionError(f"{piece.name}: {error}") from error
    with replaced_when_done(target) as temporary:
        temporary.write_bytes(content)


def is_exported(piece: SourcePiece, target: Path) -> bool:
    """Tell whether the file was written by `export_musicxml` for just this piece, as it is now."""
    if not (target.is_file() and piece.source.is_file()):
        return False
    if piece.is_native:
        same_size = target.stat().st_size == piece.source.stat().st_size
        return same_size and target.read_bytes() == piece.source.read_bytes()
    return target.read_bytes().endswith(f"\n{_origin(piece)}\n".encode())


def _converted(piece: SourcePiece) -> str:
    size = piece.source.stat().st_size
    if size > _MAX_BYTES:
        raise ConversionError(f"found {size} bytes, wanted at most {_MAX_BYTES}")
    if piece.source.suffix.lower() == ".abc":
        tunes = split_tunes(read_abc(piece.source))
        return abc_to_musicxml(tunes[(piece.tune or 1) - 1])
    return run_music21(str(piece.source), _FORMATS.get(piece.source.suffix.lower()))


def _origin(piece: SourcePiece) -> str:
    return f"<!-- from {sha256(piece.source)} tune {piece.tune or 1} -->"


@limited(seconds=_SECONDS)
def run_music21(path: str, file_format: str | None) -> str:
    """Return the MusicXML document that music21 makes of a score, the same each time.

    Args:
        path: The file.
        file_format: music21's name of its format; None to tell by the suffix.

    Raises:
        ConversionError: If music21 trips over the file, or takes too long.
    """
    import warnings

    warnings.simplefilter("ignore")
    from music21 import converter
    from music21.musicxml.m21ToXml import GeneralObjectExporter

    score = converter.parse(path, format=file_format, forceSource=True, storePickle=False)
    document = GeneralObjectExporter(score).parse().decode()
    # parts get random ids, and the document today's date
    ids: dict[str, str] = {}
    for match in _RANDOM_ID.finditer(document):
        ids.setdefault(match[0], f"{match[0][0]}{len(ids) + 1}")
    document = _RANDOM_ID.sub(lambda match: ids[match[0]], document)
    return re.sub(r"\s*<encoding-date>[^<]*</encoding-date>", "", document)
