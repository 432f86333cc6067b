"""Scores in other formats as MusicXML: MIDI and Humdrum, read by music21 in a process apart."""

import re
from pathlib import Path

from notagen.foundation.errors import ConversionError
from notagen.foundation.limits import limited

_MAX_BYTES = 50_000_000
_SECONDS = 300.0
_FORMATS = {".krn": "humdrum", ".mid": "midi", ".midi": "midi"}
_RANDOM_ID = re.compile(r'(?<=id=")[PI][0-9a-f]{32}(?=")')


def foreign_to_musicxml(path: Path) -> str:
    """Return the MusicXML document of a MIDI or kern file, the same each time.

    Raises:
        ConversionError: If it is too large, or music21 trips over it or takes too long.
        OSError: If it cannot be read.
    """
    check_size(path)
    return run_music21(str(path), _FORMATS.get(path.suffix.lower()))


def check_size(path: Path) -> None:
    """Check that a file is not larger than any score.

    Raises:
        ConversionError: If it is.
    """
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise ConversionError(f"found {size} bytes, wanted at most {_MAX_BYTES}")


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

    try:
        score = converter.parse(path, format=file_format, forceSource=True, storePickle=False)
        document = GeneralObjectExporter(score).parse().decode()
    except Exception as error:  # whatever it trips over
        kind = file_format or "score"
        raise ConversionError(f"found no {kind} that music21 can read: {error}") from error
    # parts get random ids, and the document today's date
    ids: dict[str, str] = {}
    for match in _RANDOM_ID.finditer(document):
        ids.setdefault(match[0], f"{match[0][0]}{len(ids) + 1}")
    document = _RANDOM_ID.sub(lambda match: ids[match[0]], document)
    return re.sub(r"\s*<encoding-date>[^<]*</encoding-date>", "", document)
