"""The 128 symbols: ASCII characters under their own codes, three of which serve as marks."""

from notagen.foundation.errors import AlphabetError

PAD = 0
"""Fills a patch after its last character."""
BOS = 1
"""Begins a piece: the bos patch is fifteen of these and an EOS."""
EOS = 2
"""Ends a patch that is not full; the eos patch is a BOS and fifteen of these."""
SIZE = 128

_MARKS = {PAD, BOS, EOS}


def encode_characters(text: str) -> list[int]:
    """Return the id of each character.

    Raises:
        AlphabetError: At the first character outside the vocabulary, naming it and its line.
    """
    ids = [ord(character) for character in text]
    for position, id_ in enumerate(ids):
        if id_ >= SIZE or id_ in _MARKS:
            line = text.count("\n", 0, position) + 1
            column = position - text.rfind("\n", 0, position)
            raise AlphabetError(
                f"line {line}, column {column}: found {text[position]!r} (U+{id_:04X}), "
                f"wanted an ASCII character other than NUL, SOH and STX"
            )
    return ids


def decode_characters(ids: list[int]) -> str:
    """Return the text of the ids, leaving out pad, bos and eos."""
    return "".join(chr(id_) for id_ in ids if id_ not in _MARKS)
