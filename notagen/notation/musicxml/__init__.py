"""The only door to MusicXML: scores to ABC, and ABC to scores. In process, safe in any thread."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from notagen.foundation.errors import ConversionError, ScoreError
from notagen.notation.interleave import is_interleaved, parse_interleaved
from notagen.notation.musicxml.document import parse_document, read_musicxml
from notagen.notation.musicxml.reading import read_tune
from notagen.notation.musicxml.writing import write_score
from notagen.notation.rests import restore_rests
from notagen.notation.tune import format_abc, parse_abc

MAX_CHARACTERS = 2_000_000
"""Longest ABC text that is converted."""


def musicxml_to_abc(path: Path | str) -> str:
    """Return the standard ABC of a MusicXML file (.xml, .musicxml or compressed .mxl).

    Unit note length 1/8, voices as `V:1 treble nm="..."` in the order of `%%score`.
    docs/notation.md says what is kept.

    Raises:
        ConversionError: If the file is no MusicXML score in parts, is damaged or too large, or
            holds what cannot be written; the message begins with the path.
        FileNotFoundError: If there is no such file.
    """
    path = Path(path)
    try:
        return document_to_abc(read_musicxml(path))
    except ScoreError as error:
        raise ConversionError(f"{path}: {error}") from error


def document_to_abc(document: bytes) -> str:
    """Return the standard ABC of a MusicXML document.

    Raises:
        ScoreError: As `musicxml_to_abc`, without the path.
    """
    with _collection_paused():
        return format_abc(read_tune(parse_document(document)))


def abc_to_musicxml(abc: str) -> str:
    """Return the MusicXML document of a tune.

    Args:
        abc: Standard, interleaved or reduced ABC; prompt lines and bar counters allowed.

    Raises:
        NotationError: If the tune's bars or voices do not add up.
        ConversionError: If it is too long, or holds no note or rest.
    """
    if len(abc) > MAX_CHARACTERS:
        raise ConversionError(f"found {len(abc)} characters, wanted at most {MAX_CHARACTERS}")
    with _collection_paused():
        tune = parse_interleaved(restore_rests(abc)) if is_interleaved(abc) else parse_abc(abc)
        return write_score(tune)


@contextmanager
def _collection_paused() -> Iterator[None]:
    """Pause the search for reference cycles, which takes most of the time of reading a large tree.

    Threads may overlap here: whoever found it running starts it again.
    """
    was_running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_running:
            gc.enable()
