import pytest

from notagen.generation.controls import Controls


@pytest.mark.parametrize(
    ("field", "value"), [("num_bars", 0), ("max_patches", -1), ("max_seconds", 0.0)]
)
def test_limits_out_of_range_are_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        Controls(**{field: value})


def test_the_counter_counts_bars_done_and_to_come() -> None:
    controls = Controls(num_bars=12)
    assert [controls.counter(i) for i in (0, 9, 11)] == ["[r:0/11]", "[r:9/2]", "[r:11/0]"]


def test_without_a_length_only_the_first_counter_is_begun() -> None:
    assert [Controls().counter(i) for i in (0, 1)] == ["[r:0/", ""]
