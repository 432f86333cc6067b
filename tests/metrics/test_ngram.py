import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from notagen.foundation.errors import AlphabetError, InputError
from notagen.metrics.ngram import CONTEXTS, Floor, fit_floor, shown_before
from notagen.notation.interleave import interleave
from notagen.notation.musicxml import musicxml_to_abc
from notagen.notation.rests import omit_rests
from notagen.sources.music21_corpus import corpus_folder

SYMBOLS = [chr(code) for code in range(3, 128)]
"""What may follow, but for the end."""


@pytest.fixture(scope="module")
def chorales() -> list[str]:
    paths = sorted((corpus_folder() / "bach").glob("bwv1*.mxl"))[:25]
    return [omit_rests(interleave(musicxml_to_abc(path))) for path in paths]


@pytest.fixture(scope="module")
def floor(chorales: list[str]) -> Floor:
    return fit_floor(chorales[:-1])


def total(floor: Floor, before: str) -> NDArray[np.float64]:
    """Return the sum over all symbols after a text, by each order and with the cache."""
    place = len(before)
    after = [floor.probabilities(before + symbol) for symbol in [*SYMBOLS, ""]]
    return np.sum([[*by_order[:, place], cached[place]] for by_order, cached in after], axis=0)


@given(
    st.lists(st.text("abc|\n", max_size=40), min_size=2, max_size=6),
    st.text("abc|\n~", max_size=40),
    st.integers(1, 9),
)
@settings(max_examples=8)
def test_sums_to_one(texts: list[str], before: str, order: int) -> None:
    np.testing.assert_allclose(total(fit_floor(texts, order=order), before), 1, atol=1e-9)


@pytest.mark.parametrize("place", [0, 1, 40, 300, 301, 700])
def test_sums_to_one_in_real_music(chorales: list[str], floor: Floor, place: int) -> None:
    assert len(chorales[-1]) > 700
    np.testing.assert_allclose(total(floor, chorales[-1][:place]), 1, atol=1e-9)


def test_real_music(chorales: list[str], floor: Floor) -> None:
    text = chorales[-1]
    bits = floor.bits(text)
    by_order, cached = floor.probabilities(text)
    assert bits.n_characters == len(text) == len(cached) - 1
    assert bits.by_order == pytest.approx(-np.log2(by_order).sum(axis=1))
    assert bits.static == bits.by_order[floor.best_order - 1]
    assert bits.cached == pytest.approx(-np.log2(cached).sum())
    # each order saves much until the texts are too few for more
    assert np.all(np.diff(bits.by_order[:4]) < -0.1 * len(text))
    assert max(bits.by_order[4:]) < bits.by_order[3]
    assert bits.cached < 0.95 * bits.static
    assert bits.static < 2.5 * len(text)


def test_what_is_said_again_costs_little(floor: Floor) -> None:
    rng = np.random.default_rng(3)
    once = "".join(rng.choice(list("ABCDEFGabcdefg,'/2| ["), size=200))
    first, again = floor.bits(once), floor.bits(once * 2)
    assert again.static - first.static > 0.9 * first.static
    assert again.cached - first.cached < 0.25 * first.static


@given(st.text("ab|", max_size=60), st.text("ab|", max_size=20), st.text("ab|", max_size=20))
def test_the_future_changes_nothing(floor: Floor, before: str, one: str, other: str) -> None:
    ends = [floor.probabilities(before + after) for after in (one, other)]
    for found in zip(*ends, strict=True):
        first, second = (values[..., : len(before)] for values in found)
        np.testing.assert_array_equal(first, second)


@given(st.one_of(st.text("ab", max_size=80), st.text("abcd", max_size=12).map(lambda t: t * 6)))
def test_what_the_piece_has_shown(text: str) -> None:
    ended = text + "$"
    for length, (contexts, continued) in zip(CONTEXTS, shown_before(text), strict=True):
        for place in range(len(ended)):
            newest, symbol = ended[max(place - length, 0) : place], ended[place]
            earlier = [i for i in range(length, place) if ended[i - length : i] == newest]
            assert contexts[place] == len(earlier)
            assert continued[place] == sum(ended[i] == symbol for i in earlier)


def test_works_are_held_out_whole() -> None:
    rng = np.random.default_rng(5)
    texts = ["".join(rng.choice(list("abcdefgh"), size=300)) for _ in range(20)]
    twice = [text for text in texts for _ in range(2)]
    works = [str(place // 2) for place in range(40)]
    # noise cannot be foretold, unless its copy was among the texts that were counted
    assert fit_floor(twice, works=works).best_order == 1
    assert fit_floor(twice).best_order > 3


def test_a_cache_that_does_not_help_costs_nothing() -> None:
    rng = np.random.default_rng(6)
    texts = ["".join(rng.choice(list("abcdefgh"), size=1000)) for _ in range(21)]
    bits = fit_floor(texts[1:]).bits(texts[0])
    assert bits.cached < 1.005 * bits.static < 1.02 * 3 * bits.n_characters


def test_symbols_never_seen(floor: Floor) -> None:
    bits = floor.bits("~\x03~~")
    assert np.isfinite([*bits.by_order, bits.cached]).all()
    assert min(bits.by_order) > 4 * np.log2(126)
    with pytest.raises(AlphabetError, match="line 1, column 2: found 'é'"):
        floor.bits("né")


@pytest.mark.parametrize(("texts", "works"), [(["a"], None), (["a", "b"], ["x", "x"]), ([], [])])
def test_too_few_works(texts: list[str], works: list[str] | None) -> None:
    with pytest.raises(InputError, match=r"n-gram floor: found [01] works, wanted two"):
        fit_floor(texts, works=works)
