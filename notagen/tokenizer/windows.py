"""Bar counters `[r:i/n]` of a tune body, the bare text, and where a long tune may be cut."""

import random
import re
from bisect import bisect_left
from collections.abc import Sequence

from notagen.notation.lexer import COUNTER

_BODY_LINE = ("[V:", "[r:")
_PROMPT_LINES = re.compile(r"(?:%(?!%)[^\n]*(?:\n|\Z))*")


def split_header(text: str) -> tuple[list[str], list[str]]:
    """Return the header lines and the body lines of a tune, line ends kept.

    The body begins at the first line that starts with `[V:` or a bar counter; a text without one
    is all header.
    """
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    start = next((i for i, line in enumerate(lines) if line.startswith(_BODY_LINE)), len(lines))
    return lines[:start], lines[start:]


def add_counters(body: Sequence[str]) -> list[str]:
    """Put `[r:i/n]` before each body line: `i` bars done, `n` still to come after this one.

    A body whose first line has a counter is returned as it is. Before: `[V:1]c4|` and `[V:1]d4|`;
    after: `[r:0/1][V:1]c4|` and `[r:1/0][V:1]d4|`.
    """
    if body and body[0].startswith("[r:"):
        return list(body)
    return [f"[r:{i}/{len(body) - i - 1}]{line}" for i, line in enumerate(body)]


def remove_counters(text: str) -> str:
    """Take the counters off the lines of a tune."""
    return re.sub(rf"^{COUNTER.pattern}", "", text, flags=re.MULTILINE)


def canonical(text: str) -> str:
    """Return what of a tune is music: its text without prompt lines and counters.

    Prompt lines are all lines at its start that begin with `%` and not with `%%`. The length of
    what is left is what likelihoods are measured against, whatever a model is shown and predicts.

    Before: `%Romantic`, `%end`, `K:C` and `[r:0/0][V:1]c4|`; after: `K:C` and `[V:1]c4|`.
    """
    return remove_counters(_PROMPT_LINES.sub("", text, count=1))


def prompt_lines(text: str) -> str:
    """Return the prompt lines that a tune begins with, see `canonical`; empty if there are none."""
    found = _PROMPT_LINES.match(text)
    return found[0] if found else ""


def choose_window(lengths: Sequence[int], room: int, rng: random.Random | None) -> tuple[int, int]:
    """Choose which part of a long tune body to show, as NotaGen does.

    Head, tail and middle are equally likely. A tail begins at the first line from which all the
    rest fits; a middle begins at any line between the first and that one. Head and middle are cut
    where the room ends, which may be inside a bar. (Where no line lies between, a middle is a tail;
    where the last line alone is too long, a tail is that line, cut.)

    Args:
        lengths: Patches of each body line, the eos patch counted with the last; their sum is
            larger than `room`.
        room: Patches there is room for, > 0.
        rng: Source of the choice; None takes the head.

    Returns:
        The first line shown, and the number of patches shown from its start.
    """
    part = "head" if rng is None else rng.choice(["head", "tail", "middle"])
    if rng is None or part == "head":
        return 0, room
    tail, rest = len(lengths), 0
    while rest + lengths[tail - 1] <= room:
        tail -= 1
        rest += lengths[tail]
    tail = min(tail, len(lengths) - 1)
    start = rng.choice(range(1, tail)) if part == "middle" and tail > 1 else tail
    return start, min(room, sum(lengths[start:]))


def newest_lines(line_starts: Sequence[int], num_patches: int, room: int) -> int:
    """Return the patch from which a tune is read afresh once it fills the context.

    Whole lines are dropped from its front until what is left takes half the room at most. A last
    line longer than that loses its front.

    Args:
        line_starts: First patch of each line, ascending.
        num_patches: Patches so far; lines that begin behind them are yet to come.
        room: Patches there is room for behind the header.
    """
    oldest = num_patches - room // 2
    line = bisect_left(line_starts, oldest)
    whole = line < len(line_starts) and line_starts[line] < num_patches
    return line_starts[line] if whole else oldest
