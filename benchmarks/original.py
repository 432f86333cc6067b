"""NotaGen's computation as its authors' code does it, on our weights: training and generation.

One-hot characters as 64-bit integers through a dense layer, attention as two products with a
softmax between, GELU operation by operation; in training 17 slots for each patch however few
characters it holds; in generation everything anew for each patch and for each character. Written
anew from the description in arXiv:2502.18008 and from what the published code computes; losses and
greedy patches are equal.
"""

import math
from collections.abc import Iterable
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 -- its usual name
from numpy.typing import NDArray
from torch import Tensor

from notagen.foundation.errors import InputError
from notagen.generation.settings import Sampling
from notagen.model.config import HEAD_SIZE
from notagen.model.decoders import Attention, Block, CharDecoder, PatchDecoder, Transformer
from notagen.model.notagen import NotaGen
from notagen.tokenizer.vocabulary import PAD, SIZE

_IGNORED = -100
_TINY = 1e-12


def original_loss(
    model: NotaGen, patches: Tensor, mask: Tensor, *, one_hot: bool = True, eager: bool = True
) -> Tensor:
    """Return the mean loss over the characters of all patches but the first, in nats.

    Args:
        model: Its weights are used, and its dropout while in training mode.
        patches: (B, P, S), integers 0 to 127.
        mask: (B, P), bool.
        one_hot: Whether patches are embedded through one-hot vectors; else our sum of rows.
        eager: Whether the layers go operation by operation; else our own.
    """
    logits, targets = _predict(model, patches, mask[:, 1:], one_hot=one_hot, eager=eager)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=_IGNORED)


def original_log_prob(model: NotaGen, patches: Tensor) -> Tensor:
    """Return the log-probability of a tune, a scalar: of all patches but the first, in nats.

    Args:
        model: Its weights are used, and its dropout while in training mode.
        patches: (1, P, S), integers 0 to 127.
    """
    predicted = torch.ones(1, patches.shape[1] - 1, dtype=torch.bool, device=patches.device)
    logits, targets = _predict(model, patches, predicted, one_hot=True, eager=True)
    found = logits.log_softmax(-1).gather(2, targets.clamp(min=0)[..., None])[..., 0]
    return (found * (targets != _IGNORED)).sum()


def _predict(
    model: NotaGen, patches: Tensor, predicted: Tensor, *, one_hot: bool, eager: bool
) -> tuple[Tensor, Tensor]:
    """Return the logits of all slots of the predicted patches, (N, S, 128), and targets, (N, S)."""
    patch_decoder, char_decoder = _decoders(model)
    if one_hot:
        embedded = _embed(patch_decoder, patches)
        hidden = _transform(patch_decoder.transformer, embedded, eager=eager)
    else:
        hidden = patch_decoder(patches)
    characters = patches[:, 1:][predicted].long()
    slots = torch.cat(
        [hidden[:, :-1][predicted][:, None], F.embedding(characters, char_decoder.table)], dim=1
    )
    states = _transform(char_decoder.transformer, slots, eager=eager)
    logits = F.linear(states, char_decoder.table)[:, :-1].float()
    return logits, characters.masked_fill(characters == PAD, _IGNORED)


def original_patch(
    model: NotaGen, patches: Tensor, sampling: Sampling, random: np.random.Generator
) -> list[int]:
    """Return the patch after these, all its characters, also those after an eos.

    The context is computed anew, and for each character the patch so far; autograd records it all.
    Characters are drawn in numpy.

    Args:
        model: In eval mode.
        patches: (1, P, S), integers.
        sampling: How a character is chosen.
        random: Source of the choice.
    """
    patch_decoder, char_decoder = _decoders(model)
    hidden = _transform(patch_decoder.transformer, _embed(patch_decoder, patches), eager=True)
    ids: list[int] = []
    while len(ids) < model.config.patch_size:
        characters = torch.tensor([ids], dtype=torch.int64, device=patches.device)
        slots = torch.cat([hidden[:, -1:], F.embedding(characters, char_decoder.table)], dim=1)
        states = _transform(char_decoder.transformer, slots, eager=True)
        logits = F.linear(states, char_decoder.table)
        probs = logits[0, -1].softmax(-1).cpu().detach().numpy()
        ids.append(int(random.choice(SIZE, p=original_filter(probs, sampling))))
    return ids


def _decoders(model: NotaGen) -> tuple[PatchDecoder, CharDecoder]:
    if model.config.ngram_heads:
        raise InputError("found a model with n-gram heads, wanted one without, as the original's")
    return model.patch_decoder, model.char_decoder


def original_filter(probs: NDArray[np.floating], sampling: Sampling) -> NDArray[np.float64]:
    """Return the probabilities (128,) that the original draws from.

    It adds 1e-12 to each between its steps, so that removed characters come back with a trace.

    Args:
        probs: (128,).
        sampling: How a character is chosen.
    """
    kept = probs.astype(np.float64)
    kept[np.argsort(kept)[::-1][sampling.top_k or SIZE :]] = 0
    kept = _normalise(kept)
    likeliest = np.argsort(kept)[::-1]
    before = np.cumsum(kept[likeliest]) - kept[likeliest]
    kept[likeliest[before >= sampling.top_p]] = 0
    tempered = _normalise(kept) ** (1 / sampling.temperature)
    final: NDArray[np.float64] = tempered / tempered.sum()
    return final


def _normalise(probs: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = probs / probs.sum() + _TINY
    normalised: NDArray[np.float64] = raised / raised.sum()
    return normalised


def _embed(patch_decoder: PatchDecoder, patches: Tensor) -> Tensor:
    vectors = F.one_hot(patches.long(), SIZE).flatten(2).to(patch_decoder.table.dtype)
    return F.linear(vectors, patch_decoder.table.T, patch_decoder.bias)


def _transform(transformer: Transformer, x: Tensor, *, eager: bool) -> Tensor:
    if not eager:
        ours: Tensor = transformer(x)
        return ours
    dropout = transformer.dropout if transformer.training else 0.0
    length = x.shape[1]
    x = F.dropout(x + transformer.positions[:length], dropout)
    future = torch.full((length, length), torch.finfo(x.dtype).min, device=x.device).triu(1)
    for block in cast(Iterable[Block], transformer.blocks):
        attended = _attend(block.attention, block.norm_1(x), future, dropout)
        x = x + F.dropout(attended, dropout)
        inner = _gelu(block.expand(block.norm_2(x)))
        x = x + F.dropout(block.contract(inner), dropout)
    normed: Tensor = transformer.norm(x)
    return normed


def _gelu(x: Tensor) -> Tensor:
    # step by step, as the GPT-2 of the transformers package, which the authors use
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * torch.pow(x, 3))))


def _attend(attention: Attention, x: Tensor, future: Tensor, dropout: float) -> Tensor:
    batch, length, _ = x.shape
    shape = (batch, length, 3, attention.num_heads, HEAD_SIZE)
    queries, keys, values = attention.qkv(x).view(shape).permute(2, 0, 3, 1, 4).unbind()
    scores = queries @ keys.transpose(-1, -2) / HEAD_SIZE**0.5
    weights = F.dropout((scores + future.to(scores.dtype)).softmax(-1).to(values.dtype), dropout)
    output: Tensor = attention.output((weights @ values).transpose(1, 2).flatten(2))
    return output
