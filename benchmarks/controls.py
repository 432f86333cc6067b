"""Whether controls are obeyed: wishes for a header, numbers of bars, openings to go on from.

    python -m benchmarks.controls --weights FOLDER [--corpus FOLDER] [--quick]

Pieces are written with random wishes, finished, converted to MusicXML, and that is read by
`benchmarks.raw_reader`, which shares no code with the package. Openings are those of real scores,
music21's own if no corpus is given. Each piece that falls short is named with the reason.
"""

import argparse
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from xml.etree import ElementTree

import torch

from benchmarks.compare import differing_notes
from benchmarks.fidelity import draw
from benchmarks.raw_reader import Mark, Note, Record, document_of, read_document
from benchmarks.report import table
from notagen.foundation.errors import ScoreError
from notagen.generation.controls import NO_CONTROLS, Controls
from notagen.generation.engine import Generated, Generator
from notagen.generation.finish import finish
from notagen.generation.header import HeaderWishes
from notagen.generation.requests import Beginning, Request, make_request
from notagen.model.weights import load_model
from notagen.notation.musicxml import abc_to_musicxml
from notagen.sources.music21_corpus import corpus_folder
from notagen.tokenizer.patches import PatchTokenizer

MAJOR = ("Cb", "Gb", "Db", "Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#")
MINOR = ("Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#", "G#", "D#", "A#")
"""Keys from seven flats to seven sharps."""
METRES = {
    **{metre: (metre, "quarter") for metre in ("2/4", "3/4", "4/4", "5/4")},
    **{metre: (metre, "quarter beat-unit-dot") for metre in ("6/8", "9/8", "12/8")},
    **{"3/8": ("3/8", "eighth"), "3/2": ("3/2", "half"), "C|": ("2/2", "half")},
}
"""Each metre asked for: how a score writes it, and its beat."""
PARTS = {
    **dict.fromkeys(("Flute", "Oboe", "Bassoon", "Violin", "Viola", "Guitar", "Voice"), (1, 0)),
    **dict.fromkeys(("Violin 1", "Violin 2", "Soprano", "Alto", "Tenor", "Bass"), (1, 0)),
    **dict.fromkeys(("Violoncello", "Timpani", "Trombone"), (1, 0)),
    **dict.fromkeys(("Piano", "Organ", "Harp"), (2, 0)),
    **{"Bb Clarinet": (1, -2), "F Horn": (1, -7), "Alto Saxophone": (1, -9)},
    **{"C Trumpet": (1, 0), "Contrabass": (1, -12), "Piccolo": (1, 12)},
}
"""Staves of each part, and semitones from what is written to what sounds."""
ENSEMBLES = (
    *("Piano", "Voice, Piano", "Violin, Piano", "Violin, Viola, Violoncello", "Organ", "Guitar"),
    *("Violin 1, Violin 2, Viola, Violoncello", "Soprano, Alto, Tenor, Bass", "Flute, Harp"),
    *("Flute, Oboe, Bb Clarinet, F Horn, Bassoon", "Alto Saxophone, Piano", "F Horn, Piano"),
    *("Piccolo, C Trumpet, Trombone, Timpani", "Bb Clarinet, Viola, Contrabass"),
)
FEWEST_BARS, MOST_BARS = 8, 24
OPENING_BARS, MORE_BARS = 8, 4
HEADER = ("key", "metre", "tempo")
WANTED_BARS = 0.95
"""Share of pieces whose number of bars is to be exact; the others have one more at most."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What one piece is asked for, and what a score then must say."""

    fifths: int
    """Sharps of the signature, flats below 0."""
    minor: bool
    metre: str
    tempo: int
    """In beats of the metre."""
    num_bars: int
    parts: tuple[str, ...]
    """Empty if the model may choose them."""

    def request(self) -> Request:
        """Return what the generator is told."""
        name = f"{MINOR[self.fifths + 7]} minor" if self.minor else MAJOR[self.fifths + 7]
        return Request(
            controls=Controls(num_bars=self.num_bars, valid_bars=True),
            wishes=HeaderWishes(
                key=name, metre=self.metre, tempo=self.tempo, instruments=self.parts
            ),
        )


def random_wishes(count: int, seed: int) -> list[Wish]:
    """Return wishes, every second of them with instruments."""
    chance = random.Random(seed)  # noqa: S311 -- a draw, no secret
    return [
        Wish(
            fifths=chance.randint(-7, 7),
            minor=chance.random() < 1 / 2,
            metre=chance.choice(list(METRES)),
            tempo=chance.randint(40, 200),
            num_bars=chance.randint(FEWEST_BARS, MOST_BARS),
            parts=tuple(chance.choice(ENSEMBLES).split(", ")) if number % 2 else (),
        )
        for number in range(count)
    ]


def shortcomings(document: str, wish: Wish) -> dict[str, str]:
    """Return what a score has instead of what was asked for, by the kind of wish."""
    record = read_document(document)
    parts = _parts(document)
    written, beat = METRES[wish.metre]
    found: dict[str, str] = {}

    for part, (_, staves, semitones) in enumerate(parts):
        keys = [mark for mark in record.marks["keys"] if mark.part == part]
        signatures = _signatures(wish.fifths, semitones)
        if not any(
            [(mark.bar, mark.name) for mark in keys]
            == [(0, f"staff {staff}: {signature}") for staff in range(1, staves + 1)]
            for signature in signatures
        ):
            found.setdefault("key", _shown(keys))
        times = [mark for mark in record.marks["times"] if mark.part == part]
        if [(mark.bar, mark.name) for mark in times] != [(0, f"staff 1: {written}")]:
            found.setdefault("metre", _shown(times))
    tempi = record.marks["tempi"]
    if [(mark.bar, mark.name) for mark in tempi] != [(0, f"{beat} {wish.tempo}")]:
        found["tempo"] = _shown(tempi)
    if set(record.bars) != {wish.num_bars}:
        found["bars"] = str(record.bars)
    if wish.parts and parts != [(name, *PARTS[name]) for name in wish.parts]:
        found["instruments"] = str(parts)
    return found


def changed_notes(source: Record, finished: Record, n_bars: int) -> list[Note]:
    """Return the notes of the first bars that only one of two scores has."""
    wanted, found = (
        [note for note in record.notes if note.bar < n_bars] for record in (source, finished)
    )
    return differing_notes(wanted, found)


def obeyed(generator: Generator, wishes: Sequence[Wish], seed: int) -> str:
    """Return a table of the wishes that were met."""
    counts = dict.fromkeys((*HEADER, "bars", "instruments"), 0)
    asked = dict.fromkeys(counts, len(wishes))
    asked["instruments"] = sum(bool(wish.parts) for wish in wishes)
    pieces = retries = mended = too_many = 0
    for piece in generator.generate([wish.request() for wish in wishes], seed=seed):
        wish = wishes[piece.index]
        try:
            document = _document(piece)
        except ScoreError as error:
            _tell(f"piece {piece.index}: {error}")
            continue
        found = shortcomings(document, wish)
        for what, why in found.items():
            _tell(f"piece {piece.index}, {what}: wanted {wish}, found {why}")
        for what in counts:
            counts[what] += what not in found and (what != "instruments" or bool(wish.parts))
        too_many += max(read_document(document).bars) > wish.num_bars + 1
        pieces, retries, mended = pieces + 1, retries + piece.retries, mended + len(piece.mended)
    least = {what: WANTED_BARS if what == "bars" else 1.0 for what in counts}
    rows = [
        [what, f"{counts[what]} of {asked[what]}", _verdict(counts[what] >= least[what] * n)]
        for what, n in asked.items()
    ]
    rows.append(["over a bar more than asked for", str(too_many), _verdict(not too_many)])
    return "\n\n".join(
        [
            table([f"of {len(wishes)} pieces", "exact in the finished MusicXML", ""], rows),
            f"{pieces} pieces came out; {retries} lines were written again, {mended} mended.",
        ]
    )


def continued(
    generator: Generator, tokenizer: PatchTokenizer, scores: Sequence[Path], seed: int
) -> str:
    """Return how many openings came back note for note before the bars that were written."""
    controls = Controls(valid_bars=True)
    requests = []
    for score in scores:
        beginning = Beginning(opening=score, first_bars=OPENING_BARS, bars=MORE_BARS)
        try:
            requests.append(make_request(beginning, controls, name=str(score)))
        except ScoreError as error:
            _tell(f"{score}: {error}")
    same = exact = converted = longer = 0
    for piece in generator.generate(requests, seed=seed):
        request = requests[piece.index]
        source = read_document(document_of(Path(f"{request.name}")))
        try:
            finished = read_document(_document(piece))
        except ScoreError as error:
            _tell(f"{request.name}: {error}")
            continue
        num_bars = (request.controls or NO_CONTROLS).num_bars or 0
        differences = changed_notes(source, finished, num_bars - MORE_BARS)
        if differences:
            _tell(f"{request.name}: {len(differences)} notes differ, such as {differences[0]}")
        if set(finished.bars) != {num_bars}:
            _tell(f"{request.name}: found {finished.bars} bars, wanted {num_bars}")
        converted += 1
        longer += len(tokenizer.encode_lines(piece.text)) >= tokenizer.patch_length
        same += not differences
        exact += set(finished.bars) == {num_bars}
    rows = [
        [what, f"{count} of {len(scores)}", _verdict(count == len(scores))]
        for what, count in (
            ("pieces that convert", converted),
            ("opening note for note", same),
            ("number of bars exact", exact),
        )
    ]
    return "\n\n".join(
        [
            table([f"{OPENING_BARS} bars of a score, {MORE_BARS} written", "", ""], rows),
            f"{longer} outgrew the model's context of {tokenizer.patch_length} patches.",
        ]
    )


def _document(piece: Generated) -> str:
    return abc_to_musicxml(finish(piece.text, finished=piece.finished).abc)


def _signatures(fifths: int, semitones: int) -> list[int]:
    """Return the signatures in which a part of this transposition may be written."""
    if semitones % 12 == 0:
        return [fifths]
    # a semitone is seven fifths; twelve fifths lead to the same key in other spelling
    return [written for written in range(-7, 8) if (written + 7 * semitones - fifths) % 12 == 0]


def _parts(document: str) -> list[tuple[str, int, int]]:
    """Return name, staves and semitones from written to sounding of each part."""
    root = ElementTree.fromstring(document)
    names = [part.findtext("part-name", "") for part in root.iterfind("part-list/score-part")]
    parts = []
    for name, part in zip_longest(names, root.iterfind("part")):
        semitones = int(part.findtext(".//transpose/chromatic", "0"))
        semitones += 12 * int(part.findtext(".//transpose/octave-change", "0"))
        parts.append((name, int(part.findtext(".//staves", "1")), semitones))
    return parts


def _shown(marks: Sequence[Mark]) -> str:
    places = (f"{mark.name} in part {mark.part + 1}, bar {mark.bar + 1}" for mark in marks[:8])
    return "; ".join(places) or "nothing"


def _verdict(met: bool) -> str:
    return "met" if met else "short"


_tell = partial(print, file=sys.stderr)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Whether controls are obeyed.")
    parser.add_argument("--weights", required=True, help="of a trained model")
    parser.add_argument("--pieces", type=int, default=100, help="with random wishes")
    parser.add_argument("--continuations", type=int, default=50, help="of real scores")
    parser.add_argument("--corpus", type=Path, help="folder of MusicXML (default music21's own)")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16", "int8"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="four pieces and two continuations")
    options = parser.parse_args()
    if options.quick:
        options.pieces, options.continuations = 4, 2
    torch.set_num_threads(options.threads)
    model = load_model(options.weights)
    generator = Generator(model, batch_size=options.batch, precision=options.precision)
    tokenizer = PatchTokenizer(model.config.patch_size, model.config.patch_length)
    scores = draw(options.corpus or corpus_folder(), options.continuations, options.seed)
    if options.pieces:
        print(obeyed(generator, random_wishes(options.pieces, options.seed), options.seed))
    if scores:
        print(f"\n{continued(generator, tokenizer, scores, options.seed)}")


if __name__ == "__main__":
    main()
