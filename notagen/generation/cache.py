"""The model with a memory: each patch and each character is read once, for many tunes at a time."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 -- its usual name
from torch import Tensor

from notagen.generation.followers import GrowingFollowers, PatchFollowers
from notagen.model.config import HEAD_SIZE
from notagen.model.packed import PackedModel, PackedTransformer, normalise
from notagen.tokenizer.vocabulary import SIZE

_CLEARED = 64
"""Positions that are cleared at a time."""


class CachedModel:
    """Keys and values of the patches of several tunes, one slot a tune, and a patch's characters.

    In shapes: N slots in use, B slots in all, H hidden, S characters a patch.

    Args:
        model: The weights.
        num_slots: B, the number of tunes that can be read side by side, whatever their lengths.
        max_rows: Patches that can be written side by side; None for one a slot.
    """

    def __init__(
        self, model: PackedModel, num_slots: int = 1, *, max_rows: int | None = None
    ) -> None:
        config = model.config
        self.config = config
        self.device = model.device
        self.lengths = [0] * num_slots
        """Number of patches read in each slot."""
        self._model = model
        self._heads = config.hidden_size // HEAD_SIZE
        # (layers, keys and values, B, heads, positions, head size); pages are taken as they fill
        self._patches = torch.empty(
            (config.patch_layers, 2, num_slots, self._heads, config.patch_length, HEAD_SIZE),
            dtype=model.cache_type,
            device=model.device,
        )
        self._characters = torch.empty(
            (
                config.char_layers,
                2,
                max_rows or num_slots,
                self._heads,
                config.patch_size,
                HEAD_SIZE,
            ),
            device=model.device,
        )
        # the same memory, for each layer (keys and values, rows and heads, positions, head size)
        self._character_heads = self._characters.flatten(2, 3).unbind()
        self._num_cleared = 0
        lengths = config.ngram_heads
        self._tunes = [GrowingFollowers(lengths) for _ in range(num_slots)] if lengths else []
        self._begun: list[PatchFollowers] = []
        self._offsets = torch.arange(0, config.patch_size * SIZE, SIZE, device=model.device)

    def room(self, slot: int) -> int:
        """Return the number of patches that the slot can still read."""
        return self.config.patch_length - self.lengths[slot]

    def cut(self, slot: int, length: int) -> None:
        """Forget the slot's patches from `length` on."""
        self.lengths[slot] = min(length, self.lengths[slot])
        if self._tunes:
            self._tunes[slot].cut(length)

    def move(self, source: int, target: int) -> None:
        """Put what one slot has read into another."""
        length = self.lengths[target] = self.lengths[source]
        self._patches[:, :, target, :, :length] = self._patches[:, :, source, :, :length]
        if self._tunes:
            self._tunes[target] = self._tunes[source].copy()

    def read(self, slot: int, patches: Tensor) -> None:
        """Read patches (n, S) behind those that the slot has read, n from 1 to its room."""
        start = self.lengths[slot]
        end = self.lengths[slot] = start + len(patches)
        self._clear(end)
        if self._tunes:
            for patch in patches.tolist():
                self._tunes[slot].read(patch)
        x = self._embed(patches) + self._model.patches.positions[start:end]
        causal = start == 0
        mask = None
        if not causal:
            mask = torch.ones(end - start, end, dtype=torch.bool, device=self.device).tril(start)
        for block, cache in zip(self._model.patches.blocks, self._patches, strict=True):
            # (queries, keys and values, heads, n, head size)
            qkv = block.qkv(normalise(x, block.norm_1)).to(cache.dtype)
            qkv = qkv.view(-1, 3, self._heads, HEAD_SIZE).permute(1, 2, 0, 3)
            cache[:, slot, :, start:end] = qkv[1:]
            keys, values = cache[:, slot : slot + 1, :, :end].unbind()
            gathered = F.scaled_dot_product_attention(
                qkv[:1], keys, values, attn_mask=mask, is_causal=causal, scale=1.0
            )
            x = block.finish(x, gathered.transpose(1, 2).flatten(2)[0])

    def step(self, patches: Tensor) -> Tensor:
        """Read one patch more in each of the first N slots and return the states after it, (N, H).

        Args:
            patches: (N, S), integers; each of these slots has room.
        """
        count = len(patches)
        starts = self.lengths[:count]
        for slot in range(count):
            self.lengths[slot] += 1
        for tune, patch in zip(self._tunes, patches.tolist() if self._tunes else (), strict=False):
            tune.read(patch)
        longest = max(starts) + 1
        self._clear(longest)
        places = torch.tensor(starts, device=self.device)
        mask = None
        if count > 1 and min(starts) + 1 < longest:
            seen = torch.arange(longest, device=self.device) <= places[:, None]
            mask = torch.zeros(seen.shape, dtype=self._patches.dtype, device=self.device)
            mask = mask.masked_fill_(~seen, -torch.inf)[:, None, None]
        slots = torch.arange(count, device=self.device)
        x = self._embed(patches) + self._model.patches.positions[places]
        for block, cache in zip(self._model.patches.blocks, self._patches, strict=True):
            qkv = block.qkv(normalise(x, block.norm_1)).to(cache.dtype)
            qkv = qkv.view(count, 3, self._heads, HEAD_SIZE)
            if mask is None:
                cache[:, :count, :, longest - 1] = qkv[:, 1:].transpose(0, 1)
            else:
                cache[:, slots, :, places] = qkv[:, 1:]
            keys, values = cache[:, :count, :, :longest].unbind()
            gathered = F.scaled_dot_product_attention(
                qkv[:, 0, :, None], keys, values, attn_mask=mask, scale=1.0
            )
            x = block.finish(x, gathered.view(count, -1))
        return normalise(x, self._model.patches.norm)

    def begin_patches(
        self,
        hidden: Tensor,
        counts: Sequence[int] | None = None,
        silent: Sequence[bool] | None = None,
    ) -> Tensor:
        """Begin the next patches of the first slots; return the inputs of their first characters.

        Args:
            hidden: What `step` returned for N slots.
            counts: How many patches to begin in each slot; None for one.
            silent: Of each patch, whether it is written without n-gram heads; None for none.

        Returns:
            (sum of the counts, H), the patches of a slot side by side.
        """
        counts = counts or [1] * len(hidden)
        if len(hidden) < sum(counts):
            repeats = torch.tensor(counts, device=self.device)
            hidden = hidden.repeat_interleave(repeats, dim=0)
        if self._tunes:
            slots = [slot for slot, count in enumerate(counts) for _ in range(count)]
            pairs = zip(slots, silent or [False] * len(slots), strict=True)
            self._begun = [self._tunes[slot].begin(silent=is_silent) for slot, is_silent in pairs]
        return self._with_followers(hidden)

    def next_logits(self, inputs: Tensor, place: int) -> Tensor:
        """Return the logits (N, 128), fp32, of the next character of each patch begun.

        Args:
            inputs: (N, H), of `begin_patches` where `place` is 0, else of `embed_characters`.
            place: Number of characters of the patch that were given before.
        """
        count = len(inputs)
        characters: PackedTransformer = self._model.characters
        x = inputs + characters.positions[place]
        used = count * self._heads
        for block, cache in zip(characters.blocks, self._character_heads, strict=True):
            qkv = block.qkv(normalise(x, block.norm_1)).float().view(count, 3, -1)
            queries, new_keys, new_values = qkv.transpose(0, 1).reshape(3, used, 1, HEAD_SIZE)
            keys, values = cache[:, :used, : place + 1].unbind()
            keys[:, place:] = new_keys
            values[:, place:] = new_values
            if place:
                # two products: faster than torch's own attention over at most S positions
                weights = torch.bmm(queries, keys.transpose(1, 2)).softmax(2)
                gathered = torch.bmm(weights, values)
            else:
                gathered = new_values
            x = block.finish(x, gathered.view(count, -1))
        return self._model.head(normalise(x, characters.norm)).float()

    def embed_characters(self, characters: Tensor) -> Tensor:
        """Go on behind one character a patch; return the inputs (N, H) of the next ones.

        Args:
            characters: (N,), 64-bit integers.
        """
        for begun, character in zip(
            self._begun, characters.tolist() if self._begun else (), strict=True
        ):
            begun.write(character)
        return self._with_followers(F.embedding(characters, self._model.char_table))

    def keep_characters(self, rows: Tensor, place: int) -> None:
        """Go on with some rows of the patches begun, moved to the front.

        Args:
            rows: Indices of the rows, 64-bit integers, ascending.
            place: Number of characters given so far.
        """
        self._characters[:, :, : len(rows), :, :place] = self._characters[:, :, rows, :, :place]
        if self._begun:
            self._begun = [self._begun[row] for row in rows.tolist()]

    def _with_followers(self, inputs: Tensor) -> Tensor:
        """Return the inputs (N, H) with what the n-gram heads find for the next characters."""
        if self._model.ngram_heads is None:
            return inputs
        found = torch.tensor([begun.find() for begun in self._begun], device=self.device)
        vectors: Tensor = self._model.ngram_heads(found)
        return inputs + vectors

    def _clear(self, end: int) -> None:
        """Make sure that the positions before `end` hold numbers in all slots.

        Those that a shorter tune has not filled are weighted with 0, which a NaN would survive.
        They are cleared when they are reached, so that memory is taken as tunes grow.
        """
        if end > self._num_cleared:
            start, self._num_cleared = self._num_cleared, max(end, self._num_cleared + _CLEARED)
            self._patches[..., start : self._num_cleared, :] = 0

    def _embed(self, patches: Tensor) -> Tensor:
        rows = patches.long() + self._offsets
        summed = F.embedding_bag(rows, self._model.patch_table, mode="sum")
        return summed.float() + self._model.patch_bias
