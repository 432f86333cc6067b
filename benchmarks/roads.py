"""The roads a score can take through ABC and back, and what of it arrives."""

import re
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from benchmarks.compare import Comparison, compare
from benchmarks.packaged import packaged_abc2xml, packaged_xml2abc, without_lyrics
from benchmarks.raw_reader import document_of, read_document, read_file
from notagen.foundation.errors import ScoreError
from notagen.notation.clean import clean
from notagen.notation.interleave import interleave
from notagen.notation.musicxml import abc_to_musicxml, musicxml_to_abc
from notagen.notation.rests import omit_rests, restore_rests
from notagen.tokenizer.patches import PatchTokenizer

ROADS = ("standard", "interleaved", "reduced", "second", "packaged")
SECONDS = 300
"""A road that takes longer has crashed."""
_CELL = re.compile(r"\[V:([^\]\s]+)\]")
_COUNTER = re.compile(r"^\[r:(\d+)/(\d+)\]")
_BARLINE_END = re.compile(r"[|:\[\]]*\|[|:\]\[]*(?:\d[\d,]*)?\s*$|::\s*$")
_UNLIMITED = 2**31

Result = TypeVar("Result")


@dataclass(frozen=True)
class Job:
    """A score, and the roads to send it on."""

    source: Path
    roads: tuple[str, ...]
    patches: bool = True
    """Whether to count the patches of the packaged xml2abc's text too."""


class Failed(Exception):  # noqa: N818 -- it carries an outcome
    """A road's end before its time: what kind, and the message."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class Piece:
    """A score on its roads; each text is made once."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self._texts: dict[str, str | Failed] = {}

    def text(self, form: str) -> str:
        """Return the ABC of a form: standard, cleaned, interleaved, reduced, packaged.

        Raises:
            Failed: If it was refused, or the code crashed.
        """
        if form not in self._texts:
            try:
                self._texts[form] = self._make(form)
            except Failed as failed:
                self._texts[form] = failed
        text = self._texts[form]
        if isinstance(text, Failed):
            raise text
        return text

    def _make(self, form: str) -> str:
        match form:
            case "standard":
                return attempt("xml to abc", musicxml_to_abc, self.source)
            case "cleaned":
                return attempt("clean", clean, self.text("standard"))
            case "interleaved":
                return attempt("interleave", interleave, self.text("cleaned"))
            case "reduced":
                return attempt("omit rests", omit_rests, self.text("interleaved"))
            case "restored":
                return attempt("restore rests", restore_rests, self.text("reduced"))
            case "packaged":
                return attempt("packaged xml2abc", packaged_xml2abc, document_of(self.source))
            case _:
                raise ValueError(f"found form {form!r}")

    def document(self, road: str) -> str:
        """Return the MusicXML at the end of a road.

        Raises:
            Failed: If it was refused, or the code crashed.
        """
        match road:
            case "standard" | "interleaved":
                return attempt("abc to xml", abc_to_musicxml, self.text(road))
            case "reduced":
                return attempt("abc to xml", abc_to_musicxml, self.text("restored"))
            case "second":
                return attempt("packaged abc2xml", packaged_abc2xml, numbered(self.text("cleaned")))
            case "packaged":
                return attempt("packaged abc2xml", packaged_abc2xml, self.text("packaged"))
            case _:
                raise ValueError(f"found road {road!r}, wanted one of {' '.join(ROADS)}")


def compared(piece: Piece, road: str) -> Comparison:
    """Send a piece on a road and compare what arrives with its source.

    Raises:
        Failed: If it was refused, or the code crashed.
    """
    wanted = attempt("source", read_file, piece.source)
    document = piece.document(road)
    return compare(wanted, attempt("result", read_document, document))


def measure(job: Job) -> dict[str, Any]:
    """Return all figures of a piece, as a line of JSON."""
    piece = Piece(job.source)
    line: dict[str, Any] = {"file": str(job.source), "roads": {}}
    try:
        wanted = attempt("source", read_file, job.source)
    except Failed as failed:
        return line | {"unreadable": failed.message}
    line["notes"] = len(wanted.notes)
    for road in job.roads:
        start = time.process_time()
        try:
            found = attempt("result", read_document, piece.document(road))
            figures = compare(wanted, found).as_json()
        except Failed as failed:
            figures = {failed.kind: failed.message}
        line["roads"][road] = figures | {"cpu": time.process_time() - start}
    line["text"] = {}
    for name, check in (
        ("rests", _check_rests),
        ("patches", _check_patches),
        ("packaged patches", _count_packaged_patches),
    ):
        if name == "packaged patches" and not job.patches:
            continue
        try:
            line["text"][name] = check(piece)
        except Failed as failed:
            line["text"][name] = {failed.kind: failed.message}
    return line


def attempt(step: str, function: Callable[..., Result], *args: object) -> Result:
    """Call a function of the package; a refusal and a crash become `Failed`."""
    try:
        with _limit(SECONDS):
            return function(*args)
    except ScoreError as error:
        # the door to the packaged converters turns their crashes into refusals
        kind = "crash" if re.search(r"run_\w+: (?:\w+: |crashed)", str(error)) else "refused"
        raise Failed(kind, f"{step}: {' '.join(str(error).split())}") from error
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        message = " ".join(f"{step}: {type(error).__name__}: {error} ({where})".split())
        raise Failed("crash", message[:400]) from error


def numbered(abc: str) -> str:
    """Return the tune with a number, without which the packaged abc2xml finds no tune."""
    return abc if re.search(r"^X:", abc, re.MULTILINE) else f"X:1\n{abc}"


def _check_rests(piece: Piece) -> dict[str, Any]:
    """Compare the text before its rests are omitted with the text after they are restored."""
    before, after = piece.text("interleaved"), piece.text("restored")
    faults: Counter[str] = Counter()
    first = ""
    old, new = _body(before), _body(after)
    if len(old) != len(new):
        faults["lines"] += 1
    if before.splitlines()[: -len(old) or None] != after.splitlines()[: -len(new) or None]:
        faults["header"] += 1
    for number, (one, two) in enumerate(zip(old, new, strict=False), start=1):
        if one == two:
            continue
        for fault in _cell_faults(_cells(one), _cells(two)):
            first = first or f"bar {number}: {fault}: {one[:200]!r} became {two[:200]!r}"
            faults[fault] += 1
    return {
        "same": not faults,
        "same text": before == after,
        "faults": dict(faults),
        "first": first,
        "cells": sum(len(_cells(line)) for line in old),
        "reduced cells": sum(len(_cells(line)) for line in _body(piece.text("reduced"))),
    }


def _cell_faults(old: dict[str, str], new: dict[str, str]) -> Iterator[str]:
    if list(old) != list(new):
        yield "voices"
    for voice in old.keys() & new.keys():
        one, two = (re.sub(r"^([zx])1(?!\d|/)", r"\1", cell) for cell in (old[voice], new[voice]))
        if one == two:
            continue
        ends = [_BARLINE_END.search(cell) for cell in (one, two)]
        if [end and end[0] for end in ends] != [None, None] and (
            (ends[0] and ends[0][0].strip()) != (ends[1] and ends[1][0].strip())
        ):
            yield "barline"
        elif re.match(r"[zx]", one) and re.match(r"[zx]", two):
            yield "rest's kind" if one[1:] == two[1:] else "rest's duration"
        else:
            yield "other"


def _check_patches(piece: Piece) -> dict[str, Any]:
    """Send the training text through the tokenizer and back."""
    text = piece.text("reduced")
    tokenizer = PatchTokenizer(patch_length=_UNLIMITED)
    patches = attempt("encode", tokenizer.encode, text)
    decoded: str = attempt("decode", tokenizer.decode, patches)
    body = _body(decoded)
    counters = [_COUNTER.match(line) for line in body]
    right = all(
        counter is not None and (int(counter[1]), int(counter[2])) == (i, len(body) - i - 1)
        for i, counter in enumerate(counters)
    )
    plain = "".join(_COUNTER.sub("", line) for line in decoded.splitlines(keepends=True))
    return {"same": plain == text and right, "patches": len(patches), "characters": len(text)}


def _count_packaged_patches(piece: Piece) -> dict[str, Any]:
    """Count the patches of the same piece as the packaged xml2abc writes it."""
    document = without_lyrics(document_of(piece.source))
    text = attempt("packaged xml2abc", packaged_xml2abc, document)
    for step in (clean, interleave, omit_rests):
        text = attempt(f"packaged text: {step.__name__}", step, text)
    tokenizer = PatchTokenizer(patch_length=_UNLIMITED)
    return {"patches": len(attempt("encode", tokenizer.encode, text))}


def _body(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(("[V:", "[r:"))]


def _cells(line: str) -> dict[str, str]:
    parts = _CELL.split(line)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@contextmanager
def _limit(seconds: int) -> Iterator[None]:
    def late(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    previous = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
