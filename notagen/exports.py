"""The folder that generated pieces go to: every form of each piece, and one line about it."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from notagen.foundation.errors import InputError, ScoreError
from notagen.foundation.files import write_bytes, write_text
from notagen.foundation.lines import read_lines
from notagen.generation.engine import Generated
from notagen.generation.finish import finish
from notagen.metrics.validity import check_validity
from notagen.notation.midi import musicxml_to_midi
from notagen.notation.musicxml import abc_to_musicxml
from notagen.render.engrave import engrave


class GenerationFolder:
    """Receives generated pieces.

    `original/` holds what the model wrote, `interleaved/` the finished tune, `musicxml/`, `midi/`
    and `svg/` (one file a page) what is made of it; `generations.jsonl` one line a piece, also of
    those that failed on the way.

    Args:
        folder: Made if it is not there.
        run: What all pieces of a run share (prompt, seed, settings, the weights' sha256), as JSON
            values; stands in each line.

    Raises:
        InputError: If a line of an existing generations.jsonl cannot be read.
    """

    def __init__(self, folder: Path, run: dict[str, Any]) -> None:
        self.folder = folder
        self.run = run
        self._lines = folder / "generations.jsonl"
        # in the pieces' names, so that another run's pieces are not overwritten
        text = json.dumps(run, sort_keys=True)
        self._digest = hashlib.sha256(text.encode()).hexdigest()[:6]
        folder.mkdir(parents=True, exist_ok=True)
        self._drop_torn_line()

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
            if all(line.get(name) == value for name, value in self.run.items()):
                found[index] = line
        return [found[index] for index in sorted(found)]

    def add(self, piece: Generated) -> dict[str, Any]:
        """Write a piece in every form it can be brought into, and return its line.

        A form that fails is named in the line's `error`, with the reason; the forms before it
        stand.
        """
        name = f"{_begun(piece)}_{self._digest}_{piece.index + 1:04d}"
        record: dict[str, Any] = {
            "name": name,
            **{
                field.name: getattr(piece, field.name)
                for field in dataclasses.fields(piece)
                if field.name != "text"
            },
            **self.run,
            "parses": False,
            "aligned": False,
            "converts": False,
            "n_bars": 0,
            "problems": [],
            "repairs": [],
            "error": None,
            "files": [],
        }
        try:
            for path in self._write_forms(name, piece, record):
                record["files"].append(path.relative_to(self.folder).as_posix())
        except ScoreError as error:
            record["error"] = " ".join(str(error).split())
        except OSError:
            # a full disk, say: no line, so that the same command writes the piece again
            raise
        except Exception as error:
            # a fault of ours: the piece has its line all the same, and is not tried again
            record["error"] = f"{type(error).__name__}: {' '.join(str(error).split())}"
            self._append(record)
            raise
        self._append(record)
        return record

    def _write_forms(self, name: str, piece: Generated, record: dict[str, Any]) -> Iterator[Path]:
        """Write the forms one after the other, yielding each file; a ScoreError ends it."""
        original = self.folder / "original" / f"{name}.abc"
        write_text(original, piece.text)
        yield original
        tune = finish(piece.text, finished=piece.finished)
        validity = check_validity(tune.abc)
        record |= {
            "parses": validity.parses and not tune.repairs,
            "aligned": validity.aligned,
            "n_bars": validity.n_bars,
            "problems": list(validity.problems),
            "repairs": list(tune.repairs),
        }
        interleaved = self.folder / "interleaved" / f"{name}.abc"
        write_text(interleaved, tune.abc)
        yield interleaved
        document = abc_to_musicxml(tune.abc)
        musicxml = self.folder / "musicxml" / f"{name}.musicxml"
        write_text(musicxml, document)
        record["converts"] = True
        yield musicxml
        midi = self.folder / "midi" / f"{name}.mid"
        write_bytes(midi, musicxml_to_midi(document))
        yield midi
        for number, page in enumerate(engrave(document), start=1):
            svg = self.folder / "svg" / f"{name}-{number}.svg"
            write_text(svg, page)
            yield svg

    def _append(self, record: dict[str, Any]) -> None:
        line = json.dumps(record, ensure_ascii=True)
        with self._lines.open("a", encoding="utf-8", newline="\n") as file:
            file.write(line + "\n")
            file.flush()

    def _drop_torn_line(self) -> None:
        """Cut off a last line without its end, which a kill in mid-write leaves."""
        if self._lines.is_file():
            content = self._lines.read_bytes()
            if content and not content.endswith(b"\n"):
                write_bytes(self._lines, content[: content.rfind(b"\n") + 1])


def best_piece(records: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the record of the soundest piece that was brought into every form, if there is one.

    A piece that needed no mending comes before one that did, then the one with the smaller share
    of bars at fault, then the one of which fewer bars had to be written again.
    """
    whole = [record for record in records if record["error"] is None]

    def faults(record: dict[str, Any]) -> tuple[bool, float, int]:
        mended = len(record["problems"]) + len(record["repairs"])
        return not record["parses"], mended / max(1, record["n_bars"]), record["retries"]

    return min(whole, key=faults, default=None)


def _begun(piece: Generated) -> str:
    """Return the first part of a piece's name: `Romantic_Schubert-Franz_Art-Song`, or `piece`."""
    lines = [line.lstrip("%").strip() for line in piece.prompt.splitlines() if line[:2] != "%%"]
    words = [re.sub(r"[^A-Za-z0-9]+", "-", line).strip("-")[:40] for line in lines if line]
    return "_".join(word for word in words[:3] if word) or "piece"
