"""An encoder's weights laid out for extraction, in fp32, bf16, fp16 or int8.

Segments of all lengths lie one behind the other: linear layers compute the patches of all of them
together and no padding, and only attention tells them apart. The residual stream and the
normalisations stay in fp32 whatever the precision.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 -- its usual name
from torch import Tensor, nn

from notagen.features.encoder import NORM_EPS, EncoderBlock, MusicEncoder
from notagen.features.patches import PAD, Patches
from notagen.model.config import HEAD_SIZE
from notagen.model.packed import (
    Gelu,
    Linear,
    Precision,
    norm_weights,
    normalise,
    pack_linear,
)
from notagen.tokenizer.vocabulary import SIZE

ROWS = 512
"""Patches that the layers are packed for; they compute any number."""
KEYS = 16
"""A processor's 16-bit attention is up to a third faster where its keys are a multiple of these."""

Norm = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class PackedEncoderBlock:
    """One layer."""

    qkv: Linear
    output: Linear
    norm_1: Norm
    expand: Linear
    """With the GELU behind it."""
    contract: Linear
    norm_2: Norm

    def __call__(self, x: Tensor, lengths: list[int], attention_type: torch.dtype) -> Tensor:
        """Return the layer's output, (N, H) like `x`, which holds segments of these lengths.

        What `x` holds is overwritten.
        """
        gathered = attend(self.qkv(x), lengths, attention_type)
        x = normalise(x.add_(self.output(gathered)), self.norm_1, NORM_EPS)
        return normalise(x.add_(self.contract(self.expand(x))), self.norm_2, NORM_EPS)


@dataclass(frozen=True)
class PackedEncoder:
    """What `pack_encoder` makes of an encoder: weights only, no state."""

    table: Tensor
    """What each id at each place adds beyond what a pad there does: nothing, for a pad."""
    bias: Tensor
    """With what a patch of pads would add."""
    positions: Tensor
    norm: Norm
    blocks: tuple[PackedEncoderBlock, ...]
    attention_type: torch.dtype
    one_by_one: bool
    """Whether the patches of a segment share a scale: no other segment's may be among them."""

    @torch.inference_mode()
    def averages(self, segments: Sequence[Patches]) -> Tensor:
        """Return the mean vector of each segment's patches, float32 (B, H).

        Args:
            segments: (P, S) each, 1 to as many patches as the model reads at once.
        """
        if self.one_by_one:
            return torch.cat([self._averages([segment]) for segment in segments])
        return self._averages(segments)

    def _averages(self, segments: Sequence[Patches]) -> Tensor:
        lengths = [len(segment) for segment in segments]
        positions = torch.cat([self.positions[:length] for length in lengths])
        x = normalise(self._embed(np.concatenate(segments)) + positions, self.norm, NORM_EPS)
        for block in self.blocks:
            x = block(x, lengths, self.attention_type)
        return torch.stack([rows.mean(0) for rows in torch.split(x, lengths)])

    def _embed(self, patches: Patches) -> Tensor:
        """Return the embeddings of patches (N, S) without positions, (N, H)."""
        # three quarters of the ids are pads, which need not be looked up
        rows, places = np.nonzero(patches != PAD)
        ids = places * SIZE + patches[rows, places]
        starts = np.searchsorted(rows, np.arange(len(patches)))
        on = self.table.device
        summed = F.embedding_bag(
            torch.from_numpy(ids).to(on), self.table, torch.from_numpy(starts).to(on), mode="sum"
        )
        return summed + self.bias


def pack_encoder(encoder: MusicEncoder, precision: Precision) -> PackedEncoder:
    """Return an encoder's weights in the form for extraction; the encoder is left as it is.

    Args:
        encoder: On any device, in float32.
        precision: Of the linear layers; `int8` are 8-bit weights with a scale for each output, and
            on a processor 8-bit inputs with a scale for each segment too.

    Raises:
        InputError: If a weight is NaN or infinite and the precision int8.
    """

    def linear(layer: nn.Linear, gelu: Gelu | None = None) -> Linear:
        weight, bias = layer.weight.detach(), layer.bias.detach()
        return pack_linear(weight, bias, precision, gelu=gelu, rows=ROWS, alike=True)

    def pack_block(block: EncoderBlock) -> PackedEncoderBlock:
        return PackedEncoderBlock(
            qkv=linear(block.qkv),
            output=linear(block.output),
            norm_1=norm_weights(block.norm_1),
            expand=linear(block.expand, "none"),
            contract=linear(block.contract),
            norm_2=norm_weights(block.norm_2),
        )

    with torch.inference_mode():
        table = encoder.table.detach().view(encoder.config.patch_size, SIZE, -1)
        pads = table[:, PAD]
        types = {"fp32": torch.float32, "fp16": torch.float16}
        return PackedEncoder(
            table=(table - pads[:, None]).flatten(0, 1),
            bias=encoder.bias.detach() + pads.sum(0),
            positions=encoder.positions.detach(),
            norm=norm_weights(encoder.norm),
            blocks=tuple(
                pack_block(block) for block in encoder.blocks if isinstance(block, EncoderBlock)
            ),
            attention_type=types.get(precision, torch.bfloat16),
            one_by_one=precision == "int8" and table.device.type == "cpu",
        )


def attend(qkv: Tensor, lengths: list[int], type_: torch.dtype) -> Tensor:
    """Return what each patch gathers from its own segment, (N, H) of the given type.

    Args:
        qkv: Queries, keys and values, (N, 3 H) of any float type, of segments one behind the other.
        lengths: Patches of each.
        type_: In which the products are computed.
    """
    if qkv.device.type == "cpu":
        gathered = [_attend_one(rows, type_) for rows in torch.split(qkv, lengths)]
        return torch.cat(gathered) if len(gathered) > 1 else gathered[0]
    # there the start of a computation costs more than padding does
    return attend_padded(qkv.to(type_), lengths)


def attend_padded(qkv: Tensor, lengths: list[int]) -> Tensor:
    """Return the same as `attend`, for all segments at once, in the type of `qkv`."""
    padded = nn.utils.rnn.pad_sequence(list(torch.split(qkv, lengths)), batch_first=True)
    sizes = torch.tensor(lengths, device=qkv.device)
    real = torch.arange(padded.shape[1], device=qkv.device) < sizes[:, None]
    return _attend(padded, real[:, None, None])[real]


def _attend_one(qkv: Tensor, type_: torch.dtype) -> Tensor:
    """Return the same for one segment."""
    length, width = qkv.shape
    beyond = -length % KEYS if type_ != torch.float32 else 0
    if not beyond:
        return _attend(qkv.to(type_)[None], None)[0]
    padded = torch.empty(1, length + beyond, width, dtype=type_)
    padded[0, :length], padded[0, length:] = qkv, 0
    mask = torch.zeros(length + beyond, dtype=type_)
    mask[length:] = -torch.inf
    return _attend(padded, mask[None, None, None], queries=length)[0]


def _attend(qkv: Tensor, mask: Tensor | None, queries: int | None = None) -> Tensor:
    """Return attention of the first `queries`, or all, to all, (B, queries, H), of (B, P, 3 H)."""
    batch, length, width = qkv.shape
    parts = qkv.view(batch, length, 3, width // 3 // HEAD_SIZE, HEAD_SIZE).permute(2, 0, 3, 1, 4)
    asking, keys, values = parts.unbind()
    gathered = F.scaled_dot_product_attention(asking[:, :, :queries], keys, values, attn_mask=mask)
    return gathered.transpose(1, 2).flatten(2)
