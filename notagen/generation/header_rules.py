"""What makes a header sound, line by line, and what it cannot do without."""

import re

from notagen.foundation.errors import ScoreError
from notagen.notation.musicxml import abc_to_musicxml
from notagen.notation.tune import defined_voices

_VOICE_LINE = re.compile(
    r"V:\s*[^\s\[\]]+"
    r"(?:\s+(?:[a-z]+\d?(?:[-+^_]\d+)?|\w+=(?:\"[^\"]*\"|[^\s\"|]+)))*\s*"
)
_PROMPT_LINES = 4
_NAMES = re.compile(r"[^\s{}()\[\]|*+]+")
_BEAT = re.compile(r"(?<=^Q:).*?(\d+)/(\d+)\s*=\s*(\d+)")
_FASTEST = 1000
_DEFAULTS = {"L": "L:1/8\n", "M": "M:4/4\n", "K": "K:C\n"}
"""What the bars are read with; training text always has this unit."""


def find_header_fault(above: str, line: str) -> str | None:
    r"""Return what is wrong with a line of a header, or None.

    Args:
        above: The lines above it.
        line: With its `\n`.
    """
    name = _name(line)
    if name in ("", "X") or not line.isascii() or not line.strip().isprintable():
        return f"found {line.strip()[:20]!r}, wanted a field"
    if name == "%":  # the prompt, that the model may write itself, and its end
        others = above.splitlines()
        is_prompt = all(_name(other) == "%" for other in others) and "%end" not in others
        return None if is_prompt and len(others) < _PROMPT_LINES else "found a comment"
    if name == "V" and not _VOICE_LINE.fullmatch(line):
        return f"found {line.strip()!r:.40}, wanted a voice, its clef and name"
    if name != "V" and any(_name(other) == name for other in above.splitlines()):
        return f"found a second {name}: line"
    if (beat := _BEAT.search(line)) and not all(0 < int(n) <= _FASTEST for n in beat.groups()):
        return f"found the tempo {beat[0]}"
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
        found += defined_voices([line])
        if scores and line.startswith("%%score"):
            found += _NAMES.findall(line.removeprefix("%%score"))
    return found
