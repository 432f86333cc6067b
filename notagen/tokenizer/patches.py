"""Text to patches of characters and back: what the model reads and writes."""

import random
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from notagen.tokenizer.vocabulary import BOS, EOS, PAD, check_characters, decode_characters
from notagen.tokenizer.windows import add_counters, choose_window, split_header

# In this order, as the published models saw them: `:|:` is `:|` and then `:`.
_BARLINE = r"(?:\|:|::|:\||\[\||\|\||\|\]|\|)"
_BAR = rf"(?:(?!{_BARLINE})[\s\S])+"
# `++`: a run of barlines is taken whole. The published pattern tries every way to split a run that
# ends the text, which takes hours for forty barlines; where a line end follows, both find the same.
_CHUNKS = re.compile(rf"(?:{_BARLINE})++{_BAR}|{_BAR}|(?:{_BARLINE})++")


class PatchTokenizer:
    """Turns the text of a tune into patches and back.

    A header line begins a patch; so does each body line, and inside it each barline together with
    the bar that follows. The line's last barline stays with its last bar. A part that does not
    fill its last patch ends with an eos character and pads.

    Args:
        patch_size: Characters in a patch.
        patch_length: Patches in the model's context; longer pieces are cut to a window.

    Source: NotaGen, arXiv:2502.18008, section 3; the ids are those of its published weights.
    """

    def __init__(self, patch_size: int = 16, patch_length: int = 1024) -> None:
        self.patch_size = patch_size
        self.patch_length = patch_length

    @property
    def bos_patch(self) -> list[int]:
        """The patch before every piece."""
        return [BOS] * (self.patch_size - 1) + [EOS]

    @property
    def eos_patch(self) -> list[int]:
        """The patch after every piece."""
        return [BOS] + [EOS] * (self.patch_size - 1)

    def encode(self, text: str, *, rng: random.Random | None = None) -> NDArray[np.uint8]:
        """Return the training form of a tune, shape (num_patches, patch_size), ids 0 to 127.

        Bar counters are added where there are none, bos and eos patches put around the piece. Of
        a piece longer than `patch_length` a window is kept: bos, header, and a part of the body.

        Args:
            text: Interleaved or reduced ABC, prompt lines allowed.
            rng: Chooses the window of a long piece; None takes its head.

        Raises:
            AlphabetError: If a character is outside the vocabulary.
        """
        check_characters(text)
        header_lines, body_lines = split_header(text)
        header = [self.bos_patch]
        for line in header_lines:
            header += self._encode_line(line)
        body = [self._encode_line(line) for line in add_counters(body_lines)]
        if body:
            body[-1].append(self.eos_patch)
        else:
            header.append(self.eos_patch)
        lengths = [len(line) for line in body]
        patches = header + [patch for line in body for patch in line]
        room = self.patch_length - len(header)
        if len(patches) > self.patch_length:
            if room <= 0:
                patches = patches[: self.patch_length]
            else:
                first, shown = choose_window(lengths, room, rng)
                start = len(header) + sum(lengths[:first])
                patches = header + patches[start : start + shown]
        return np.array(patches, dtype=np.uint8)

    def encode_prompt(self, text: str) -> list[list[int]]:
        """Return the generation form: bos patch first, no counters added, no eos patch.

        A last patch that is not full stays open (shorter than `patch_size`, no eos, no pads), for
        the model to go on in it.

        Raises:
            AlphabetError: If a character is outside the vocabulary.
        """
        patches = [self.bos_patch, *self.encode_lines(text)]
        if text and EOS in patches[-1]:
            patches[-1] = patches[-1][: patches[-1].index(EOS)]
        return patches

    def encode_lines(self, text: str) -> list[list[int]]:
        """Return the patches of the text alone, each closed: no bos, no eos, no counters added.

        Raises:
            AlphabetError: If a character is outside the vocabulary.
        """
        check_characters(text)
        header, body = split_header(text)
        return [patch for line in (*header, *body) for patch in self._encode_line(line)]

    def decode(self, patches: Iterable[Sequence[int]]) -> str:
        """Return the text of the patches; special symbols leave no trace."""
        return "".join(decode_characters([int(id_) for id_ in patch]) for patch in patches)

    def _encode_line(self, line: str) -> list[list[int]]:
        is_body = line.startswith(("[V:", "[r:"))
        chunks = split_bars(line) if is_body else [line]
        return [patch for chunk in chunks for patch in self._encode_chunk(chunk)]

    def _encode_chunk(self, chunk: str) -> list[list[int]]:
        ids = list(chunk.encode("ascii"))
        size = self.patch_size
        patches = [ids[start : start + size] for start in range(0, len(ids), size)]
        if len(patches[-1]) < size:
            patches[-1] = [*patches[-1], EOS, *[PAD] * (size - len(patches[-1]) - 1)]
        return patches


def split_bars(line: str) -> list[str]:
    """Cut a body line before its barlines; the parts join to the line.

    A last part that opens no voice (the barline that ends the line, as a rule) stays with the one
    before it.

    Before: `[V:1]c4|[V:2]C4|` and a line end; after: `[V:1]c4` and `|[V:2]C4|` with the line end.
    """
    chunks = _CHUNKS.findall(line)
    if len(chunks) > 1 and "[V:" not in chunks[-1]:
        last = chunks.pop()
        chunks[-1] += last
    return chunks
