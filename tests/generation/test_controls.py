import pytest

from notagen.generation.controls import Controls, counter


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_bars", 0),
        ("max_retries", -1),
        ("max_bars", 0),
        ("max_characters", 0),
        ("max_patches", -1),
        ("max_seconds", 0.0),
        ("max_seconds", float("inf")),
        ("max_seconds", float("nan")),
        ("max_repeats", 0),
    ],
)
def test_limits_out_of_range_are_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{field} must be .*, got {value}"):
        Controls(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"), [("num_bars", 2.5), ("valid_bars", "yes"), ("max_seconds", "1")]
)
def test_values_of_another_type_are_named(field: str, value: object) -> None:
    with pytest.raises(TypeError, match=field):
        Controls(**{field: value})


def test_a_length_beyond_its_limit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"max_bars must be >= num_bars \(9\), got 8"):
        Controls(num_bars=9, max_bars=8)
    assert Controls(num_bars=9, max_bars=9)


def test_the_counter_counts_bars_done_and_to_come() -> None:
    assert [counter(i, 12) for i in (0, 9, 11)] == ["[r:0/11]", "[r:9/2]", "[r:11/0]"]


def test_without_a_length_only_the_first_counter_is_begun() -> None:
    assert [counter(i, None) for i in (0, 1)] == ["[r:0/", ""]
