"""Preferences on disk: which texts are chosen and rejected, and a line about each piece."""

import json
from pathlib import Path

from notagen.foundation.errors import InputError, MissingInputError
from notagen.foundation.index import Labels
from notagen.foundation.lines import read_lines
from notagen.preference.pairs import Candidate, Preferences


def read_preferences(file: Path) -> Preferences:
    """Read the chosen and rejected pieces of a file; their names are paths from its folder.

    Prompts and rewards are those of the lines beside it, `preferences.jsonl` for
    `preferences.json`; without such lines all pieces are of one prompt and worth nothing.

    Raises:
        MissingInputError: If the file is not there.
        InputError: If it is not as it should be, a text is not there or stands twice, or a prompt
            has not as many of both sides.
    """
    if not file.is_file():
        raise MissingInputError(f"{file} is not there; 1_preferences.py writes such a file")
    try:
        sides = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        sides = None
    if not isinstance(sides, dict) or not all(_is_paths(sides.get(s)) for s in Preferences._fields):
        raise InputError(f"{file}: found no lists of paths `chosen` and `rejected`, wanted both")
    known = _read_lines(file.with_suffix(".jsonl"))
    found: set[str] = set()
    read: list[list[Candidate]] = []
    for side in Preferences._fields:
        read.append([])
        for path in sides[side]:
            if path in found:
                raise InputError(f"{file}: found {path} twice, wanted it once")
            if not (file.parent / path).is_file():
                raise InputError(f"{file}: found {path}, which is not there")
            found.add(path)
            prompt, reward = known.get(path, (None, 0.0))
            read[-1].append(Candidate(path, prompt, reward))
    preferences = Preferences(*read)
    counts = [sorted(str(piece.prompt) for piece in side) for side in preferences]
    if not counts[0] or counts[0] != counts[1]:
        raise InputError(
            f"{file}: found {len(counts[0])} chosen and {len(counts[1])} rejected pieces, wanted "
            f"as many of both for each prompt, one at least"
        )
    return preferences


def _is_paths(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(path, str) for path in value)


def _read_lines(file: Path) -> dict[str, tuple[Labels | None, float]]:
    """Return prompt and reward of each path."""
    known: dict[str, tuple[Labels | None, float]] = {}
    for number, line in read_lines(file) if file.is_file() else ():
        path, prompt, reward = (line.get(name) for name in ("path", "prompt", "reward"))
        is_prompt = prompt is None or (_is_paths(prompt) and len(prompt) == 3)
        if not isinstance(path, str) or not is_prompt or not isinstance(reward, int | float):
            raise InputError(f"{file}:{number}: found no path, prompt and reward, wanted all three")
        known[path] = (prompt[0], prompt[1], prompt[2]) if prompt else None, float(reward)
    return known
