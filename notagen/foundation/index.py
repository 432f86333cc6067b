"""The JSONL index that stages hand to each other: one piece a line."""

import codecs
import dataclasses
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jsonlines

from notagen.foundation.errors import InputError, MissingInputError
from notagen.foundation.files import inside, replaced_when_done

GENERATIONS = "generations.jsonl"
"""In a folder of generated pieces: a line about each of them, which is no line of an index."""
Labels = tuple[str, str, str]
"""Period, composer and instrumentation."""


@dataclasses.dataclass(kw_only=True)
class IndexEntry:
    """One piece of an index.

    `path` is relative to the index file's folder. In an index of training texts it lacks the key
    suffix: the text in E flat lies at `<folder>/Eb/<name>_Eb.abc` for `path` `<folder>/<name>`.
    """

    path: str
    key: str | None = None
    """Key the piece is written in, such as `Eb`."""
    id: str | None = None
    work: str | None = None
    """Movements and editions of one work share it; splits never part them."""
    source: str | None = None
    licence: str | None = None
    split: str | None = None
    """`train` or `eval`."""
    period: str | None = None
    composer: str | None = None
    instrumentation: str | None = None
    title: str | None = None
    n_bars: int | None = None
    n_voices: int | None = None
    n_patches: int | None = None
    sha256: str | None = None
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of the line that this class does not know; written back as they were."""

    @property
    def prompt(self) -> Labels | None:
        """Period, composer and instrumentation, or None where one of them is unknown."""
        if self.period and self.composer and self.instrumentation:
            return self.period, self.composer, self.instrumentation
        return None

    def keyed_path(self, key: str) -> str:
        """Return where the text in `key` lies: `out/abc/song` in `Eb` is `out/abc/Eb/song_Eb.abc`.

        A name holds no folder of its own, so the key's folder stands directly above the file.
        """
        folder, _, name = self.path.rpartition("/")
        return f"{folder}/{key}/{name}_{key}.abc" if folder else f"{key}/{name}_{key}.abc"


_WHOLE_NUMBERS = {"n_bars", "n_voices", "n_patches"}
_KNOWN: dict[str, type] = {
    field.name: int if field.name in _WHOLE_NUMBERS else str
    for field in dataclasses.fields(IndexEntry)
    if field.name != "extra"
}
"""Fields of a line and their types."""
Stamp = tuple[int, int]
"""An index's size in bytes and the time of its last change in nanoseconds."""


def read_index(path: Path, *, made_by: str) -> Iterator[IndexEntry]:
    """Yield the entries of an index file, one line in memory at a time.

    Args:
        path: The JSONL file.
        made_by: Name of the stage that writes it, for the message when it is missing.

    Raises:
        MissingInputError: If the file is not there.
        InputError: If a line is not a JSON object, lacks `path`, holds a field of the wrong type,
            or leads out of the index's folder; file and line are named.
    """
    _check_there(path, made_by)
    for _, line in _lines(path):
        yield _entry(line)


def scan_index(path: Path, *, made_by: str) -> tuple[Stamp, Iterator[tuple[int, IndexEntry]]]:
    """Return an index's stamp, and of each line the byte where it begins and a part of its entry.

    That part is path, key, prompt and `n_patches`: of millions of lines, whole entries would take
    much longer. With the rest `read_entry` finds the whole one again.

    Arguments and errors are those of `read_index`.
    """
    _check_there(path, made_by)
    parts = (
        (
            offset,
            IndexEntry(
                path=line["path"],
                key=line.get("key"),
                period=line.get("period"),
                composer=line.get("composer"),
                instrumentation=line.get("instrumentation"),
                n_patches=line.get("n_patches"),
            ),
        )
        for offset, line in _lines(path)
    )
    return _stamp(path), parts


def read_entry(path: Path, offset: int, stamp: Stamp) -> IndexEntry:
    """Return the entry whose line begins at a byte of an index.

    Args:
        path: The JSONL file.
        offset: From `scan_index`.
        stamp: Of the file that was scanned, from there too.

    Raises:
        InputError: If the file is gone or has changed since.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            line = file.readline()
        # looked at last: lines read before it are of the scanned file
        unchanged = _stamp(path) == stamp
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    if not unchanged:
        raise InputError(f"{path} has changed since this run began; wanted it as it was")
    return _entry(_checked(line, path, f"byte {offset}"))


def write_index(path: Path, entries: Iterable[IndexEntry]) -> None:
    """Write an index, whole or not at all; unknown fields are kept, empty ones left out."""
    with (
        replaced_when_done(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="\n") as file,
        jsonlines.Writer(file, sort_keys=False) as writer,
    ):
        for entry in entries:
            known = {name: getattr(entry, name) for name in _KNOWN}
            writer.write({k: v for k, v in known.items() if v is not None} | entry.extra)


def _check_there(path: Path, made_by: str) -> None:
    if not path.is_file():
        raise MissingInputError(f"{path} is not there; {made_by} writes it")


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the byte at which each line begins, and its checked object."""
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            yield offset, _checked(line, path, number)
            offset += len(line)


def _checked(text: bytes, path: Path, place: int | str) -> dict[str, Any]:
    """Return the object of one line if it is in order; `place` says which line, in messages."""
    try:
        line = json.loads(text.removeprefix(codecs.BOM_UTF8).decode())
    except (ValueError, RecursionError):
        line = None
    if not isinstance(line, dict):
        raise InputError(f"{path}:{place}: found no JSON object, wanted one")
    if not line.get("path"):
        raise InputError(f"{path}:{place}: found no field `path`, wanted the piece's path")
    for name, value in line.items():
        wanted = _KNOWN.get(name)
        if wanted is not None and type(value) is not wanted and value is not None:
            raise InputError(f"{path}:{place}: found {name} = {value!r}, wanted {wanted.__name__}")
    relative = line["path"]
    # most paths need no closer look, which takes as long as all else here
    if ".." in relative or ":" in relative or relative[0] in "/\\":
        try:
            inside(path.parent, relative)
        except InputError as error:
            raise InputError(f"{path}:{place}: {error}") from error
    return line


def _entry(line: dict[str, Any]) -> IndexEntry:
    known = {name: value for name, value in line.items() if name in _KNOWN}
    extra = {name: value for name, value in line.items() if name not in _KNOWN}
    return IndexEntry(**known, extra=extra)
