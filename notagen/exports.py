"""The folder that generated pieces go to: every form of each piece, and one line about it."""

import dataclasses
import errno
import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from notagen.foundation.errors import InputError, ScoreError
from notagen.foundation.files import write_bytes, write_text
from notagen.foundation.index import GENERATIONS
from notagen.foundation.lines import read_lines
from notagen.generation.engine import Generated
from notagen.generation.finish import finish
from notagen.generation.prompts import Prompt
from notagen.generation.requests import Request
from notagen.metrics.validity import check_validity
from notagen.notation.midi import musicxml_to_midi
from notagen.notation.musicxml import abc_to_musicxml
from notagen.render.engrave import engrave

_log = logging.getLogger(__name__)


class GenerationFolder:
    """Receives generated pieces; several processes may write to one folder.

    `original/` holds what the model wrote, `interleaved/` the finished tune, `standard/` the same
    voice by voice, `musicxml/`, `midi/` and `svg/` (one file a page) what is made of it;
    `generations.jsonl` one line a piece, also of those that failed on the way.

    Args:
        folder: Made if it is not there.
        requests: What each piece of this run is to be.
        run: What else a piece depends on (seed, weights' sha256, sampling, precision), as JSON
            values. It stands in each line, beside the request.
    """

    def __init__(self, folder: Path, requests: Sequence[Request], run: dict[str, Any]) -> None:
        self.folder = folder
        self._lines = folder / GENERATIONS
        # as JSON gives it back: tuples are lists there
        self._wanted = [json.loads(json.dumps(run | request.values())) for request in requests]
        folder.mkdir(parents=True, exist_ok=True)

    def drop_torn_line(self) -> None:
        """Cut off a last line without its end, which a kill in mid-write leaves.

        To be called by one process, before any adds pieces.
        """
        if self._lines.is_file():
            content = self._lines.read_bytes()
            if content and not content.endswith(b"\n"):
                write_bytes(self._lines, content[: content.rfind(b"\n") + 1])

    def records(self) -> list[dict[str, Any]]:
        """Return the lines of this very run's pieces, each index once, in order.

        Raises:
            InputError: If the folder's lines cannot be read.
        """
        if not self._lines.is_file():
            return []
        found: dict[int, dict[str, Any]] = {}
        for number, line in read_lines(self._lines):
            index = line.get("index")
            if type(index) is not int:
                raise InputError(f"{self._lines}:{number}: found index {index!r}, wanted a number")
            if 0 <= index < len(self._wanted) and self._wanted[index].items() <= line.items():
                found[index] = line
        return [found[index] for index in sorted(found)]

    def add(self, piece: Generated, **facts: object) -> dict[str, Any]:
        """Write a piece in every form it can be brought into, and return its line.

        A form that fails is named in the line's `error`, with the reason; the forms before it
        stand. The line of a piece that is added again counts instead of the older one.

        Args:
            piece: As the model wrote it.
            facts: What else the line says of it, as JSON values.
        """
        wanted = self._wanted[piece.index]
        # in the name, so that another run's pieces are not overwritten
        digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:6]
        name = f"{_begun(wanted)}_{digest}_{piece.index + 1:04d}"
        record: dict[str, Any] = {
            "name": name,
            **{
                field.name: getattr(piece, field.name)
                for field in dataclasses.fields(piece)
                if field.name != "text"
            },
            **wanted,
            "mended": list(piece.mended),
            "parses": False,
            "aligned": False,
            "converts": False,
            "n_bars": 0,
            "problems": [],
            "repairs": [],
            "error": None,
            "files": [],
            **facts,
        }
        try:
            for path in write_forms(
                self.folder, name, piece.text, finished=piece.finished, record=record
            ):
                record["files"].append(path.relative_to(self.folder).as_posix())
        except ScoreError as error:
            record["error"] = " ".join(str(error).split())
        except OSError:
            # a full disk, say: no line, so that the same command writes the piece again
            raise
        except Exception as error:  # noqa: BLE001 -- a fault of ours: told, but the run goes on
            record["error"] = f"{type(error).__name__}: {' '.join(str(error).split())}"
            _log.exception("%s could not be brought into every form", name)
        self._append(record)
        return record

    def _append(self, record: dict[str, Any]) -> None:
        # one write at the file's end: lines of other processes stand before it or after
        line = f"{json.dumps(record, ensure_ascii=True)}\n".encode()
        file = os.open(self._lines, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            written = os.write(file, line)
            if written < len(line):
                # a line of another process must not run into it
                os.ftruncate(file, os.fstat(file).st_size - written)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._lines))
        finally:
            os.close(file)


def write_forms(
    folder: Path, name: str, text: str, *, finished: bool, record: dict[str, Any]
) -> Iterator[Path]:
    """Write every form of a piece, one after the other; yield each file as it is there.

    Args:
        folder: Receives `original/`, `interleaved/`, `standard/`, `musicxml/`, `midi/`, `svg/`.
        name: Of the files.
        text: What a model, or somebody, wrote.
        finished: Whether it came to its own end.
        record: Receives what is found of it: whether it parses, its bars, its problems.

    Raises:
        ScoreError: If a form cannot be made; those before it stand.
    """
    original = folder / "original" / f"{name}.abc"
    write_text(original, text)
    yield original
    tune = finish(text, finished=finished)
    validity = check_validity(tune.abc)
    record |= {
        "parses": validity.parses and not tune.repairs,
        "aligned": validity.aligned,
        "n_bars": validity.n_bars,
        "problems": list(validity.problems),
        "repairs": list(tune.repairs),
    }
    interleaved = folder / "interleaved" / f"{name}.abc"
    write_text(interleaved, tune.abc)
    yield interleaved
    document = abc_to_musicxml(tune.abc)
    musicxml = folder / "musicxml" / f"{name}.musicxml"
    write_text(musicxml, document)
    record["converts"] = True
    yield musicxml
    midi = folder / "midi" / f"{name}.mid"
    write_bytes(midi, musicxml_to_midi(document))
    yield midi
    standard = folder / "standard" / f"{name}.abc"
    write_text(standard, tune.standard)
    yield standard
    for number, page in enumerate(engrave(document), start=1):
        svg = folder / "svg" / f"{name}-{number}.svg"
        write_text(svg, page)
        yield svg


def best_piece(records: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the record of the soundest piece that was brought into every form, if there is one.

    A piece that came to its own end before one that was cut off, one that needed no mending before
    one that did, then the one with the smaller share of bars at fault, then the one of which fewer
    bars had to be written again.
    """
    whole = [record for record in records if record["error"] is None]

    def faults(record: dict[str, Any]) -> tuple[bool, bool, float, int]:
        mended = len(record["problems"]) + len(record["repairs"]) + len(record["mended"])
        share = mended / max(1, record["n_bars"])
        return not record["finished"], not record["parses"], share, record["retries"]

    return min(whole, key=faults, default=None)


def _begun(wanted: dict[str, Any]) -> str:
    """Return the first part of a piece's name: its id, `Romantic_Schubert-Franz_Art-Song`, ..."""
    style = Prompt.parse(wanted["prompt"])
    words = [wanted["id"]] if wanted["id"] else dataclasses.astuple(style) if style else []
    safe = [re.sub(r"[^A-Za-z0-9]+", "-", word).strip("-")[:40] for word in words]
    return "_".join(word for word in safe if word) or "piece"
