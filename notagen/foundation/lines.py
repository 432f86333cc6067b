"""JSON lines in, each with its number, so that a message can say where."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonlines

from notagen.foundation.errors import InputError


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a JSONL file with their line numbers, from 1; one in memory at a time.

    Raises:
        InputError: At a line that is no JSON object in UTF-8, naming file and line.
    """
    # by default it takes whatever parser is installed, and these differ in what they accept
    with path.open(encoding="utf-8") as file, jsonlines.Reader(file, loads=json.loads) as reader:
        number = 0
        while True:
            number += 1
            try:
                line: dict[str, Any] = reader.read(type=dict)
            except EOFError:
                return
            except (jsonlines.InvalidLineError, UnicodeDecodeError) as error:
                raise InputError(f"{path}:{number}: found no JSON object, wanted one") from error
            yield number, line
