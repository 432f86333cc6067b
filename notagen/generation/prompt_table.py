"""Which prompts weights have learned, and from how many pieces each: a file beside the weights."""

import difflib
import json
from collections.abc import Mapping
from pathlib import Path

from notagen.foundation.errors import InputError, MissingInputError
from notagen.foundation.files import write_text
from notagen.generation.prompts import Prompt, prompt_text
from notagen.model.weights import weights_file

PROMPT_TABLE = "prompts.json"
"""In a folder of weights: a list of objects, `period`, `composer`, `instrumentation`, `pieces`."""


def write_prompt_table(counts: Mapping[Prompt, int], folder: Path) -> None:
    """Write how many pieces each prompt was learned from, in the order of the alphabet."""
    rows = [
        json.dumps(vars(prompt) | {"pieces": counts[prompt]})
        for prompt in sorted(counts, key=lambda prompt: tuple(vars(prompt).values()))
    ]
    write_text(folder / PROMPT_TABLE, "[\n  " + ",\n  ".join(rows) + "\n]\n" if rows else "[]\n")


def read_prompt_table(path_or_name: str | Path) -> dict[Prompt, int]:
    """Return the pieces behind each prompt that weights have learned; empty if that is not known.

    Args:
        path_or_name: As `load_model` takes it. Published weights have no table.

    Raises:
        MissingInputError: If there are no such weights.
        InputError: If the table cannot be read.
    """
    path = weights_file(path_or_name).parent / PROMPT_TABLE
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        counts = {}
        for row in rows:
            pieces = row.pop("pieces")
            if type(pieces) is not int or pieces < 1:
                raise ValueError(f"pieces: found {pieces!r}, wanted a number from 1")
            counts[Prompt(**row)] = pieces
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError, KeyError, InputError) as error:
        raise InputError(
            f"{path}: found no list of period, composer, instrumentation and pieces: {error}"
        ) from error
    return counts


def need_prompt_table(path_or_name: str | Path) -> dict[Prompt, int]:
    """Return the same where it is needed.

    Raises:
        MissingInputError: If there are no such weights, or they have no table.
        InputError: If the table cannot be read.
    """
    known = read_prompt_table(path_or_name)
    if not known:
        raise MissingInputError(
            f"{path_or_name}: found no prompts in a {PROMPT_TABLE} beside the weights, wanted "
            "some as finetune/ writes them"
        )
    return known


def find_prompt(wanted: Prompt, known: Mapping[Prompt, int]) -> Prompt | None:
    """Return the known prompt that has the same text as the wanted one; None if there is none."""
    text = prompt_text(wanted)
    return next((prompt for prompt in known if prompt_text(prompt) == text), None)


def nearest_prompts(wanted: Prompt, known: Mapping[Prompt, int], count: int = 3) -> list[Prompt]:
    """Return known prompts that are most like the wanted one: what agrees, then how it is spelled.

    The composer's surname weighs as much as period and instrumentation together.
    """

    def parts(prompt: Prompt) -> tuple[str, str, str]:
        surname = prompt.composer.partition(",")[0]
        return prompt.period.casefold(), surname.casefold(), prompt.instrumentation.casefold()

    def alike(prompt: Prompt) -> float:
        pairs = zip(parts(wanted), parts(prompt), (1, 2, 1), strict=True)
        return sum(
            weight * difflib.SequenceMatcher(None, mine, theirs).ratio()
            for mine, theirs, weight in pairs
        )

    return sorted(known, key=lambda prompt: (-alike(prompt), -known[prompt]))[:count]
