"""The figures of many pieces as tables in Markdown."""

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from benchmarks.raw_reader import MARKS

Line = dict[str, Any]
_WORST = 10


def report(lines: Sequence[Line], roads: Sequence[str]) -> str:
    """Return all tables: notes, marks, texts, worst pieces, and every refusal and crash."""
    sections = [
        table(["notes", *roads], _note_rows(lines, roads)),
        table(
            ["marks: kept in their bar / at their place, new ones", "of", *roads],
            _mark_rows(lines, roads),
        ),
        *(text for text in (_texts(lines),) if text),
        *(_worst(lines, road) for road in roads),
        _failures(lines),
    ]
    return "\n\n".join(section for section in sections if section)


def _done(lines: Iterable[Line], road: str) -> list[Line]:
    found = (line["roads"].get(road, {}) for line in lines if "roads" in line)
    return [figures for figures in found if "notes" in figures]


def _note_rows(lines: Sequence[Line], roads: Sequence[str]) -> list[list[str]]:
    columns = []
    for road in roads:
        done = _done(lines, road)
        wanted, found, agreeing = (sum(line["notes"][i] for line in done) for i in range(3))
        recalls = sorted(_share(line["notes"][2], line["notes"][0]) for line in done)
        left = [line for line in lines if "notes" not in line["roads"].get(road, {})]
        columns.append(
            [
                f"{len(done)} of {len(lines)}",
                str(sum(line.get("notes", 0) for line in left)),
                str(wanted),
                f"{_share(agreeing, wanted):.5f}",
                f"{_share(agreeing, found):.5f}",
                str(wanted - agreeing),
                str(found - agreeing),
                _part(sum(line["perfect"] for line in done), len(done)),
                f"{recalls[0]:.4f}" if recalls else "-",
                _part(sum(recall < 0.99 for recall in recalls), len(done)),
                _part(sum(line["bars"][0] == line["bars"][1] for line in done), len(done)),
                f"{_share(sum(line['staves'] for line in done), agreeing):.5f}",
                f"{_share(sum(line['symbols'] for line in done), agreeing):.5f}",
                f"{median(line['cpu'] for line in done):.3f}" if done else "-",
            ]
        )
    names = [
        *("pieces that arrive", "notes of the others", "notes", "recall of notes"),
        *("precision of notes", "notes missing", "notes too many", "perfect pieces"),
        *("lowest recall", "pieces below .99", "same bars and parts", "agreeing: on their staff"),
        *("agreeing: same note value", "median CPU s (here, not in workers)"),
    ]
    return [[name, *cells] for name, *cells in zip(names, *columns, strict=True)]


def _mark_rows(lines: Sequence[Line], roads: Sequence[str]) -> list[list[str]]:
    rows = []
    for kind in MARKS:
        cells, total = [], 0
        for road in roads:
            marks = [line["marks"][kind] for line in _done(lines, road)]
            wanted, found, loose, strict = (sum(mark[i] for mark in marks) for i in range(4))
            total = max(total, wanted)
            cells.append(f"{_percent(loose, wanted)} / {_percent(strict, wanted)} +{found - loose}")
        rows.append([kind, str(total), *cells])
    return rows


def _texts(lines: Sequence[Line]) -> str:
    texts = [line["text"] for line in lines if "text" in line]
    rests = [text["rests"] for text in texts if "same" in text.get("rests", {})]
    patches = [text["patches"] for text in texts if "same" in text.get("patches", {})]
    faults: Counter[str] = Counter()
    for rest in rests:
        faults.update(rest["faults"])
    rows = [
        ["rests omitted and restored: same text", _part(sum(r["same"] for r in rests), len(rests))],
        ["... without taking z1 for z", _part(sum(r["same text"] for r in rests), len(rests))],
        ["... faults", ", ".join(f"{n} {name}" for name, n in faults.items()) or "none"],
        [
            "cells left of all",
            _part(sum(r["reduced cells"] for r in rests), sum(r["cells"] for r in rests)),
        ],
        ["patches there and back", _part(sum(p["same"] for p in patches), len(patches))],
    ]
    pairs = [
        (text["patches"]["patches"], text["packaged patches"]["patches"])
        for text in texts
        if "patches" in text.get("patches", {}) and "patches" in text.get("packaged patches", {})
    ]
    if pairs:
        ours, theirs = median(a for a, _ in pairs), median(b for _, b in pairs)
        ratios = sorted(a / b for a, b in pairs)
        rows += [
            ["patches a piece, median, ours and packaged", f"{ours:g} and {theirs:g}"],
            ["ratio of the medians", f"{ours / theirs:.4f}"],
            ["median ratio", f"{median(ratios):.4f}"],
            ["lowest and highest ratio", f"{ratios[0]:.3f} and {ratios[-1]:.3f}"],
            ["ratio of the sums", f"{sum(a for a, _ in pairs) / sum(b for _, b in pairs):.4f}"],
        ]
    firsts = [
        f"- {line['file']}: {line['text']['rests']['first']}"
        for line in lines
        if line.get("text", {}).get("rests", {}).get("first")
    ]
    return "\n\n".join([table(["texts", ""], rows), *(["\n".join(firsts)] if firsts else [])])


def _worst(lines: Sequence[Line], road: str) -> str:
    """Name the pieces with the largest share of wrong notes."""
    faulty = []
    for line in lines:
        wanted, found, agreeing = line["roads"].get(road, {}).get("notes", (0, 0, 0))
        wrong = wanted + found - 2 * agreeing
        if wrong:
            faulty.append(
                (wrong / max(wanted, 1), wanted, wanted - agreeing, found - agreeing, line)
            )
    if not faulty:
        return ""
    faulty.sort(key=lambda row: -row[0])
    rows = [
        [line["file"], str(wanted), str(missing), str(new)]
        for _, wanted, missing, new, line in faulty[:_WORST]
    ]
    return table(
        [f"worst on the road `{road}` ({len(faulty)} faulty)", "notes", "missing", "too many"], rows
    )


def _failures(lines: Sequence[Line]) -> str:
    """Return every refusal and crash with its message; one message a piece is said once."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for line in lines:
        if "unreadable" in line:
            rows[line["file"], "unreadable", line["unreadable"]] = ["all"]
        named = [*line["roads"].items(), *line.get("text", {}).items()]
        for name, figures in named:
            for kind in ("refused", "crash"):
                if kind in figures:
                    rows.setdefault((line["file"], kind, figures[kind]), []).append(name)
    if not rows:
        return "No refusal and no crash."
    kinds = Counter(kind for _, kind, _ in rows)
    head = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    return "\n".join(
        [
            f"Not done: {head}",
            *(
                f"- {kind}, {' '.join(where)}: {file}: {message.replace(file, '...')}"
                for (file, kind, message), where in rows.items()
            ),
        ]
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f}%" if whole else "-"


def _part(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * _share(part, whole):.2f}%)"
