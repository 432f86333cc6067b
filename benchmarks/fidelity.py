"""How much of a score survives the way through ABC and back, on a seeded draw of a corpus.

    python -m benchmarks.fidelity --corpus FOLDER --json out.jsonl
    python -m benchmarks.fidelity --corpus FOLDER --roads packaged
    python -m benchmarks.fidelity --show SCORE.mxl --roads reduced

Source and result are read by `benchmarks.raw_reader`, never by the package's own parser.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.compare import Comparison, place_of
from benchmarks.raw_reader import MARKS, Mark, Note
from benchmarks.report import report
from benchmarks.roads import ROADS, Failed, Job, Piece, compared, measure
from notagen.sources.music21_corpus import corpus_pieces
from notagen.sources.piece import NATIVE_SUFFIXES

_LIEDER = "openscore-lieder"
_SHOWN = 60

AnyJob = TypeVar("AnyJob")


def draw(corpus: Path, count: int, seed: int) -> list[Path]:
    """Return a draw of a corpus: two thirds from its Lieder, the rest spread over the others.

    A corpus without a folder of Lieder is drawn from evenly.
    """
    folders = sorted(folder for folder in corpus.iterdir() if folder.is_dir())
    scores = {folder.name: scores_in(folder) for folder in folders}
    scores = {name: files for name, files in scores.items() if files} or {"": scores_in(corpus)}
    chance = random.Random(seed)  # noqa: S311 -- a draw, no secret
    for files in scores.values():
        chance.shuffle(files)
    chosen = scores.pop(_LIEDER, [])[: 2 * count // 3]
    others = list(scores.values())
    while len(chosen) < count and any(others):
        for files in others:
            if files and len(chosen) < count:
                chosen.append(files.pop())
    return sorted(chosen)


def scores_in(folder: Path) -> list[Path]:
    """Return all scores below a folder, by name."""
    files = sorted(folder.rglob("*"))
    return [file for file in files if file.suffix.lower() in NATIVE_SUFFIXES and file.is_file()]


def measure_all(
    measure: Callable[[AnyJob], dict[str, Any]],
    jobs: Sequence[AnyJob],
    *,
    workers: int,
    json_file: Path | None,
) -> list[dict[str, Any]]:
    """Return the figures of each piece, in order, and write them to a file if one is named."""
    lines = []
    start = time.monotonic()
    for number, line in enumerate(_measured(measure, jobs, workers), start=1):
        lines.append(line)
        seconds = time.monotonic() - start
        print(f"\r{number} of {len(jobs)} pieces, {seconds:.0f} s", end="", file=sys.stderr)
    print(file=sys.stderr)
    if json_file:
        texts = [json.dumps(line) for line in lines]
        json_file.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return lines


def _measured(
    measure: Callable[[AnyJob], dict[str, Any]], jobs: Sequence[AnyJob], workers: int
) -> Iterator[dict[str, Any]]:
    if workers == 1:
        yield from map(measure, jobs)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(measure, jobs, chunksize=1)


def show(source: Path, road: str, kinds: Sequence[str] = ()) -> str:
    """Return the first differences of a piece on a road: where, wanted, found.

    Args:
        source: The score.
        road: One of `ROADS`.
        kinds: `note` or kinds of marks; empty for all.
    """
    piece = Piece(source)
    try:
        comparison = compared(piece, road)
    except Failed as failed:
        return f"{source}: {road}: {failed.kind}: {failed.message}"
    lines = [f"{source}: {road}: notes wanted, found, agreeing {comparison.notes}"]
    lines += [f"  {len(comparison.differences)} differences, first {_SHOWN}:"]
    chosen = [row for row in comparison.differences if not kinds or row[0] in kinds]
    for kind, wanted, found in chosen[:_SHOWN]:
        bar, part, _ = place_of((kind, wanted, found))
        where = f"part {part + 1} bar {bar + 1}"
        lines.append(f"  {where} {kind}: wanted {_shown(wanted)}, found {_shown(found)}")
    lines += _shown_bars(piece, comparison, road)
    return "\n".join(lines)


def _shown(item: Mark | Note | None) -> str:
    if item is None:
        return "nothing"
    if isinstance(item, Mark):
        return f"{item.name!r} at {item.onset}"
    name = f"{'C C#D EbE F F#G AbA BbB '[int(item.midi) % 12 * 2 :][:2].strip()}"
    return f"{name}{int(item.midi) // 12 - 1} at {item.onset} for {item.duration}"


def _shown_bars(piece: Piece, comparison: Comparison, road: str) -> list[str]:
    """Return the ABC of the first bar whose notes differ, and of the first that differs."""
    form = "cleaned" if road == "second" else road
    lines = [f"  bars of each part: {comparison.bars[0]} became {comparison.bars[1]}"]
    if form not in ("interleaved", "reduced"):
        form = "interleaved"
    try:
        body = [line for line in piece.text(form).splitlines() if line.startswith("[V:")]
    except Failed as failed:
        return [*lines, f"  no {form} text: {failed.message}"]
    bars = [place_of(row)[0] for row in comparison.differences if row[0] == "note"]
    bars += [place_of(row)[0] for row in comparison.differences[:1]]
    for bar in dict.fromkeys(bars[:1] + bars[-1:]):
        if bar < len(body):
            lines.append(f"  bar {bar + 1} of the {form} text: {body[bar]}")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write the lines, print the tables."""
    options = _options(arguments)
    roads = tuple(options.roads)
    if options.show:
        for path in options.show:
            print(show(path, roads[0], options.kinds))
        return
    jobs = _jobs(options, roads)
    lines = measure_all(measure, jobs, workers=options.workers, json_file=options.json)
    print(report(lines, roads))


def _jobs(options: argparse.Namespace, roads: tuple[str, ...]) -> list[Job]:
    patches = not options.no_patches
    files: list[Path] = list(options.files or [])
    if options.list:
        names = options.list.read_text(encoding="utf-8").splitlines()
        files += [Path(name) for name in names if name.strip()]
    if options.corpus:
        if options.lieder:
            files += scores_in(options.corpus / _LIEDER)
        elif options.all:
            files += scores_in(options.corpus)
        else:
            files += draw(options.corpus, options.count, options.seed)
    if options.music21:
        pieces = [piece.source for piece in corpus_pieces() if piece.is_native]
        if options.music21 > 0:
            chance = random.Random(options.seed)  # noqa: S311 -- a draw, no secret
            pieces = chance.sample(pieces, min(options.music21, len(pieces)))
        files += pieces
    if not files:
        raise SystemExit("found no scores, wanted --corpus, --files, --list or --music21")
    return [Job(file, roads, patches) for file in files]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=Path, help="folder of collections of MusicXML")
    parser.add_argument("--count", type=int, default=300, help="scores to draw (default 300)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--lieder", action="store_true", help="all Lieder of the corpus")
    parser.add_argument("--all", action="store_true", help="the whole corpus")
    parser.add_argument("--files", type=Path, nargs="+", help="these scores")
    parser.add_argument("--list", type=Path, help="a file that names scores, one a line")
    parser.add_argument(
        "--music21", type=int, nargs="?", const=-1, help="music21's MusicXML, all or so many"
    )
    parser.add_argument("--roads", nargs="+", choices=ROADS, default=list(ROADS[:4]))
    parser.add_argument("--no-patches", action="store_true", help="do not run xml2abc beside")
    parser.add_argument("--show", type=Path, nargs="+", help="print differences, on the first road")
    parser.add_argument(
        "--kinds", nargs="+", choices=("note", *MARKS), default=[], help="with --show: only these"
    )
    parser.add_argument("--json", type=Path, help="write one line of JSON a piece")
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
