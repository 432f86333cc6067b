"""Whether transposing moves every note, and nothing but the notes, in all 15 keys.

    python -m benchmarks.transposition --corpus FOLDER --count 30
    python -m benchmarks.transposition --corpus FOLDER --count 30 --words
    python -m benchmarks.transposition --corpus FOLDER --count 30 --packaged

The training text of a piece is transposed, converted to MusicXML and read by the raw reader. Each
note must stand where it stood, moved by one interval, and each key signature by its fifths.
"""

import argparse
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.compare import match
from benchmarks.fidelity import draw, measure_all
from benchmarks.raw_reader import MARKS, Mark, Note, Record, fold, read_document
from benchmarks.report import table
from benchmarks.roads import Failed, Piece, attempt
from notagen.notation.interleave import deinterleave
from notagen.notation.keys import KEYS
from notagen.notation.musicxml import abc_to_musicxml
from notagen.notation.rests import restore_rests
from notagen.notation.transpose import transpose

_KINDS = ("crash", "refused")
_FIFTHS = dict(zip(KEYS, range(7, -8, -1), strict=True))
_WORDS = (
    *('"^molto! e [piano"', '"^50% |: x"', '"_!f! [c e g] ]|"', '"^[K:E] K:E ^f _b"'),
    *('"^{a} (3abc :|"', "\"^'dolce' c'd,\"", '"_V:2 A-B z4 | %"', '"^![!]!"'),
)
"""Directions in which careless readers find music; each is sound ABC."""
_HEAD_NOTE = re.compile(
    r'(?:"[^"]*"|![^!\s]*!|\[[A-Za-z]:[^\]]*\]|\{[^}]*\}|\(\d[\d:]*|[^"!\[{A-Ga-g_^=])*?'
    r"(?P<note>\[(?![A-Za-z]:|[|\d])|[_^=]{0,2}[A-Ga-g])"
)
_MOVED_KINDS = ("graces", "ties")
_OTHER_KINDS = tuple(kind for kind in MARKS if kind not in ("graces", "ties", "keys", "harmonies"))


@dataclass(frozen=True)
class Job:
    """A piece, and whether directions that look like music are put into it first."""

    source: Path
    words: bool
    packaged: bool
    """Whether the packaged transposer does it, for comparison."""
    seed: int


def measure(job: Job) -> dict[str, Any]:
    """Return what each of the 15 keys does to a piece."""
    line: dict[str, Any] = {"file": str(job.source), "keys": {}}
    try:
        text = Piece(job.source).text("reduced")
        before: Record = attempt("abc to xml", _read, text)
        if job.words:
            text, number = with_words(text, job.seed)
            plain, before = before, attempt("abc to xml, with words", _read, text)
            line["words"] = number
            line["words change"] = _differences(plain.notes, before.notes)
            line["words lost"] = _lost_words(text, before)
    except Failed as failed:
        return line | {failed.kind: failed.message}
    line["notes"] = len(before.notes)
    own = _own_fifths(text)
    for key, fifths in _FIFTHS.items():
        try:
            mover = _packaged_transpose if job.packaged else transpose
            moved = attempt(f"transpose to {key}", mover, text, key)
            after: Record = attempt(f"abc to xml in {key}", _read, moved)
        except Failed as failed:
            line["keys"][key] = {failed.kind: failed.message}
        else:
            line["keys"][key] = judge(before, after, fifths - own)
    return line


def judge(before: Record, after: Record, shift: int) -> dict[str, Any]:
    """Compare a piece with its transposition.

    Args:
        before: The piece in its own key.
        after: The piece in the other key.
        shift: Fifths by which the signature moves, -14 to 14.
    """
    semitones = (7 * shift) % 12
    intervals = {semitones, semitones - 12}
    choices = [interval for interval in intervals if abs(interval) <= 6]
    wrong, interval, example = min(_wrong_notes(before, after, i) for i in choices)
    kinds = {}
    for kind in _MOVED_KINDS:
        marks = [_moved_mark(mark, interval) for mark in before.marks[kind]]
        kinds[kind] = _differences(marks, after.marks[kind])
    kinds["keys"] = _differences(_moved_keys(before, shift), _moved_keys(after, 0))
    for kind in _OTHER_KINDS:
        kinds[kind] = _differences(before.marks[kind], after.marks[kind])
    return {
        "interval": interval,
        "notes": len(before.notes),
        "wrong": wrong,
        "example": example,
        "changed": {kind: number for kind, number in kinds.items() if number},
        "double": sum(abs(alter) == 2 for alter in after.alters),
        "triple": sum(abs(alter) > 2 for alter in after.alters),
        "alters": len(after.alters),
    }


def with_words(text: str, seed: int) -> tuple[str, int]:
    """Return a tune with directions before the first note of a fifth of its bars, and their number.

    `[V:1]c4|` becomes `[V:1]"^50% |: x"c4|`.
    """
    chance = random.Random(seed)  # noqa: S311 -- a draw, no secret
    number = 0
    lines = []
    for line in text.splitlines():
        parts = re.split(r"(\[V:[^\]]+\])", line) if line.startswith("[V:") else [line]
        for place in range(2, len(parts), 2):
            found = _HEAD_NOTE.match(parts[place])
            if found and chance.random() < 0.2:
                start = found.start("note")
                words = chance.choice(_WORDS)
                parts[place] = parts[place][:start] + words + parts[place][start:]
                number += 1
        lines.append("".join(parts))
    return "\n".join(lines) + "\n", number


def _packaged_transpose(text: str, key: str) -> str:
    """Return the tune as the packaged transposer moves it, which reads voice after voice."""
    from abctoolkit.transpose import transpose_an_abc_text

    voices = deinterleave(restore_rests(text))
    moved: str = transpose_an_abc_text(voices.splitlines(keepends=True), key)
    return moved


def _lost_words(text: str, record: Record) -> int:
    """Return how many words of those put in did not arrive, as written."""
    wanted: Counter[str] = Counter()
    for words in _WORDS:
        for word in fold(words[2:-1]).split():
            wanted[word] += text.count(words)
    found = Counter(mark.name for mark in record.marks["words"])
    return (wanted - found).total()


def _read(text: str) -> Record:
    return read_document(abc_to_musicxml(text))


def _own_fifths(text: str) -> int:
    """Return the fifths of the header's key, read from its name: no word of ours is taken."""
    found = re.search(r"^K: *([A-G])([#b]?) *([a-z]*)", text, re.MULTILINE)
    if found is None:
        return 0
    modes = {"mix": -1, "dor": -2, "min": -3, "m": -3, "aeo": -3, "phr": -4, "loc": -5, "lyd": 1}
    place = "FCGDAEB".index(found[1]) - 1
    sign = {"#": 7, "b": -7, "": 0}[found[2]]
    return place + sign + modes.get(found[3][:3], 0)


def _wrong_notes(before: Record, after: Record, interval: int) -> tuple[int, int, str]:
    """Return the number of wrong notes, the interval, and the first wrong note."""
    wanted = [
        note._replace(midi=note.midi + interval) if note.pitched else note for note in before.notes
    ]
    _, missing, new = match(
        wanted,
        after.notes,
        bucket=lambda note: (note.part, note.bar, note.midi, note.staff),
        place=lambda note: (note.onset, note.duration),
    )
    example = ""
    if missing:
        first = min(missing, key=lambda note: (note.bar, note.part, note.onset))
        example = (
            f"part {first.part + 1} bar {first.bar + 1} at {first.onset}: wanted {first.midi}, "
            f"found {[str(note.midi) for note in new if note.bar == first.bar]}"
        )
    return max(len(missing), len(new)), interval, example


def _moved_mark(mark: Mark, interval: int) -> Mark:
    return mark._replace(name=str(int(mark.name) + interval) if mark.name.isdigit() else mark.name)


def _moved_keys(record: Record, shift: int) -> list[Mark]:
    """Return the changes of key, moved: a signature out of reach goes 12 fifths the other way."""
    keys = []
    held: dict[tuple[int, str], str] = {}
    for mark in record.marks["keys"]:
        staff, _, name = mark.name.partition(": ")
        if re.fullmatch(r"-?\d+", name):
            fifths = int(name) + shift
            fifths += 12 if fifths < -7 else -12 if fifths > 7 else 0
            name = str(fifths)
        if held.get((mark.part, staff)) != name:
            held[mark.part, staff] = name
            keys.append(mark._replace(name=f"{staff}: {name}"))
    return keys


def _differences(wanted: Sequence[Mark | Note], found: Sequence[Mark | Note]) -> int:
    counts, others = Counter(wanted), Counter(found)
    return max((counts - others).total(), (others - counts).total())


def report(lines: Sequence[dict[str, Any]]) -> str:
    """Return the figures of each key and of all, and every fault."""
    rows = []
    totals: Counter[str] = Counter()
    faults = []
    for key in KEYS:
        sums: Counter[str] = Counter()
        for line in lines:
            figures = line["keys"].get(key, {})
            for kind in _KINDS:
                if kind in figures:
                    sums["not done"] += 1
                    faults.append(f"- {line['file']} in {key}: {kind}: {figures[kind]}")
            if "wrong" not in figures:
                continue
            sums["versions"] += 1
            sums["faulty"] += bool(figures["wrong"])
            for name in ("notes", "wrong", "double", "triple", "alters"):
                sums[name] += figures[name]
            for kind, number in figures["changed"].items():
                sums["wrong keys" if kind == "keys" else "other marks"] += number
            if figures["wrong"] or figures["changed"] or figures["triple"]:
                faults.append(
                    f"- {line['file']} in {key}: {figures['wrong']} wrong notes "
                    f"{figures['example']} {figures['changed'] or ''}"
                )
        totals += sums
        rows.append(_row(key, sums))
    rows.append(_row("all", totals))
    head = ["key", "versions", "notes", "wrong notes", "wrong versions", "wrong signatures"]
    head += ["other marks changed", "double accidentals", "triple", "not done"]
    text = table(head, rows)
    unread = [f"- {line['file']}: {line[k]}" for line in lines for k in _KINDS if k in line]
    worded = [line for line in lines if "words" in line]
    if worded:
        number = sum(line["words"] for line in worded)
        changed = sum(line["words change"] for line in worded)
        lost = sum(line["words lost"] for line in worded)
        text += (
            f"\n\n{number} directions put in, {lost} words of them lost, {changed} notes changed"
        )
    for title, part in (("Not read", unread), ("Faults", faults)):
        if part:
            text += f"\n\n{title} ({len(part)}):\n" + "\n".join(part[:40])
    return text


def _row(name: str, sums: Counter[str]) -> list[str]:
    share = f"{100 * sums['double'] / max(sums['alters'], 1):.2f}%"
    counts = ("versions", "notes", "wrong", "faulty", "wrong keys", "other marks")
    return [
        name,
        *(str(sums[c]) for c in counts),
        share,
        str(sums["triple"]),
        str(sums["not done"]),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Transposition judged note by note.")
    parser.add_argument("--corpus", type=Path, help="folder of collections of MusicXML")
    parser.add_argument("--files", type=Path, nargs="+", help="these scores")
    parser.add_argument("--count", type=int, default=30, help="scores to draw (default 30)")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--words", action="store_true", help="put in directions like music first")
    parser.add_argument("--packaged", action="store_true", help="let abctoolkit transpose")
    parser.add_argument("--json", type=Path, help="write one line of JSON a piece")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    files: list[Path] = list(options.files or [])
    if options.corpus:
        files += draw(options.corpus, options.count, options.seed)
    if not files:
        raise SystemExit("found no scores, wanted --corpus or --files")
    jobs = [Job(file, options.words, options.packaged, options.seed) for file in files]
    print(report(measure_all(measure, jobs, workers=options.workers, json_file=options.json)))


if __name__ == "__main__":
    main()
