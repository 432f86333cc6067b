"""How good a piece is, beside its likeness to real ones: of its text, or as people say."""

import math
from collections.abc import Callable
from pathlib import Path

from notagen.foundation.errors import InputError, NotationError
from notagen.foundation.lines import read_lines
from notagen.notation.interleave import parse_interleaved
from notagen.notation.parts import played


def variety(interleaved_abc: str) -> float:
    """Return the share of the sounding bars that no bar before is like; 0 where none sounds."""
    try:
        tune = parse_interleaved(interleaved_abc)
    except NotationError:
        return 0.0
    bars = [music for bar in tune.bars if (music := played(bar))]
    return len(set(bars)) / len(bars) if bars else 0.0


TEXT_REWARDS: dict[str, Callable[[str], float]] = {"variety": variety}
"""Rewards that need a piece's text alone, by the names that settings know them by."""


def read_rewards(path: Path) -> dict[str, float]:
    """Read rewards from JSON lines such as `{"name": "...", "reward": 1}`, by pieces' names.

    Raises:
        InputError: If it is not there, or a line is not as it should be; file and line are named.
    """
    if not path.is_file():
        raise InputError(f"{path}: found no file, wanted lines with `name` and `reward`")
    rewards: dict[str, float] = {}
    for number, line in read_lines(path):
        name, reward = line.get("name"), line.get("reward")
        is_number = isinstance(reward, int | float) and not isinstance(reward, bool)
        if not isinstance(name, str) or not is_number or not math.isfinite(line["reward"]):
            raise InputError(
                f"{path}:{number}: found name {name!r} and reward {reward!r}, wanted text and a "
                f"finite number"
            )
        if name in rewards:
            raise InputError(f"{path}:{number}: found {name} a second time, wanted it once")
        rewards[name] = float(line["reward"])
    return rewards
