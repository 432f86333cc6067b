import json

import pytest

from notagen.training.spikes import SpikeGuard


def settled(factor: float | None = 4.0) -> SpikeGuard:
    """A guard that has seen 64 norms from 0.5 to 1.5, of median 1."""
    guard = SpikeGuard(factor)
    assert not any(guard.is_spike(0.5 + number / 63) for number in range(64))
    return guard


def test_a_norm_far_over_the_median_is_a_spike() -> None:
    guard = settled()
    assert not guard.is_spike(3.99)
    assert guard.is_spike(4.2)
    assert not guard.is_spike(1.0)


def test_nothing_is_a_spike_before_the_level_is_known() -> None:
    guard = SpikeGuard(2.0)
    assert not any(guard.is_spike(norm) for norm in [1.0] * 62 + [1e9])
    assert not guard.is_spike(1e9)  # the 64th
    assert guard.is_spike(1e9)


def test_the_level_is_that_of_the_last_64_accepted() -> None:
    guard = settled()
    assert guard.is_spike(10.0)
    for number in range(200):  # grows slowly to 7 times the level
        assert not guard.is_spike(1.01**number)
    assert not guard.is_spike(10.0)


def test_skipped_norms_do_not_raise_the_level() -> None:
    guard = settled()
    for _ in range(100):
        assert guard.is_spike(50.0)
        assert not guard.is_spike(1.0)


def test_a_new_level_is_accepted_after_eight_in_a_row() -> None:
    guard = settled()
    assert [guard.is_spike(50.0) for _ in range(9)] == [True] * 8 + [False]
    assert not any(guard.is_spike(50.0) for _ in range(100))
    assert guard.is_spike(201.0)


def test_without_a_factor_nothing_is_a_spike() -> None:
    guard = settled(None)
    assert not guard.is_spike(1e30)


@pytest.mark.parametrize("skipped", [0, 3, 8])
def test_a_guard_goes_on_from_json(skipped: int) -> None:
    guard, other = settled(), SpikeGuard(4.0)
    for _ in range(skipped):
        guard.is_spike(1 / 3 + 50)
    other.load_state_dict(json.loads(json.dumps(guard.state_dict())))
    later = [50.0] * 9 + [1.0 + number / 7 for number in range(80)] + [30.0]
    assert [guard.is_spike(norm) for norm in later] == [other.is_spike(norm) for norm in later]
    assert guard.state_dict() == other.state_dict()
