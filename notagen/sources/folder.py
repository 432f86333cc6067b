"""Any folder of MusicXML as a source, with what a metadata file says of its pieces."""

import logging
from pathlib import Path, PurePosixPath

from notagen.foundation.errors import InputError, MissingInputError
from notagen.foundation.lines import read_lines
from notagen.sources.piece import NATIVE_SUFFIXES, SourcePiece, unique_ids

_logger = logging.getLogger(__name__)

_KNOWN = ("composer", "period", "instrumentation", "work", "title", "licence")


def folder_pieces(folder: Path, metadata: Path | None = None) -> list[SourcePiece]:
    """Return the MusicXML files below a folder, sorted by path; hidden ones are passed over.

    Args:
        folder: Searched with all its subfolders.
        metadata: JSONL file of objects with `path` (relative to `folder`, with suffix) and any of
            composer, period, instrumentation, work, title, licence. Other fields are passed over;
            lines of files that are not there are counted in a warning. A file without a `work` is
            a work of its own.

    Raises:
        MissingInputError: If the folder or the metadata file is not there.
        InputError: If the folder holds no MusicXML, or a line of the metadata cannot be used.
    """
    folder = folder.expanduser()
    if folder.is_file():
        raise InputError(f"{folder} is a file, wanted a folder of MusicXML files")
    if not folder.is_dir():
        raise MissingInputError(f"{folder} is not there; wanted a folder of MusicXML files")
    files = [
        PurePosixPath(file.relative_to(folder).as_posix())
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in NATIVE_SUFFIXES and file.is_file()
    ]
    files = [path for path in files if not any(part.startswith(".") for part in path.parts)]
    if not files:
        raise InputError(f"{folder}: found no {' or '.join(NATIVE_SUFFIXES)} file, wanted some")
    known = _read_metadata(metadata, set(map(str, files))) if metadata else {}
    ids = unique_ids(files)
    pieces = []
    for path in files:
        facts: dict[str, str] = {"work": str(path.with_suffix(""))} | known.get(str(path), {})
        pieces.append(SourcePiece(source=folder / path, id=ids[path], **facts))
    return pieces


def _read_metadata(metadata: Path, files: set[str]) -> dict[str, dict[str, str]]:
    if not metadata.is_file():
        raise MissingInputError(f"{metadata} is not there; wanted JSON lines with a field `path`")
    known: dict[str, dict[str, str]] = {}
    absent: list[str] = []
    for number, line in read_lines(metadata):
        for name in line:
            if name not in _KNOWN and name.lower() in _KNOWN:
                raise InputError(f"{metadata}:{number}: found {name!r}, wanted {name.lower()!r}")
        path = line.get("path")
        if not path:
            raise InputError(f"{metadata}:{number}: found no field `path`, wanted the file's path")
        if not isinstance(path, str):
            raise InputError(f"{metadata}:{number}: found path {path!r}, wanted str")
        if path not in files:
            absent.append(path)
            continue
        facts = {name: line[name] for name in _KNOWN if line.get(name)}
        for name, value in facts.items():
            if not isinstance(value, str):
                raise InputError(f"{metadata}:{number}: found {name} = {value!r}, wanted str")
        known[path] = facts
    if absent:
        _logger.warning(
            "%s: %d lines name files that are not in the folder, such as %r",
            metadata,
            len(absent),
            absent[0],
        )
    return known
