"""The 128 symbols: ASCII characters under their own codes, three of which serve as marks."""

import re

from notagen.foundation.errors import AlphabetError

PAD = 0
"""Fills a patch after its last character."""
BOS = 1
"""Begins a piece: the bos patch is fifteen of these and an EOS."""
EOS = 2
"""Ends a patch that is not full; the eos patch is a BOS and fifteen of these."""
SIZE = 128
NEWLINE = ord("\n")
"""Ends a patch too."""
BAR = ord("|")
"""In every barline but `::`."""

_MARKS = bytes((PAD, BOS, EOS))
_OUTSIDE = re.compile(r"[^\x03-\x7f]")


def check_characters(text: str) -> None:
    """Check that a text holds only characters of the vocabulary.

    Raises:
        AlphabetError: At the first other character, naming it, its line and its column.
    """
    found = _OUTSIDE.search(text)
    if found:
        position = found.start()
        line = text.count("\n", 0, position) + 1
        column = position - text.rfind("\n", 0, position)
        raise AlphabetError(
            f"line {line}, column {column}: found {found[0]!r} (U+{ord(found[0]):04X}), "
            f"wanted an ASCII character other than NUL, SOH and STX"
        )


def encode_characters(text: str) -> list[int]:
    """Return the id of each character.

    Raises:
        AlphabetError: If a character is outside the vocabulary.
    """
    check_characters(text)
    return list(text.encode("ascii"))


def decode_characters(ids: list[int]) -> str:
    """Return the text of the ids, leaving out pad, bos and eos."""
    return bytes(ids).translate(None, delete=_MARKS).decode("ascii")
