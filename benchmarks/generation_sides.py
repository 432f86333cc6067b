"""The sides of the benchmark of generation, and what the machine reads a second.

Each side writes patches behind a context of random keys and values: what they hold changes neither
its way nor its time.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.original import original_patch
from notagen.generation.cache import CachedModel
from notagen.generation.settings import DEFAULT_SAMPLING
from notagen.generation.writing import PatchWriter
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.model.packed import Precision, pack
from notagen.tokenizer.vocabulary import BOS, EOS, NEWLINE, SIZE

BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
MIB = 2**20
_READ = 2**28
"""Bytes read for one measurement at least."""
_FEWEST = 8
"""Patches written for one measurement; in larger batches twice their size."""


@dataclass(frozen=True)
class Side:
    """A way of ours to write patches."""

    precision: Precision
    batch: int
    full: bool = False
    """Whether every patch gets all its characters, as the original's does."""

    def __str__(self) -> str:
        """Return its name in the tables."""
        return f"{self.precision}, batch {self.batch}{', all characters' * self.full}"


def make_model(config: ModelConfig, device: str) -> NotaGen:
    """Return a model of random weights."""
    torch.manual_seed(0)
    return NotaGen(config).to(device).eval()


class Original:
    """The original's way, one patch at a time."""

    def __init__(self, model: NotaGen) -> None:
        self._model = model
        self._random = np.random.default_rng(0)

    def seconds(self, context: int) -> float:
        """Return the seconds of one patch behind `context` patches."""
        device = self._model.char_decoder.table.device
        patches = _random_patches(context, self._model.config, device)[None]
        return timed(
            lambda: original_patch(self._model, patches, DEFAULT_SAMPLING, self._random), device
        )


class Ours:
    """The cached model, which writes a patch in each of its slots side by side, as the engine does.

    Args:
        model: It is packed, and left as it is.
        side: How.
        patches: (N, S), real ones; what is written is a choice of them, character by character put
            in the place of what is drawn.
    """

    def __init__(self, model: NotaGen, side: Side, patches: NDArray[np.uint8]) -> None:
        self._cached = CachedModel(
            pack(model, side.precision, rows=side.batch), num_slots=side.batch
        )
        self._writer = PatchWriter(self._cached, DEFAULT_SAMPLING)
        turns = -(-max(_FEWEST, 2 * side.batch) // side.batch)
        lengths = written_lengths(patches)
        if side.full:
            patches = patches[lengths == patches.shape[1]]
            lengths = written_lengths(patches)
        chosen = spread(lengths, turns * side.batch)
        given = [patches[place, : lengths[place]].tolist() for place in chosen]
        self._turns = [given[turn::turns] for turn in range(turns)]
        self._filled = 0

    def seconds(self, context: int) -> float:
        """Return the seconds of one patch behind `context` patches."""
        cached = self._cached
        batch = len(cached.lengths)
        with torch.inference_mode():
            self._fill(context)
            cached.lengths[:] = [context - 1] * batch
            return timed(self._write, cached.device) / (len(self._turns) * batch)

    def _fill(self, context: int) -> None:
        """Read random patches in all slots, if they have read less."""
        if context > self._filled:
            cached = self._cached
            cached.cut(0, 0)
            cached.read(0, _random_patches(context, cached.config, cached.device))
            for slot in range(1, len(cached.lengths)):
                cached.move(0, slot)
            self._filled = context

    def _write(self) -> None:
        config, device = self._cached.config, self._cached.device
        read = _random_patches(len(self._cached.lengths), config, device)
        for given in self._turns:
            written = self._writer.write(
                self._cached.step(read),
                torch.rand(len(given), config.patch_size, dtype=torch.float64),
                may_end=[False] * len(given),
                given=given,
                voices=[None] * len(given),
                barred=[False] * len(given),
            )
            read = torch.tensor(written, device=device)


def real_patches(pieces: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return the patches of pieces, one behind the other, those around each piece left out."""
    patches: NDArray[np.uint8] = np.concatenate(pieces)
    real: NDArray[np.uint8] = patches[patches[:, 0] != BOS]
    return real


def written_lengths(patches: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return how many characters of each patch are drawn: up to its eos or line end, with it."""
    ends = (patches == EOS) | (patches == NEWLINE)
    lengths: NDArray[np.int64] = np.where(ends.any(1), ends.argmax(1) + 1, patches.shape[1])
    return lengths


def spread(lengths: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the places of so many lengths, at even steps of their distribution, shuffled."""
    shares = (np.arange(count) + 0.5) / count
    places = np.argsort(lengths, kind="stable")[(shares * len(lengths)).astype(np.int64)]
    return np.random.default_rng(0).permutation(places)


def weight_bytes(config: ModelConfig, side: Side, characters: float) -> tuple[float, float]:
    """Return the bytes that layers and output hold, and those read for a patch.

    Tables of embeddings, of which single rows are read, and keys and values are not counted.

    Args:
        config: The model's shape.
        side: Gives the precision.
        characters: Of a patch, on average; those of a full side are all.
    """
    layer = 12 * config.hidden_size**2
    patches = config.patch_layers * layer
    inside = config.char_layers * layer + SIZE * config.hidden_size
    per_weight = BYTES[side.precision]
    read = patches + (config.patch_size if side.full else characters) * inside
    return per_weight * (patches + inside), per_weight * read


class Reader:
    """Reads a buffer of so many bytes from end to end, with one thread of a processor."""

    def __init__(self, num_bytes: float, device: str) -> None:
        self._buffer = torch.ones(int(num_bytes) // 4, device=device)
        self._passes = max(1, _READ // int(num_bytes))

    def seconds_per_byte(self) -> float:
        """Return the time of reading again and again."""

        def read() -> None:
            for _ in range(self._passes):
                torch.dot(self._buffer, self._buffer)

        return timed(read, self._buffer.device) / (self._passes * self._buffer.nbytes)


def peak_memory(config: ModelConfig, side: Side | None, context: int, device: str) -> float:
    """Return the MiB of a CUDA device that a side takes, weights and caches; None: the original."""
    model = make_model(config, device)
    if side is None:
        torch.cuda.reset_peak_memory_stats()
        Original(model).seconds(context)
    else:
        ours = Ours(model, side, np.full((1, config.patch_size), ord("c"), dtype=np.uint8))
        del model
        torch.cuda.reset_peak_memory_stats()
        ours.seconds(context)
    return torch.cuda.max_memory_allocated() / MIB


def _random_patches(count: int, config: ModelConfig, device: torch.device) -> Tensor:
    return torch.randint(EOS + 1, SIZE, (count, config.patch_size), device=device)


def timed(act: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of this process, or on the clock for a CUDA device."""
    if device.type != "cuda":
        start = time.process_time()
        act()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    act()
    torch.cuda.synchronize()
    return time.perf_counter() - start
