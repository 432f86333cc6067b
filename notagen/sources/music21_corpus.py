r"""The pieces of music21's corpus that we use, chosen by the reviewed table music21_corpus.tsv.

Each row of the table is a pattern over paths below music21's corpus folder; a file takes the first
row that matches, and a file which no row matches is not used. In a pattern `*` also matches `/`.
The table's `work` column says how a file gets its work id, which movements and editions share:

    ^(bach/bwv\d+)   a regular expression; its first group, searched in the path
    folder           the folder that holds the file
    file             the path without its suffix
    =bach/bwv12      this id
"""

import csv
import importlib.util
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import resources
from itertools import zip_longest
from pathlib import Path, PurePosixPath

from notagen.foundation.errors import MissingInputError
from notagen.sources.piece import SourcePiece, unique_ids


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One reviewed pattern; the fields are the columns of the table."""

    pattern: str
    use: bool
    composer: str
    period: str
    instrumentation: str
    work: str
    licence: str
    note: str


def corpus_folder() -> Path:
    """Return music21's corpus folder without importing music21, which takes seconds.

    Raises:
        MissingInputError: If music21 is not installed, or installed without its corpus.
    """
    spec = importlib.util.find_spec("music21")
    if spec is None or not spec.submodule_search_locations:
        raise MissingInputError("music21 is not installed: pip install -r requirements.txt")
    folder = Path(spec.submodule_search_locations[0]) / "corpus"
    if not (folder / "bach").is_dir():
        raise MissingInputError(f"{folder}: this music21 was installed without its corpus")
    return folder


def table_rows() -> list[TableRow]:
    """Return the rows of the reviewed table, first match first."""
    table = resources.files("notagen.sources") / "music21_corpus.tsv"
    # QUOTE_NONE: quotation marks in the licences are part of the text.
    lines = csv.DictReader(
        table.read_text(encoding="utf-8").splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE
    )
    return [
        TableRow(
            pattern=line["pattern"],
            use=line["use"] == "yes",
            composer=line["composer"],
            period=line["period"],
            instrumentation=line["instrumentation"],
            work=line["work"],
            licence=line["licence"],
            note=line["note"],
        )
        for line in lines
    ]


def first_match(path: PurePosixPath, rows: Iterable[TableRow]) -> TableRow | None:
    """Return the first row whose pattern matches a path relative to the corpus, or None."""
    return next((row for row in rows if fnmatchcase(str(path), row.pattern)), None)


def work_id(path: PurePosixPath, rule: str) -> str:
    r"""Return the work id which a rule of the table gives a file.

    Before `bach/bwv112.5-sc.mxl` and `^(bach/bwv\d+)`, after `bach/bwv112`.

    Args:
        path: Relative to the corpus folder.
        rule: See the module's docstring.

    Raises:
        ValueError: If the rule is a regular expression that does not match the path.
    """
    if rule.startswith("="):
        return rule[1:]
    if rule == "folder":
        return str(path.parent)
    if rule == "file":
        return str(path.with_suffix(""))
    found = re.search(rule, str(path))
    if found is None:
        raise ValueError(f"{path}: the work rule {rule!r} does not match, wanted one group")
    return found[1]


def corpus_pieces() -> list[SourcePiece]:
    """Return all used pieces, one of each sub-collection in turn, so the first few are varied."""
    folder = corpus_folder()
    rows = table_rows()
    used: dict[PurePosixPath, TableRow] = {}
    for file in folder.rglob("*"):
        path = PurePosixPath(file.relative_to(folder).as_posix())
        row = first_match(path, rows) if file.is_file() else None
        if row is not None and row.use:
            used[path] = row
    ids = unique_ids(used)
    collections: dict[str, list[SourcePiece]] = {}
    for path in sorted(used, key=_natural):
        row = used[path]
        piece = SourcePiece(
            source=folder / path,
            id=ids[path],
            composer=row.composer,
            period=row.period,
            instrumentation=row.instrumentation,
            work=work_id(path, row.work),
            licence=row.licence,
        )
        collections.setdefault(path.parts[0], []).append(piece)
    rounds = zip_longest(*collections.values())
    return [piece for round_ in rounds for piece in round_ if piece is not None]


def _natural(path: PurePosixPath) -> list[tuple[int, str]]:
    """Sort key that puts bwv9 before bwv10."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
