"""The pieces to measure, wherever they lie, and what is measured of one."""

import dataclasses
import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from anyascii import anyascii
from numpy.typing import NDArray
from tqdm import tqdm

from notagen.foundation.batch import run_batch
from notagen.foundation.errors import (
    ConversionError,
    InputError,
    MissingInputError,
    ScoreError,
)
from notagen.foundation.files import inside, sha256
from notagen.foundation.index import GENERATIONS, IndexEntry, read_index
from notagen.foundation.lines import read_lines
from notagen.generation.continuation import interleaved, read_score
from notagen.generation.finish import FinishedTune, finish
from notagen.generation.prompts import Prompt
from notagen.metrics.notes import score_notes
from notagen.metrics.statistics import piece_statistics
from notagen.metrics.validity import Soundness, check_soundness
from notagen.notation.foreign import check_size
from notagen.notation.interleave import is_interleaved, parse_interleaved
from notagen.notation.rests import omit_rests, restore_rests
from notagen.sources.abc_file import count_tunes, read_abc, split_tunes
from notagen.sources.piece import CONVERTED_SUFFIXES, NATIVE_SUFFIXES
from notagen.tokenizer.vocabulary import check_characters
from notagen.tokenizer.windows import canonical

Parts = Literal["statistics", "soundness", "all"]
"""How much is measured of a piece; see `measure_pieces`."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PieceFile:
    """A piece to measure: where its text lies and what is known of it."""

    name: str
    """Its path in the folder or index, without key and, where that is unique, suffix."""
    path: Path | None
    """None for a piece of which nothing was written."""
    work: str
    """Shared by the movements of one work."""
    prompt: Prompt | None = None
    """Its period, composer and instrumentation; of a generated piece those that were asked for."""
    finished: bool | None = None
    """Whether the model ended it; None for pieces that no model of ours wrote."""
    num_retries: int = 0
    """Times that generation took something back and wrote it again."""
    num_mended: int = 0
    """Bars in which generation let voices rest, as the model found no sound ones."""
    weights_sha256: str | None = None
    """Of the weights that wrote it, where they are known."""
    tune: int | None = None
    """Which tune of an ABC file that holds many, from 0."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What is measured of one piece."""

    piece: PieceFile
    error: str | None = None
    """Why it could not be read, in one line."""
    soundness: Soundness | None = None
    """None where it could not be read, or was not asked for."""
    statistics: dict[str, NDArray[np.float64]] | None = None
    """Of its notes; None where these cannot be read."""


def find_pieces(where: Path) -> list[PieceFile]:
    """Return the pieces of a generation folder, an index, or a folder of scores, in order.

    Args:
        where: A folder with `generations.jsonl`, or that file; or a JSONL index, whose pieces are
            taken in their own keys; or a folder of ABC, MusicXML, MIDI or kern, searched with its
            subfolders.

    Raises:
        MissingInputError: If it is not there.
        InputError: If it holds no piece or one twice, or a line of it cannot be read.
    """
    if where.name == GENERATIONS:
        where = where.parent
    if not where.exists():
        raise MissingInputError(f"{where}: found nothing there, wanted an index or a folder")
    if (where / GENERATIONS).is_file():
        pieces = list(_generated(where))
    elif where.is_dir():
        pieces = list(_scores(where))
    else:
        pieces = [_of_entry(where, entry) for entry in read_index(where, made_by="data/")]
    if not pieces:
        raise InputError(f"{where}: found no piece, wanted one at least")
    name, times = Counter(piece.name for piece in pieces).most_common(1)[0]
    if times > 1:
        raise InputError(f"{where}: found {name} {times} times, wanted each piece once")
    return pieces


def describe(where: Path, pieces: Iterable[PieceFile]) -> dict[str, object]:
    """Return what a results file says of a set of pieces: its name, size and SHA-256.

    The digest is that of the pieces' names and files: the same wherever the folder lies. Of
    generated pieces the digests of the weights that wrote them stand beside it.
    """
    lines = []
    for piece in pieces:
        there = piece.path is not None and piece.path.is_file()
        lines.append(f"{piece.name} {sha256(piece.path) if there and piece.path else ''}\n")
    facts: dict[str, object] = {
        "name": f"{where.resolve().parent.name}/{where.name}",
        "pieces": len(lines),
        "sha256": hashlib.sha256("".join(sorted(lines)).encode()).hexdigest(),
    }
    weights = sorted({piece.weights_sha256 for piece in pieces if piece.weights_sha256})
    return facts | {"weights_sha256": weights} if weights else facts


def read_training_text(piece: PieceFile) -> str:
    """Return a piece as a model learns it: reduced, without prompt lines and counters.

    Raises:
        ScoreError: If it cannot be read; the message names the file.
    """
    try:
        text = canonical(omit_rests(restore_rests(_read(piece))))
        check_characters(text)
        return text
    except ScoreError as error:
        raise type(error)(f"{piece.name}: {error}") from error


def read_music(piece: PieceFile) -> str:
    """Return a piece as interleaved ABC, faults of a generated one mended.

    Raises:
        ScoreError: If it cannot be read, or no music is there.
    """
    text = _read(piece)
    return text if piece.finished is None else finish(text, finished=piece.finished).abc


def measure_pieces(
    pieces: Iterable[PieceFile], *, parts: Parts, workers: int, said: str
) -> list[Measured]:
    """Return what is measured of each piece, in order, with a progress bar.

    A piece that cannot be read is told in a line and stays in the list, as a failure.

    Args:
        pieces: From `find_pieces`.
        parts: Statistics alone; soundness too; or all, where music21 also reads each piece back and
            its notes are compared, which takes most of the time.
        workers: Processes; -1 for one a core.
        said: What the bar calls them.
    """
    jobs = [(piece, parts) for piece in pieces]
    outcomes = run_batch(_measure, jobs, workers=workers)
    found = []
    for outcome in tqdm(outcomes, total=len(jobs), desc=said, unit="piece", disable=not jobs):
        measured = outcome.result or Measured(piece=outcome.item[0], error=outcome.reason)
        if measured.error is not None:
            with tqdm.external_write_mode():
                _log.warning("%s: %s", measured.piece.name, measured.error)
        found.append(measured)
    return found


def _measure(job: tuple[PieceFile, Parts]) -> Measured:
    piece, parts = job
    try:
        return _measured(piece, parts)
    except ScoreError as error:
        return Measured(piece=piece, error=" ".join(str(error).split()))
    except Exception as error:  # noqa: BLE001 -- a fault of ours: told, and the others are measured
        return Measured(
            piece=piece, error=f"{type(error).__name__}: {' '.join(str(error).split())}"
        )


def _measured(piece: PieceFile, parts: Parts) -> Measured:
    text = music = _read(piece)
    tune = None
    soundness = None
    check_notes = parts == "all"
    try:
        if piece.finished is not None:
            tune = finish(text, finished=piece.finished)
            music = tune.abc
        if parts != "statistics":
            soundness = check_soundness(music, check_notes=check_notes)
        statistics = piece_statistics(score_notes(music), len(parse_interleaved(music).bars))
    except ScoreError as error:
        if parts == "statistics":
            raise
        soundness = soundness or _unmended(text, str(error), check_notes=check_notes)
        statistics = None
    if soundness and tune and tune.repairs:
        soundness = _as_written(text, tune, soundness)
    return Measured(piece=piece, soundness=soundness, statistics=statistics)


def _unmended(text: str, reason: str, *, check_notes: bool) -> Soundness:
    """Judge what a model wrote and nothing can mend: it has no way to MusicXML."""
    raw = check_soundness(text, check_notes=False)
    same = False if check_notes else None
    problems = (*raw.problems, reason)
    return dataclasses.replace(raw, converts=False, same_notes=same, problems=problems)


def _as_written(text: str, tune: FinishedTune, mended: Soundness) -> Soundness:
    """Judge what a model wrote, but for the way to MusicXML: that begins with mending."""
    # a limit that cuts a bar off is no fault of the bar
    written = text[: text.rfind("\n") + 1] if tune.cut_bar else text
    return dataclasses.replace(
        check_soundness(written, check_notes=False),
        parses=False,
        converts=mended.converts,
        same_notes=mended.same_notes,
        problems=(*tune.repairs, *mended.problems),
    )


def _read(piece: PieceFile) -> str:
    """Return a piece's text: interleaved ABC as it is, anything else brought into that form."""
    if piece.path is None:
        raise ConversionError("nothing was written of it")
    if not piece.path.is_file():
        raise ConversionError(f"{piece.path} is not there")
    if piece.path.suffix.lower() != ".abc":
        return read_score(piece.path)
    check_size(piece.path)
    text = read_abc(piece.path)
    if piece.tune is not None:
        text = split_tunes(text)[piece.tune]
    return text if is_interleaved(text) else interleaved(text)


def _scores(folder: Path) -> Iterator[PieceFile]:
    """Yield the scores of a folder, and each tune of an ABC file that holds many."""
    known = (*NATIVE_SUFFIXES, *CONVERTED_SUFFIXES)
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in known
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    alike = sum(times > 1 for times in Counter(path.stem for path in files).values())
    if alike:
        _log.warning("%s: found %d names more than once; each file counts", folder, alike)
    stems = Counter(path.with_suffix("") for path in files)
    for path in files:
        file = path if stems[path.with_suffix("")] > 1 else path.with_suffix("")
        name = file.relative_to(folder).as_posix()
        num_tunes = count_tunes(read_abc(path)) if path.suffix.lower() == ".abc" else 1
        if num_tunes == 1:
            yield PieceFile(name=name, path=path, work=name)
        else:
            for tune in range(num_tunes):
                tune_name = f"{name}-{tune + 1}"
                yield PieceFile(name=tune_name, path=path, work=tune_name, tune=tune)


def _generated(folder: Path) -> Iterator[PieceFile]:
    """Yield the pieces of a generation folder; of lines about the same piece the last counts."""
    lines: dict[str, tuple[int, dict[str, Any]]] = {}
    for number, line in read_lines(folder / GENERATIONS):
        lines[str(line.get("name"))] = number, line
    for name, (number, line) in lines.items():
        try:
            originals = [path for path in line["files"] if path.startswith("original/")]
            yield PieceFile(
                name=name,
                path=inside(folder, originals[0]) if originals else None,
                work=name,
                prompt=Prompt.parse(line["prompt"]),
                finished=bool(line["finished"]),
                num_retries=line.get("retries", 0),
                num_mended=len(line["mended"]),
                weights_sha256=line.get("weights_sha256"),
            )
        except (KeyError, TypeError, AttributeError) as error:
            where = f"{folder / GENERATIONS}:{number}"
            message = f"{where}: found no line of a generated piece ({error}), wanted one"
            raise InputError(message) from error


def _of_entry(index: Path, entry: IndexEntry) -> PieceFile:
    """Return the piece of an index line; training texts lie in a folder for each key."""
    path = index.parent / (entry.keyed_path(entry.key) if entry.key else entry.path)
    if not path.is_file():
        path = index.parent / entry.path
    return PieceFile(
        name=entry.path.removesuffix(".abc"),
        path=path,
        work=entry.work or entry.path,
        # as generated pieces have it
        prompt=Prompt(*map(anyascii, entry.prompt)) if entry.prompt else None,
    )
