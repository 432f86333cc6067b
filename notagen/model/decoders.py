"""The two decoders: one across patches, one inside a patch.

Both are pre-LN transformers of the GPT-2 kind (learned positions, tanh GELU, biases everywhere).
In shapes: B tunes, P patches, S characters a patch, N patches of all tunes, H hidden, V symbols.

Whole sequences only, as training has them; how they are computed position by position, see
`generation/cache.py`.
"""

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 -- its usual name
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from notagen.model.config import HEAD_SIZE, ModelConfig
from notagen.model.ngram_heads import NgramHeads
from notagen.tokenizer.vocabulary import PAD, SIZE

INITIAL_STD = 0.02
SHORT = 32
"""Queries up to which attention on a processor is two plain products."""
NORM_EPS = 1e-5
LIMITS = (6, 11, 16)
"""Patches of up to so many sixteenths of a patch's characters go through the character decoder
together: short ones are not computed as if they were full."""


class Attention(nn.Module):
    """Causal self-attention with heads of 64."""

    def __init__(self, hidden_size: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = hidden_size // HEAD_SIZE
        self.dropout = dropout
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.output = nn.Linear(hidden_size, hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """Return what each position of (B, n, H) gathers from itself and those before it."""
        batch, length, _ = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.num_heads, HEAD_SIZE).permute(2, 0, 3, 1, 4)
        queries, keys, values = qkv.unbind()
        gathered = attend(queries, keys, values, self.dropout if self.training else 0.0)
        joined: Tensor = self.output(gathered.transpose(1, 2).flatten(2))
        return joined


def attend(queries: Tensor, keys: Tensor, values: Tensor, dropout: float) -> Tensor:
    """Return causal attention, of the shape of the queries.

    Args:
        queries: (B, heads, n, head size).
        keys: Like the queries.
        values: Like the queries.
        dropout: Share of the weights dropped, from 0 to below 1.
    """
    length = queries.shape[2]
    # On a processor torch's own attention is slow with dropout and on short sequences.
    if queries.device.type == "cpu" and (dropout > 0 or length <= SHORT):
        scores = queries @ keys.transpose(-1, -2) * HEAD_SIZE**-0.5
        if length > 1:
            future = torch.ones(length, length, dtype=torch.bool, device=queries.device).triu(1)
            scores = scores.masked_fill(future, -math.inf)
        return F.dropout(scores.softmax(-1), dropout) @ values
    return F.scaled_dot_product_attention(
        queries, keys, values, is_causal=length > 1, dropout_p=dropout
    )


class Block(nn.Module):
    """One layer: attention and a two-layer perceptron, each added to its normalised input."""

    def __init__(self, hidden_size: int, dropout: float) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(hidden_size, eps=NORM_EPS)
        self.attention = Attention(hidden_size, dropout)
        self.norm_2 = nn.LayerNorm(hidden_size, eps=NORM_EPS)
        self.expand = nn.Linear(hidden_size, 4 * hidden_size)
        self.contract = nn.Linear(4 * hidden_size, hidden_size)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output, shape (B, n, H) like `x`."""
        x = x + self._drop(self.attention(self.norm_1(x)))
        inner = F.gelu(self.expand(self.norm_2(x)), approximate="tanh")
        return x + self._drop(self.contract(inner))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout) if self.training else x


class Transformer(nn.Module):
    """Positions, layers and a last normalisation, over vectors that are already embedded."""

    def __init__(self, length: int, num_layers: int, hidden_size: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.checkpointed = False
        """Whether only each layer's input is kept for gradients, the rest computed once more."""
        self.positions = nn.Parameter(torch.empty(length, hidden_size))
        self.blocks = nn.ModuleList(Block(hidden_size, dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(hidden_size, eps=NORM_EPS)
        self._initialise(num_layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return the hidden states, shape (B, n, H), of embedded positions 0 to n, like `x`."""
        x = x + self.positions[: x.shape[1]]
        if self.training:
            x = F.dropout(x, self.dropout)
        for block in self.blocks:
            if self.checkpointed and torch.is_grad_enabled():
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        hidden: Tensor = self.norm(x)
        return hidden

    def layers(self) -> Iterator[Block]:
        """Yield the layers in order."""
        yield from (block for block in self.blocks if isinstance(block, Block))

    def _initialise(self, num_layers: int) -> None:
        """Draw the weights as GPT-2 does: outputs to the residual stream shrink with depth."""
        nn.init.normal_(self.positions, std=INITIAL_STD)
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                residual = name.endswith(("attention.output", "contract"))
                std = INITIAL_STD / math.sqrt(2 * num_layers) if residual else INITIAL_STD
                nn.init.normal_(module.weight, std=std)
                nn.init.zeros_(module.bias)


class PatchDecoder(nn.Module):
    """Reads patches; its hidden state after a patch tells what the next one may be.

    A patch's embedding is the sum of one row a character, picked by position and character from a
    table of (patch_size * 128) rows, and a bias: a linear layer over one-hot characters.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        hidden_size = config.hidden_size
        self.table = nn.Parameter(torch.empty(config.patch_size * SIZE, hidden_size))
        self.bias = nn.Parameter(torch.zeros(hidden_size))
        # The published models carry this row without using it; kept so that counts and files agree.
        self.unused_row = nn.Parameter(torch.empty(1, hidden_size), requires_grad=False)
        for parameter in (self.table, self.unused_row):
            nn.init.normal_(parameter, std=INITIAL_STD)
        self.transformer = Transformer(
            config.patch_length, config.patch_layers, hidden_size, config.dropout
        )

    def forward(self, patches: Tensor) -> Tensor:
        """Return the hidden state after each patch, shape (B, P, H).

        Args:
            patches: (B, P, S), integers 0 to 127.
        """
        batch, length, patch_size = patches.shape
        offsets = torch.arange(0, patch_size * SIZE, SIZE, device=patches.device)
        rows = (patches.long() + offsets).view(-1, patch_size)
        embedded = F.embedding_bag(rows, self.table, mode="sum").view(batch, length, -1) + self.bias
        hidden: Tensor = self.transformer(embedded)
        return hidden


class CharDecoder(nn.Module):
    """Writes the characters of one patch, the first of them from the state of the patch before it.

    The table of character embeddings is also the output layer.

    Args:
        length: Most characters in a patch.
        num_layers: Layers of the transformer.
        hidden_size: Its width, that of the states.
        dropout: Share of activations dropped while training.
        ngram_lengths: Characters that each n-gram head compares; none for no such heads.
    """

    def __init__(
        self,
        length: int,
        num_layers: int,
        hidden_size: int,
        dropout: float,
        ngram_lengths: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(SIZE, hidden_size))
        nn.init.normal_(self.table, std=INITIAL_STD)
        self.transformer = Transformer(length + 1, num_layers, hidden_size, dropout)
        self.ngram_heads = NgramHeads(ngram_lengths, hidden_size) if ngram_lengths else None

    def forward(
        self, hidden: Tensor, characters: Tensor, followers: Tensor | None = None
    ) -> Tensor:
        """Return the logits of each character and of the one after the last.

        Args:
            hidden: (N, H), the patch decoder's state before each patch.
            characters: (N, n), integers, the first n characters of each patch; n may be 0.
            followers: (N, n + 1, heads * MATCHES), what the n-gram heads found for each character
                and for the one after the last; None if there are no such heads.

        Returns:
            (N, n + 1, V); position j holds the logits of character j, given those before it.

        Raises:
            ValueError: If the followers are missing.
        """
        inputs = torch.cat([hidden[:, None], F.embedding(characters.long(), self.table)], dim=1)
        if self.ngram_heads is not None:
            if followers is None:
                raise ValueError("followers must be given: the model has n-gram heads")
            inputs = inputs + self.ngram_heads(followers)
        return F.linear(self.transformer(inputs), self.table)

    def losses(
        self, hidden: Tensor, targets: Tensor, lengths: Tensor, followers: Tensor | None = None
    ) -> Tensor:
        """Return the loss of each character in nats, (N, S), that of pads 0.

        Args:
            hidden: (N, H), the state that tells what each patch may be; rows in the order of their
                lengths, so that few pads are computed.
            targets: (N, S), the characters, S at most the length; pads on the right.
            lengths: (N,), how many characters each has, ascending.
            followers: (N, S, heads * MATCHES), what the n-gram heads found, where there are some.
        """
        size = targets.shape[1]
        limits = sorted({max(1, size * part // 16) for part in LIMITS})
        ends = torch.searchsorted(lengths, lengths.new_tensor(limits), right=True).tolist()
        losses = []
        for start, end, limit in zip([0, *ends], ends, limits, strict=False):
            shown = targets[start:end, :limit]
            found = None if followers is None else followers[start:end, :limit]
            logits = self(hidden[start:end], shown[:, :-1], found)
            loss = F.cross_entropy(
                logits.float().transpose(1, 2), shown, ignore_index=PAD, reduction="none"
            )
            losses.append(F.pad(loss, (0, size - limit)))
        return torch.cat(losses)
