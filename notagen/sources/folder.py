"""Any folder of scores as a source, with what a metadata file says of its pieces."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from notagen.foundation.errors import InputError, MissingInputError
from notagen.foundation.files import writable
from notagen.sources.abc_file import count_tunes, read_abc
from notagen.sources.metadata import read_metadata
from notagen.sources.piece import CONVERTED_SUFFIXES, NATIVE_SUFFIXES, SourcePiece, unique_ids

_logger = logging.getLogger(__name__)

_SUFFIXES = (*NATIVE_SUFFIXES, *CONVERTED_SUFFIXES)
_MIDI_LOSES = (
    "%d MIDI files: MIDI holds when notes sound, not how they are written. Lengths are rounded to "
    "sixteenths and triplet eighths; spelling, voices, slurs, dynamics, words, other tuplets and "
    "repeats are lost, and a performance that was not played to a click makes poor notation"
)


def folder_pieces(
    folder: Path,
    metadata: Path | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    only_listed: bool = False,
) -> list[SourcePiece]:
    """Return the scores below a folder, sorted by path; hidden ones are passed over.

    An ABC file with many tunes gives a piece for each. MIDI files are warned of, once for all.

    Args:
        folder: Searched with all its subfolders for MusicXML, ABC, kern and MIDI.
        metadata: JSONL file of objects with `path` (relative to `folder`, with suffix) and what is
            known of it (see `read_metadata`). A file without a `work` is a work of its own; so is
            each tune of it.
        labels: Composer, period or instrumentation of the pieces whose metadata does not name it.
        only_listed: Whether files that the metadata does not list are passed over.

    Raises:
        MissingInputError: If the folder or the metadata file is not there.
        InputError: If the folder holds no score, or a line of the metadata cannot be used.
    """
    folder = folder.expanduser()
    if folder.is_file():
        raise InputError(f"{folder} is a file, wanted a folder of scores")
    if not folder.is_dir():
        raise MissingInputError(f"{folder} is not there; wanted a folder of scores")
    files = [
        PurePosixPath(file.relative_to(folder).as_posix())
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in _SUFFIXES and file.is_file()
    ]
    files = [path for path in files if not any(part.startswith(".") for part in path.parts)]
    if not files:
        raise InputError(f"{folder}: found no {' or '.join(_SUFFIXES)} file, wanted some")
    known = read_metadata(metadata, set(map(str, files))) if metadata else {}
    if only_listed:
        files = [path for path in files if str(path) in known]
    n_midi = sum(path.suffix.lower() in (".mid", ".midi") for path in files)
    if n_midi:
        _logger.warning(_MIDI_LOSES, n_midi)
    named = [piece for path in files for piece in _tunes(folder, path)]
    ids = unique_ids(name for name, _, _ in named)
    pieces = []
    for name, path, tune in named:
        facts = {"work": writable(str(name.with_suffix("")))} | dict(labels or {})
        facts |= known.get(str(path), {})
        pieces.append(SourcePiece(source=folder / path, id=ids[name], tune=tune, **facts))
    return pieces


def _tunes(
    folder: Path, path: PurePosixPath
) -> list[tuple[PurePosixPath, PurePosixPath, int | None]]:
    """Return each piece of a file: a path that names it alone, the file's, and its number in it."""
    count = 1
    if path.suffix.lower() == ".abc":
        with suppress(OSError):  # one that cannot be read is refused alone, when it is exported
            count = count_tunes(read_abc(folder / path))
    if count == 1:
        return [(path, path, None)]
    # below the file's own name, where no other file can be
    return [(path / f"{number}{path.suffix}", path, number) for number in range(1, count + 1)]
