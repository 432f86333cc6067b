"""Pieces that the n-gram floor writes: what a model without a network sounds like."""

import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from notagen.evaluation.likelihood import read_texts
from notagen.evaluation.pieces import PieceFile
from notagen.generation.generated import Generated, piece_seed
from notagen.generation.prompts import Prompt, prompt_text, training_prompt_lines
from notagen.generation.sampling import draw
from notagen.generation.settings import Sampling
from notagen.metrics.kneser_ney import MAX_ORDER, Order, continuations, text_symbols
from notagen.metrics.ngram import fit_floor
from notagen.tokenizer.vocabulary import EOS


def learn(pieces: Sequence[PieceFile], order: int) -> tuple[list[Order], list[str]]:
    """Return n-grams of pieces, each after its prompt, and a line about each piece left out.

    Args:
        pieces: To learn from; a tenth of their works chooses how long n-grams are used.
        order: Longest n-grams, 1 to 9 symbols.

    Raises:
        InputError: If there are fewer than two works.
    """
    texts, left_out = read_texts(pieces)
    of_name: Mapping[str, PieceFile] = {piece.name: piece for piece in pieces}
    prompted = [
        "".join(training_prompt_lines(prompt)) + text if (prompt := of_name[name].prompt) else text
        for name, text in texts.items()
    ]
    floor = fit_floor(prompted, works=[of_name[name].work for name in texts], order=order)
    return list(floor.orders[: floor.best_order]), left_out


def write(
    orders: Sequence[Order],
    prompts: Sequence[Prompt],
    sampling: Sampling,
    *,
    seed: int,
    max_characters: int,
) -> Iterator[Generated]:
    """Yield a piece for each prompt; each depends on seed and place alone.

    Args:
        orders: From `learn`.
        prompts: What each piece begins with.
        sampling: How the next character is chosen, as from a model.
        seed: Of the draws.
        max_characters: A piece is cut off after so many.
    """
    for index, prompt in enumerate(prompts):
        started = time.perf_counter()
        rng = np.random.default_rng(piece_seed(seed, index))
        begun = prompt_text(prompt)
        symbols = bytearray(text_symbols(begun, MAX_ORDER)[:-1])
        before = len(symbols)
        while len(symbols) - before < max_characters:
            probabilities = torch.from_numpy(continuations(orders, bytes(symbols[-MAX_ORDER:])))
            shares = torch.tensor([rng.random()], dtype=torch.float64)
            symbol = int(draw(probabilities[None], sampling, shares))
            if symbol == EOS:
                break
            symbols.append(symbol)
        finished = len(symbols) - before < max_characters
        yield Generated(
            index=index,
            prompt=begun,
            seed=seed,
            text=begun + symbols[before:].decode("ascii"),
            finished=finished,
            reason="eos" if finished else "max_characters",
            patches=0,
            retries=0,
            mended=(),
            seconds=round(time.perf_counter() - started, 3),
        )
