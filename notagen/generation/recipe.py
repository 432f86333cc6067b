"""How a piece was made, in a file from which it is made again, to the byte."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notagen.foundation.errors import InputError, MissingInputError
from notagen.foundation.files import write_text
from notagen.generation.controls import Controls
from notagen.generation.generated import Generated
from notagen.generation.header import HeaderWishes
from notagen.generation.requests import Request
from notagen.generation.settings import Sampling
from notagen.model.packed import Precision
from notagen.tokenizer.windows import split_header


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that the text of a piece depends on, but the machine's last digits."""

    request: Request
    seed: int
    sampling: Sampling
    precision: Precision
    weights: str
    """What the weights were called where the piece was written."""
    weights_sha256: str
    bars: int | None = None
    """Whole bars of a piece that was stopped behind them; None for one that was not."""

    def run(self) -> dict[str, Any]:
        """Return what stands in the piece's line of generations.jsonl beside the request."""
        return {
            "seed": self.seed,
            "weights_sha256": self.weights_sha256,
            "sampling": dataclasses.asdict(self.sampling),
            "precision": self.precision,
        }

    def ending_as(self, piece: Generated) -> "Recipe":
        """Return the recipe of a piece that was stopped: it ends with the same whole bar."""
        if piece.reason != "stopped":
            return self
        return dataclasses.replace(self, bars=_count_bars(piece.text))

    def cut(self, piece: Generated) -> Generated:
        """Return the piece as far as the recipe goes: the rest of one that was stopped is off."""
        if self.bars is None:
            return piece
        header, body = split_header(piece.text)
        text = "".join([*header, *body[: self.bars]])
        return dataclasses.replace(piece, text=text, finished=False, reason="stopped")


def write_recipe(recipe: Recipe, path: Path) -> None:
    """Write a recipe as JSON."""
    facts = {"weights": recipe.weights, "bars": recipe.bars}
    facts |= recipe.run() | recipe.request.values()
    write_text(path, json.dumps(facts, indent=2) + "\n")


def read_recipe(path: Path) -> Recipe:
    """Return the recipe that a file holds.

    Raises:
        MissingInputError: If the file is not there.
        InputError: If it holds none.
    """
    if not path.is_file():
        raise MissingInputError(f"{path} is not there; wanted a generation.json")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        wishes = facts["wishes"] | {"instruments": tuple(facts["wishes"]["instruments"])}
        return Recipe(
            request=Request(
                prompt=facts["prompt"] or None,
                controls=Controls(**facts["controls"]),
                wishes=HeaderWishes(**wishes),
                name=facts["id"],
            ),
            seed=int(facts["seed"]),
            sampling=Sampling(**facts["sampling"]),
            precision=facts["precision"],
            weights=str(facts["weights"]),
            weights_sha256=str(facts["weights_sha256"]),
            bars=None if facts["bars"] is None else int(facts["bars"]),
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: found no recipe of a piece ({reason}), wanted one") from error


def _count_bars(text: str) -> int:
    """Return the number of whole bars."""
    return sum(line.endswith("\n") for line in split_header(text)[1])
