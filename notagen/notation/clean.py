"""Standard ABC as a model should read it: plain ASCII, notes and what shapes them, nothing else."""

import re

from anyascii import anyascii

from notagen.notation.lexer import FIELD_LINE, tokens
from notagen.notation.tune import without_comment

_KEPT_FIELDS = "KLMQV"
_MAX_WORDS = 40
"""Longer directions are prose about the piece, not marks in it; NotaGen's corpus drops them too."""
_TO_READ = re.compile(r"[\"\\`$\t]|!!")
"""What a line must hold to be read token by token."""
_NAME = re.compile(r'\b(nm|snm|name|sname|subname)="([^"]*)"')


def clean(standard_abc: str) -> str:
    r"""Return the tune without what the model must not see.

    Kept are the prompt lines, `%%score`, the fields K L M Q V and the music with its directions.
    Dropped are title, composer, lyrics, comments, other fields and directives, and directions of
    more than 40 characters. Text is folded to ASCII, and runs of spaces to one.

    `"^Più mosso" c4 | %5` becomes `"^Piu mosso" c4 |`.
    """
    lines = []
    in_header = True
    for raw in standard_abc.splitlines():
        line = to_ascii(raw).rstrip()
        field = FIELD_LINE.fullmatch(line)
        if not line.strip():
            continue
        if line.startswith("%%"):
            if line.startswith("%%score"):
                lines.append(" ".join(line.split()))
        elif line.startswith("%"):
            if in_header and all(re.match("%[^%]", prompt) for prompt in lines):
                lines.append(line)
        elif field:
            if field[1] in _KEPT_FIELDS:
                lines.append(_clean_field(field[1], field[2]))
            in_header = False
        else:
            in_header = False
            music = _clean_music(without_comment(line))
            if music:
                lines.append(music)
    return "\n".join(lines) + "\n"


def to_ascii(text: str) -> str:
    """Fold text to printable ASCII; quotes that folding makes become `'`.

    A straight double quote of the text stays: in ABC it opens and closes words.
    """
    if text.isascii():
        return re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", " ", text)
    folded = "".join(c if c.isascii() else anyascii(c).replace('"', "'") for c in text)
    return re.sub(r"[\x00-\x1f\x7f]", " ", folded)


def _clean_field(name: str, value: str) -> str:
    if name == "V":
        value = _NAME.sub(_clean_name, value.strip())
        return f"V:{value}".rstrip()
    return f"{name}:{value.split('%')[0].strip()}"


def _clean_name(match: re.Match[str]) -> str:
    # a line break inside a part's name arrives as `\n` and a continuation mark `:`
    name = re.sub(r"(?:\\n|\s)+:?", " ", match[2]).strip()
    name = name or match[2][:1]  # a blank as a name holds the staves of a part together
    return f'{match[1]}="{name}"'


def _clean_music(line: str) -> str:
    if not _TO_READ.search(line):  # most lines
        return re.sub(r" {2,}", " ", line).strip()
    parts = []
    for kind, text in tokens(line):
        if kind == "string":
            words = " ".join(text[1:-1].replace('\\"', "'").replace("\\", " ").split())
            words = words.replace("[V:", "[V ")  # only a voice mark may look like one
            if words and len(words) <= _MAX_WORDS:
                parts.append(f'"{words}"')
        elif kind == "decoration" and text == "!!":
            continue
        elif kind == "space":
            parts.append(" ")
        else:
            parts.append(text)
    return re.sub(r" {2,}", " ", "".join(parts)).strip()
