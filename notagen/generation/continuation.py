"""Openings: the first bars of a given piece, as text that a model goes on from."""

import re
from collections import Counter
from pathlib import Path

from notagen.foundation.errors import InputError, MissingInputError, ScoreError
from notagen.generation.prompts import Prompt, training_prompt_lines
from notagen.notation.barlines import Bar
from notagen.notation.clean import clean
from notagen.notation.foreign import check_size, foreign_to_musicxml
from notagen.notation.interleave import (
    format_interleaved,
    interleave,
    is_interleaved,
    parse_interleaved,
)
from notagen.notation.lexer import tokens
from notagen.notation.musicxml import abc_to_musicxml, document_to_abc, musicxml_to_abc
from notagen.notation.rests import omit_rests, restore_rests
from notagen.notation.tune import Tune
from notagen.sources.abc_file import read_abc, split_tunes
from notagen.sources.piece import CONVERTED_SUFFIXES, NATIVE_SUFFIXES
from notagen.tokenizer.windows import remove_counters, split_header

_UNIT = re.compile(r"^L:\s*1/8\s*$", re.MULTILINE)
_PROMPT_LINES = re.compile(r"\A(?:%(?!%).*\n)+")


def opening(
    path: Path | str, *, first_bars: int | None = None, prompt: Prompt | None = None
) -> str:
    r"""Return the first bars of a piece as training text: one line a bar, rests omitted.

    A final barline at its end becomes `|`, since the piece goes on: `[V:1]c8|]` gives
    `[V:1]c8|`. MIDI is read with its lengths rounded, as it holds no written ones.

    Args:
        path: MusicXML (.mxl, .musicxml, .xml), ABC in any form (of a file of many tunes the first;
            prompt lines and counters allowed), MIDI or kern.
        first_bars: Taken at most, >= 1; None for all.
        prompt: Stands before it; None for the one that the ABC begins with, if any.

    Raises:
        MissingInputError: If there is no such file.
        InputError: If its suffix is of none of these formats, or `first_bars` is less than 1.
        ScoreError: If its music cannot be read; the message begins with the path.
    """
    return _opening(read_score(Path(path)), first_bars, prompt)


def opening_of_abc(abc: str, *, first_bars: int | None = None, prompt: Prompt | None = None) -> str:
    """Return the first bars of a tune as training text; as `opening`, from ABC text.

    Interleaved text with the unit of training text stays as it is written, but for a last bar
    without a barline, which was cut off. Other text is brought into that form by way of MusicXML.

    Raises:
        InputError: If `first_bars` is less than 1.
        ScoreError: If the music cannot be read.
    """
    return _opening(interleaved(abc), first_bars, prompt)


def read_score(path: Path) -> str:
    """Return a score as interleaved ABC with every voice written, after its prompt if it has one.

    Args and errors are those of `opening`.
    """
    known = (*NATIVE_SUFFIXES, *CONVERTED_SUFFIXES)
    if path.suffix.lower() not in known:
        raise InputError(f"{path}: found no score by its name, wanted {' '.join(known)}")
    if not path.is_file():
        raise MissingInputError(f"{path}: found no such file, wanted a score")
    try:
        if path.suffix.lower() == ".abc":
            check_size(path)
            return interleaved(split_tunes(read_abc(path))[0])
        is_native = path.suffix.lower() in NATIVE_SUFFIXES
        abc = musicxml_to_abc(path) if is_native else _document_to_abc(path)
        return interleave(clean(abc))
    except ScoreError as error:
        message = str(error).removeprefix(f"{path}: ")
        raise type(error)(f"{path}: {message}") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error


def with_counters(opening: str, more_bars: int) -> str:
    """Put `[r:i/n]` before each bar of an opening that `more_bars` bars are to follow.

    Of an opening of two bars and two more: `[r:0/3][V:1]c8|` and `[r:1/2][V:1]d8|`.
    """
    header, body = split_header(opening)
    last = len(body) + more_bars - 1
    return "".join([*header, *(f"[r:{i}/{last - i}]{line}" for i, line in enumerate(body))])


def interleaved(abc: str) -> str:
    """Return any ABC as interleaved text with every voice written, after its prompt if it has one.

    Raises:
        ScoreError: If the music cannot be read.
    """
    prompt = Prompt.parse(abc)
    if prompt:
        abc = _PROMPT_LINES.sub("", abc)
    if is_interleaved(abc):
        abc = remove_counters(abc)
        abc = _without_cut_bar(abc) if _has_a_bar_a_line(abc) else _with_voice_lines(abc)
    if not (is_interleaved(abc) and _UNIT.search(abc)):
        abc = interleave(document_to_abc(abc_to_musicxml(abc).encode()))
    lines = training_prompt_lines(prompt) if prompt else []
    return "".join(lines) + restore_rests(clean(abc))


def _opening(text: str, first_bars: int | None, prompt: Prompt | None) -> str:
    if first_bars is not None and first_bars < 1:
        raise InputError(f"first_bars must be >= 1, got {first_bars}")
    prompt = prompt or Prompt.parse(text)
    tune = parse_interleaved(text)
    *bars, last = tune.bars[:first_bars]
    bars.append({voice: _open_end(bar) for voice, bar in last.items()})
    header = tuple(line for line in tune.header if line.startswith("%%") or line[0] != "%")
    lines = training_prompt_lines(prompt) if prompt else []
    return "".join(lines) + omit_rests(format_interleaved(Tune(header, tuple(bars))))


def _open_end(bar: Bar) -> Bar:
    """Return a bar whose barline ends nothing: `|]` becomes `|`, `:|]` becomes `:|`."""
    return bar._replace(barline=bar.barline.removesuffix("]") or "|")


def _document_to_abc(path: Path) -> str:
    return document_to_abc(foreign_to_musicxml(path).encode())


def _has_a_bar_a_line(abc: str) -> bool:
    """Tell interleaved text from voices one after the other that begin with `[V:1]` too.

    Where every line has a single voice, and each voice as many lines, it may be either; then it is
    taken for voices.
    """
    bars = parse_interleaved(abc).bars
    lines = Counter(voice for bar in bars for voice in bar)
    if len(lines) > 1 and all(len(bar) == 1 for bar in bars) and len(set(lines.values())) == 1:
        return False
    cells = (cell.music for bar in bars for cell in bar.values())
    return not any(token.kind == "barline" for music in cells for token in tokens(music))


def _with_voice_lines(abc: str) -> str:
    """Return ABC whose voices begin with lines of their own: `V:1` and `c8|` for `[V:1]c8|`."""
    header, body = split_header(abc)
    return "".join(header) + re.sub(
        r"^\[(V:[^\]\n]*)\]", r"\1\n", "".join(body), flags=re.MULTILINE
    )


def _without_cut_bar(interleaved: str) -> str:
    header, body = split_header(interleaved)
    if len(body) > 1:
        *whole, last = body
        if not all(bar.barline for bar in parse_interleaved(last).bars[0].values()):
            body = whole
    return "".join([*header, *body])
