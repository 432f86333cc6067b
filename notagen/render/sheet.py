"""The listening and reading sheet: one page of pairs to compare blind, and its answers.

The page needs no network and no server. Which piece of a pair a program wrote stands only in a key
file beside it.
"""

import base64
import hashlib
import html
import json
import random
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from notagen.foundation.errors import ConversionError, InputError, MissingInputError, ScoreError
from notagen.foundation.files import writable, write_text
from notagen.foundation.lines import read_lines
from notagen.notation.midi import musicxml_to_midi
from notagen.notation.toolkit import parse_score
from notagen.render.audio import audio
from notagen.render.drawings import Drawings
from notagen.render.engrave import engrave

Choice = TypeVar("Choice")

_TEMPLATE = resources.files("notagen.render") / "sheet.html"

_PREFERENCES = {"A much": 2, "A": 1, "none": 0, "B": -1, "B much": -2, None: None}
"""Answers as steps toward A."""
_GUESSES = ("A", "B", "unknown", None)
_MOST = 1e15
"""More than any number of seconds, or of milliseconds since 1970."""


class Pair(NamedTuple):
    """A generated piece and the reference it is compared with, each with its name and MusicXML."""

    generated_name: str
    generated_musicxml: str
    reference_name: str
    reference_musicxml: str


class Skipped(NamedTuple):
    """A pair that is not on the page, and why."""

    generated_name: str
    reference_name: str
    reason: str


class Answer(NamedTuple):
    """What one listener said about one pair; None where a question was left open."""

    listener: str
    pair: str
    preference: int | None
    """From 2, the generated piece by far, over 0, no difference, to -2, the reference by far."""
    right: float | None
    """1 if the person's piece was named, 0 if the program's, 0.5 for "I cannot tell"."""
    seconds: float
    experience: str
    comment: str


class _Piece(NamedTuple):
    pages: list[str]
    """SVG."""
    goes_on: bool
    """Whether there are more pages than these."""
    sound: bytes
    """MP3."""


def write_sheet(
    path: Path,
    pairs: Sequence[Pair],
    *,
    seed: int,
    title: str,
    max_pages: int = 2,
    max_seconds: float = 60.0,
    soundfont: Path | None = None,
) -> list[Skipped]:
    """Write the sheet, one HTML file, and beside it its key, `<name>-key.jsonl`.

    Each pair has both scores, both sounds (equally loud), two questions and room for a comment. The
    listener saves the answers as JSON lines; `read_answers` reads them. Titles, names of authors
    and words under the notes are left out of the scores. The pairs' order and their sides are drawn
    by lot, the generated piece on either side equally often; the same input gives the same bytes.

    Args:
        path: The `.html` file.
        pairs: Pieces of similar length; both best from one converter, whose habits could tell.
        seed: Of the order and the sides.
        title: Heading of the page.
        max_pages: Pages of each score that are shown.
        max_seconds: Seconds of each piece that are heard.
        soundfont: See `audio`.

    Returns:
        The pairs of which a piece could not be engraved or played; the page has the others.

    Raises:
        InputError: If no pair is left, or as `audio` raises it.
    """
    digest = hashlib.sha256(json.dumps([seed, title, *pairs]).encode())
    # drawn from the pieces too: a seed that somebody knows tells nothing
    rng = random.Random(digest.digest())  # noqa: S311 -- lots, not secrets
    sheet = digest.hexdigest()[:12]
    drawings = Drawings()
    shown: list[tuple[Pair, list[_Piece]]] = []
    skipped: list[Skipped] = []
    for pair in rng.sample(pairs, len(pairs)):
        try:
            pieces = [
                _render(name, musicxml, max_pages, max_seconds, soundfont)
                for name, musicxml in (pair[:2], pair[2:])
            ]
        except ScoreError as error:
            skipped.append(Skipped(pair.generated_name, pair.reference_name, str(error)))
        else:
            shown.append((pair, pieces))
    if not shown:
        reason = f"; {skipped[0].reason}" if skipped else ""
        raise InputError(f"{path}: found no pair that can be shown, wanted at least one{reason}")
    sides = rng.sample(["A", "B"] * ((len(shown) + 1) // 2), len(shown))
    ids = rng.sample(range(16**8), len(shown))
    key: list[dict[str, str]] = []
    sections: list[str] = []
    for number, ((pair, pieces), side, drawn) in enumerate(zip(shown, sides, ids, strict=True), 1):
        name = f"{drawn:08x}"
        names = {"generated_name": pair.generated_name, "reference_name": pair.reference_name}
        key.append({"sheet": sheet, "pair": name, "generated": side, **names})
        first, second = pieces if side == "A" else reversed(pieces)
        articles = _article("A", first, drawings) + _article("B", second, drawings)
        sections.append(
            f'<section class="pair" data-pair="{name}">'
            f'<h2 tabindex="-1">Pair {number} of {len(shown)}</h2>'
            f'<div class="both">{articles}</div></section>'
        )
    # the key first: a page without its key would be listened to in vain. Keys of earlier sheets
    # of this name stay, as somebody may be listening to one
    key_file = _key_path(path)
    earlier = key_file.read_text(encoding="utf-8") if key_file.is_file() else ""
    lines = [f"{json.dumps(line)}\n" for line in key]
    write_text(key_file, earlier + "".join(line for line in lines if line not in earlier))
    write_text(path, _page(sheet, title, sections, drawings))
    return sorted(skipped)


def read_answers(answers: Sequence[Path], key: Path) -> list[Answer]:
    """Return what listeners answered, sorted by pair and listener.

    Where one listener answered a pair twice, the later answer counts.

    Args:
        answers: Files saved from the page.
        key: The key file of its sheet.

    Raises:
        InputError: At a line that is no answer or no key, or that belongs to another sheet, naming
            file and line.
        MissingInputError: If a file is not there.
    """
    sides: dict[tuple[str, str], str] = {}
    for where, line in _lines([key]):
        name = (_text(where, line, "sheet"), _text(where, line, "pair"))
        sides[name] = _one_of(where, line, "generated", ("A", "B"))
    latest: dict[tuple[str, str], tuple[float, Answer]] = {}
    for where, line in _lines(answers):
        name = sheet, pair = _text(where, line, "sheet"), _text(where, line, "pair")
        if name not in sides:
            raise InputError(f"{where}: found sheet {sheet!r}, pair {pair!r}, wanted one of {key}")
        toward_a = _PREFERENCES[_one_of(where, line, "preference", tuple(_PREFERENCES))]
        person = _one_of(where, line, "person", _GUESSES)
        answer = Answer(
            listener=_text(where, line, "listener"),
            pair=pair,
            preference=-toward_a if toward_a and sides[name] == "B" else toward_a,
            right={None: None, "unknown": 0.5, sides[name]: 0.0}.get(person, 1.0),
            seconds=_number(where, line, "seconds"),
            experience=_text(where, line, "experience"),
            comment=_text(where, line, "comment"),
        )
        time = _number(where, line, "time")
        asked = (pair, answer.listener)
        if asked not in latest or latest[asked][0] <= time:
            latest[asked] = time, answer
    return [latest[asked][1] for asked in sorted(latest)]


def _key_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}-key.jsonl")


def _anonymous(musicxml: str) -> str:
    """Return the score without what tells its origin: all but its parts, and their lyrics."""
    root = parse_score(musicxml)
    root[:] = [child for child in root if child.tag in ("part-list", "part")]
    for note in root.iter("note"):
        note[:] = [child for child in note if child.tag != "lyric"]
    return ET.tostring(root, encoding="unicode")


def _render(
    name: str, musicxml: str, max_pages: int, max_seconds: float, soundfont: Path | None
) -> _Piece:
    try:
        anonymous = _anonymous(musicxml)
        pages = engrave(anonymous)
        sound = audio(musicxml_to_midi(anonymous), max_seconds=max_seconds, soundfont=soundfont)
    except ScoreError as error:
        raise ConversionError(f"{name}: {' '.join(str(error).split())}") from error
    return _Piece(pages[:max_pages], len(pages) > max_pages, sound)


def _article(side: str, piece: _Piece, drawings: Drawings) -> str:
    pages = "".join(
        drawings.add(page, f"Score of {side}, page {number}")
        for number, page in enumerate(piece.pages, 1)
    )
    sound = base64.b64encode(piece.sound).decode()
    more = '<p class="cut">The piece goes on.</p>' if piece.goes_on else ""
    return (
        f'<article class="piece"><h3>{side}</h3><audio controls preload="metadata" '
        f'aria-label="Sound of {side}" src="data:audio/mpeg;base64,{sound}"></audio>'
        f"{pages}{more}</article>"
    )


def _page(sheet: str, title: str, sections: Iterable[str], drawings: Drawings) -> str:
    """Fill the template; its policy lets nothing run or load but what stands in it."""
    template = _TEMPLATE.read_text(encoding="utf-8")
    fonts = "\n".join(drawings.fonts)
    (style,) = re.findall("<style>(.*?)</style>", template, re.DOTALL)
    (script,) = re.findall("<script>(.*?)</script>", template, re.DOTALL)
    policy = (
        f"default-src 'none'; style-src {_hash(style.replace('%FONTS%', fonts))}; "
        f"script-src {_hash(script)}; font-src data:; media-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    values = {
        "POLICY": policy,
        "TITLE": html.escape(writable(title)),
        "FONTS": fonts,
        "SHEET": sheet,
        "GLYPHS": drawings.glyphs(),
        "PAIRS": "\n".join(sections),
    }
    return re.sub("%([A-Z]+)%", lambda match: values[match[1]], template)


def _hash(content: str) -> str:
    """Return a style's or script's source expression of a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _lines(paths: Iterable[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the lines of all files, each with its place."""
    for path in paths:
        if not path.is_file():
            raise MissingInputError(f"{path}: found no such file")
        for number, line in read_lines(path):
            yield f"{path}:{number}", line


def _text(where: str, line: Mapping[str, Any], field: str) -> str:
    value = line.get(field)
    if not isinstance(value, str):
        raise InputError(f"{where}: {field}: found {value!r:.80}, wanted a text")
    return value


def _number(where: str, line: Mapping[str, Any], field: str) -> float:
    value: object = line.get(field)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MOST:
        return float(value)
    raise InputError(f"{where}: {field}: found {value!r:.80}, wanted a number from 0")


def _one_of(where: str, line: Mapping[str, Any], field: str, wanted: tuple[Choice, ...]) -> Choice:
    value = line.get(field, "nothing")
    if value not in wanted:
        names = ", ".join(json.dumps(one) for one in wanted)
        raise InputError(f"{where}: {field}: found {value!r:.80}, wanted one of {names}")
    chosen: Choice = value
    return chosen
