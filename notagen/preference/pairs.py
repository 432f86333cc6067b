"""Which pieces are chosen and which rejected, and how they are paired."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from notagen.foundation.errors import InputError
from notagen.foundation.index import Labels
from notagen.preference.rules import Exclusion


class Candidate(NamedTuple):
    """A scored piece."""

    name: str
    prompt: Labels | None
    """What it was to be; only pieces of the same prompt are compared."""
    reward: float
    """The higher, the better."""
    exclusions: tuple[Exclusion, ...] = ()
    """Why it may not be chosen; empty if it may."""


class Preferences(NamedTuple):
    """As many chosen as rejected pieces of each prompt, each the best and the worst first."""

    chosen: list[Candidate]
    rejected: list[Candidate]


def choose(candidates: Iterable[Candidate], *, portion: float) -> Preferences:
    """Return the best and the worst pieces of each prompt.

    Of n pieces `portion * n` are wanted of each, rounded down. Of a prompt that has too few for
    that one pair is taken, if there is one. The worst may be excluded from being chosen. Pieces of
    equal reward are no pair.

    Args:
        candidates: Pieces of different names.
        portion: Greater than 0, up to 0.5.

    Raises:
        ValueError: If the portion is out of its range, or a reward is not finite.
        InputError: If there is no pair, or a prompt has too few pieces that may be chosen and are
            none of its worst; it says how many are missing.
    """
    if not 0 < portion <= 0.5:
        raise ValueError(f"portion must be > 0 and at most 0.5, got {portion}")
    candidates = list(candidates)
    for piece in candidates:
        if not math.isfinite(piece.reward):
            raise ValueError(f"reward of {piece.name} must be finite, got {piece.reward}")
    preferences = Preferences([], [])
    missing = []
    for prompt, group in _by_prompt(candidates).items():
        best_first = _best_first(group)
        wanted = _share(portion, group) or min(1, len(group) // 2)
        rejected = best_first[len(group) - wanted :][::-1]
        allowed = [piece for piece in best_first[: len(group) - wanted] if not piece.exclusions]
        if not allowed and portion * len(group) < 1:
            continue
        if len(allowed) < wanted:
            asked = " / ".join(prompt) if prompt else "no prompt"
            missing.append(
                f"{asked}: found {len(allowed)} of {len(group)} pieces that may be chosen, wanted "
                f"{wanted} ({wanted - len(allowed)} missing)"
            )
        pairs = list(zip(allowed, rejected, strict=False))
        while pairs and not pairs[-1][0].reward > pairs[-1][1].reward:
            pairs.pop()
        preferences.chosen.extend(chosen for chosen, _ in pairs)
        preferences.rejected.extend(rejected for _, rejected in pairs)
    if missing:
        raise InputError(f"{'; '.join(missing)}; generate more pieces, or take a smaller portion")
    if not preferences.chosen:
        raise InputError(
            "found no two pieces of one prompt of which one is better and may be chosen"
        )
    return preferences


def find_best(candidates: Iterable[Candidate], *, portion: float) -> list[Candidate]:
    """Return the best pieces of each prompt that may be chosen, as new music to learn from.

    Args:
        candidates: Pieces of different names.
        portion: Of each prompt's pieces, up to 1, rounded down; fewer where fewer may be chosen.
    """
    best: list[Candidate] = []
    for group in _by_prompt(candidates).values():
        allowed = [piece for piece in _best_first(group) if not piece.exclusions]
        best += allowed[: _share(portion, group)]
    return best


def draw_partners(preferences: Preferences, *, seed: Sequence[int]) -> list[Candidate]:
    """Return a rejected piece for each chosen one, in their order: of its prompt, each piece once.

    The same seed, numbers >= 0, gives the same partners.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    left = {
        prompt: [group[place] for place in rng.permutation(len(group))]
        for prompt, group in _by_prompt(preferences.rejected).items()
    }
    return [left[piece.prompt].pop() for piece in preferences.chosen]


def _best_first(pieces: Iterable[Candidate]) -> list[Candidate]:
    # of equal rewards the name decides, so that the order of the files does not
    return sorted(pieces, key=lambda piece: (-piece.reward, piece.name))


def _share(portion: float, group: Sequence[Candidate]) -> int:
    # 0.29 of 100 is 28.999... in floating point
    return math.floor(portion * len(group) + 1e-9)


def _by_prompt(pieces: Iterable[Candidate]) -> dict[Labels | None, Sequence[Candidate]]:
    groups: dict[Labels | None, list[Candidate]] = {}
    for piece in pieces:
        groups.setdefault(piece.prompt, []).append(piece)
    return dict(groups)
