"""A score that a source offers: where it lies, what is known of it, and its name from now on."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

NATIVE_SUFFIXES = (".mxl", ".xml", ".musicxml")
"""MusicXML, compressed or not: copied as it is."""
CONVERTED_SUFFIXES = (".abc", ".krn", ".mid", ".midi")
"""ABC, Humdrum and MIDI: converted to MusicXML when they are fetched."""

_MAX_NAME = 120
"""File systems take 255 characters, keys and suffixes among them."""


@dataclass(frozen=True, kw_only=True)
class SourcePiece:
    """One score of a source."""

    source: Path
    """The file."""
    id: str
    """Unique in its source, of A-Z a-z 0-9 . _ and -; the piece's file name from now on."""
    work: str
    """Shared by the movements and editions of one work."""
    composer: str | None = None
    """ASCII, "Surname, Given"."""
    period: str | None = None
    instrumentation: str | None = None
    title: str | None = None
    licence: str | None = None
    """What the file or its collection says about the encoding."""
    origin: str | None = None
    """Address of the file, where it was downloaded."""
    collection: str | None = None
    """Name of the public collection that it is from."""
    tune: int | None = None
    """Which tune of a file that holds many, from 1."""

    @property
    def name(self) -> str:
        """What a message calls the piece: its file, and the tune in it."""
        return f"{self.source}: tune {self.tune}" if self.tune else str(self.source)

    @property
    def is_native(self) -> bool:
        """Whether the file is MusicXML already."""
        return self.source.suffix.lower() in NATIVE_SUFFIXES

    @property
    def suffix(self) -> str:
        """Suffix of the piece's MusicXML file."""
        return self.source.suffix.lower() if self.is_native else ".musicxml"


def unique_ids(paths: Iterable[PurePosixPath]) -> dict[PurePosixPath, str]:
    """Return an id for each path: folders joined with `-`, suffix dropped, odd characters as `_`.

    `bach/bwv66.6.mxl` gives `bach-bwv66.6`. Of paths whose ids would collide (also on a file
    system that ignores case) each keeps its suffix, and is numbered if that does not help.
    """
    plain = {path: _safe(path.with_suffix("")) for path in paths}
    counts: dict[str, int] = {}
    for name in plain.values():
        counts[name.lower()] = counts.get(name.lower(), 0) + 1
    ids: dict[PurePosixPath, str] = {}
    taken: set[str] = set()
    for path in sorted(plain):
        name = plain[path]
        if counts[name.lower()] > 1:
            name = f"{name}-{path.suffix[1:]}"
        unique, number = name, 2
        while unique.lower() in taken:
            unique, number = f"{name}-{number}", number + 1
        taken.add(unique.lower())
        ids[path] = unique
    return ids


def _safe(path: PurePosixPath) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(path.parts)).lstrip(".") or "_"
    if len(name) <= _MAX_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[:_MAX_NAME]}-{digest}"
