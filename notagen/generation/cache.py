"""The model with a memory: each patch and each character is read once."""

import torch
from torch import Tensor

from notagen.model.config import HEAD_SIZE
from notagen.model.notagen import NotaGen


class Cache:
    """Room for the keys and values of one decoder, and how much of it is filled.

    Args:
        num_layers: Layers of the decoder.
        capacity: Positions there is room for.
        like: A tensor of the model, whose type and device the cache takes.
        batch_size: Tunes written side by side.
    """

    def __init__(self, num_layers: int, capacity: int, like: Tensor, batch_size: int) -> None:
        heads = like.shape[-1] // HEAD_SIZE
        shape = (num_layers, 2, batch_size, heads, capacity, HEAD_SIZE)
        self.layers = torch.empty(shape, dtype=like.dtype, device=like.device).unbind()
        self.capacity = capacity
        self.length = 0


class CachedModel:
    """Reads patches and writes characters one after the other, without reading any twice.

    Args:
        model: In eval mode.
        batch_size: B, the number of tunes written side by side, all of one length.
    """

    def __init__(self, model: NotaGen, batch_size: int = 1) -> None:
        config = model.config
        self.patch_decoder = model.patch_decoder
        self.char_decoder = model.char_decoder
        like = model.char_decoder.table
        self.device = like.device
        self.patches = Cache(config.patch_layers, config.patch_length, like, batch_size)
        self.characters = Cache(config.char_layers, config.patch_size + 1, like, batch_size)

    @property
    def room(self) -> int:
        """Number of patches that can still be read."""
        return self.patches.capacity - self.patches.length

    def forget(self) -> None:
        """Begin with an empty context."""
        self.patches.length = 0

    def rewind(self, count: int) -> None:
        """Forget the patches that were read last, `count` of them, at most all."""
        self.patches.length -= count

    def read(self, patches: Tensor) -> Tensor:
        """Read patches behind those already read and return the state after the last, (B, H).

        Args:
            patches: (B, P, S), integers; P at least 1 and at most `room`.
        """
        start = self.patches.length
        hidden: Tensor = self.patch_decoder(patches, self.patches.layers, start)
        self.patches.length += patches.shape[1]
        return hidden[:, -1]

    def begin_patch(self, hidden: Tensor) -> Tensor:
        """Return the logits (B, 128) of a new patch's first character.

        Args:
            hidden: (B, H), what `read` returned.
        """
        self.characters.length = 0
        return self._next_logits(hidden)

    def go_on(self, characters: Tensor) -> Tensor:
        """Add a character to the patch begun last and return the logits (B, 128) of the next.

        Args:
            characters: (B,), 64-bit integers.
        """
        return self._next_logits(self.char_decoder.embed(characters))

    def _next_logits(self, inputs: Tensor) -> Tensor:
        start = self.characters.length
        self.characters.length += 1
        return self.char_decoder.next_logits(inputs, self.characters.layers, start)
