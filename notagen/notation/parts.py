"""Which voices a tune's instruments have, and what they play in a bar."""

import re
from collections.abc import Mapping

from notagen.notation.barlines import Bar
from notagen.notation.musicxml.abc_layout import read_parts, read_voice_lines
from notagen.notation.tune import Tune, defined_voices

_RESTS = re.compile(r"[zxZX\d/\s]*")


def voices_of_parts(tune: Tune) -> list[list[str]]:
    """Return the voices of each part, from top to bottom, those that never play among them.

    Raises:
        NotationError: If brackets of `%%score` are nested too deep.
    """
    one_bar = (dict.fromkeys(tune.voices, Bar("", "", "")),)
    parts = read_parts(Tune(tune.header, one_bar), read_voice_lines(tune.header))
    return [[voice for voice, _ in part.voices] for part in parts]


def torn_parts(tune: Tune) -> list[list[str]]:
    """Return the parts among whose `V:` lines stand those of others: their staves are torn apart.

    Raises:
        NotationError: If brackets of `%%score` are nested too deep.
    """
    places = {voice: place for place, voice in enumerate(defined_voices(tune.header))}
    torn = []
    for part in voices_of_parts(tune):
        found = [places[voice] for voice in part if voice in places]
        if found and max(found) - min(found) >= len(found):
            torn.append(part)
    return torn


def played(bar: Mapping[str, Bar]) -> frozenset[tuple[str, str]]:
    """Return what the voices of a bar play, those that rest all through left out.

    Two bars of equal music give the same, whatever their barlines.
    """
    return frozenset(
        (voice, cell.music) for voice, cell in bar.items() if not _RESTS.fullmatch(cell.music)
    )
