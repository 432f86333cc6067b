"""The JSONL index that stages hand to each other: one piece a line."""

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jsonlines

from notagen.foundation.errors import InputError, MissingInputError
from notagen.foundation.files import inside, replaced_when_done
from notagen.foundation.lines import read_lines


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
    def prompt(self) -> tuple[str, str, str] | None:
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


_KNOWN = {field.name: field for field in dataclasses.fields(IndexEntry) if field.name != "extra"}
_WHOLE_NUMBERS = {"n_bars", "n_voices", "n_patches"}


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
    if not path.is_file():
        raise MissingInputError(f"{path} is not there; {made_by} writes it")
    for number, line in read_lines(path):
        yield _entry(line, path, number)


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


def _entry(line: dict[str, Any], path: Path, number: int) -> IndexEntry:
    where = f"{path}:{number}"
    if not line.get("path"):
        raise InputError(f"{where}: found no field `path`, wanted the piece's path")
    for name, value in line.items():
        wanted = int if name in _WHOLE_NUMBERS else str
        if name in _KNOWN and value is not None and type(value) is not wanted:
            raise InputError(f"{where}: found {name} = {value!r}, wanted {wanted.__name__}")
    try:
        inside(path.parent, line["path"])
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    known = {name: value for name, value in line.items() if name in _KNOWN}
    extra = {name: value for name, value in line.items() if name not in _KNOWN}
    return IndexEntry(**known, extra=extra)
