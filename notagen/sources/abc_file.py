"""ABC files, which may hold many tunes, each after a line `X:`."""

import re
from pathlib import Path

_TUNE = re.compile(r"^X:", re.MULTILINE)
_SHARED = re.compile(r"[A-Za-z]:|%%")


def read_abc(path: Path) -> str:
    """Return the text of an ABC file: UTF-8, or else Latin-1, which old collections use."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def count_tunes(text: str) -> int:
    """Return how many tunes an ABC file's text holds; a text without a line `X:` is one."""
    return max(1, len(_TUNE.findall(text)))


def split_tunes(text: str) -> list[str]:
    """Return the tunes of an ABC file's text.

    Where there are many, each begins with its line `X:`, followed by the fields that stand before
    the first of them and hold for all; it ends at the first empty line after its key, since what
    follows is free text. One tune alone is returned as it is.

    Source: the ABC music standard 2.1, section 2.2.
    """
    if count_tunes(text) == 1:
        return [text]
    starts = [match.start() for match in _TUNE.finditer(text)]
    shared = [line for line in text[: starts[0]].splitlines() if _SHARED.match(line)]
    tunes = []
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        first, *others = text[start:end].splitlines()
        lines, key_seen = [first, *shared], False
        for line in others:
            if key_seen and not line.strip():
                break
            key_seen = key_seen or line.startswith("K:")
            lines.append(line)
        tunes.append("\n".join(lines) + "\n")
    return tunes
