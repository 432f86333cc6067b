"""Tunes of an index as text and as patches: which key, which window, with or without a prompt."""

import math
import os
import random
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from notagen.foundation.errors import InputError, MissingInputError, ScoreError
from notagen.foundation.index import IndexEntry, read_entry, scan_index
from notagen.generation.prompts import Prompt, training_prompt_lines
from notagen.notation.keys import KEYS, key_fifths
from notagen.notation.transpose import transpose
from notagen.training.examples import Draw

KeyChoice = Literal["all", "near", "original"]

_NEAR_WEIGHTS = {-3: 1, -2: 2, -1: 3, 0: 4, 1: 3, 2: 2, 3: 1}
_CHARACTERS_PER_PATCH = 11
"""Of reduced ABC, where the index has no `n_patches`: 11.7 in 710 Lieder, and some for a prompt."""


class Tokenizer(Protocol):
    """Makes the patches of a tune."""

    @property
    def patch_length(self) -> int:
        """Most patches that it makes of one."""

    def encode(self, text: str, *, rng: random.Random | None = None) -> NDArray[np.uint8]:
        """Return the patches, (num_patches, patch_size); `rng` chooses the window of a long tune.

        Raises:
            ScoreError: If the text has no such form.
        """


@dataclass(frozen=True)
class DrawnText:
    """A piece's text as a draw shows it."""

    text: str
    """In the drawn key, after its prompt where that is wanted."""
    key: str
    """The drawn key."""
    entry: IndexEntry
    """What the index says of the piece."""
    file: Path
    """Where its text was read."""
    rng: random.Random
    """Of all that is drawn next, such as the window."""


def estimate_patches(entry: IndexEntry, num_bytes: int) -> int:
    """Return the patches of a piece: what the index says, else an estimate from its text's size."""
    return entry.n_patches or num_bytes // _CHARACTERS_PER_PATCH


class TuneDataset(Dataset[NDArray[np.uint8]]):
    """The pieces of an index, each in a key and a window that the draw decides.

    The text in key K lies at the entry's keyed path; where it is missing, the text in the piece's
    own key is transposed. Key and window depend on seed, epoch and the piece's path alone, so they
    are the same on any number of processes and after a resume. With epoch None they are the same
    every time: the own key, and a window that the seed fixes.

    Of a piece, only its place in the index file and its length stay in memory; its line is read
    again with its text. So an index of millions of pieces starts in seconds.

    Args:
        index: JSONL index; paths in it are relative to its folder.
        tokenizer: Makes the patches.
        keys: "all" draws one of the 15 keys evenly; "near" one within three semitones of the own
            key, weighted 1 2 3 4 3 2 1, see `near_keys`; "original" takes the own key.
        prompted: Whether the prompt lines go before a piece that has period, composer and
            instrumentation; a text that already begins with them is left as it is.
        seed: Of all draws.
        estimate: Gives the patches of a whole piece from its line and the bytes of its text.
        made_by: The stage that writes the index, for messages.

    Raises:
        MissingInputError: If the index or a piece's text in its own key is not there.
        InputError: If the index is empty or not in order, or a piece has no key.
    """

    lengths: NDArray[np.int32]
    """Patches of each piece in its own key, estimated, 2 to `patch_length`."""
    prompts: Counter[tuple[str, str, str]]
    """Pieces of each period, composer and instrumentation; others have no prompt."""

    def __init__(
        self,
        index: Path,
        tokenizer: Tokenizer,
        *,
        keys: KeyChoice,
        prompted: bool,
        seed: int,
        estimate: Callable[[IndexEntry, int], int] = estimate_patches,
        made_by: str = "data/2_preprocess.py",
    ) -> None:
        self.index = index
        self.tokenizer = tokenizer
        self.keys = keys
        self.prompted = prompted
        self.seed = seed
        self._folder = str(index.parent)
        self._stamp, lines = scan_index(index, made_by=made_by)
        self.prompts = Counter()
        # a list would take an object a piece
        offsets, lengths = array("q"), array("i")
        for offset, entry in lines:
            offsets.append(offset)
            # every piece has a bos and an eos patch
            num_patches = max(estimate(entry, self._num_bytes(entry)), 2)
            lengths.append(min(num_patches, tokenizer.patch_length))
            if entry.prompt:
                self.prompts[entry.prompt] += 1
        if not offsets:
            raise InputError(f"{index} is empty; {made_by} writes it, wanted at least one piece")
        self._offsets = np.array(offsets, dtype=np.int64)
        self.lengths = np.array(lengths, dtype=np.int32)

    def __len__(self) -> int:
        """Return the number of pieces."""
        return len(self._offsets)

    def entry(self, piece: int) -> IndexEntry:
        """Return what the index says of a piece.

        Raises:
            InputError: If the index has changed since it was scanned.
        """
        return read_entry(self.index, int(self._offsets[piece]), self._stamp)

    def __getitem__(self, draw: Draw) -> NDArray[np.uint8]:
        """Return the patches of a drawn piece, shape (num_patches, patch_size).

        Raises:
            InputError: If the text cannot be read or is not UTF-8, naming the file; if the index
                has changed.
            ScoreError: If the text cannot be transposed or encoded, naming file and key.
        """
        return self.encode(self.text(draw))

    def text(self, draw: Draw) -> DrawnText:
        """Return the text of a drawn piece.

        Raises:
            InputError: If the text cannot be read or is not UTF-8, naming the file; if the index
                has changed.
            ScoreError: If the text cannot be transposed, naming file and key.
        """
        piece, epoch = draw
        entry = self.entry(piece)
        rng = random.Random(self._source(entry, epoch))  # noqa: S311 -- no secret
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
        with named(file, key):
            return DrawnText(self._shown(entry, text, file, key), key, entry, file, rng)

    def encode(self, drawn: DrawnText) -> NDArray[np.uint8]:
        """Return the patches of a text, its window drawn, shape (num_patches, patch_size).

        Raises:
            ScoreError: If the text cannot be encoded, naming file and key.
        """
        with named(drawn.file, drawn.key):
            return self.tokenizer.encode(drawn.text, rng=drawn.rng)

    def predicted(self, draw: Draw, num_patches: int, share: float) -> NDArray[np.bool_]:
        """Return which patches of a drawn piece the loss is taken over, shape (num_patches,).

        The first, which is never predicted, is True, and of the n others ceil(share n), chosen at
        random. The choice depends on seed, epoch and the piece's path alone.

        Args:
            draw: The piece.
            num_patches: What it has, >= 1.
            share: Of the patches, in (0, 1].
        """
        return self._choose(draw, num_patches, share, "predicted")

    def silent(self, draw: Draw, num_patches: int, share: float) -> NDArray[np.bool_]:
        """Return which patches are predicted without n-gram heads, shape (num_patches,).

        Chosen as `predicted` does, and apart from it.
        """
        return self._choose(draw, num_patches, share, "silent")

    def _choose(
        self, draw: Draw, num_patches: int, share: float, purpose: str
    ) -> NDArray[np.bool_]:
        others = num_patches - 1
        chosen = np.ones(num_patches, dtype=np.bool_)
        if share < 1:
            piece, epoch = draw
            source = f"{self._source(self.entry(piece), epoch)}/{purpose}"
            rng = np.random.Generator(np.random.PCG64(list(source.encode())))
            left_out = rng.permutation(others)[math.ceil(share * others) :]
            chosen[left_out + 1] = False
        return chosen

    def _source(self, entry: IndexEntry, epoch: int | None) -> str:
        """Return what the random choices of a draw are made from."""
        return f"{self.seed}/{entry.path}" if epoch is None else f"{self.seed}/{epoch}/{entry.path}"

    def _shown(self, entry: IndexEntry, text: str, file: Path, key: str) -> str:
        """Return what of a file the model learns from: its text in `key`, after the prompt."""
        if file != self.index.parent / entry.keyed_path(key):
            text = transpose(text, key)
        if self.prompted and entry.prompt and Prompt.parse(text) is None:
            text = "".join(training_prompt_lines(Prompt(*entry.prompt))) + text
        return text

    def _num_bytes(self, entry: IndexEntry) -> int:
        """Return the size of a piece's text in its own key; this looks whether it is there."""
        if entry.key not in KEYS:
            raise InputError(
                f"{self.index}: {entry.path} has key {entry.key!r}, wanted one of {' '.join(KEYS)}"
            )
        file = f"{self._folder}/{entry.keyed_path(entry.key)}"
        try:
            # the making of a Path takes longer than this look, and there may be millions
            return os.stat(file).st_size  # noqa: PTH116
        except FileNotFoundError as error:
            message = f"{self.index}: {file}, the text of {entry.path}, is not there"
            raise MissingInputError(message) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{self.index}: {file!r} cannot be read: {reason}") from error


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


@contextmanager
def named(file: Path, key: str) -> Iterator[None]:
    """Put file and key before what is said of a text."""
    try:
        yield
    except (ScoreError, InputError) as error:
        raise type(error)(f"{file} in {key}: {error}") from error
