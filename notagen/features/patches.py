"""Music text to the patches that M3 and CLaMP 2 read: header lines, and bars of one voice."""

import random
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from anyascii import anyascii
from numpy.typing import NDArray

from notagen.foundation.errors import AlphabetError

PAD, BOS, EOS, MASK = 0, 1, 2, 3
"""Ids that are no characters: filling, beginning and end of a patch, a character to be guessed."""
MTF = "ticks_per_beat"
"""First word of MIDI in its text form."""

# in this order, as the published models saw them
_BARLINE = re.compile(r"(\|:|::|:\||\[\||\|\||\|\]|\|)")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_HEADER_LINE = re.compile(r"[A-Za-z]:.|%%", re.DOTALL)
_MARKS = re.compile(r"[\x00-\x03]")

Patches = NDArray[np.uint8]
"""(n, patch_size), ids 0 to 127."""


class MusicTokenizer:
    """Turns the text of a piece into the patches of M3, and back.

    A header line is a patch, and so is each bar of one voice with the barline that ends it. A patch
    is a bos, the characters, an eos, and pads; what does not fit is cut off. In the text form of
    MIDI, messages of one kind share a patch as long as there is room. A patch of bos ids stands
    before a piece and one of eos ids after it. Other characters than ASCII are folded to it.

    Args:
        patch_size: Ids in a patch.
        patch_length: Patches that a model reads at once.

    Source: CLaMP 2, arXiv:2410.13267, section 3.2; the ids are those of its published weights, but
    for text behind a line's last barline, which is kept here.
    """

    def __init__(self, patch_size: int = 64, patch_length: int = 512) -> None:
        self.patch_size = patch_size
        self.patch_length = patch_length

    def encode(self, text: str, *, rng: random.Random | None = None) -> Patches:
        """Return what of a piece a model learns from at once, (n, patch_size).

        Of a piece of more than `patch_length` patches it is the head, the tail or a middle, evenly
        drawn by `rng`; None takes the head.

        Raises:
            AlphabetError: If a character is NUL, SOH, STX or ETX.
        """
        patches = self.encode_whole(text)
        room = self.patch_length
        if len(patches) <= room:
            return patches
        part = "head" if rng is None else rng.choice(["head", "tail", "middle"])
        if rng is None or part == "head":
            return patches[:room]
        if part == "tail":
            return patches[-room:]
        start = rng.randint(1, len(patches) - room)
        return patches[start : start + room]

    def encode_whole(self, text: str) -> Patches:
        """Return all patches of a piece, (n, patch_size), bos and eos patch included.

        Raises:
            AlphabetError: If a character is NUL, SOH, STX or ETX.
        """
        text = text if text.isascii() else anyascii(text)
        if found := _MARKS.search(text):
            line = text.count("\n", 0, found.start()) + 1
            raise AlphabetError(f"line {line}: found {found[0]!r}, wanted text")
        parts = list(self._split(text))
        patches = np.zeros((len(parts) + 2, self.patch_size), dtype=np.uint8)
        patches[0] = BOS
        for row, part in zip(patches[1:], parts, strict=False):
            ids = bytes((BOS, *part.encode("ascii"), EOS))[: self.patch_size]
            row[: len(ids)] = np.frombuffer(ids, dtype=np.uint8)
        patches[-1] = EOS
        patches[-1, 0] = BOS
        return patches

    def segments(self, patches: Patches) -> list[Patches]:
        """Cut a piece into segments of `patch_length`; the last one is its final `patch_length`.

        So the last two overlap where the piece does not divide; `segment_weights` says how much of
        the piece each stands for.
        """
        room = self.patch_length
        starts = range(0, len(patches), room)
        return [
            patches[start : start + room] if start + room <= len(patches) else patches[-room:]
            for start in starts
        ]

    def segment_weights(self, num_patches: int) -> list[int]:
        """Return how many patches each segment of a piece stands for, as CLaMP 2 counts them."""
        room = self.patch_length
        return [min(room, num_patches - start) for start in range(0, num_patches, room)]

    def decode(self, patches: Iterable[Sequence[int]]) -> str:
        """Return the text of the patches; marks leave no trace."""
        ids = (int(id_) for patch in patches for id_ in patch)
        return bytes(id_ for id_ in ids if id_ > MASK).decode("ascii")

    def _split(self, text: str) -> Iterator[str]:
        lines = _LINES.findall(text)
        if is_mtf(text):
            yield from self._join_messages(lines)
            return
        for line in lines:
            if _HEADER_LINE.match(line):
                yield line
            else:
                yield from split_bars(line)

    def _join_messages(self, lines: list[str]) -> Iterator[str]:
        """Join messages of one kind with tabs, as many as a patch has room for.

        The kind is said once: `note_on 0 0 60 64` and `note_on 9 0 64 64` become one line.
        """
        patch = ""
        for line in lines:
            kind, _, values = line.partition(" ")
            if patch.startswith(kind) and len(patch) + len(values) <= self.patch_size - 2:
                patch = f"{patch[:-1]}\t{values}"
            else:
                if patch:
                    yield patch
                patch = line
        if patch:
            yield patch


def is_mtf(text: str) -> bool:
    """Tell MIDI in its text form from ABC."""
    return text.startswith(MTF + " ")


def split_bars(line: str) -> list[str]:
    """Cut a line of the tune body behind its barlines; the parts join to the line.

    Before: `[V:1]c4|[V:2]C4|` and a line end; after: `[V:1]c4|` and `[V:2]C4|` with the line end. A
    barline that begins the line stays with the first bar.
    """
    found = [part for part in _BARLINE.split(line) if part]
    if len(found) > 1 and _BARLINE.fullmatch(found[0]):
        found[:2] = [found[0] + found[1]]
    bars = ["".join(found[start : start + 2]) for start in range(0, len(found), 2)]
    if len(bars) > 1 and bars[-1] == "\n":
        bars[-2:] = [bars[-2] + "\n"]
    return bars
