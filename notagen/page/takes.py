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
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from notagen.exports import GenerationFolder, write_forms
from notagen.foundation.errors import ConversionError, InputError, ScoreError
from notagen.foundation.files import write_bytes
from notagen.generation.continuation import interleaved
from notagen.generation.recipe import write_recipe
from notagen.notation.checks import check_alignment
from notagen.page.studio import Written
from notagen.render.audio import audio
from notagen.render.pdf import to_pdf, to_png

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
    """What it is called in the list, such as `3: Romantic / Schubert, Franz / Art Song`."""
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
        out: Holds them and what gradio copies; made if it is not there, for its owner alone.
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
        for folder in (out, self.folders, self.served):
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
        """Return the number of the session's next piece, each once."""
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
        """Remove what nothing was written into for so long; return how many folders."""
        removed = 0
        for folder in (*self.folders.iterdir(), *self.served.iterdir()):
            with suppress(FileNotFoundError):  # somebody else removes it
                newest = max(path.stat().st_mtime for path in (folder, *folder.glob("*")))
                if time.time() - newest > self._keep_seconds:
                    shutil.rmtree(folder, ignore_errors=True)
                    removed += 1
        with self._lock:
            for session, takes in list(self._takes.items()):
                if not takes[-1].folder.exists():
                    del self._takes[session]
        return removed


def keep_written(written: Written, session: Path, number: int, soundfont: Path | None) -> Take:
    """Bring a written piece into every form, in a new folder of the session."""
    folder = _new_folder(session, number)
    recipe = written.recipe
    exports = GenerationFolder(folder, [recipe.request], recipe.run())
    record = exports.add(written.piece)
    # by name: the folders of this machine are nobody else's business
    named = dataclasses.replace(recipe, weights=Path(recipe.weights).name)
    write_recipe(named, folder / "generation.json")
    asked = record["prompt"].splitlines()[:3]
    title = " / ".join(
        line.lstrip("%") for line in asked if line.startswith("%") and line != "%end"
    )
    title = f"{number}: {title or 'no prompt'}"
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
    return _complete(folder, record, f"{number}: edited", soundfont)


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
        except ScoreError as error:
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
