"""Which feature belongs to which piece, whatever folder, key or suffix its name was given."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from notagen.notation.keys import KEYS

_KEY = re.compile(rf"_(?:{'|'.join(map(re.escape, KEYS))})$")


def match_names(pieces: Sequence[Sequence[str]], names: Sequence[str]) -> dict[int, int]:
    """Return for each piece that has a feature, by its place, the place of the feature.

    A feature is called like its piece, or like the last part of the piece's name, with or without
    the key, where no other piece or feature is called so too.

    Args:
        pieces: The ways to call each piece.
        names: Of the features.
    """
    known = _spellings([[name] for name in names])
    found: dict[int, int] = {}
    for spelling, piece in _spellings(pieces).items():
        if spelling in known:
            found.setdefault(piece, known[spelling])
    return found


def _spellings(names: Sequence[Sequence[str]]) -> dict[str, int]:
    """Return the place of each way to call something that nothing else is called by.

    Whole names go first, then their last parts, then these without the key.
    """
    spellings: dict[str, int] = {}
    for shorten in (str, _last, lambda name: _KEY.sub("", _last(name))):
        found: dict[str, set[int]] = {}
        for place, ways in enumerate(names):
            for way in ways:
                found.setdefault(shorten(way), set()).add(place)
        for spelling, places in found.items():
            if len(places) == 1:
                spellings.setdefault(spelling, *places)
    return spellings


def _last(name: str) -> str:
    return PurePosixPath(name).name
