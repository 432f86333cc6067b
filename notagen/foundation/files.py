"""Writes that never leave half a file, and paths that never leave their folder."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

from notagen.foundation.errors import InputError


@contextmanager
def replaced_when_done(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the place of `path` if the block succeeds.

    Readers see the old file or the new one, never a part. If the block raises, the temporary
    file is removed and `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{path.stem}-", suffix=f".part{path.suffix}", dir=path.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends, whole or not at all."""
    with replaced_when_done(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes, whole or not at all."""
    with replaced_when_done(path) as temporary:
        temporary.write_bytes(content)


def writable(text: str) -> str:
    r"""Return text as UTF-8 can hold it: a file name's byte that is no letter as `\udce9`."""
    return text.encode("utf-8", "backslashreplace").decode()


def sha256(path: Path) -> str:
    """Return the file's SHA-256 as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_fresh(output: Path, *inputs: Path) -> bool:
    """Tell whether `output` exists and is no older than any of `inputs`."""
    if not output.is_file():
        return False
    written = output.stat().st_mtime_ns
    return all(source.stat().st_mtime_ns <= written for source in inputs)


def inside(folder: Path, relative: str) -> Path:
    """Return `folder / relative`, refusing absolute paths and steps up.

    Raises:
        InputError: If the path is absolute or climbs out of the folder.
    """
    steps = PurePath(relative)
    if steps.is_absolute() or ".." in steps.parts:
        raise InputError(f"{relative!r} leads out of {folder}; wanted a path inside it")
    return folder / steps


def _umask() -> int:
    """Return the process's umask; reading it means setting it, so it is set back at once."""
    current = os.umask(0)
    os.umask(current)
    return current
