from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from notagen.foundation.errors import InputError
from notagen.preference.pairs import Candidate, choose, draw_partners, find_best
from notagen.preference.rules import Exclusion

SONG = ("Romantic", "Schubert, Franz", "Art Song")
QUARTET = ("Classical", "Haydn, Joseph", "Chamber")
FAULT = (Exclusion("repeats", "bar 1 fills 3 of 4 bars"),)


def pieces(
    count: int, prompt: tuple[str, str, str] | None = SONG, bad: tuple[int, ...] = ()
) -> list[Candidate]:
    """Return pieces named by their place, the first the best."""
    label = prompt[2] if prompt else "any"
    return [
        Candidate(f"{label} {place}", prompt, 1 - place / count, FAULT if place in bad else ())
        for place in range(count)
    ]


def names(candidates: list[Candidate]) -> list[int]:
    return [int(piece.name.split()[-1]) for piece in candidates]


def test_the_best_and_the_worst_tenth() -> None:
    chosen, rejected = choose(pieces(39)[::-1], portion=0.1)
    assert (names(chosen), names(rejected)) == ([0, 1, 2], [38, 37, 36])


def test_what_is_excluded_is_passed_over_among_the_best_alone() -> None:
    chosen, rejected = choose(pieces(20, bad=(0, 2, 19)), portion=0.1)
    assert (names(chosen), names(rejected)) == ([1, 3], [19, 18])


def test_each_prompt_is_judged_by_itself() -> None:
    songs, quartets = pieces(10), [p._replace(reward=p.reward - 5) for p in pieces(20, QUARTET)]
    chosen, rejected = choose([*quartets, *songs, *pieces(5, None)], portion=0.1)
    assert Counter(piece.prompt for piece in chosen) == {SONG: 1, QUARTET: 2, None: 1}
    assert Counter(piece.prompt for piece in rejected) == {SONG: 1, QUARTET: 2, None: 1}
    assert names(chosen) == [0, 1, 0, 0]
    # a prompt with one piece has no pair, nor has one of few whose better ones are excluded
    for few in (pieces(1, QUARTET), pieces(2, QUARTET, bad=(0,)), pieces(4, None, (0, 1, 2))):
        assert choose([*songs, *few], portion=0.1) == choose(songs, portion=0.1)


def test_equal_rewards_are_no_pair_and_ordered_by_name() -> None:
    rewards = {"c": 0.5, "a": 0.5, "d": 0.5, "b": 0.5, "e": 0.7, "f": 0.7}
    pieces = [Candidate(name, None, reward) for name, reward in rewards.items()]
    chosen, rejected = choose(pieces, portion=0.5)
    assert [piece.name for piece in chosen] == ["e", "f"]
    assert [piece.name for piece in rejected] == ["d", "c"]
    with pytest.raises(InputError, match="of which one is better"):
        choose(pieces[:4], portion=0.5)


@pytest.mark.parametrize("reward", [float("nan"), float("inf")])
def test_rewards_that_are_not_finite_are_refused(reward: float) -> None:
    with pytest.raises(ValueError, match="reward of x must be finite"):
        choose([*pieces(20), Candidate("x", None, reward)], portion=0.1)


def test_a_portion_is_not_lost_in_rounding() -> None:
    assert len(choose(pieces(100), portion=0.29).chosen) == 29


def test_too_few_pieces_are_an_error_that_says_how_many() -> None:
    with pytest.raises(InputError, match=r"Art Song: found 1 of 20 .* wanted 2 \(1 missing\)"):
        choose(pieces(20, bad=tuple(range(17))), portion=0.1)
    with pytest.raises(InputError, match="no two pieces of one prompt"):
        choose(pieces(1), portion=0.1)
    with pytest.raises(InputError, match="no two pieces of one prompt"):
        choose([], portion=0.1)


@pytest.mark.parametrize("portion", [0, 0.51, -1, float("nan")])
def test_portions_out_of_range_are_refused(portion: float) -> None:
    with pytest.raises(ValueError, match="portion must be"):
        choose(pieces(4), portion=portion)


@given(
    st.lists(st.tuples(st.sampled_from([SONG, QUARTET, None]), st.floats(-1, 1)), min_size=6),
    st.floats(0.01, 0.5),
    st.integers(0, 9),
)
def test_partners_are_the_worse_pieces_of_the_prompt_each_once(
    scored: list[tuple[tuple[str, str, str] | None, float]], portion: float, seed: int
) -> None:
    candidates = [Candidate(str(place), *piece) for place, piece in enumerate(scored)]
    assume(
        any(a.prompt == b.prompt and a.reward > b.reward for a in candidates for b in candidates)
    )
    preferences = choose(candidates, portion=portion)
    partners = draw_partners(preferences, seed=[seed, 3])
    for better, worse in zip(preferences.chosen, partners, strict=True):
        assert better.prompt == worse.prompt
        assert better.reward > worse.reward
    assert sorted(partners) == sorted(preferences.rejected)
    used = [piece.name for side in preferences for piece in side]
    assert len(set(used)) == len(used)
    assert partners == draw_partners(preferences, seed=[seed, 3])


def test_partners_change_with_the_seed() -> None:
    preferences = choose(pieces(40), portion=0.5)
    drawn = {tuple(names(draw_partners(preferences, seed=[0, epoch]))) for epoch in range(5)}
    assert len(drawn) == 5


def test_the_best_that_may_be_chosen_are_new_music() -> None:
    found = find_best([*pieces(5, bad=(1,)), *pieces(4, QUARTET)], portion=0.5)
    assert names(found) == [0, 2, 0, 1]
    assert find_best(pieces(3, bad=(0, 1, 2)), portion=1) == []
    assert len(find_best(pieces(100), portion=0.29)) == 29
