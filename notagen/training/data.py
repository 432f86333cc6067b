"""Tunes of an index as patches: which key, which window, with or without a prompt."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from notagen.foundation.errors import InputError, MissingInputError, ScoreError
from notagen.foundation.index import IndexEntry, read_index
from notagen.generation.prompts import Prompt, training_prompt_lines
from notagen.notation.keys import KEYS, key_fifths
from notagen.notation.transpose import transpose
from notagen.tokenizer.patches import PatchTokenizer

Draw = tuple[int, int | None]
"""A piece's place in the index, and the epoch it is drawn in; None is the fixed draw."""
KeyChoice = Literal["all", "near", "original"]

_NEAR_WEIGHTS = {-3: 1, -2: 2, -1: 3, 0: 4, 1: 3, 2: 2, 3: 1}
_CHARACTERS_PER_PATCH = 10
"""Of reduced ABC, roughly; orders pieces by length where the index has no `n_patches`."""


class TuneDataset(Dataset[NDArray[np.uint8]]):
    """The pieces of an index, each in a key and a window that the draw decides.

    The text in key K lies at the entry's keyed path; where it is missing, the text in the piece's
    own key is transposed. Key and window depend on seed, epoch and the piece's path alone, so they
    are the same on any number of processes and after a resume. With epoch None they are the same
    every time: the own key, and a window that the seed fixes.

    Args:
        index: JSONL index; paths in it are relative to its folder.
        tokenizer: Makes the patches; its `patch_length` bounds them.
        keys: "all" draws one of the 15 keys evenly; "near" one within three semitones of the own
            key, weighted 1 2 3 4 3 2 1, see `near_keys`; "original" takes the own key.
        prompted: Whether the prompt lines go before a piece that has period, composer and
            instrumentation; a text that already begins with them is left as it is.
        seed: Of all draws.
        made_by: The stage that writes the index, for messages.

    Raises:
        MissingInputError: If the index or a piece's text in its own key is not there.
        InputError: If the index is empty or a piece has no key.
    """

    def __init__(
        self,
        index: Path,
        tokenizer: PatchTokenizer,
        *,
        keys: KeyChoice,
        prompted: bool,
        seed: int,
        made_by: str = "data/2_preprocess.py",
    ) -> None:
        self.index = index
        self.tokenizer = tokenizer
        self.keys = keys
        self.prompted = prompted
        self.seed = seed
        self.entries = list(read_index(index, made_by=made_by))
        if not self.entries:
            raise InputError(f"{index} is empty; {made_by} writes it, wanted at least one piece")
        self.lengths = [self._estimate_length(entry) for entry in self.entries]
        """Patches of each piece, estimated where the index does not say."""

    def __len__(self) -> int:
        """Return the number of pieces."""
        return len(self.entries)

    def __getitem__(self, draw: Draw) -> NDArray[np.uint8]:
        """Return the patches of a drawn piece, shape (num_patches, patch_size), ids 0 to 127.

        Raises:
            InputError: If the text cannot be read or is not UTF-8, naming the file.
            ScoreError: If the text cannot be transposed or encoded, naming file and key.
        """
        piece, epoch = draw
        entry = self.entries[piece]
        path = entry.path
        source = f"{self.seed}/{path}" if epoch is None else f"{self.seed}/{epoch}/{path}"
        rng = random.Random(source)  # noqa: S311 -- no secret
        key = _own_key(entry) if epoch is None else choose_key(self.keys, _own_key(entry), rng)
        file = self.index.parent / entry.keyed_path(key)
        if not file.is_file():
            file = self.index.parent / entry.keyed_path(_own_key(entry))
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise InputError(f"{file} cannot be read: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{file}: found no UTF-8 text: {error}") from error
        try:
            return self.tokenizer.encode(self._shown(entry, text, file, key), rng=rng)
        except (ScoreError, InputError) as error:
            raise type(error)(f"{file} in {key}: {error}") from error

    def _shown(self, entry: IndexEntry, text: str, file: Path, key: str) -> str:
        """Return what of a file the model learns from: its text in `key`, after the prompt."""
        if file != self.index.parent / entry.keyed_path(key):
            text = transpose(text, key)
        if self.prompted and entry.prompt and Prompt.parse(text) is None:
            text = "".join(training_prompt_lines(Prompt(*entry.prompt))) + text
        return text

    def _estimate_length(self, entry: IndexEntry) -> int:
        if entry.key not in KEYS:
            raise InputError(
                f"{self.index}: {entry.path} has key {entry.key!r}, wanted one of {' '.join(KEYS)}"
            )
        file = self.index.parent / entry.keyed_path(entry.key)
        try:
            size = file.stat().st_size
        except FileNotFoundError as error:
            message = f"{self.index}: {file}, the text of {entry.path}, is not there"
            raise MissingInputError(message) from error
        except OSError as error:
            message = f"{self.index}: {file} cannot be read: {error.strerror or error}"
            raise InputError(message) from error
        return min(entry.n_patches or size // _CHARACTERS_PER_PATCH, self.tokenizer.patch_length)


def choose_key(keys: KeyChoice, own: str, rng: random.Random) -> str:
    """Return the key to show a piece in whose own key is `own`."""
    if keys == "original":
        return own
    if keys == "all":
        return rng.choice(KEYS)
    spellings = rng.choices(near_keys(own), weights=list(_NEAR_WEIGHTS.values()))[0]
    return rng.choice(spellings)


def near_keys(own: str) -> list[Sequence[str]]:
    """Return the keys three semitones below `own` to three above, by their spellings.

    Of two spellings the one with fewer accidentals stands alone (Db, not C#; B, not Cb); F# and Gb
    have as many and are both given, to be drawn with even odds as NotaGen does. The own key stays
    as it is spelled.

    Example: of C they are A, Bb, B, C, Db, D, Eb.
    """
    result: list[Sequence[str]] = []
    for semitones in _NEAR_WEIGHTS:
        pitch = (7 * key_fifths(own) + semitones) % 12
        spellings = [key for key in KEYS if 7 * key_fifths(key) % 12 == pitch]
        fewest = min(abs(key_fifths(key)) for key in spellings)
        plain = [key for key in spellings if abs(key_fifths(key)) == fewest]
        result.append(plain if semitones else [own])
    return result


def _own_key(entry: IndexEntry) -> str:
    assert entry.key is not None  # noqa: S101 -- TuneDataset refuses pieces without a key
    return entry.key
