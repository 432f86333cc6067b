"""What a session has had written: each piece in every form, to hear and to keep."""

import dataclasses
import hashlib
import io
import secrets
import shutil
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from notagen.exports import GenerationFolder, write_forms
from notagen.foundation.errors import ConversionError, InputError, ScoreError
from notagen.foundation.files import write_bytes
from notagen.generation.continuation import interleaved
from notagen.generation.prompts import Prompt
from notagen.generation.recipe import write_recipe
from notagen.notation.checks import check_alignment
from notagen.notation.interleave import is_interleaved, parse_interleaved
from notagen.notation.lexer import tokens
from notagen.page.studio import Written
from notagen.render.audio import audio
from notagen.render.pdf import to_pdf, to_png
from notagen.tokenizer.windows import remove_counters

_THUMBNAIL = 240
"""Pixels of its width."""
_FORMS = {
    "interleaved": "interleaved.abc",
    "standard": "abc",
    "musicxml": "musicxml",
    "midi": "mid",
}
MOST_CHARACTERS = 400_000
"""Of a text that somebody edits."""


@dataclass(frozen=True)
class Take:
    """A piece in every form that could be made of it."""

    title: str
    """What it is called in lists: `3: Romantic / Schubert, Franz / Art Song, 16 bars, seed 7`."""
    folder: Path
    record: dict[str, Any]
    """Its line of generations.jsonl."""
    files: dict[str, Path] = field(default_factory=dict)
    """By form: abc, interleaved.abc, musicxml, mid, pdf, wav, json, png, zip."""

    @property
    def error(self) -> str | None:
        """What kept a form from being made, in one line."""
        error: str | None = self.record["error"]
        return error

    @property
    def abc(self) -> str:
        """Its interleaved text, or what was written where that could not be made."""
        path = self.files.get("interleaved.abc") or self.folder / self.record["files"][0]
        return path.read_text(encoding="utf-8")


class Sessions:
    """Folders and pieces of sessions, known to their own session alone, removed after some hours.

    Args:
        out: Holds two folders for their owner alone: that of sessions, and of what gradio copies.
        keep_hours: After which files are removed.
    """

    def __init__(self, out: Path, *, keep_hours: float) -> None:
        out = out.resolve()
        self.folders, self.served = out / "sessions", out / "served"
        self._keep_seconds = keep_hours * 3600
        self._secret = secrets.token_bytes(16)
        self._takes: dict[str, list[Take]] = {}
        self._numbers: Counter[str] = Counter()
        self._lock = threading.Lock()
        for folder in (self.folders, self.served):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        self.remove_old()

    def folder(self, session: str) -> Path:
        """Return a session's folder, whose name nobody can guess."""
        digest = hashlib.blake2b(session.encode(), key=self._secret, digest_size=16)
        folder = self.folders / digest.hexdigest()
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def number(self, session: str) -> int:
        """Return a number for the session's next piece, each once."""
        with self._lock:
            self._numbers[session] += 1
            return self._numbers[session]

    def add(self, session: str, take: Take) -> None:
        """Put a piece to those of its session."""
        with self._lock:
            self._takes.setdefault(session, []).append(take)

    def takes(self, session: str) -> list[Take]:
        """Return the pieces of a session, the oldest first."""
        with self._lock:
            return list(self._takes.get(session, ()))

    def remove_old(self) -> int:
        """Remove pieces and copies of so many hours ago; return how many folders."""
        removed = 0
        pieces = [piece for session in _inside(self.folders) for piece in _inside(session)]
        for folder in (*pieces, *_inside(self.served)):
            with suppress(FileNotFoundError):  # somebody else removes it
                newest = max(path.stat().st_mtime for path in (folder, *folder.glob("*")))
                if time.time() - newest > self._keep_seconds:
                    shutil.rmtree(folder, ignore_errors=True)
                    removed += 1
        for folder in _inside(self.folders):
            with suppress(OSError):  # it holds pieces still
                folder.rmdir()
        with self._lock:
            for session, takes in list(self._takes.items()):
                takes[:] = [take for take in takes if take.folder.exists()]
                if not takes:
                    del self._takes[session], self._numbers[session]
        return removed


def _inside(folder: Path) -> list[Path]:
    """Return the folders in a folder; none where it is not there."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return [path for path in folder.iterdir() if path.is_dir()]
    return []


def keep_written(
    written: Written, session: Path, number: int, soundfont: Path | None, *, source: str = ""
) -> Take:
    """Bring a written piece into every form, in a new folder of the session.

    Args:
        written: The piece.
        session: Folder of its session.
        number: Of the piece in its session.
        soundfont: For its sound; None for the one that comes with pretty_midi.
        source: What it continues, if anything.
    """
    folder = _new_folder(session, number)
    recipe = written.recipe
    exports = GenerationFolder(folder, [recipe.request], recipe.run())
    record = exports.add(written.piece)
    # by name: the folders of this machine are nobody else's business
    named = dataclasses.replace(recipe, weights=Path(recipe.weights).name)
    write_recipe(named, folder / "generation.json")
    what = f"{source}, continued" if source else Prompt.parse(record["prompt"]) or "no prompt"
    title = f"{number}: {what}, {_bars(record)}, seed {recipe.seed}"
    if written.score is not None:
        title += f", score {written.score:.3f}"
    return _complete(folder, record, title, soundfont)


def keep_edited(abc: str, session: Path, number: int, soundfont: Path | None) -> Take:
    """Bring a text that somebody wrote into every form; what is wrong is said by voice and bar.

    Raises:
        InputError: If it is too long.
        ScoreError: If its music cannot be read, or its bars do not add up.
    """
    if len(abc) > MOST_CHARACTERS:
        raise InputError(f"found {len(abc):,} characters, wanted {MOST_CHARACTERS:,} at most")
    _check_signs(abc)
    text = interleaved(abc)
    if problems := check_alignment(text).problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ConversionError(f"{problems[0]}{more}")
    folder = _new_folder(session, number)
    record: dict[str, Any] = {"name": f"edited_{number}", "prompt": "", "error": None, "files": []}
    forms = write_forms(folder, record["name"], text, finished=True, record=record)
    try:
        record["files"] = [path.relative_to(folder).as_posix() for path in forms]
    except ScoreError:
        shutil.rmtree(folder)
        raise
    return _complete(folder, record, f"{number}: edited, {_bars(record)}", soundfont)


def _bars(record: Mapping[str, Any]) -> str:
    count = record["n_bars"]
    return f"{count} bar{'' if count == 1 else 's'}"


def _check_signs(abc: str) -> None:
    """Check that a text of our own form has no sign that means nothing, which would be dropped."""
    if not is_interleaved(abc):
        return
    for number, bar in enumerate(parse_interleaved(remove_counters(abc)).bars, start=1):
        for voice, cell in bar.items():
            for token in tokens(cell.music):
                if token.kind == "other":
                    raise ConversionError(
                        f"bar {number}, V:{voice}: found {token.text!r} in {cell.music!r:.80}, "
                        "wanted notes, rests and what belongs to them"
                    )


def _new_folder(session: Path, number: int) -> Path:
    folder = session / f"{number:03d}-{secrets.token_hex(4)}"
    folder.mkdir(parents=True)
    return folder


def _complete(folder: Path, record: dict[str, Any], title: str, soundfont: Path | None) -> Take:
    """Add what is made for the page alone: PDF, sound, a small picture, and all in one archive."""
    name = record["name"]
    files = {}
    for path in (folder / file for file in record["files"]):
        form = _FORMS.get(path.parent.name)
        if form == "interleaved.abc":
            # as `standard/` has a file of the same name
            files[form] = folder / "keep" / f"{name}.interleaved.abc"
            files[form].parent.mkdir()
            shutil.copyfile(path, files[form])
        elif form:
            files[form] = path
    if record["error"] is None:
        pages = [folder / file for file in record["files"] if file.startswith("svg/")]
        texts = [page.read_text(encoding="utf-8") for page in pages]
        files["pdf"] = folder / "pdf" / f"{name}.pdf"
        files["wav"] = folder / "wav" / f"{name}.wav"
        files["png"] = folder / "png" / f"{name}.png"
        try:
            write_bytes(files["pdf"], to_pdf(texts, title=title))
            write_bytes(files["png"], to_png(texts[0], width=_THUMBNAIL))
            sound = audio(files["mid"].read_bytes(), form="wav", soundfont=soundfont)
            write_bytes(files["wav"], sound)
        except (InputError, ScoreError) as error:
            # such as a piece of rests alone, which makes no sound
            record = record | {"error": " ".join(str(error).split())}
            files = {form: path for form, path in files.items() if path.is_file()}
    if (folder / "generation.json").is_file():
        files["json"] = folder / "generation.json"
    files["zip"] = folder / f"{name}.zip"
    write_bytes(files["zip"], _archive(name, files))
    return Take(title, folder, record, files)


def _archive(name: str, files: dict[str, Path]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for form, path in files.items():
            if form == "json":
                archive.write(path, "generation.json")
            elif form not in ("zip", "png"):
                archive.write(path, f"{name}.{form}")
    return content.getvalue()


def downloads(take: Take) -> Sequence[str]:
    """Return the files to offer, in the order in which they are wanted."""
    order = ("pdf", "musicxml", "mid", "wav", "abc", "interleaved.abc", "json", "zip")
    return [str(take.files[form]) for form in order if form in take.files]
