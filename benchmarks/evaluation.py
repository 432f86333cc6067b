"""How long an evaluation takes: 1,000 pieces, one of them broken, judged by evaluate/evaluate.py.

    python -m benchmarks.evaluation --train data/out/train.jsonl --reference data/out/eval.jsonl

Stand-ins for generated pieces are the training texts of the first index in several keys. Beside the
whole stands what its parts cost a piece, on a draw of them: music21, which only reads the notes
back, is the measure for all that is ours.
"""

import argparse
import itertools
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.report import table
from notagen.evaluation.pieces import find_pieces, read_training_text
from notagen.foundation.index import read_index
from notagen.metrics.notes import score_notes
from notagen.metrics.statistics import piece_statistics
from notagen.metrics.validity import check_soundness, same_notes
from notagen.notation.keys import KEYS
from notagen.notation.musicxml import abc_to_musicxml

ROOT = Path(__file__).resolve().parent.parent
BROKEN = "%%score 1\nL:1/8\nM:4/4\nK:C\nV:1 treble\n[V:1]c2[[e|\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the time of a whole evaluation, and of its parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--train", type=Path, required=True, help="index of the pieces to judge")
    parser.add_argument("--reference", type=Path, required=True, help="index of real pieces")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--draw", type=int, default=60, help="pieces whose parts are timed")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "pieces"
        folder.mkdir()
        _fill(folder, options.train, options.count)
        command = [
            *(sys.executable, "evaluate.py", "--name", "benchmark", "--results", name),
            *("--generations", str(folder), "--reference", str(options.reference.resolve())),
            *("--train", str(options.train.resolve()), "--model", "None"),
        ]
        begun = time.perf_counter()
        subprocess.run(command, cwd=ROOT / "evaluate", check=True, stdout=subprocess.DEVNULL)  # noqa: S603 -- our own script
        seconds = time.perf_counter() - begun
        texts = [
            read_training_text(piece) for piece in find_pieces(folder) if piece.name != "broken"
        ]
    drawn = random.Random(0).sample(texts, min(options.draw, len(texts)))  # noqa: S311 -- no secret
    print(f"{options.count} pieces, the reference and the floor: {seconds:.0f} s\n")
    print(table(["of a piece", "ms, mean", "times music21"], _parts(drawn)))


def _fill(folder: Path, index: Path, count: int) -> None:
    """Write one broken piece and training texts, each in all its keys before the next."""
    (folder / "broken.abc").write_text(BROKEN)
    files = (
        index.parent / entry.keyed_path(key)
        for key in KEYS
        for entry in read_index(index, made_by="data/2_preprocess.py")
    )
    found = (file for file in files if file.is_file())
    for file in itertools.islice(found, count - 1):
        (folder / file.name).write_text(file.read_text())


def _parts(texts: Sequence[str]) -> list[list[str]]:
    documents = {text: abc_to_musicxml(text) for text in texts}
    same_notes(texts[0], documents[texts[0]])  # starts music21, once
    parts: dict[str, Callable[[str], object]] = {
        "music21 reads it, and the notes are compared": lambda t: same_notes(t, documents[t]),
        "soundness but for that": lambda text: check_soundness(text, check_notes=False),
        "statistics": lambda text: piece_statistics(score_notes(text), text.count("\n")),
    }
    seconds = {}
    for name, part in parts.items():
        begun = time.perf_counter()
        for text in texts:
            part(text)
        seconds[name] = time.perf_counter() - begun
    whole = next(iter(seconds.values()))
    return [
        [name, f"{1000 * spent / len(texts):.0f}", f"{spent / whole:.2f}"]
        for name, spent in seconds.items()
    ]


if __name__ == "__main__":
    main()
