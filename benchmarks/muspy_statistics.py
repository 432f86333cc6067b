"""MuSpy's statistics of pieces of music21's corpus, which a test holds ours against.

MuSpy is old and wants a virtual environment of its own, with music21 beside it for its corpus:

    python -m venv ~/muspy && ~/muspy/bin/pip install muspy==0.5.0 music21==10.5.1
    ~/muspy/bin/python -m benchmarks.muspy_statistics tests/golden/metrics/muspy.json

Written are, for each piece, its notes of each pitch class, and the metrics that mean what ours
mean. MuSpy reads the scores itself. It plays repeats, takes graces for notes and joins ties that go
on in another voice, so pieces without these are taken.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from notagen.sources.music21_corpus import corpus_folder

PIECES = (
    "bach/bwv1.6.mxl",
    "bach/bwv171.6.mxl",
    "bach/bwv227.3.mxl",
    "bach/bwv66.6.mxl",
    "corelli/opus3no1/1grave.xml",
    "liliuokalani/aloha_oe.mxl",
    "monteverdi/madrigal.3.6.mxl",
    "schoenberg/opus19/movement2.mxl",
    "schoenberg/opus19/movement6.mxl",
    "webern/webern_dormi_jesu_op_16_no_2.mxl",
)


def statistics(path: Path) -> dict[str, Any]:
    """Return what MuSpy says about a score."""
    import muspy

    music = muspy.read_musicxml(path)
    classes = [0] * 12
    for track in music.tracks:
        for note in track.notes:
            classes[note.pitch % 12] += 1
    return {
        "notes": classes,
        "n_pitches_used": muspy.n_pitches_used(music),
        "n_pitch_classes_used": muspy.n_pitch_classes_used(music),
        "pitch_range": muspy.pitch_range(music),
        "pitch_class_entropy": muspy.pitch_class_entropy(music),
    }


def main(out: Path) -> None:
    """Write the statistics of all pieces to a JSON file."""
    versions = {name: version(name) for name in ("muspy", "music21")}
    pieces = {piece: statistics(corpus_folder() / piece) for piece in PIECES}
    out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"versions": versions, "pieces": pieces}, indent=1)
    out.write_text(text + "\n", encoding="utf-8")
    print(f"{out}: {len(pieces)} pieces")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
