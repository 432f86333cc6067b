"""The package's speed beside the packaged converters', both in one run and turn by turn.

    python -m benchmarks.speed --corpus FOLDER --count 40

Counted is processor time of this process, not time on the clock: other work on the machine
disturbs it least. Of the rounds each piece's fastest counts; a piece that either side cannot do is
left out of both.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.fidelity import draw
from benchmarks.packaged import packaged_abc2xml, packaged_xml2abc, without_lyrics
from benchmarks.raw_reader import document_of
from benchmarks.report import table
from benchmarks.roads import numbered
from notagen.foundation.errors import ScoreError
from notagen.notation.clean import clean
from notagen.notation.interleave import deinterleave, interleave
from notagen.notation.keys import KEYS
from notagen.notation.musicxml import abc_to_musicxml, musicxml_to_abc
from notagen.notation.rests import omit_rests
from notagen.notation.transpose import transpose_to_keys

_STAGES = ("0_fetch", "1_xml2abc", "2_preprocess")
_RUN_STAGE = (
    "import runpy, sys\n"
    "sys.argv = sys.argv[1:]\n"
    "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    "lines = open('/proc/self/io').read().split('\\n')\n"
    "print([line for line in lines if line.startswith('wchar')][0].split()[1])\n"
)


@dataclass
class Race:
    """Two functions that do the same, and the pieces they do it to."""

    name: str
    ours: Callable[[Any], object]
    theirs: Callable[[Any], object]
    pieces: list[tuple[Any, Any]]
    """What each side is given."""
    left_out: list[str] = field(default_factory=list)

    def run(self, rounds: int) -> list[tuple[float, float]]:
        """Return the fastest CPU seconds of both sides for each piece, sides taking turns first."""
        times: list[tuple[float, float]] = []
        for ours, theirs in self.pieces:
            best = [float("inf"), float("inf")]
            sides = [(0, self.ours, ours), (1, self.theirs, theirs)]
            try:
                for turn in range(rounds):
                    for side, function, piece in sides if turn % 2 else sides[::-1]:
                        best[side] = min(best[side], _seconds(function, piece))
            except Exception as error:  # noqa: BLE001 -- the packaged code raises anything
                self.left_out.append(f"{type(error).__name__}: {str(error)[:100]}")
            else:
                times.append((best[0], best[1]))
        return times


def _seconds(function: Callable[[Any], object], piece: object) -> float:
    start = time.process_time()
    function(piece)
    return time.process_time() - start


def races(files: Sequence[Path], folder: Path) -> list[Race]:
    """Return all races over the pieces; their documents are unpacked into a folder first."""
    from abctoolkit.transpose import Key2index, transpose_an_abc_text

    documents: list[tuple[Path, bytes]] = []
    for number, file in enumerate(files):
        target = folder / f"{number}.musicxml"
        target.write_bytes(document_of(file))
        documents.append((target, target.read_bytes()))
    texts = []
    for path, _ in documents:
        try:
            texts.append(interleave(clean(musicxml_to_abc(path))))
        except ScoreError as error:
            print(f"left out: {error}", file=sys.stderr)

    def all_keys(text: str) -> dict[str, str]:
        return transpose_to_keys(text, KEYS)

    def all_keys_packaged(lines: list[str]) -> list[str]:
        return [transpose_an_abc_text(lines, key) for key in Key2index]

    # the packaged one reads voice after voice, ours bar after bar: the same music either way
    voices = [deinterleave(text) for text in texts]
    return [
        Race("xml to abc", musicxml_to_abc, packaged_xml2abc, list(documents)),
        Race(
            "xml to abc, theirs without lyrics",
            musicxml_to_abc,
            packaged_xml2abc,
            [(path, without_lyrics(document)) for path, document in documents],
        ),
        Race(
            "abc to xml",
            abc_to_musicxml,
            packaged_abc2xml,
            [(text, numbered(text)) for text in voices],
        ),
        Race(
            "all 15 keys",
            all_keys,
            all_keys_packaged,
            [
                (text, voice.splitlines(keepends=True))
                for text, voice in zip(texts, voices, strict=True)
            ],
        ),
        Race(
            "all 15 keys, ours with rests omitted",
            all_keys,
            all_keys_packaged,
            [
                (omit_rests(text), voice.splitlines(keepends=True))
                for text, voice in zip(texts, voices, strict=True)
            ],
        ),
    ]


def bytes_written(files: Sequence[Path], folder: Path) -> dict[str, float]:
    """Run the scripts of `data/`; return what the last one wrote and what is left of it.

    The stage runs in one process, whose written bytes the kernel counts (Linux alone).
    """
    scores, out = folder / "scores", folder / "out"
    scores.mkdir()
    for number, file in enumerate(files):
        (scores / f"{number}{file.suffix}").write_bytes(file.read_bytes())
    written, seconds = 0, 0.0
    for stage in _STAGES:
        before = _children_seconds()
        script = Path("data") / f"{stage}.py"
        command = [sys.executable, "-c", _RUN_STAGE, str(script), "--out", str(out)]
        command += ["--source", "folder", "--folder", str(scores), "--workers", "1"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if result.returncode:
            raise SystemExit(f"{script}: {result.stderr[-1000:]}")
        written = int(result.stdout.split()[-1])
        seconds = _children_seconds() - before
    kept = [file for file in (out / "interleaved").rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in kept)
    return {
        "pieces": len(files),
        "written": written,
        "kept": size,
        "ratio": written / size,
        "files": len(kept),
        "cpu a piece": seconds / len(files),
    }


def _children_seconds() -> float:
    used = os.times()
    return used.children_user + used.children_system


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the races and print them."""
    parser = argparse.ArgumentParser(description="Speed beside the packaged converters.")
    parser.add_argument("--corpus", type=Path, required=True, help="folder of MusicXML")
    parser.add_argument("--count", type=int, default=40, help="scores to draw (default 40)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=3, help="the fastest counts (default 3)")
    parser.add_argument("--only", nargs="+", help="races whose name begins with one of these")
    options = parser.parse_args(arguments)
    files = draw(options.corpus, options.count, options.seed)
    random.Random(options.seed).shuffle(files)  # noqa: S311 -- an order, no secret
    only = tuple(options.only or ("",))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for race in races(files, Path(folder)):
            if not race.name.startswith(only):
                continue
            times = race.run(options.rounds)
            print(f"{race.name}: {len(times)} pieces", file=sys.stderr)
            for reason in race.left_out:
                print(f"  left out: {reason}", file=sys.stderr)
            rows.append(_row(race.name, times))
    head = ["CPU seconds a piece", "pieces", "ours: mean, median", "packaged: mean, median"]
    print(table([*head, "ratio of the sums", "median ratio"], rows))
    if "bytes".startswith(only):
        with tempfile.TemporaryDirectory() as folder:
            figures = bytes_written(files, Path(folder))
        print()
        cells = [[name, f"{value:.7g}"] for name, value in figures.items()]
        print(table(["preprocess stage, bytes written over bytes kept", ""], cells))


def _row(name: str, times: Sequence[tuple[float, float]]) -> list[str]:
    if not times:
        return [name, "0", *["-"] * 4]
    ours, theirs = [a for a, _ in times], [b for _, b in times]
    return [
        name,
        str(len(times)),
        f"{sum(ours) / len(ours):.4f}, {median(ours):.4f}",
        f"{sum(theirs) / len(theirs):.4f}, {median(theirs):.4f}",
        f"{sum(ours) / sum(theirs):.3f}",
        f"{median(a / b for a, b in times):.3f}",
    ]


if __name__ == "__main__":
    main()
