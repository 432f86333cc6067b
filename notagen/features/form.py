"""Music text brought into the form that an encoder's weights learned from."""

import re
from typing import Literal

from notagen.features.patches import is_mtf
from notagen.foundation.errors import NotationError, ScoreError
from notagen.notation.clean import clean
from notagen.notation.interleave import interleave, is_interleaved, parse_interleaved
from notagen.notation.musicxml import abc_to_musicxml, document_to_abc
from notagen.notation.rests import omit_rests, restore_rests
from notagen.tokenizer.windows import remove_counters

MAX_CHARACTERS = 8_000_000
"""More than any score has."""
_PROMPT_LINE = re.compile(r"^%(?!%).*(?:\n|\Z)", re.MULTILINE)
_BAR = re.compile(r"^(?![A-Za-z]:|%).*\|", re.MULTILINE)
_UNIT = re.compile(r"^L:\s*1/8\s*$", re.MULTILINE)
"""Of the texts that encoders learn from."""
_RESTING_VOICE = re.compile(r"\[V:[^\]\n]*\][|:\[\] ]*[zx][\d/]*(?=[|:\[\] ]|$)", re.MULTILINE)


def prepare(text: str, rests: Literal["omitted", "written"]) -> str:
    """Return a piece in the form that weights learned from; it stays in that form if given again.

    Lines that begin with one `%` go: they are prompts. MIDI in its text form stays as it is. ABC
    becomes interleaved, and bar counters go. With rests `omitted`, voices that rest a whole bar are
    left out; with rests `written`, they are put back, and a text whose voices are all written in
    every bar stays as it is to the character. So does one that cannot be brought into the form,
    such as a broken generation: it still is a score to be judged.

    Args:
        text: ABC in any form, or MIDI in its text form.
        rests: See `EncoderConfig.rests`.

    Raises:
        NotationError: If there is no bar in it, or it is longer than any score.
    """
    if len(text) > MAX_CHARACTERS:
        raise NotationError(
            f"found {len(text):,} characters, wanted {MAX_CHARACTERS:,} at most in a piece"
        )
    text = _PROMPT_LINE.sub("", text)
    if is_mtf(text):
        return text
    if not _BAR.search(text):
        raise NotationError("found no bar, wanted music in ABC or MIDI in its text form")
    text = remove_counters(text)
    try:
        if not is_interleaved(text):
            if not _UNIT.search(text):
                text = document_to_abc(abc_to_musicxml(text).encode())
            text = interleave(clean(text))
        return _without_rests(text) if rests == "omitted" else _with_rests(text)
    except ScoreError:
        return text


def _without_rests(interleaved: str) -> str:
    # texts of data/ have none, and need not be read to the last sign
    return omit_rests(interleaved) if _RESTING_VOICE.search(interleaved) else interleaved


def _with_rests(interleaved: str) -> str:
    tune = parse_interleaved(interleaved)
    if all(len(bar) == len(tune.voices) for bar in tune.bars):
        return interleaved
    return restore_rests(interleaved)
