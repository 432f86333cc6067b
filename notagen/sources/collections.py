"""Public collections of scores, each at one commit of its repository, with licence and labels.

What is known of a piece is read from its path (OpenScore) or from the reference records at the
head of its file (Humdrum). Spelling and period of the composers stand in composers.tsv.
"""

import csv
import dataclasses
import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from anyascii import anyascii

from notagen.foundation.errors import InputError
from notagen.foundation.files import sha256, write_text
from notagen.foundation.lines import read_lines
from notagen.sources.download import download, unpack
from notagen.sources.metadata import read_metadata
from notagen.sources.piece import SourcePiece, unique_ids

_logger = logging.getLogger(__name__)

GITHUB = "https://codeload.github.com"
"""Where archives of GitHub's repositories are."""

_OPENSCORE = "CC0-1.0"
_NIFC = "The Fryderyk Chopin Institute (https://nifc.pl). License: CC BY 4.0"
_PERIODS = ((1380, "Medieval"), (1575, "Renaissance"), (1725, "Baroque"), (1795, "Classical"),
            (1872, "Romantic"))  # fmt: skip
"""Composers born before the year, and their period; later ones are Modern."""


@dataclass(frozen=True, kw_only=True)
class Collection:
    """A repository, which of its files are scores, and what their paths say."""

    repository: str
    commit: str
    licence: str
    attribution: str
    layout: str
    """Pattern of a score's path; its groups are `composer`, `work`, `title`, `edition_of`. Of the
    scores with the same `edition_of` groups only the first is taken, unless metadata lists them."""
    instrumentation: tuple[tuple[str, str], ...] = ()
    """Patterns, searched in the path, and the instrumentation of the first that is found."""
    composer: str | None = None
    """Where all the scores are by one."""
    misfiled: str = r"(?!)"
    """Pattern of the paths that name another than the composer; such a score is taken only where
    metadata lists it."""

    def url(self, base: str) -> str:
        """Return the address of the archive."""
        return f"{base.rstrip('/')}/{self.repository}/zip/{self.commit}"


class _Score(NamedTuple):
    """A file of a collection."""

    collection: str
    path: PurePosixPath
    """In the repository."""
    match: re.Match[str]
    """What the path says."""


COLLECTIONS = {
    "openscore-lieder": Collection(
        repository="OpenScore/Lieder",
        commit="bca122458de6da362abe62dd6aec62e25d7759b1",
        licence=_OPENSCORE,
        attribution="OpenScore Lieder Corpus, Gotham and Jonas (CC0, citing is good manners)",
        # two files hold another song than they say
        layout=r"scores/(?P<composer>[^/]+)/(?=(?P<work>_/[^/]+|[^/]+))[^/]+/"
        r"(?:\d+_)?(?P<title>[^/]+)/(?!lc(?:30888626|6994338)\b)[^/]+\.mxl",
        instrumentation=(
            (r"Marienlieder|Gartenlieder|_Glee_|Hush_to_Peace|4-part", "Choral"),
            ("", "Art Song"),
        ),
        # anthologies, under their editors
        misfiled=r"scores/(Boulton|Parratt),",
    ),
    "openscore-string-quartets": Collection(
        repository="OpenScore/StringQuartets",
        commit="2c723a5b7b4ea5420826116dfa912956c6a022c2",
        licence=_OPENSCORE,
        attribution="OpenScore String Quartet Corpus (CC0, citing is good manners)",
        layout=r"scores/(?P<composer>[^/]+)/(?P<work>(?P<title>[^/]+))/[^/]+\.mxl",
        instrumentation=(("", "Chamber"),),
    ),
    "openscore-orchestra": Collection(
        repository="MarkGotham/Hauptstimme",
        commit="8f677853c45b74ca0afcd79677e5379c06c82354",
        licence="CC0-1.0 (scores; the theme labels written into them are CC BY-SA 4.0)",
        attribution="OpenScore Orchestra, Hauptstimme, Mark Gotham and others",
        layout=r"data/(?P<composer>[^/]+)/(?P<work>(?P<title>[^/]+))/(?:[^/]+/)?"
        r"(?![^/]*_melody\.)[^/]+\.mxl",
        instrumentation=((r"Mass|Requiem", "Vocal-Orchestral"), ("", "Orchestral")),
    ),
    "polish-scores": Collection(
        repository="pl-wnifc/humdrum-polish-scores",
        commit="c0403623c0da3f75f1bcd6041dc85098e0cabe02",
        licence="CC-BY-4.0",
        attribution=f"Polish Music Heritage in Open Access. Copyright 2019-2022 {_NIFC}",
        layout=r"(?P<work>[^/]+/kern/(?:[^/]*--\d{3}(?=-\d{3}_)|[^/_]+))[^/]*\.krn",
    ),
    "chopin-first-editions": Collection(
        repository="pl-wnifc/humdrum-chopin-first-editions",
        commit="95dfb105c1669c72d10b04088566154f12d3dc1c",
        licence="CC-BY-4.0",
        attribution=f"First Editions of Fryderyk Chopin's Music. Copyright 2017-2021 {_NIFC}",
        # single parts of chamber music stand beside the score
        layout=r"kern/(?!.*-(?:piano|viol[a-z]*)\.krn)(?P<work>\d+|[A-Za-z]+)[^-/]*-[^-/]+-[^-/]+"
        r"(?:-(?P<edition_of>[^/]+))?\.krn",
        instrumentation=(
            (r"kern/074", "Art Song"),
            (r"kern/(?!002|003|008|011|013|014|021|022|065)\d", "Keyboard"),
        ),
        composer="Chopin, Frederic",
    ),
}
"""By the name of the source."""


def fetch_collections(
    names: Sequence[str], downloads: Path, *, base: str = GITHUB, metadata: Path | None = None
) -> list[SourcePiece]:
    """Return the pieces of collections, downloaded and unpacked if they are not there yet.

    Beside each archive stands a JSON file with its address, commit, SHA-256, licence and whom to
    name.

    Args:
        names: Of `COLLECTIONS`; where there are several, ids begin with the collection's name.
        downloads: Receives the archives and their scores.
        base: Stands for `https://codeload.github.com`.
        metadata: The pieces to take, and what is known of them beyond what the collections say (see
            `read_metadata`); a `path` is the collection's name and the path in its repository.
            None takes all.

    Raises:
        MissingInputError: If the metadata file is not there.
        InputError: If a collection cannot be downloaded, or is not what was downloaded before, or
            a line of the metadata cannot be used.
    """
    folders = {name: _fetch(name, downloads, base) for name in names}
    scores = {
        f"{name}/{path}": _Score(name, path, match)
        for name, folder in folders.items()
        for path, match in _matches(COLLECTIONS[name], folder)
    }
    if metadata is None:
        known: dict[str, dict[str, str]] = {key: {} for key in _by_themselves(scores)}
    else:
        within = tuple(f"{name}/" for name in names)
        known = read_metadata(metadata, scores.keys(), within=within)
    named = {key: PurePosixPath(key) if len(names) > 1 else scores[key][1] for key in known}
    ids = unique_ids(named.values())
    pieces = []
    for key, facts in sorted(known.items()):
        name, path, match = scores[key]
        piece = _piece(name, path, match, folders[name], ids[named[key]])
        fields: dict[str, Any] = {**facts}  # of several types, for all that mypy knows
        pieces.append(dataclasses.replace(piece, **fields))
    return pieces


def _fetch(name: str, downloads: Path, base: str) -> Path:
    """Return the folder of a collection's scores, downloaded if it is not there yet."""
    collection = COLLECTIONS[name]
    stem = f"{name}-{collection.commit[:12]}"
    archive, record = downloads / f"{stem}.zip", downloads / f"{stem}.json"
    # what is unpacked depends on the layout
    folder = downloads / f"{stem}-{hashlib.sha256(collection.layout.encode()).hexdigest()[:8]}"
    if not folder.is_dir():
        if not (archive.is_file() and record.is_file()):
            digest = download(collection.url(base), archive)
            _write_record(record, name, collection, digest, archive.stat().st_size)
        known = next(line for _, line in read_lines(record))["sha256"]
        if sha256(archive) != known:
            raise InputError(f"{archive}: found other bytes than were downloaded; remove it")
        layout = re.compile(collection.layout)
        count = unpack(archive, folder, wanted=lambda path: layout.fullmatch(path) is not None)
        _logger.info("%s: %d scores, sha256 %s", name, count, known)
    return folder


def _matches(collection: Collection, folder: Path) -> Iterator[tuple[PurePosixPath, re.Match[str]]]:
    for file in sorted(folder.rglob("*")):
        path = PurePosixPath(file.relative_to(folder).as_posix())
        match = re.fullmatch(collection.layout, str(path))
        if match is not None and file.is_file():
            yield path, match


def _by_themselves(scores: Mapping[str, _Score]) -> Iterator[str]:
    """Yield the keys of what is taken without metadata: of each piece the first edition."""
    taken: set[tuple[str, ...]] = set()
    for key, (name, path, match) in scores.items():
        if re.match(COLLECTIONS[name].misfiled, str(path)):
            continue
        groups = match.groupdict()
        if "edition_of" in groups:
            edition = name, groups["work"], (groups["edition_of"] or "")[:3]
            if edition in taken:
                continue
            taken.add(edition)
        yield key


def _piece(
    name: str, path: PurePosixPath, match: re.Match[str], folder: Path, piece_id: str
) -> SourcePiece:
    collection = COLLECTIONS[name]
    groups = {group: value for group, value in match.groupdict().items() if value}
    records = _records(folder / path) if path.suffix == ".krn" else {}
    written = collection.composer or groups.get("composer") or records.get("COM", "")
    composer, period = _composer(written, records.get("CDT", ""))
    kinds = (kind for pattern, kind in collection.instrumentation if re.search(pattern, str(path)))
    return SourcePiece(
        source=folder / path,
        id=piece_id,
        work="/".join([name, *(groups[g] for g in ("composer", "work") if g in groups)]),
        composer=composer,
        period=period,
        instrumentation=next(kinds, None) or _scoring(records.get("AIN", "")),
        title=anyascii(groups.get("title", "").replace("_", " ").strip() or records.get("OTL", ""))
        or None,
        licence=collection.licence,
        origin=f"https://github.com/{collection.repository}/blob/{collection.commit}/{path}",
        collection=name,
    )


def _records(file: Path) -> dict[str, str]:
    """Return the reference records of a Humdrum file: `!!!COM: Chopin, Fryderyk`."""
    text = file.read_text(encoding="utf-8", errors="replace")
    found = re.findall(r"^!!!([A-Z]{3}):[ \t]*(\S.*)$", text, flags=re.MULTILINE)
    return {name: value.strip() for name, value in reversed(found)}


def _composer(written: str, dates: str) -> tuple[str | None, str | None]:
    """Return a composer's name as prompts have it and the period, where they are known."""
    name = anyascii(written.replace("_", " ")).strip()
    if name in _composers():
        return _composers()[name]
    born = re.match(r"\D{0,2}(\d{4})", dates)
    if not name or born is None:
        return name or None, None
    return name, next((word for year, word in _PERIODS if int(born[1]) < year), "Modern")


@cache
def _composers() -> dict[str, tuple[str, str]]:
    table = resources.files("notagen.sources") / "composers.tsv"
    lines = csv.DictReader(table.read_text(encoding="utf-8").splitlines(), delimiter="\t")
    return {line["name"]: (line["composer"], line["period"]) for line in lines}


def _scoring(instruments: str) -> str | None:
    """Return the instrumentation that a record such as `2 piano 1 vox` states beyond doubt."""
    counts = {word: int(number) for number, word in re.findall(r"(\d+) ([a-z]+)", instruments)}
    keyboards = {"piano", "organ", "cemba", "clavi", "klav"} & counts.keys()
    others = counts.keys() - keyboards
    if keyboards and not others:
        return "Keyboard"
    return "Art Song" if keyboards and others == {"vox"} and counts["vox"] == 1 else None


def _write_record(record: Path, name: str, collection: Collection, digest: str, size: int) -> None:
    facts = {
        "source": name,
        "url": collection.url(GITHUB),
        "commit": collection.commit,
        "sha256": digest,
        "bytes": size,
        "licence": collection.licence,
        "attribution": collection.attribution,
    }
    write_text(record, json.dumps(facts) + "\n")
