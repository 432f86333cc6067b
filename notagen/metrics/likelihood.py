"""How many bits a model needs for pieces: all that it predicts of them, long ones by windows."""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate, chain, repeat
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from notagen.foundation.batch import Outcome, run_batch
from notagen.foundation.errors import InputError, ScoreError
from notagen.model.notagen import NotaGen
from notagen.tokenizer.patches import PatchTokenizer
from notagen.tokenizer.vocabulary import check_characters
from notagen.tokenizer.windows import add_counters, canonical, newest_lines, split_header

_BATCHES_SORTED = 8
"""Batches' worth of pieces that are sorted by length together, to spare padding."""


class PieceLikelihood(NamedTuple):
    """What a piece costs a model; bits per canonical character are `bits / n_characters`."""

    bits: float
    """Of all that is predicted: characters, counters, ends of patches, the end of the piece."""
    n_characters: int
    """Of the canonical text, which has no prompt and no counters."""
    n_patches: int
    """Patches that are predicted, the eos patch among them."""
    fits: bool
    """Whether the whole piece, prompt and eos patch included, is read in one context."""


class _Window(NamedTuple):
    """What a model reads at once."""

    patches: NDArray[np.uint8]  # (num_patches, patch_size)
    num_given: int  # the patches behind these are predicted


class _Piece(NamedTuple):
    """A piece cut to windows; each of its patches is predicted in one of them."""

    windows: list[_Window]
    n_characters: int

    @property
    def n_patches(self) -> int:
        return sum(len(window.patches) - window.num_given for window in self.windows)


def likelihoods(
    model: NotaGen,
    texts: Iterable[str],
    *,
    prompts: Iterable[str] | None = None,
    patches_per_batch: int = 4096,
) -> Iterator[Outcome[str, PieceLikelihood]]:
    """Yield the likelihood of each piece under a model, or why it is refused, in order.

    Each patch of a piece is predicted once, the bos patch and the prompt apart, which are given. A
    piece of more than `patch_length` patches is read by windows of that many, as in training: bos
    patch, prompt, header and body lines. Where one ends the next begins as in generation: with
    header and newest lines, half of the room.

    Args:
        model: On any device, in any precision; dropout is off here, and its mode is restored.
        texts: Reduced interleaved ABC, in the key to be judged; prompt lines and counters in it
            are left out, and counted anew.
        prompts: For each text the lines it is conditioned on, as training text has them before a
            piece (`%end` among them), or an empty one; None for no prompts.
        patches_per_batch: Patches computed at once, padding included; a longer piece is alone.

    Raises:
        InputError: If a prompt is not whole lines that begin with `%`.
        ValueError: If there are more or fewer prompts than texts.
    """
    tokenizer = PatchTokenizer(model.config.patch_size, model.config.patch_length)
    pairs = zip(texts, repeat("") if prompts is None else prompts, strict=prompts is not None)
    run: list[Outcome[tuple[str, str], _Piece]] = []
    num_patches = 0
    for outcome in run_batch(partial(_read, tokenizer), pairs, workers=1):
        run.append(outcome)
        if outcome.result is not None:
            num_patches += outcome.result.n_patches
        if num_patches >= _BATCHES_SORTED * patches_per_batch:
            yield from _measured(model, run, patches_per_batch)
            run, num_patches = [], 0
    yield from _measured(model, run, patches_per_batch)


def _read(tokenizer: PatchTokenizer, pair: tuple[str, str]) -> _Piece:
    """Return a text after its prompt as windows.

    Raises:
        ScoreError: If a character is outside the vocabulary, or a long piece's header leaves no
            room for its body.
    """
    text, prompt = canonical(pair[0]), pair[1]
    if prompt and (canonical(prompt) or not prompt.endswith("\n")):
        raise InputError(f"prompt must be lines that begin with one %, got {prompt!r}")
    for part in pair:
        check_characters(part)
    header, body = split_header(prompt + text)
    lines = [tokenizer.encode_lines(line) for line in (*header, *add_counters(body))]
    rows = [tokenizer.bos_patch, *chain.from_iterable(lines), tokenizer.eos_patch]
    patches = np.array(rows, dtype=np.uint8)
    line_starts = list(accumulate(map(len, lines), initial=1))  # the last is the eos patch
    head, length = line_starts[len(header)], tokenizer.patch_length
    if len(patches) > length and head >= length:
        raise ScoreError(
            f"header: found {head} patches, prompt and bos among them, "
            f"wanted fewer than the {length} of the context"
        )
    done = min(len(patches), length)
    windows = [_Window(patches[:done], line_starts[prompt.count("\n")])]
    while done < len(patches):
        start = newest_lines(line_starts, done, length - head)
        shown = np.concatenate([patches[:head], patches[start:][: length - head]])
        windows.append(_Window(shown, head + done - start))
        done = start + len(shown) - head
    return _Piece(windows, len(text))


def _measured(
    model: NotaGen, run: Sequence[Outcome[tuple[str, str], _Piece]], patches_per_batch: int
) -> Iterator[Outcome[str, PieceLikelihood]]:
    """Yield what becomes of the pieces of a run, whose windows are batched by length."""
    pieces = [outcome.result for outcome in run]
    windows = [
        (place, window)
        for place, piece in enumerate(pieces)
        for window in (piece.windows if piece else ())
    ]
    # the longest first: a batch that is too large for the machine fails at once
    windows.sort(key=lambda placed: len(placed[1].patches), reverse=True)
    bits = np.zeros(len(run))
    while windows:
        num_rows = max(1, patches_per_batch // len(windows[0][1].patches))
        batch, windows = windows[:num_rows], windows[num_rows:]
        places = [place for place, _ in batch]
        np.add.at(bits, places, _bits(model, [window for _, window in batch]))
    for place, (outcome, piece) in enumerate(zip(run, pieces, strict=True)):
        result = piece and PieceLikelihood(
            bits=float(bits[place]),
            n_characters=piece.n_characters,
            n_patches=piece.n_patches,
            fits=len(piece.windows) == 1,
        )
        yield Outcome(outcome.item[0], result, outcome.reason)


def _bits(model: NotaGen, windows: Sequence[_Window]) -> NDArray[np.float64]:
    """Return the bits of each window's predicted patches, (B,), the longest window first."""
    longest = len(windows[0].patches)
    patches = np.zeros((len(windows), longest, model.config.patch_size), dtype=np.uint8)
    mask = np.zeros((len(windows), longest), dtype=np.bool_)
    for row, (shown, num_given) in enumerate(windows):
        patches[row, : len(shown)] = shown
        mask[row, num_given : len(shown)] = True
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            log_probs = model.log_probs(
                torch.from_numpy(patches).to(device), torch.from_numpy(mask).to(device)
            )
    finally:
        model.train(was_training)
    return -log_probs.cpu().double().numpy() / math.log(2)
