"""What a data set holds, in figures: as JSON, and as tables to read."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from notagen.foundation.files import write_text
from notagen.foundation.lines import read_lines
from notagen.preparation.filters import STAGE, Examined

_STAGES = ("0_fetch", "1_xml2abc", "2_preprocess", STAGE)
_LENGTHS = (1024, 2048)
"""Patches that the published models read at once."""
_SHOWN = 12
_WIDTH = 72
"""Lines of a table, and characters of a name, that are shown; report.json has them all."""
_SPECIFIC = re.compile(r"'[^']*'|\"[^\"]*\"|[^\s,]*[/\\][^\s,]*|\d+")
"""Names, paths and numbers: what tells one piece's reason from another's of the same kind."""


def make_report(pieces: Sequence[Examined], rejects: Path) -> dict[str, Any]:
    """Return the figures of a data set; they depend on the pieces alone, not on time or order.

    Args:
        pieces: Those that were kept; patches are counted in each one's own key.
        rejects: The scripts' rejects.jsonl, for those that were not.
    """
    rejected = _rejected(rejects)
    n_rejected = sum(sum(reasons.values()) for reasons in rejected.values())
    entries = [piece.entry for piece in pieces]
    patches = sorted(entry.n_patches or 0 for entry in entries)
    prompts = (" / ".join(entry.prompt) for entry in entries if entry.prompt)
    return {
        "pieces": {
            "in": len(pieces) + n_rejected,
            "kept": len(pieces),
            "rejected": n_rejected,
            "with a prompt": sum(entry.prompt is not None for entry in entries),
        },
        "rejected": rejected,
        "bars": sum(entry.n_bars or 0 for entry in entries),
        "patches": {
            "total": sum(patches),
            "median": _share_point(patches, 0.5),
            "p90": _share_point(patches, 0.9),
            "max": max(patches, default=0),
        }
        | {f"pieces over {length}": sum(n > length for n in patches) for length in _LENGTHS},
        "keys": _counts(entry.key for entry in entries),
        "metres": _counts(piece.metre for piece in pieces),
        "instruments": _counts(name for piece in pieces for name in piece.instruments),
        "prompts": _counts(prompts),
        "sources": _counts(entry.source for entry in entries),
        "licences": _counts(entry.licence for entry in entries),
    }


def format_report(report: dict[str, Any]) -> str:
    """Return the figures as Markdown tables, the long ones cut to their first lines."""
    figures = {f"pieces {name}": value for name, value in report["pieces"].items()}
    figures["bars"] = report["bars"]
    figures |= {
        name if name.startswith("pieces") else f"patches, {name}": value
        for name, value in report["patches"].items()
    }
    parts = [_table("Data", figures, cut=False)]
    for stage, reasons in report["rejected"].items():
        parts.append(_table(f"Rejected by {stage}", reasons))
    for name in ("keys", "metres", "instruments", "prompts", "sources", "licences"):
        parts.append(_table(name.capitalize(), report[name]))
    return "\n".join(parts)


def _table(title: str, counts: dict[str, int], *, cut: bool = True) -> str:
    rows = [(_shown(name), f"{count:,}") for name, count in counts.items()]
    if cut and len(rows) > _SHOWN:
        left = list(counts.values())[_SHOWN:]
        rows = [*rows[:_SHOWN], (f"{len(left):,} others", f"{sum(left):,}")]
    width = max([len(title), *(len(name) for name, _ in rows)])
    digits = max([6, *(len(count) for _, count in rows)])
    lines = [f"| {title:{width}} | {'':{digits}} |", f"|{'-' * (width + 2)}|{'-' * (digits + 1)}:|"]
    lines += [f"| {name:{width}} | {count:>{digits}} |" for name, count in rows]
    return "\n".join(lines) + "\n"


def _shown(name: str) -> str:
    name = name if len(name) <= _WIDTH else f"{name[: _WIDTH - 3]}..."
    return name.replace("|", "\\|")


def write_report(report: dict[str, Any], folder: Path) -> None:
    """Write report.json, with every figure, and report.md, to read."""
    write_text(folder / "report.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    write_text(folder / "report.md", format_report(report))


def _rejected(rejects: Path) -> dict[str, dict[str, int]]:
    """Return how often each kind of reason was given by each stage on the way to the data set."""
    reasons: dict[str, list[str]] = {stage: [] for stage in _STAGES}
    for _, line in read_lines(rejects):
        if line.get("stage") in reasons:
            reasons[line["stage"]].append(_kind(str(line.get("reason"))))
    return {stage: _counts(kinds) for stage, kinds in reasons.items() if kinds}


def _kind(reason: str) -> str:
    """Return what a reason shares with others: `x/y.abc: found 3 bars` gives `found ... bars`."""
    reason = re.sub(r"^\S*[/\\].*?\.\w+: ", "", reason)
    return _SPECIFIC.sub("...", reason)


def _counts(values: Iterable[str | None]) -> dict[str, int]:
    """Return how often each value occurs, the most frequent first, then by name."""
    counts = Counter(value or "unknown" for value in values)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _share_point(ordered: Sequence[int], share: float) -> int:
    """Return the smallest number that the given share of the numbers does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0
