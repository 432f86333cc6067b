"""What somebody asks for on the page, checked, as requests."""

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from notagen.foundation.config import check_fields
from notagen.foundation.errors import InputError
from notagen.generation.controls import Controls
from notagen.generation.header import HeaderWishes
from notagen.generation.prompt_table import find_prompt, nearest_prompts
from notagen.generation.prompts import Prompt
from notagen.generation.recipe import Recipe
from notagen.generation.requests import Beginning, Request, make_request
from notagen.generation.settings import Sampling
from notagen.notation.lexer import tokens
from notagen.tokenizer.windows import remove_counters, split_header

_LARGEST_SEED = 2**53 - 1
"""A browser's numbers are exact up to it."""
_LONGEST_PROMPT = 2000
"""Characters of the lines in which a piece of ours names its prompt."""
_CONTROLS = Controls(valid_bars=True, max_patches=4096, max_repeats=4)


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the fields of the page say; empty text and 0 leave it to the model."""

    model: str
    period: str = ""
    composer: str = ""
    instrumentation: str = ""
    key: str = ""
    metre: str = ""
    tempo: str = ""
    bars: float | None = None
    instruments: str = ""
    seed: str = ""
    """A number, or empty for one drawn now."""
    temperature: float = 1.2
    top_p: float = 0.9
    top_k: float = 9
    opening: Path | None = None
    """A score to go on from; `bars` are then written behind it."""
    first_bars: float | None = None
    """So many bars of the opening are kept."""

    def __post_init__(self) -> None:
        try:
            check_fields(self)
        except TypeError as error:
            raise InputError(str(error)) from error

    @property
    def style(self) -> Prompt | None:
        """The prompt that the opening brings, or else the one that is named, if any is.

        Raises:
            InputError: If only a part of it is.
        """
        if own := self._prompt_of_opening():
            return own
        parts = [part.strip() for part in (self.period, self.composer, self.instrumentation)]
        if not any(parts):
            return None
        if not all(parts):
            raise InputError("wanted period, composer and instrumentation, or none of them")
        return Prompt(*parts)

    def recipe(self, *, max_bars: int) -> Recipe:
        """Return how the piece is to be made; the weights' digest is still to come.

        Raises:
            InputError: If a field cannot be read or is out of its range; says which.
            ScoreError: If the opening cannot be read.
        """
        seed = self.seed.strip() or str(secrets.randbelow(2**31))
        if not (seed.isascii() and seed.isdecimal() and len(seed) < 20):
            raise InputError(f"seed: found {seed!r:.40}, wanted a whole number, or nothing")
        return Recipe(
            request=self._request(max_bars),
            seed=whole("seed", float(seed), 0, _LARGEST_SEED),
            sampling=_sampling(self.temperature, self.top_p, self.top_k),
            precision="fp32",
            weights=self.model,
            weights_sha256="",
        )

    def warning(self, known: Mapping[Prompt, int]) -> str:
        """Return what to say of a prompt that the weights have not learned; empty if they have."""
        style = self.style
        if style is None or not known or find_prompt(style, known):
            return ""
        nearest = "; ".join(map(str, nearest_prompts(style, known)))
        return f"The model has not learned {style}. Most like it: {nearest}."

    def _prompt_of_opening(self) -> Prompt | None:
        if self.opening is None or self.opening.suffix.lower() != ".abc":
            return None
        with self.opening.open(encoding="utf-8", errors="replace") as file:
            return Prompt.parse(file.read(_LONGEST_PROMPT))

    def _request(self, max_bars: int) -> Request:
        style = self.style
        bars = None if not self.bars else whole("bars", self.bars, 1, max_bars)
        names = tuple(name.strip() for name in self.instruments.split(",") if name.strip())
        wishes = HeaderWishes(
            key=self.key.strip() or None,
            metre=self.metre.strip() or None,
            tempo=self.tempo.strip() or None,
            instruments=names,
        )
        if self.opening is None:
            beginning = Beginning(**vars(style)) if style else Beginning()
            controls = Controls(**vars(_CONTROLS) | {"num_bars": bars})
            return make_request(beginning, controls, wishes)
        if bars is None:
            raise InputError("bars: found none, wanted how many to write behind the opening")
        first = None
        if self.first_bars:
            first = whole("first bars", self.first_bars, 1, 10_000)
        beginning = Beginning(
            **(vars(style) if style else {}), opening=self.opening, bars=bars, first_bars=first
        )
        request = make_request(beginning, _CONTROLS, wishes)
        if not _has_notes(str(request.prompt)):
            raise InputError(f"{self.opening.name}: found no note, wanted music to go on from")
        return request


def _has_notes(text: str) -> bool:
    body = "".join(split_header(text)[1])
    return any(token.kind == "note" for token in tokens(remove_counters(body)))


def whole(name: str, value: float, least: int, most: int) -> int:
    """Return a field's value as a whole number within bounds.

    Raises:
        InputError: If it is none.
    """
    if not math.isfinite(value) or value != int(value) or not least <= value <= most:
        raise InputError(f"{name}: found {value:g}, wanted a whole number from {least} to {most}")
    return int(value)


def _sampling(temperature: float, top_p: float, top_k: float) -> Sampling:
    try:
        return Sampling(
            top_k=whole("top-k", top_k, 0, 128),
            top_p=float(top_p),
            temperature=float(temperature),
        )
    except (TypeError, ValueError) as error:
        raise InputError(str(error)) from error
