"""Requests: what each piece begins with and keeps to, from settings or from JSON lines."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from notagen.foundation.config import check_fields
from notagen.foundation.errors import InputError, MissingInputError
from notagen.foundation.lines import read_lines
from notagen.generation.continuation import opening, with_counters
from notagen.generation.controls import NO_CONTROLS, Controls
from notagen.generation.header import NO_WISHES, HeaderWishes
from notagen.generation.prompts import Prompt, prompt_text, training_prompt_lines
from notagen.tokenizer.vocabulary import encode_characters
from notagen.tokenizer.windows import split_header

Settings = TypeVar("Settings", "Beginning", Controls, HeaderWishes)

STANDARD_INPUT = Path("-")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What one piece is to be."""

    prompt: Prompt | str | None = None
    """What it begins with, see `prompt_text`."""
    controls: Controls | None = None
    """Its length and limits; None for those of the run."""
    wishes: HeaderWishes = NO_WISHES
    """What its header must say."""
    name: str | None = None
    """The caller's own name for it."""

    def values(self) -> dict[str, Any]:
        """Return the request as it stands in a piece's record; tuples stay tuples."""
        return {
            "id": self.name,
            "prompt": prompt_text(self.prompt),
            "controls": dataclasses.asdict(self.controls or NO_CONTROLS),
            "wishes": dataclasses.asdict(self.wishes),
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Beginning:
    """What a piece begins with."""

    period: str = ""
    """First prompt line, such as `Romantic`; all three are left empty for no prompt."""
    composer: str = ""
    """Second prompt line, such as `Schubert, Franz`."""
    instrumentation: str = ""
    """Third prompt line, such as `Art Song`."""
    opening: Path | None = None
    """A score to go on from: ABC, MusicXML or MIDI. ABC may begin with prompt lines of its own, for
    which the three above are left empty."""
    first_bars: int | None = None
    """So many bars of the opening are taken; None for all."""
    bars: int | None = None
    """So many bars are written after the opening."""
    text: str | None = None
    """A beginning as the model itself would write it, in place of an opening: interleaved ABC, cut
    off anywhere."""

    def __post_init__(self) -> None:
        """Check types, ranges, and what goes together."""
        check_fields(self)
        prompt = (self.period, self.composer, self.instrumentation)
        if any(prompt) and not all(prompt):
            raise ValueError(
                f"give period, composer and instrumentation, or none of them; got {prompt}"
            )
        for name in ("first_bars", "bars"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be >= 1, got {value}")
        if self.first_bars is not None and self.opening is None:
            raise ValueError("first_bars is a part of an opening; give one, or leave it out")
        if self.text is not None and self.opening is not None:
            raise ValueError(f"give text or an opening, not both; got {self.opening} beside text")


def make_request(
    beginning: Beginning,
    controls: Controls = NO_CONTROLS,
    wishes: HeaderWishes = NO_WISHES,
    name: str | None = None,
) -> Request:
    """Return the request of one piece, its opening read.

    Raises:
        MissingInputError: If the opening is not there.
        InputError: If it is no score, or settings contradict each other.
        ScoreError: If the opening cannot be read, or the text holds a character that no tune has.
    """
    style = None
    if beginning.period:
        style = Prompt(beginning.period, beginning.composer, beginning.instrumentation)
    given = beginning.text
    if beginning.opening is not None:
        given = opening(beginning.opening, first_bars=beginning.first_bars, prompt=style)
    elif given is not None and style:
        given = "".join(training_prompt_lines(style)) + given
    if given is None:
        if beginning.bars is not None:
            raise InputError(
                f"found bars {beginning.bars}, which come after an opening, and no opening; wanted "
                "num_bars, or an opening"
            )
        return Request(prompt=style, controls=controls, wishes=wishes, name=name)
    given = prompt_text(given)
    encode_characters(given)
    given = wishes.complete(given)
    controls = _with_length(controls, beginning, given)
    num_bars, body = controls.num_bars, split_header(given)[1]
    if num_bars is not None and body and not body[0].startswith("[r:"):
        given = with_counters(given, num_bars - len(body))
    return Request(prompt=given, controls=controls, wishes=wishes, name=name)


def _with_length(controls: Controls, beginning: Beginning, given: str) -> Controls:
    """Return the controls with the number of bars of a piece that begins with `given`."""
    bars, num_bars = beginning.bars, controls.num_bars
    if bars is not None and num_bars is not None:
        raise InputError(
            f"found both bars {bars} (after the opening) and num_bars {num_bars} (in all), wanted "
            "one of them"
        )
    if beginning.opening is not None and bars is None and num_bars is None:
        raise InputError(
            "found an opening and no length, wanted bars (after the opening) or num_bars (in all)"
        )
    done = sum(line.endswith("\n") for line in split_header(given)[1])
    if num_bars is not None and num_bars <= done:
        raise InputError(f"found {done} bars to begin with, wanted fewer than num_bars {num_bars}")
    return controls if bars is None else dataclasses.replace(controls, num_bars=done + bars)


def read_requests(
    path: Path,
    beginning: Beginning,
    controls: Controls = NO_CONTROLS,
    wishes: HeaderWishes = NO_WISHES,
) -> list[Request]:
    """Return one request for each JSON line.

    A line may give `id` (a text that stands in the piece's record) and any field of `Beginning`
    (an opening's path is relative to the file), `Controls` and `HeaderWishes`. What it does not
    give is taken from the arguments.

    Args:
        path: A file, or `-` for standard input.
        beginning: For the lines that give none.
        controls: Likewise.
        wishes: Likewise.

    Raises:
        MissingInputError: If the file is not there.
        InputError: If there is no line, or one is at fault; names file, line and fault.
    """
    is_input = path == STANDARD_INPUT
    if not is_input and not path.is_file():
        raise MissingInputError(f"{path} is not there; wanted a file of JSON lines, or -")
    folder = Path() if is_input else path.parent
    requests = []
    for number, line in read_lines(Path("/dev/stdin") if is_input else path):
        try:
            requests.append(_read_line(line, folder, beginning, controls, wishes))
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}:{number}: {error}") from error
    if not requests:
        raise InputError(f"{path}: found no line, wanted a JSON object a line")
    return requests


_INSTEAD = {
    "bars": ("num_bars",),
    "num_bars": ("bars",),
    "opening": ("text",),
    "text": ("opening", "first_bars"),
}
"""What a field of a line takes the place of, where that is not given in the same line."""


def _read_line(
    line: dict[str, Any],
    folder: Path,
    beginning: Beginning,
    controls: Controls,
    wishes: HeaderWishes,
) -> Request:
    known = ["id"]
    for settings in (beginning, controls, wishes):
        known += [setting.name for setting in dataclasses.fields(settings)]
    for field in line:
        if field not in known:
            raise InputError(f"found the field {field!r:.40}, wanted {', '.join(known)}")
    given = {other: None for field in line for other in _INSTEAD.get(field, ())} | line
    name = given.get("id")
    if name is not None and not isinstance(name, str):
        raise InputError(f"found id {name!r:.40}, wanted text")
    if isinstance(given.get("opening"), str):
        given["opening"] = folder / given["opening"]
    match given.get("instruments"):
        case str(names):
            given["instruments"] = (names,)
        case [*names]:
            given["instruments"] = tuple(names)
    return make_request(
        _replace(beginning, given), _replace(controls, given), _replace(wishes, given), name
    )


def _replace(settings: Settings, given: Mapping[str, Any]) -> Settings:
    """Return the settings with those of their fields that are given."""
    names = {field.name for field in dataclasses.fields(settings)} & given.keys()
    return dataclasses.replace(settings, **{name: given[name] for name in names})
