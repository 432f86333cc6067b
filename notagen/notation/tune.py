"""A tune: header and bars of every voice; standard ABC text in and out."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from notagen.foundation.errors import NotationError
from notagen.notation.barlines import Bar, has_event, split_bars
from notagen.notation.lexer import FIELD_LINE, VOICE_MARK, tokens

_INLINE_FIELDS = "KLMPQ"
_LINE_WIDTH = 100
MAX_CELLS = 2**20
"""Bars times voices of a tune whose rests are written out; an opera act has a tenth of them."""


@dataclass(frozen=True)
class Tune:
    """A tune, bar by bar.

    `header` holds the lines above the music as they were written, prompt lines (`%Romantic`)
    among them; `bars` one mapping a bar from voice id to its bar, in the order of `voice_order`.
    A voice that is missing from a bar rests there (the reduced form).
    """

    header: tuple[str, ...]
    bars: tuple[dict[str, Bar], ...]

    @property
    def voices(self) -> list[str]:
        """Ids of all voices, in the order they are written: by number, else as defined."""
        return voice_order([*defined_voices(self.header), *(v for bar in self.bars for v in bar)])

    def field(self, name: str) -> str | None:
        """Return the value of the header's first field of that name, such as `K`, or None."""
        for line in self.header:
            if line.startswith(f"{name}:"):
                return line[2:].split("%")[0].strip()
        return None


def parse_abc(abc: str) -> Tune:
    """Read a tune in standard ABC, or in interleaved ABC in which every voice is written.

    Kept are the header and the music. Lyrics (`w:`), comments and other lines between the music
    are not music and are left out; fields between the lines go inline (`M:3/4` to `[M:3/4]`).

    Raises:
        NotationError: If there is no music, or voices differ in their number of bars.
    """
    header, music = _split_voices(abc)
    voices = {voice: split_bars(text) for voice, text in music.items() if text.strip()}
    if not voices:
        raise NotationError("found no music, wanted at least one bar of notes")
    order = voice_order([*(v for v in defined_voices(header) if v in voices), *voices])
    first = order[0]
    for voice in order:
        if len(voices[voice]) != len(voices[first]):
            raise NotationError(
                f"voice V:{voice} has {len(voices[voice])} bars, V:{first} has {len(voices[first])}"
            )
    bars = tuple(
        {voice: voices[voice][number] for voice in order} for number in range(len(voices[first]))
    )
    return Tune(tuple(header), bars)


def format_abc(tune: Tune) -> str:
    """Write a tune as standard ABC: header, then each voice's music in lines of about 100.

    A bar without a barline gets one, or it would run into the next.

    Raises:
        NotationError: If a voice is missing from a bar (restore its rests first), or has nothing
            in it, so that the bar would be lost.
    """
    lines = list(tune.header)
    for voice in tune.voices:
        lines.append(f"V:{voice}")
        line = ""
        for number, bar in enumerate(tune.bars, start=1):
            if voice not in bar:
                raise NotationError(f"bar {number}: found no voice V:{voice}, wanted every voice")
            cell = bar[voice]
            barline = cell.barline or ("|" if number < len(tune.bars) else "")
            # words alone would be read as part of the tune's first barline or of its last bar
            alone = number == 1 or not barline
            if not cell.music or (alone and not has_event(cell.music)):
                raise NotationError(f"bar {number}: found nothing in V:{voice}, wanted a rest")
            text = f"{cell.left} {cell.music} {barline}".strip()
            if line and len(line) + len(text) > _LINE_WIDTH:
                lines.append(line)
                line = ""
            line = f"{line} {text}" if line else text
        lines.append(line)
    return "\n".join(lines) + "\n"


def defined_voices(header: tuple[str, ...] | list[str]) -> list[str]:
    """Return the ids of the `V:` lines of a header, in order: `V:1 treble` gives `1`."""
    ids = (line[2:].split() for line in header if line.startswith("V:"))
    return [words[0] for words in ids if words]


def voice_lines(header: Iterable[str]) -> dict[str, str]:
    """Return the `V:` line of each voice id, in order; of an id that stands twice the last."""
    lines = ((line[2:].split(), line) for line in header if line.startswith("V:"))
    return {words[0]: line for words, line in lines if words}


def voice_order(voices: list[str]) -> list[str]:
    """Return each voice id once: by number if all are numbers, else in the order given."""
    unique = list(dict.fromkeys(voices))
    if all(re.fullmatch(r"[0-9]{1,9}", voice) for voice in unique):
        return sorted(unique, key=int)
    return unique


def without_comment(line: str) -> str:
    """Cut a `%` comment off a line of music; a `%` inside quotes is no comment."""
    if "%" not in line:
        return line
    return "".join(token.text for token in tokens(line) if token.kind != "comment")


def _split_voices(abc: str) -> tuple[list[str], dict[str, str]]:
    """Return the header lines, and each voice's music as one text."""
    header: list[str] = []
    defined: set[str] = set()
    music: dict[str, list[str]] = {}
    voice: str | None = None
    in_header, key_seen = True, False
    for raw in abc.splitlines():
        line = raw.rstrip()
        if not line:
            continue
        field = FIELD_LINE.fullmatch(line)
        value = field[2].split("%")[0].strip() if field else ""
        words = value.split() if field and field[1] == "V" else []
        # a voice named alone, once the key is known, begins the music
        begins = key_seen and len(words) == 1 and (not defined or words[0] in defined)
        if in_header and (line[0] == "%" or field) and not begins:
            header.append(line)
            if words:
                defined.add(words[0])
                voice = words[0] if key_seen else voice  # its music may follow at once
            key_seen = key_seen or line.startswith("K:")
            continue
        in_header = False
        if line[0] == "%":
            continue
        if words:
            voice = words[0]
            if len(words) > 1 and voice not in defined:
                header.append(f"V:{value}")
                defined.add(voice)
        elif field:
            if field[1] in _INLINE_FIELDS:
                music.setdefault(voice or "1", []).append(f" [{field[1]}:{value}] ")
        else:
            parts = VOICE_MARK.split(without_comment(line))
            for i, part in enumerate(parts):
                if i % 2:
                    voice = part
                elif part.strip():
                    music.setdefault(voice or "1", []).append(f" {part}")
    return header, {name: "".join(parts) for name, parts in music.items()}
