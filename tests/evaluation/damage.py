"""Ways to spoil a real piece; each is told apart by some measures and must not move the others."""

import random
import re
from collections.abc import Callable

from notagen.notation.keys import parse_key
from notagen.tokenizer.windows import split_header

Damage = Callable[[str, random.Random], str]

_CELL = re.compile(r"\[V:[^\]]+\][^\n]*?(?=\[V:|\n|\Z)")
_NOTE = re.compile(r"(\^\^?|__?|=)?([A-Ga-g])([,']*)([\d/]*-?)")
_WORDS = re.compile(r'("[^"]*"|![^!]*!|\[[A-Z]:[^\]]*\])')
_NATURAL = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_SPELT = ["=C", "^C", "=D", "^D", "=E", "=F", "^F", "=G", "^G", "=A", "^A", "=B"]


def shuffle_bars(text: str, rng: random.Random) -> str:
    """Put the bars into a random order, all voices together; the last stays, with its barline."""
    header, body = split_header(text)
    inner = body[:-1]
    rng.shuffle(inner)
    return "".join([*header, *inner, body[-1]])


def shuffle_voices(text: str, rng: random.Random) -> str:
    """Put the bars of each voice into an order of its own, so that the voices no longer fit."""
    header, body = split_header(text)
    voices = list(zip(*map(_cells, body[:-1]), strict=True))
    shuffled = [rng.sample(voice, len(voice)) for voice in voices]
    lines = ["".join(cells) + "\n" for cells in zip(*shuffled, strict=True)]
    return "".join([*header, *lines, body[-1]])


def jitter(text: str, rng: random.Random) -> str:
    """Move each note by one to three semitones; what is tied together moves together."""
    header, body = split_header(text)
    (key,) = (parse_key(line[2:].strip()) for line in header if line.startswith("K:"))
    fifths = key.fifths if key else 0
    sharps, flats = "FCGDAEB"[: max(fifths, 0)], "BEADGCF"[: max(-fifths, 0)]
    shifts: dict[str, int] = {}

    def moved(note: re.Match[str], voice: str) -> str:
        accidental, letter, octave, rest = note.groups()
        name = letter.upper()
        pitch = _NATURAL[name] + (name in sharps) - (name in flats)
        if accidental:
            pitch = _NATURAL[name] + accidental.count("^") - accidental.count("_")
        pitch += 12 * (octave.count("'") - octave.count(",") + letter.islower())
        if voice not in shifts:
            shifts[voice] = rng.choice([-3, -2, -1, 1, 2, 3])
        pitch += shifts[voice] if rest.endswith("-") else shifts.pop(voice)
        height, place = divmod(pitch, 12)
        return _SPELT[place] + ("'" * height if height > 0 else "," * -height) + rest

    lines = []
    for line in body:
        for cell in _cells(line):
            voice, music = cell.split("]", 1)
            parts = _WORDS.split(music)
            parts[::2] = [_NOTE.sub(lambda n, v=voice: moved(n, v), part) for part in parts[::2]]
            lines.append(f"{voice}]{''.join(parts)}")
        lines.append("\n")
    return "".join([*header, *lines])


def lengthen_bar(text: str, rng: random.Random) -> str:
    """Let one voice rest for an eighth more at the end of a bar."""
    header, body = split_header(text)
    place = rng.randrange(len(body))
    first, *others = _cells(body[place])
    body[place] = "".join([re.sub(r"([|\]:]+)$", r"z\1", first), *others]) + "\n"
    return "".join([*header, *body])


def repeat_bar(text: str, rng: random.Random) -> str:
    """Write a bar four times, in the place of those after it."""
    header, body = split_header(text)
    place = rng.randrange(1, len(body) - 4)
    body[place : place + 4] = [body[place]] * 4
    return "".join([*header, *body])


def raise_voice(text: str, _: random.Random) -> str:
    """Write the first voice three octaves higher."""
    header, body = split_header(text)
    lines = []
    for line in body:
        (head, music), *others = (cell.split("]", 1) for cell in _cells(line))
        parts = _WORDS.split(music)
        parts[::2] = [_NOTE.sub(r"\1\2'''\3\4", part) for part in parts[::2]]
        lines.append(f"{head}]{''.join(parts)}" + "".join("]".join(cell) for cell in others) + "\n")
    return "".join([*header, *lines])


def lose_voice_line(text: str, _: random.Random) -> str:
    """Name a voice in the score's layout that nothing else knows."""
    return re.sub(r"^(%%score.*)$", r"\1 9", text, count=1, flags=re.MULTILINE)


def silence(text: str, _: random.Random) -> str:
    """Let all voices rest but the first."""
    header, body = split_header(text)
    return "".join([*header, *(f"{_cells(line)[0]}\n" for line in body)])


def slow_down(text: str, _: random.Random) -> str:
    """Write everything in notes twice as long; the metre stays, which says nothing of bars."""
    return text.replace("\nL:1/8\n", "\nL:1/4\n", 1)


def cut(text: str, rng: random.Random) -> str:
    """End in the middle of a bar, where the second voice has begun."""
    header, body = split_header(text)
    place = rng.randrange(len(body) // 3, len(body) // 2)
    first, second, *_ = _cells(body[place])
    return "".join([*header, *body[:place], first, second.split("|")[0] + "z"])


def _cells(line: str) -> list[str]:
    return _CELL.findall(line)
