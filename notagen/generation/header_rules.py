"""What makes a header sound, line by line, and what it cannot do without."""

import re

from notagen.foundation.errors import ScoreError
from notagen.notation.musicxml import abc_to_musicxml

_VOICE = re.compile(r"V:\s*([^\s\[\]]+)")
_NAMES = re.compile(r"[^\s{}()\[\]|*+]+")
_DEFAULTS = {"L": "L:1/8\n", "K": "K:C\n"}
"""What the bars are read with; training text always has this unit."""


def find_header_fault(above: str, line: str) -> str | None:
    r"""Return what is wrong with a line of a header, or None.

    Args:
        above: The lines above it.
        line: With its `\n`.
    """
    name = _name(line)
    if name in ("%", "") or not line.isascii() or not line.strip().isprintable():
        return None if name == "%" else f"found {line.strip()[:20]!r}, wanted a field"
    if name != "V" and any(_name(other) == name for other in above.splitlines()):
        return f"found a second {name}: line"
    voices = _voices(line)
    if set(voices) & set(_voices(above, scores=False)):
        return f"found voice {voices[0]} twice"
    # by itself, with a bar of rest in each voice: what can be converted can be read
    voices = voices or ["1"]
    lines = [line, *(text for field, text in _DEFAULTS.items() if field != name)]
    lines += [f"V:{voice}\n" for voice in voices if name != "V"]
    bar = "".join(f"[V:{voice}]z8|" for voice in voices)
    try:
        abc_to_musicxml("".join([*lines, bar, "\n"]))
    except ScoreError as error:
        return str(error)
    return None


def missing_lines(header: str) -> str:
    """Return the lines that a header lacks for its bars to be read; empty if it lacks none."""
    names = {_name(line) for line in header.splitlines()}
    voices = _voices(header, scores=False)
    wanted = [voice for voice in _voices(header) if voice not in voices] or ["1"] * (not voices)
    lines = [line for name, line in _DEFAULTS.items() if name not in names]
    return "".join([*lines, *(f"V:{voice} treble\n" for voice in dict.fromkeys(wanted))])


def _name(line: str) -> str:
    """Return the letter of a field, `%%score`, `%` for a comment, or nothing."""
    if line.startswith("%%"):
        return line.split(maxsplit=1)[0]
    return line[0] if line.startswith("%") or re.match("[A-Za-z]:", line) else ""


def _voices(text: str, *, scores: bool = True) -> list[str]:
    """Return the voices that lines define, and those that their `%%score` names."""
    found = []
    for line in text.splitlines():
        if match := _VOICE.match(line):
            found.append(match[1])
        elif scores and line.startswith("%%score"):
            found += _NAMES.findall(line.removeprefix("%%score"))
    return found
