"""What the page's fields may say, and what becomes of it."""

import math

import pytest

from notagen.foundation.errors import InputError
from notagen.generation.prompts import Prompt
from notagen.page.orders import Order

SONG = {"period": "Romantic", "composer": "Schubert, Franz", "instrumentation": "Art Song"}


def test_an_order_becomes_a_recipe() -> None:
    order = Order(
        **SONG,
        model="mini",
        key="Eb",
        metre="3/4",
        tempo="96",
        bars=8.0,
        instruments="Voice, Piano",
        seed="7",
        temperature=1,
        top_p=0.8,
        top_k=5.0,
    )
    recipe = order.recipe(max_bars=64)
    assert (recipe.seed, recipe.weights) == (7, "mini")
    assert recipe.request.prompt == Prompt(*SONG.values())
    assert recipe.request.controls is not None
    assert recipe.request.controls.num_bars == 8
    assert recipe.request.controls.valid_bars
    assert recipe.request.wishes.instruments == ("Voice", "Piano")
    assert recipe.request.wishes.lines()["K"] == ("K:Eb",)
    assert (recipe.sampling.temperature, recipe.sampling.top_p, recipe.sampling.top_k) == (
        1,
        0.8,
        5,
    )


def test_what_is_left_empty_is_left_to_the_model() -> None:
    recipes = [Order(model="mini").recipe(max_bars=64) for _ in range(2)]
    assert recipes[0].request.prompt is None
    assert recipes[0].request.controls is not None
    assert recipes[0].request.controls.num_bars is None
    assert recipes[0].request.wishes.lines() == {}
    # each a seed of its own
    assert recipes[0].seed != recipes[1].seed


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"bars": 65}, "bars: found 65, wanted a whole number from 1 to 64"),
        ({"bars": 2.5}, "bars: found 2.5"),
        ({"bars": math.nan}, "bars: found nan"),
        ({"seed": "soon"}, "seed: found 'soon'"),
        ({"seed": "-3"}, "seed: found '-3'"),
        ({"seed": "9" * 400}, "seed: found '999"),
        ({"seed": "9" * 19}, "seed: found 1e[+]19"),
        ({"bars": math.inf}, "bars: found inf"),
        ({"temperature": 0}, "temperature must be > 0"),
        ({"top_p": 2.0}, "top_p must be"),
        ({"top_k": 1.5}, "top-k: found 1.5"),
        ({"key": "H"}, "key"),
        ({"metre": "3/0"}, "metre"),
        ({"tempo": "quick"}, "tempo"),
        ({"instruments": "Theremin of <b>"}, "instrument"),
        ({"period": "Romantic"}, "wanted period, composer and instrumentation"),
    ],
)
def test_what_cannot_be_read_is_named(fields: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Order(**{"model": "mini", **fields}).recipe(max_bars=64)  # type: ignore[arg-type]


def test_a_prompt_that_was_not_learned_is_warned_of() -> None:
    known = {Prompt(*SONG.values()): 90}
    assert Order(model="mini", **SONG).warning(known) == ""
    assert Order(model="mini").warning(known) == ""
    other = Order(model="mini", **SONG | {"composer": "Wolf, Hugo"})
    assert "Most like it: Romantic / Schubert, Franz / Art Song" in other.warning(known)
    assert other.warning({}) == ""
