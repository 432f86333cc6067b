"""The encoder of M3 and CLaMP 2: patches of a piece to a vector each, looking both ways.

A post-LN transformer of the BERT kind. In shapes: B segments, P patches, S ids a patch, H hidden.
"""

import dataclasses
import math
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 -- its usual name
from torch import Tensor, nn

from notagen.foundation.config import check_fields
from notagen.model.config import HEAD_SIZE
from notagen.model.decoders import INITIAL_STD
from notagen.tokenizer.vocabulary import SIZE

NORM_EPS = 1e-12


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """The shape of a music encoder; the defaults are those of the mini size."""

    patch_size: int = 64
    """Ids in a patch."""
    patch_length: int = 512
    """Patches in the context."""
    patch_layers: int = 6
    """Layers."""
    hidden_size: int = 256
    """Width, a multiple of 64."""
    dropout: float = 0.1
    """Share of activations dropped while training, from 0 up to but not including 1."""
    rests: Literal["omitted", "written"] = "omitted"
    """What became of voices that rest a whole bar in the ABC that it learned from: left out, as in
    the texts of data/, or written, as the published weights saw them."""

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_fields(self)
        for name in ("patch_layers", "hidden_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")
        for name in ("patch_size", "patch_length"):
            if getattr(self, name) < 4:
                raise ValueError(f"{name} must be >= 4, got {getattr(self, name)}")
        if self.hidden_size % HEAD_SIZE:
            raise ValueError(f"hidden_size must be a multiple of 64, got {self.hidden_size}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be >= 0 and < 1, got {self.dropout}")


class EncoderBlock(nn.Module):
    """One layer: attention and a two-layer perceptron, each added to its input and normalised."""

    def __init__(self, hidden_size: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = hidden_size // HEAD_SIZE
        self.dropout = dropout
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.output = nn.Linear(hidden_size, hidden_size)
        self.norm_1 = nn.LayerNorm(hidden_size, eps=NORM_EPS)
        self.expand = nn.Linear(hidden_size, 4 * hidden_size)
        self.contract = nn.Linear(4 * hidden_size, hidden_size)
        self.norm_2 = nn.LayerNorm(hidden_size, eps=NORM_EPS)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Return the layer's output, (B, P, H) like `x`.

        Args:
            x: (B, P, H).
            mask: (B, 1, 1, P), true for real patches; None where all are.
        """
        batch, length, _ = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.num_heads, HEAD_SIZE).permute(2, 0, 3, 1, 4)
        queries, keys, values = qkv.unbind()
        gathered = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        x = self.norm_1(x + self._drop(self.output(gathered.transpose(1, 2).flatten(2))))
        inner = F.gelu(self.expand(x))
        out: Tensor = self.norm_2(x + self._drop(self.contract(inner)))
        return out

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout) if self.training else x


class MusicEncoder(nn.Module):
    """Reads the patches of a segment; each one's vector depends on all of them.

    A patch's embedding is the sum of one row an id, picked by position and id from a table of
    (patch_size * 128) rows, and a bias: a linear layer over one-hot ids.

    Source: M3 of CLaMP 2, arXiv:2410.13267, section 3.2.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        hidden_size = config.hidden_size
        self.table = nn.Parameter(torch.empty(config.patch_size * SIZE, hidden_size))
        self.bias = nn.Parameter(torch.zeros(hidden_size))
        self.positions = nn.Parameter(torch.empty(config.patch_length, hidden_size))
        self.norm = nn.LayerNorm(hidden_size, eps=NORM_EPS)
        self.blocks = nn.ModuleList(
            EncoderBlock(hidden_size, config.dropout) for _ in range(config.patch_layers)
        )
        self._initialise()

    def forward(self, patches: Tensor, lengths: Tensor) -> Tensor:
        """Return a vector of each patch, (B, P, H); those of padded patches mean nothing.

        Args:
            patches: (B, P, S), ids 0 to 127, segments padded on the right.
            lengths: (B,), real patches of each, at least 1.

        Raises:
            ValueError: If the shapes do not fit the model.
        """
        x = self.norm(self.embed(patches) + self.positions[: patches.shape[1]])
        if self.training:
            x = F.dropout(x, self.config.dropout)
        mask = real_patches(lengths, patches.shape[1])
        attended = None if bool(mask.all()) else mask[:, None, None]
        for block in self.blocks:
            x = block(x, attended)
        vectors: Tensor = x
        return vectors

    def _initialise(self) -> None:
        """Draw the weights so that at first a patch's place counts as much as its ids.

        What a layer adds shrinks with depth, else a few layers after each other make all patches
        alike.
        """
        nn.init.normal_(self.positions, std=INITIAL_STD)
        # a patch is the sum of so many rows
        nn.init.normal_(self.table, std=INITIAL_STD / math.sqrt(self.config.patch_size))
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                residual = name.endswith((".output", ".contract"))
                shrink = math.sqrt(2 * self.config.patch_layers) if residual else 1
                nn.init.normal_(module.weight, std=INITIAL_STD / shrink)
                nn.init.zeros_(module.bias)

    def embed(self, patches: Tensor) -> Tensor:
        """Return the embedding of each patch, (B, P, H), without its position.

        Raises:
            ValueError: If the shapes do not fit the model.
        """
        size, longest = self.config.patch_size, self.config.patch_length
        if patches.dim() != 3 or patches.shape[1] > longest or patches.shape[2] != size:
            raise ValueError(
                f"patches must have shape (B, up to {longest}, {size}), got {tuple(patches.shape)}"
            )
        offsets = torch.arange(0, size * SIZE, SIZE, device=patches.device)
        rows = (patches.long() + offsets).view(-1, size)
        summed = F.embedding_bag(rows, self.table, mode="sum")
        embedded: Tensor = summed.view(*patches.shape[:2], -1) + self.bias
        return embedded


def real_patches(lengths: Tensor, num_patches: int) -> Tensor:
    """Return which of the patches are real, (B, P), true on the first `lengths` of each row."""
    return torch.arange(num_patches, device=lengths.device) < lengths[:, None]


def average(vectors: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean over the real positions of each row, (B, H), of vectors (B, P, H)."""
    real = real_patches(lengths, vectors.shape[1])[..., None]
    return torch.where(real, vectors, 0).sum(1) / lengths[:, None]
