from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from notagen.foundation.errors import AlphabetError
from notagen.metrics.kneser_ney import (
    Order,
    continuations,
    fit_kneser_ney,
    predict,
    text_symbols,
)
from notagen.tokenizer.vocabulary import EOS

CORPORA = st.lists(st.text("abc|\n", max_size=60), min_size=1, max_size=6)
SYMBOLS = [chr(code) for code in range(3, 128)]
"""What may follow, but for the end."""


def following(orders: list[Order], text: str) -> dict[str, NDArray[np.float64]]:
    """Return the probability of each symbol after a text, by each order; the end is empty."""
    found = {symbol: predict(orders, text + symbol)[0][:, len(text)] for symbol in SYMBOLS}
    return found | {"": predict(orders, text)[0][:, -1]}


@given(CORPORA, st.text("abc|\n~", max_size=8), st.integers(1, 9))
@settings(max_examples=15)
def test_sums_to_one(texts: list[str], before: str, order: int) -> None:
    found = np.stack(list(following(fit_kneser_ney(texts, order), before).values()))
    assert found.min() > 0
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-9)


def test_bigrams_worked_by_hand() -> None:
    """Bigrams `^a` 3, `ab` 2, `b$` 2, `ac` 1, `c$` 1: two once, two twice, one three times.

    So Y = 2 / (2 + 2 * 2) = 1/3 and the discounts are 1 - 2Y * 2/2 = 1/3, 2 - 3Y * 1/2 = 3/2
    and 3 - 4Y * 0/1 = 3. The symbols follow, in turn, 1, 1, 1 and 2 others; none follows three,
    so that there a half of each count is taken, 1/2 * 3 + 1 of 5 in all.
    """
    found = following(fit_kneser_ney(["ab", "ab", "ac"], 2), "a")
    floor = Fraction(1, 2) * Fraction(1, 126)
    one, two = Fraction(1, 2) / 5 + floor, Fraction(1) / 5 + floor
    rest = (Fraction(3, 2) + Fraction(1, 3)) / 3
    expected = {
        "b": Fraction(1, 2) / 3 + rest * one,
        "c": Fraction(2, 3) / 3 + rest * one,
        "a": rest * one,
        "": rest * two,
        "~": rest * floor,
    }
    for symbol, probability in expected.items():
        assert found[symbol][1] == pytest.approx(float(probability), rel=1e-12)
    # alone, the first order goes by occurrences: a and the end 3, b 2, c 1, so that Y = 1/3 and
    # 1/3, 2 - 3Y * 2/1 = 0, but at least 0.1, and 3 are taken
    assert found["c"][0] == pytest.approx(2 / 3 / 9 + (3 + 0.1 + 1 / 3 + 3) / 9 / 126)


def expected_probability(texts: list[str], order: int, before: str, symbol: str) -> float:
    """Return what the definition says, from dictionaries; `^` begins and `$` ends a text."""
    lines = [f"^{text}$" for text in texts]
    seen = [
        Counter(line[i - k + 1 : i + 1] for line in lines for i in range(max(k - 1, 1), len(line)))
        for k in range(order + 2)
    ]

    def counts(k: int) -> dict[str, int]:
        if k == order:
            return seen[k]
        followed = Counter(gram[1:] for gram in seen[k + 1])
        return {gram: n if gram[0] == "^" else followed[gram] for gram, n in seen[k].items()}

    def discounts(table: dict[str, int]) -> list[float]:
        n1, n2, n3, n4 = (sum(n == k for n in table.values()) for k in (1, 2, 3, 4))
        if not n1 or not n2 or not n3:
            return [0.5, 1, 1.5]
        y = n1 / (n1 + 2 * n2)
        raw = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
        return [min(max(d, 0.1), k) for k, d in enumerate(raw, start=1)]

    history = ("^" + before)[-(order - 1) :] if order > 1 else ""
    probability = 1 / 126
    for k in range(1, len(history) + 2):
        context = history[len(history) - k + 1 :]
        table = counts(k)
        taken = discounts(table)
        after = {gram: n for gram, n in table.items() if gram[:-1] == context}
        if not after:
            break
        rest = sum(taken[min(n, 3) - 1] for n in after.values())
        n = after.get(context + symbol, 0)
        own = n - taken[min(n, 3) - 1] if n else 0
        probability = (own + rest * probability) / sum(after.values())
    return probability


@given(CORPORA, st.text("abc", max_size=6), st.integers(1, 5))
def test_as_defined(texts: list[str], new: str, order: int) -> None:
    found, _ = predict(fit_kneser_ney(texts, order), new)
    expected = [
        expected_probability(texts, order, new[:i], symbol) for i, symbol in enumerate(new + "$")
    ]
    np.testing.assert_allclose(found[-1], expected, rtol=1e-9)


@given(CORPORA, st.text("abc|\n~", max_size=8), st.integers(1, 9))
@settings(max_examples=15)
def test_all_symbols_at_once(texts: list[str], before: str, order: int) -> None:
    orders = fit_kneser_ney(texts, order)
    found = continuations(orders, bytes(text_symbols(before, order)[:-1]))
    expected = np.zeros(128)
    for symbol, by_order in following(orders, before).items():
        expected[ord(symbol) if symbol else EOS] = by_order[-1]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@given(CORPORA, st.text("abc|\n~", max_size=40), st.integers(2, 9))
def test_an_order_does_not_depend_on_longer_ones(texts: list[str], new: str, order: int) -> None:
    longer, known = predict(fit_kneser_ney(texts, order), new)
    np.testing.assert_allclose(predict(fit_kneser_ney(texts, order - 1), new)[0], longer[:-1])
    assert known[0].all()
    # who knows a context knows what is left of it
    assert not (known[1:] & ~known[:-1]).any()


def test_a_chain_is_learned_from_its_samples() -> None:
    chain = np.array([[0.6, 0.3, 0.1], [0.2, 0.1, 0.7], [0.05, 0.9, 0.05]])
    rng = np.random.default_rng(4)

    def walk(length: int) -> str:
        states = [0]
        for number in rng.random(length):
            states.append(int(np.searchsorted(chain[states[-1]].cumsum(), number)))
        return "".join("abc"[state] for state in states)

    orders = fit_kneser_ney([walk(4000) for _ in range(20)], 4)
    found = following(orders, "abcabca")
    for symbol, probability in zip("abc", chain[0], strict=True):
        np.testing.assert_allclose(found[symbol][1:3], probability, atol=0.01)
    steady = np.linalg.matrix_power(chain, 100)[0]
    entropy = -(steady[:, None] * chain * np.log2(chain)).sum()
    bits = -np.log2(predict(orders, walk(40_000))[0])[:, 1:-1].mean(axis=1)
    np.testing.assert_allclose(bits[1:], entropy, rtol=0.015)
    assert bits[0] > 1.2 * entropy


def test_what_cannot_be_fitted() -> None:
    with pytest.raises(ValueError, match="order: found 10, wanted 1 to 9"):
        fit_kneser_ney(["abc"], 10)
    with pytest.raises(AlphabetError, match="line 2, column 1: found 'é'"):
        fit_kneser_ney(["a\né"], 2)
    with pytest.raises(AlphabetError):
        predict(fit_kneser_ney(["abc"], 2), "a\x01")
