"""A tune: header and bars of every voice; standard ABC text in and out."""

import re
from dataclasses import dataclass

from notagen.foundation.errors import NotationError
from notagen.notation.barlines import Bar, split_bars
from notagen.notation.lexer import FIELD_LINE, VOICE_MARK, tokens

_INLINE_FIELDS = "KLMPQ"
_LINE_WIDTH = 100


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

    Raises:
        NotationError: If a voice is missing from a bar; restore its rests first.
    """
    lines = list(tune.header)
    for voice in tune.voices:
        lines.append(f"V:{voice}")
        line = ""
        for number, bar in enumerate(tune.bars, start=1):
            if voice not in bar:
                raise NotationError(f"bar {number}: found no voice V:{voice}, wanted every voice")
            cell = bar[voice]
            text = f"{cell.left} {cell.music} {cell.barline}".strip()
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
    music: dict[str, str] = {}
    voice: str | None = None
    in_header, key_seen = True, False
    for raw in abc.splitlines():
        line = raw.rstrip()
        field = FIELD_LINE.fullmatch(line)
        if not line:
            continue
        if (
            in_header
            and (line.startswith("%") or field)
            and not _opens_body(field, key_seen, header)
        ):
            header.append(line)
            if key_seen and line.startswith("V:"):  # its music may follow at once
                voice = next(iter(defined_voices([line])), voice)
            key_seen = key_seen or line.startswith("K:")
            continue
        in_header = False
        if line.startswith("%"):
            continue
        if field:
            name, value = field[1], field[2].split("%")[0].strip()
            if name == "V" and value:
                voice = value.split()[0]
                if len(value.split()) > 1 and voice not in defined_voices(header):
                    header.append(f"V:{value}")
            elif name in _INLINE_FIELDS:
                target = voice or "1"
                music[target] = f"{music.get(target, '')} [{name}:{value}] "
            continue
        parts = VOICE_MARK.split(without_comment(line))
        for i, part in enumerate(parts):
            if i % 2:
                voice = part
            elif part.strip():
                target = voice or "1"
                music[target] = f"{music.get(target, '')} {part}"
    return header, music


def _opens_body(field: re.Match[str] | None, key_seen: bool, header: list[str]) -> bool:
    """Tell whether a field line begins the music: a voice already defined, named alone."""
    if field is None or field[1] != "V" or not key_seen:
        return False
    words = field[2].split("%")[0].split()
    return len(words) == 1 and (words[0] in defined_voices(header) or not defined_voices(header))
