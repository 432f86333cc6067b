"""The floor that a neural model must beat: character n-grams, and a cache of the piece itself.

Most of what an n-gram model does not know of a piece, the piece has said before: the cache mixes in
what followed the newest 1 to 32 characters earlier in the same piece. The weights of the mixture
depend on what is known of the context alone, so that the probabilities of all symbols sum to one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from notagen.foundation.errors import InputError
from notagen.metrics.kneser_ney import Floats, Order, fit_kneser_ney, predict, text_symbols
from notagen.tokenizer.vocabulary import SIZE

Integers = NDArray[np.int64]

CONTEXTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
"""Characters that the cache looks for; each number is the one before and one of the others."""

_DEVELOPMENT = 10
"""One work in so many chooses the order and the weights."""
_ROUNDS = 50
"""Of expectation maximisation; twice as many save less than 0.001 bits a character."""
_PRIOR = 2.0
"""Characters that vouch for the mean weights in each state of the cache."""


class PieceBits(NamedTuple):
    """Bits that a piece costs: all its characters and its end."""

    static: float
    """By the order that was best on the development part."""
    cached: float
    """The same with the cache."""
    by_order: tuple[float, ...]
    """By orders 1, 2, ..."""
    n_characters: int
    """The end not counted."""


@dataclass(frozen=True)
class Floor:
    """A fitted floor."""

    orders: Sequence[Order]
    best_order: int
    """From 1."""
    weights: Floats
    """Of the n-gram model and each context of the cache, in each state: (states, 1 + contexts)."""

    def bits(self, text: str) -> PieceBits:
        """Return what a text costs.

        Raises:
            AlphabetError: If a character is outside the vocabulary.
        """
        by_order, cached = self.probabilities(text)
        bits = -np.log2(by_order).sum(axis=1)
        return PieceBits(
            static=float(bits[self.best_order - 1]),
            cached=float(-np.log2(cached).sum()),
            by_order=tuple(bits.tolist()),
            n_characters=len(text),
        )

    def probabilities(self, text: str) -> tuple[Floats, Floats]:
        """Return the probability of each of N characters and of the end, given those before.

        Returns:
            By each order, (orders, N + 1), and by the best one with the cache, (N + 1,).

        Raises:
            AlphabetError: If a character is outside the vocabulary.
        """
        by_order, known = predict(self.orders, text)
        parts, states = _mixture(text, by_order, known, self.best_order)
        return by_order, np.einsum("nj,jn->n", self.weights[states], parts)


def fit_floor(texts: Sequence[str], *, works: Sequence[str] | None = None, order: int = 8) -> Floor:
    """Fit the floor to training texts.

    A tenth of the works is held out to choose the best order and the weights of the cache; then all
    texts are counted.

    Args:
        texts: Canonical texts.
        works: The work each is of; by default each is a work of its own.
        order: Longest n-grams, 1 to 9 symbols.

    Raises:
        AlphabetError: If a character is outside the vocabulary.
        InputError: If there are less than two works.
    """
    names = works if works is not None else [str(i) for i in range(len(texts))]
    distinct = sorted(set(names))
    if len(distinct) < 2:
        raise InputError(f"texts of the n-gram floor: found {len(distinct)} works, wanted two")
    held_out = set(distinct[::_DEVELOPMENT])
    pairs = list(zip(texts, names, strict=True))
    orders = fit_kneser_ney([text for text, work in pairs if work not in held_out], order)
    development = [text for text, work in pairs if work in held_out]
    predicted = [predict(orders, text) for text in development]
    costs = sum(-np.log2(by_order).sum(axis=1) for by_order, _ in predicted)
    best_order = int(np.argmin(costs)) + 1
    mixtures = [
        _mixture(text, by_order, known, best_order)
        for text, (by_order, known) in zip(development, predicted, strict=True)
    ]
    weights = _fit_weights(
        np.concatenate([parts for parts, _ in mixtures], axis=1),
        np.concatenate([states for _, states in mixtures]),
        n_states=(best_order + 1) * (len(CONTEXTS) + 1),
    )
    return Floor(fit_kneser_ney(texts, order), best_order, weights)


def _mixture(
    text: str, by_order: Floats, known: NDArray[np.bool_], best_order: int
) -> tuple[Floats, Integers]:
    """Return what is to be mixed, (1 + contexts, N + 1), and the states that choose the weights.

    A state is how long a context the n-gram model has seen and how long a one the piece has shown.
    """
    parts = [by_order[best_order - 1]]
    shown = np.zeros(len(text) + 1, dtype=np.int64)
    for contexts, continued in shown_before(text):
        parts.append(continued / np.maximum(contexts, 1))
        shown += contexts > 0
    return np.stack(parts), known[:best_order].sum(axis=0) * len(parts) + shown


def shown_before(text: str) -> Iterator[tuple[Integers, Integers]]:
    """Yield what a piece of N characters has shown before each of them and before its end.

    For each length of CONTEXTS: how often the newest characters stood there earlier, and how often
    the symbol to come followed them, (N + 1,) each.

    Raises:
        AlphabetError: If a character is outside the vocabulary.
    """
    longest = CONTEXTS[-1]
    # starts that are all different: what reaches before the piece was never shown
    starts = np.arange(SIZE, SIZE + longest)
    symbols = np.concatenate([starts, text_symbols(text, 0)])
    grams: dict[int, Integers] = {}
    for shorter, length in pairwise((0, *CONTEXTS)):
        added = length - shorter
        joined = _join(np.roll(grams[shorter], added), grams[added]) if shorter else symbols
        grams[length], contexts = _rank(joined)
        _, continued = _rank(_join(np.roll(grams[length], 1), symbols))
        yield contexts[longest - 1 : -1], continued[longest:]


def _join(older: Integers, newer: Integers) -> Integers:
    """Return one number for each pair of ids."""
    return older * (len(older) + SIZE) + newer


def _rank(values: Integers) -> tuple[Integers, Integers]:
    """Return an id for each value, smaller than their number, and how often it came before."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    new = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    groups = np.cumsum(new) - 1
    ids, counts = np.empty_like(values), np.empty_like(values)
    ids[order] = groups
    counts[order] = np.arange(len(values)) - np.flatnonzero(new)[groups]
    return ids, counts


def _fit_weights(parts: Floats, states: Integers, *, n_states: int) -> Floats:
    """Return the weights under which the mixture gives a text the highest probability.

    Contexts that a state has not seen weigh nothing in it.

    Source: Jelinek & Mercer 1980, by expectation maximisation.
    """
    seen = np.arange(len(parts)) <= np.arange(n_states)[:, None] % len(parts)
    weights: Floats = seen / seen.sum(axis=1, keepdims=True)
    for _ in range(_ROUNDS):
        shares = parts * weights[states].T
        shares /= shares.sum(axis=0)
        sums = np.stack([np.bincount(states, share, n_states) for share in shares], axis=1)
        sums += _PRIOR * seen * shares.mean(axis=1)
        weights = sums / sums.sum(axis=1, keepdims=True)
    return weights
