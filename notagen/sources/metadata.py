"""What a file beside the scores says of each."""

import logging
from collections.abc import Set
from pathlib import Path

from notagen.foundation.errors import InputError, MissingInputError
from notagen.foundation.lines import read_lines

_logger = logging.getLogger(__name__)

_KNOWN = ("composer", "period", "instrumentation", "work", "title", "licence")


def read_metadata(
    metadata: Path, files: Set[str], *, within: tuple[str, ...] = ("",)
) -> dict[str, dict[str, str]]:
    """Return what a JSONL file says of scores, by path.

    Args:
        metadata: Objects with `path` and any of composer, period, instrumentation, work, title,
            licence. Other fields are passed over; lines of files that are not there are counted
            in a warning.
        files: Paths of the scores that are there, as `metadata` writes them.
        within: Lines whose path begins with none of these are passed over.

    Raises:
        MissingInputError: If the metadata file is not there.
        InputError: If a line of it cannot be used, or two are about one score.
    """
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
        if not path.startswith(within):
            continue
        if path not in files:
            absent.append(path)
            continue
        if path in known:
            raise InputError(f"{metadata}:{number}: found {path!r} again, wanted it once")
        facts = {name: line[name] for name in _KNOWN if line.get(name)}
        for name, value in facts.items():
            if not isinstance(value, str):
                raise InputError(f"{metadata}:{number}: found {name} = {value!r}, wanted str")
        known[path] = facts
    if absent:
        _logger.warning(
            "%s: files that it names and that are not there: %d, such as %r",
            metadata,
            len(absent),
            absent[0],
        )
    return known
