"""Prompts: three comment lines that say in which style a piece is written."""

import dataclasses
import random
import re
from collections.abc import Mapping
from typing import Self

from anyascii import anyascii

from notagen.foundation.config import check_fields
from notagen.foundation.errors import InputError

END_LINE = "%end\n"


@dataclasses.dataclass(frozen=True)
class Prompt:
    """The style asked for; each field one line of text, folded to ASCII when written."""

    period: str
    """Such as `Romantic`."""
    composer: str
    """Such as `Schubert, Franz`."""
    instrumentation: str
    """Such as `Art Song`."""

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_fields(self)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not value.strip() or value.splitlines() != [value]:
                raise InputError(f"{field.name} must be one line of text, got {value!r}")
            folded = anyascii(value).strip()
            if not folded.isprintable():
                raise InputError(f"{field.name} holds a control character: {value!r}")
            if not folded or folded.startswith("%"):
                raise InputError(f"{field.name} must be a name in letters, got {value!r}")

    def __str__(self) -> str:
        """Return it in one line, for messages."""
        return f"{self.period} / {self.composer} / {self.instrumentation}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the prompt a text begins with, or None where it begins with none.

        Three lines of `%` and text make a prompt; `%%` begins a directive. Example:
        `%Romantic`, `%Schubert, Franz`, `%Art Song`.
        """
        lines = re.match(r"%(?!%)(.+)\n%(?!%)(.+)\n%(?!%)(.+)(?:\n|\Z)", text)
        return cls(*(line.strip() for line in lines.groups())) if lines else None


def prompt_text(prompt: Prompt | str | None) -> str:
    """Return the text a piece begins with, folded to ASCII.

    Args:
        prompt: A style; or any text, prompt lines and header and bars, that the model goes on
            from, in its last line where that has no line end; or None for a piece of any style.
    """
    if prompt is None:
        return ""
    if isinstance(prompt, str):
        return anyascii(prompt.replace("\r\n", "\n"))
    lines = (prompt.period, prompt.composer, prompt.instrumentation)
    return "".join(f"%{anyascii(line.strip())}\n" for line in lines)


def draw_prompts(known: Mapping[Prompt, int], *, count: int, seed: int) -> list[Prompt]:
    """Return so many prompts, each as likely as its number; drawing more changes none before.

    Args:
        known: Prompts and their numbers, not empty; their order does not matter.
        count: How many are drawn, >= 0.
        seed: Of the draws.
    """
    prompts = sorted(known, key=str)
    rng = random.Random(f"prompts/{seed}")  # noqa: S311 -- no secret
    return rng.choices(prompts, [known[prompt] for prompt in prompts], k=count)


def training_prompt_lines(prompt: Prompt) -> list[str]:
    """Return the four lines, line ends kept, that stand before a piece in training text.

    The fourth, `%end`, is the model's own to write when it is given the other three.
    """
    return [*prompt_text(prompt).splitlines(keepends=True), END_LINE]
