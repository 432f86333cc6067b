"""Markdown tables of results, and their place in a page."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from notagen.evaluation.distances import LABELS
from notagen.evaluation.likelihood import CACHED, FLOOR, MODEL, Row, common_figures
from notagen.evaluation.results import Result, figure
from notagen.foundation.errors import InputError, MissingInputError
from notagen.foundation.files import write_text
from notagen.metrics.figures import Figure

BEGIN, END = "<!-- evaluation: begin -->", "<!-- evaluation: end -->"
"""Lines of a page between which the tables stand."""

_VALIDITY = {
    "parses": "parse as written",
    "aligned": "align",
    "converts": "convert",
    "same_notes": "same notes read by music21",
    "has_notes": "have notes",
    "sound_header": "sound header",
    "in_range": "all notes in range",
    "no_loop": "no loop",
    "finished": "finished",
    "bar_alignment_error": "unaligned bars",
    "notes_out_of_range": "notes out of range",
    "distinct_bars": "distinct bars",
    "mended_bars": "mended bars",
}


def write_tables(page: Path, results: Sequence[Result]) -> None:
    """Put the tables of all results into a page, in place of those that stand there.

    Raises:
        MissingInputError: If the page is not there.
        InputError: If it has no two lines between which they stand, or results lack something.
    """
    if not page.is_file():
        raise MissingInputError(f"{page} is not there; wanted a page with the line {BEGIN}")
    text = page.read_text(encoding="utf-8")
    place = re.compile(f"^{BEGIN}$.*^{END}$", re.MULTILINE | re.DOTALL)
    if not place.search(text) or (text.count(BEGIN), text.count(END)) != (1, 1):
        raise InputError(f"{page}: found no place for tables, wanted the lines {BEGIN} and {END}")
    for result in results:
        try:
            format_tables([result])
        except (KeyError, TypeError, AttributeError) as error:
            message = f"results of {result['name']} lack {error}; evaluate.py makes them anew"
            raise InputError(message) from error
    tables = "\n\n".join(format_tables(results))
    write_text(page, place.sub(lambda _: f"{BEGIN}\n\n{tables}\n\n{END}", text))


def format_tables(results: Sequence[Result]) -> list[str]:
    """Return a heading and a Markdown table for each kind of figure that any result has."""

    def having(part: str) -> list[Result]:
        return [result for result in results if part in result]

    groups: dict[str, list[Result]] = {}
    for result in having("likelihood"):
        groups.setdefault(result["inputs"]["reference"]["sha256"], []).append(result)
    parts = []
    if groups:
        parts += ["### Bits a character", *map(_likelihood, groups.values())]
    for part, heading, formatted in (
        ("validity", "### Soundness", _validity),
        ("statistics", "### Musical statistics beside real pieces", _statistics),
        ("features", "### Distances on features", _features),
        ("judgements", "### What people said", format_judgements),
    ):
        if having(part):
            parts += [heading, formatted(having(part))]
    return parts


def _likelihood(results: Sequence[Result]) -> str:
    """Return the table of all predictors of one set of pieces, each floor once."""
    rows: dict[str, tuple[Row, str, int]] = {}
    floors: dict[str, Row] = {}
    for result in results:
        inputs, found = result["inputs"], result["likelihood"]
        floor = found["rows"].get(CACHED)
        for title, row in found["rows"].items():
            left_out = row["left_out"] + len(found["left_out"])
            if title in (FLOOR, CACHED):
                train = inputs["train"]
                shown = f"{title}, learned from {_set_name(train)}"
                known_by = f"{title} {train['sha256']}"
                rows.setdefault(known_by, (row, shown, left_out))
            else:
                known_by = shown = result["name"] + title.removeprefix(MODEL)
                rows[known_by] = row, shown, left_out
            # each beside the floor that has learned what it has
            if floor and title != CACHED:
                floors[known_by] = floor
    first = results[0]
    common = common_figures(
        {title: row for title, (row, *_) in rows.items()},
        floors,
        first["likelihood"]["characters"],
        first["likelihood"]["works"],
        seed=first["settings"]["seed"],
    )
    n_common = max((found.bits_per_character.n for found in common.values()), default=0)
    lines = [
        [
            shown,
            format_number(figure(row["bits_per_character"]), 3),
            format_number(common[title].bits_per_character, 3),
            format_number(common[title].of_floor, 3),
            str(row.get("context", "")),
            str(left_out),
        ]
        for title, (row, shown, left_out) in rows.items()
    ]
    heads = [
        f"bits a character of {_set_name(first['inputs']['reference'])}",
        "all",
        f"the {n_common} that fit every context",
        "over those of the floor with cache",
        "context, patches",
        "left out",
    ]
    return format_table(heads, lines)


def _validity(results: Sequence[Result]) -> str:
    columns = {result["name"]: result["validity"]["generations"] for result in results}
    real = {
        result["inputs"]["reference"]["sha256"]: (
            f"real: {_set_name(result['inputs']['reference'])}",
            result["validity"]["reference"],
        )
        for result in results
    }
    heads = ["soundness", *columns, *(name for name, _ in real.values())]
    found = [*columns.values(), *(figures for _, figures in real.values())]
    lines = [
        ["pieces", *(str(figure(one["parses"]).n) for one in found)],
        *(
            [words, *(format_percent(figure(one.get(name))) for one in found)]
            for name, words in _VALIDITY.items()
        ),
    ]
    return format_table(heads, lines)


def _statistics(results: Sequence[Result]) -> str:
    names = list(dict.fromkeys(name for result in results for name in result["statistics"]))

    def overlaps(name: str) -> Iterator[Figure]:
        for result in results:
            for side in ("overlap", "reference_overlap"):
                yield figure(_at(result["statistics"], name, side))

    lines = [
        [name.replace("_", " "), *(format_number(found, 2) for found in overlaps(name))]
        for name in names
    ]
    if names:
        lines.insert(0, ["pieces compared", *(str(found.n) for found in overlaps(names[0]))])
    columns = [name for one in results for name in (f"within {one['name']}", "within the real")]
    return format_table(["overlap of distances between the sets with those", *columns], lines)


def _features(results: Sequence[Result]) -> str:
    """Return the table of distances, a column a result, of real pieces where that tells more."""
    found = [result["features"] for result in results]

    def row(words: str, *path: str, digits: int = 3) -> list[str]:
        return [words, *(format_number(figure(_at(one, *path)), digits) for one in found)]

    without = [one["without_features"]["generations"] for one in found]
    bends = [_at(one, "frechet", "mle", "bend") for one in found]
    lines = [
        ["features", *(one["extractor"] for one in found)],
        ["pieces without features", *map(str, without)],
        row("Fréchet distance of the samples", "frechet", "mle", "distance"),
        row("the same, of endless samples", "frechet", "mle", "infinity"),
        ["bend of its line", *("" if bend is None else f"{bend:.3f}" for bend in bends)],
    ]
    for label in LABELS:
        lines.append(row(f"{label} as asked for, by a probe", "probes", label, "agreement"))
        lines.append(row(f"{label} of real pieces, by a probe", "probes", label, "accuracy"))
        lines.append(row(f"{label} of real pieces, the commonest", "probes", label, "majority"))
    for words, *path in (
        ("similarity to the nearest piece learned from", "copying", "mean"),
        ("share of pieces nearer than 0.95 to one", "copying", "copied"),
        ("mean distance between two pieces", "diversity"),
    ):
        what, *rest = path
        lines.append(row(words, what, "generations", *rest))
        lines.append(row(f"{words}, of real pieces", what, "reference", *rest))
    kept = [line for line in lines if any(line[1:])]
    return format_table(["distances", *(result["name"] for result in results)], kept)


def format_judgements(results: Sequence[Result]) -> str:
    """Return the table of what people said on the sheets of results."""
    lines = [
        [
            result["name"],
            *(
                format_percent(figure(result["judgements"][name]))
                for name in ("preferred", "told_apart")
            ),
            str(figure(result["judgements"]["preferred"]).n),
        ]
        for result in results
    ]
    heads = [
        "people (50 % is chance)",
        "preferred to real pieces",
        "told from real pieces",
        "answers",
    ]
    return format_table(heads, lines)


def _at(facts: Mapping[str, Any], *path: str) -> Any:  # noqa: ANN401 -- what a file holds
    """Return a member of nested objects, or None where the file has none."""
    found: Any = facts
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _set_name(inputs: Mapping[str, Any]) -> str:
    return f"{inputs['name']} ({inputs['pieces']:,} pieces)"


def format_number(found: Figure, digits: int) -> str:
    """Return a figure with its interval, where it has one; empty where nothing was measured."""
    if not found.n:
        return ""
    # + 0.0: no minus before a zero
    value, low, high = (round(part, digits) + 0.0 for part in found[:3])
    if math.isnan(low):
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def format_percent(found: Figure) -> str:
    """Return a share in per cent with its interval; empty where nothing was measured."""
    if not found.n:
        return ""
    value, low, high = (100 * part for part in found[:3])
    if math.isnan(low):
        return f"{value:.1f} %"
    return f"{value:.1f} % ({low:.1f} to {high:.1f})"


def format_table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    # a name may hold a bar, which would end its cell
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows
    )
