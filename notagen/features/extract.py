"""Pieces and texts to features: one vector for each, whatever its length."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from notagen.features.clamp import Clamp
from notagen.features.form import prepare
from notagen.features.packed import PackedEncoder, pack_encoder
from notagen.features.patches import MusicTokenizer, Patches
from notagen.features.text import TEXT_LENGTH
from notagen.features.weights import (
    encoder_file,
    encoder_sha256,
    load_clamp,
    load_encoder,
    load_tokenizer_of,
)
from notagen.foundation.errors import InputError, ScoreError
from notagen.model.packed import Precision
from notagen.model.weights import WEIGHTS_SUFFIX

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CHUNK = 64
"""Pieces whose segments are sorted by length together. What a piece's feature is, to the last bit,
depends on the pieces of its chunk and on nothing else."""

TOGETHER = 1536
"""Patches computed at once on a processor: fewer leave a layer's products short of their speed."""

Feature = NDArray[np.float32]
"""(H,), of any length: features are not normalised."""


class Extractor:
    """Weights of CLaMP 2 or of M3, ready to turn music, and for CLaMP 2 text, into features.

    A piece of more patches than the weights read at once is cut into segments; its feature is the
    mean of theirs, each counted by the patches it stands for. M3 has no projection to a space of
    music and text: its features are the mean vectors of patches.

    Args:
        path_or_name: A folder with weights, a published file, or the name of published weights.
        device: Where features are computed.
        precision: Of the linear layers; None for bf16 on CUDA devices, else fp32.
        patches_per_batch: Patches that are computed at once; None for what suits the device.

    Raises:
        MissingInputError: If there are no such weights.
        InputError: If they cannot be read or are of another model.

    Source: CLaMP 2, arXiv:2410.13267.
    """

    def __init__(
        self,
        path_or_name: str | Path,
        *,
        device: str | torch.device = "cpu",
        precision: Precision | None = None,
        patches_per_batch: int | None = None,
    ) -> None:
        self._source = path_or_name
        self.device = torch.device(device)
        model = load_encoder(path_or_name)
        self.name = _name(path_or_name)
        """The weights' folder, file or published name."""
        self.weights_sha256 = encoder_sha256(path_or_name)
        self.reads_text = isinstance(model, Clamp)
        """Whether it has features of texts too."""
        on_cuda = self.device.type == "cuda"
        encoder = model.music if isinstance(model, Clamp) else model.encoder
        projection = model.music_projection if isinstance(model, Clamp) else nn.Identity()
        self._config = encoder.config
        self._tokenizer = MusicTokenizer(encoder.config.patch_size, encoder.config.patch_length)
        self.precision: Precision = precision or ("bf16" if on_cuda else "fp32")
        """Of the linear layers."""
        self._encoder = pack_encoder(encoder.to(self.device), self.precision)
        self._projection = projection.to(self.device)
        self._patches_per_batch = patches_per_batch or (32768 if on_cuda else TOGETHER)

    def features(self, abc: str) -> Feature:
        """Return the feature of a piece, (H,).

        Args:
            abc: ABC in any form, or MIDI in its text form; brought into the form that the weights
                learned from (see `prepare`).

        Raises:
            ScoreError: If there is no music in it, or a sign that no text has.
        """
        return self._encode([self._read(abc)])[0]

    def many(self, texts: Iterable[str]) -> Iterator[Feature | ScoreError]:
        """Yield the feature of each piece, in order, or the error of one that has none."""
        pieces = iter(texts)
        while chunk := list(islice(pieces, CHUNK)):
            yield from self.chunk(chunk)

    def chunk(self, texts: Sequence[str]) -> list[Feature | ScoreError]:
        """Return the same of so many pieces as are to be sorted by length together."""
        read: list[Patches | ScoreError] = []
        for text in texts:
            try:
                read.append(self._read(text))
            except ScoreError as error:
                read.append(error)
        features = iter(self._encode([piece for piece in read if isinstance(piece, np.ndarray)]))
        return [next(features) if isinstance(piece, np.ndarray) else piece for piece in read]

    @torch.inference_mode()
    def text_features(self, text: str) -> Feature:
        """Return the feature of words, (H,), to be compared with those of music.

        A text of more than 128 ids is cut into segments as music is.

        Raises:
            MissingInputError: If the text model or its tokenizer is not to be had.
            InputError: If the weights read no text, or there is no word in it.
        """
        if not text.strip():
            raise InputError("found no word in the text, wanted some")
        if isinstance(self._text_side, InputError):
            raise self._text_side
        tokenizer, model = self._text_side
        words: Any = tokenizer
        # cut as music is
        ids: Any = torch.tensor(words(text, verbose=False)["input_ids"], device=self.device)
        cut: Any = MusicTokenizer(patch_length=TEXT_LENGTH)
        features = [
            model.text_features(segment[None], torch.tensor([len(segment)], device=self.device))[0]
            for segment in cut.segments(ids)
        ]
        return _weighted(torch.stack(features).cpu(), cut.segment_weights(len(ids)))

    @cached_property
    def _text_side(self) -> tuple["PreTrainedTokenizerBase", Clamp] | InputError:
        """Return tokenizer and model, or why there are none: that need not be found out twice."""
        if not self.reads_text:
            return InputError(f"{self._source}: found M3, which reads no text, wanted CLaMP 2")
        try:
            model = load_clamp(self._source, text=True).to(self.device)
            return load_tokenizer_of(self._source), model
        except InputError as error:
            return error

    def _read(self, text: str) -> Patches:
        return self._tokenizer.encode_whole(prepare(text, self._config.rests))

    def _encode(self, pieces: Sequence[Patches]) -> list[Feature]:
        return encode_pieces(
            pieces, self._tokenizer, self._encoder, self._projection, self._patches_per_batch
        )


@torch.inference_mode()
def encode_pieces(
    pieces: Sequence[Patches],
    tokenizer: MusicTokenizer,
    encoder: PackedEncoder,
    projection: nn.Module,
    patches_per_batch: int,
) -> list[Feature]:
    """Return the feature of each piece, in order.

    Args:
        pieces: All patches of each, (n, patch_size).
        tokenizer: Cuts them into segments.
        encoder: Turns segments into mean vectors.
        projection: From these to features, on the same device.
        patches_per_batch: Patches of segments of similar length that are computed together, about.
    """
    segments = [(place, part) for place, p in enumerate(pieces) for part in tokenizer.segments(p)]
    order = sorted(range(len(segments)), key=lambda number: len(segments[number][1]))
    rows: list[Tensor] = [torch.empty(0)] * len(segments)
    for batch in _batches(order, [len(part) for _, part in segments], patches_per_batch):
        averages = encoder.averages([segments[number][1] for number in batch])
        for number, row in zip(batch, projection(averages).cpu(), strict=True):
            rows[number] = row
    features, parts = [], iter(rows)
    for piece in pieces:
        weights = tokenizer.segment_weights(len(piece))
        features.append(_weighted(torch.stack([next(parts) for _ in weights]), weights))
    return features


def _batches(order: Iterable[int], lengths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Yield segments in order, as many at once as have room; a longer one alone."""
    batch: list[int] = []
    filled = 0
    for number in order:
        if batch and filled + lengths[number] > room:
            yield batch
            batch, filled = [], 0
        batch.append(number)
        filled += lengths[number]
    if batch:
        yield batch


def _weighted(rows: Tensor, weights: Sequence[int]) -> Feature:
    """Return the mean of the rows (n, H), each counted as often as its weight says."""
    shares = torch.tensor(weights, dtype=rows.dtype)[:, None] / sum(weights)
    feature: Feature = (rows * shares).sum(0).numpy()
    return feature


def _name(path_or_name: str | Path) -> str:
    path = encoder_file(path_or_name)
    if path.suffix == WEIGHTS_SUFFIX:
        return path.resolve().parent.name
    return Path(path_or_name).stem
