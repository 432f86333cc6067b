"""Major or minor, told from the notes of a tune."""

from functools import lru_cache
from statistics import correlation
from typing import NamedTuple

from notagen.foundation.errors import NotationError
from notagen.notation.durations import parse_length
from notagen.notation.keys import (
    ALTERATIONS,
    SEMITONES,
    Key,
    Place,
    parse_key,
    signature_alteration,
)
from notagen.notation.lexer import FIELD, NOTE, tokens
from notagen.notation.musicxml.abc_layout import VoiceLine, read_voice_lines
from notagen.notation.tune import Tune

MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
"""How well each pitch class, from the tonic up, fits into its key.

Source: C. Krumhansl and E. Kessler, Psychological Review 89 (1982), 334-368.
"""


class _Note(NamedTuple):
    place: Place
    pitch_class: int
    """Of its letter."""
    sign: int | None
    """What its accidental does, in semitones."""
    length: float


def find_mode(tune: Tune) -> str | None:
    """Return `major` or `minor`, whichever of its signature's keys a tune is in.

    It is the one whose profile the time that each pitch class sounds goes with better. None if
    no notes, or all pitch classes equally long, sound.

    Args:
        tune: Interleaved or reduced. Of a long piece the ends tell more than the whole.

    Raises:
        NotationError: If a key or a length cannot be read.
    """
    key = parse_key(tune.field("K") or "") or Key(0, "", "")
    lines = read_voice_lines(tune.header)
    weights = [0.0] * 12
    for voice in tune.voices:
        line = lines.get(voice, VoiceLine())
        if line.clef is None or line.clef.sign != "percussion":
            music = [bar[voice].left + bar[voice].music for bar in tune.bars if voice in bar]
            _weigh(music, key.fifths, line.transpose, weights)
    if len(set(weights)) == 1:
        return None
    tonic = 7 * key.fifths % 12
    major, minor = (
        correlation(weights[place:] + weights[:place], profile)
        for place, profile in ((tonic, MAJOR), ((tonic + 9) % 12, MINOR))
    )
    return "minor" if minor > major else "major"


def _weigh(bars: list[str], fifths: int, transpose: int, weights: list[float]) -> None:
    """Add how long the pitch classes of a voice sound, graces aside.

    Enough for a mode: tuplets last as they are written, and ties carry no accidental.
    """
    for music in bars:
        in_bar: dict[Place, int] = {}
        notes: list[tuple[int, float]] = []
        chord: int | None = None  # where its notes begin
        in_grace = False
        for kind, text in tokens(music):
            if kind == "note" and not in_grace:
                place, pitch_class, sign, length = _read_note(text)
                if sign is not None:
                    in_bar[place] = sign
                elif place in in_bar:
                    sign = in_bar[place]
                else:
                    sign = signature_alteration(fifths, place[0])
                notes.append(((pitch_class + sign + transpose) % 12, length))
            elif kind == "chord_open":
                chord = len(notes)
            elif kind == "chord_close" and chord is not None:
                factor = float(parse_length(text[1:]))
                notes[chord:] = [(pitch, length * factor) for pitch, length in notes[chord:]]
                chord = None
            elif kind in ("grace_open", "grace_close"):
                in_grace = kind == "grace_open"
            elif kind == "field":
                match = FIELD.fullmatch(text)
                key = parse_key(match["value"]) if match and match["name"] == "K" else None
                fifths = key.fifths if key else fifths
        for pitch_class, length in notes:
            weights[pitch_class] += length


@lru_cache(maxsize=2**12)
def _read_note(text: str) -> _Note:
    match = NOTE.fullmatch(text)
    if match is None:
        raise NotationError(f"found {text!r}, wanted a note")
    octave = match["octave"].count("'") - match["octave"].count(",") + match["letter"].islower()
    letter = match["letter"].upper()
    sign = ALTERATIONS[match["accidental"]] if match["accidental"] else None
    return _Note((letter, octave), SEMITONES[letter], sign, float(parse_length(match["length"])))
