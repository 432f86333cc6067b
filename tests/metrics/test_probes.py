import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notagen.metrics import probes
from notagen.metrics.figures import NOTHING
from notagen.metrics.probes import probe_accuracy, probe_agreement

LABELS = ["Baroque"] * 40 + ["Classical"] * 30 + ["Romantic"] * 30
WORKS = [f"work {place // 2}" for place in range(100)]
CENTRES = {"Baroque": [3.0, 0, 0, 0], "Classical": [0, 3.0, 0, 0], "Romantic": [0, 0, 3.0, 0]}


def around(labels: list[str], noise: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.array([CENTRES[label] for label in labels])
    return (centres + noise * rng.normal(size=centres.shape)).astype(np.float32)


def test_separable_labels_are_told() -> None:
    found = probe_accuracy(around(LABELS, 0.3), LABELS, WORKS, seed=0)
    assert found.accuracy == (1, pytest.approx(0.025 ** (1 / 50)), 1, 100)
    assert found.majority.value == 0.4
    assert found.majority.low < 0.4 < found.majority.high
    assert found.classes == ("Baroque", "Classical", "Romantic")
    assert found.n_left_out == 0


def test_shuffled_labels_are_not() -> None:
    shuffled = np.random.default_rng(1).permutation(LABELS).tolist()
    # each piece a work of its own
    works = [str(place) for place in range(100)]
    found = probe_accuracy(around(LABELS, 0.3), shuffled, works, seed=0)
    assert found.accuracy.value < 0.5
    assert found.accuracy.low < found.majority.value


def test_a_work_that_is_known_by_heart_does_not_help() -> None:
    """Features tell the work, not the label: only a probe that parted works would be right."""
    rng = np.random.default_rng(2)
    works = [f"work {place // 4}" for place in range(120)]
    labels = [["a", "b"][work % 2] for work in range(30) for _ in range(4)]
    features = np.repeat(rng.normal(size=(30, 60)), 4, axis=0)
    assert probe_accuracy(features, labels, works, seed=0).accuracy.value < 0.75
    parted = [str(place) for place in range(120)]
    assert probe_accuracy(features, labels, parted, seed=0).accuracy.value > 0.95


def test_works_are_never_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    # a piece's first feature is the number of its work
    numbers = np.array([int(work.split()[1]) for work in WORKS])
    features = np.column_stack([numbers, np.random.default_rng(0).normal(size=(100, 3))])
    seen: list[set[float]] = []
    fitted = probes._fitted

    def spied(x: np.ndarray, y: np.ndarray) -> object:
        seen.append(set(x[:, 0]))
        return fitted(x, y)

    monkeypatch.setattr(probes, "_fitted", spied)
    probe_accuracy(features, LABELS, WORKS, seed=0)
    assert len(seen) == 5
    for works in seen:
        # both pieces of a work or none, and each work is left out once
        assert len(works) * 2 == np.isin(numbers, list(works)).sum() < 100
    assert all(sum(work in works for works in seen) == 4 for work in set(numbers))


def test_rare_and_missing_labels_are_left_out() -> None:
    features = around(LABELS, 0.3)
    # four works are one too few for a class
    labels = [*LABELS[:70], None, None, *["Modern"] * 8, *LABELS[80:]]
    found = probe_accuracy(features, labels, WORKS, seed=0)
    assert found.classes == ("Baroque", "Classical", "Romantic")
    assert found.n_left_out == 10
    assert found.accuracy.n == 90
    assert found.accuracy.value == 1
    labels[70:80] = ["Modern"] * 10
    assert "Modern" in probe_accuracy(features, labels, WORKS, seed=0).classes


def test_intervals_are_of_works() -> None:
    """Ten copies of each piece bring no certainty."""
    features, labels, works = around(LABELS, 2.5), np.array(LABELS), np.array(WORKS)
    ten = np.repeat(np.arange(100), 10)
    once = probe_accuracy(features, LABELS, WORKS, seed=0).majority
    often = probe_accuracy(
        features[ten], labels[ten].tolist(), works[ten].tolist(), seed=0
    ).majority
    assert often.n == 1000
    assert often.high - often.low == pytest.approx(once.high - once.low)


def test_agreement_counts_what_it_does_not_know_as_failed() -> None:
    wanted = ["Baroque"] * 6 + ["Classical"] * 2 + ["Modern"] * 2
    written = ["Baroque"] * 5 + ["Romantic"] + ["Classical"] * 2 + ["Romantic"] * 2
    found = probe_agreement(
        around(LABELS, 0.3), LABELS, WORKS, around(written, 0.3, seed=1), wanted, seed=0
    )
    assert found.agreement.value == 0.7
    assert found.agreement.n == 10
    assert found.n_unknown == 2


def test_without_two_classes_there_is_no_figure() -> None:
    features = around(LABELS, 0.3)
    labels = ["Baroque"] * 97 + ["Modern"] * 3
    found = probe_accuracy(features, labels, WORKS, seed=0)
    assert found == (NOTHING, NOTHING, ("Baroque",), 3)
    agreement = probe_agreement(features, labels, WORKS, features, labels, seed=0)
    assert agreement == (NOTHING, 3)
    assert probe_accuracy(features[:0], [], [], seed=0) == (NOTHING, NOTHING, (), 0)
    none = probe_agreement(features, LABELS, WORKS, features[:0], [], seed=0)
    assert none == (NOTHING, 0)


def test_constant_features_give_the_majority() -> None:
    found = probe_accuracy(np.ones((100, 4), dtype=np.float32), LABELS, WORKS, seed=0)
    assert found.accuracy.value == found.majority.value == 0.4


@settings(max_examples=15, deadline=None)
@given(
    pieces=st.lists(
        st.tuples(st.sampled_from("aabbc"), st.integers(0, 9)), min_size=15, max_size=50
    )
)
def test_any_labels_and_works(pieces: list[tuple[str, int]]) -> None:
    labels, works = [label for label, _ in pieces], [str(work) for _, work in pieces]
    features = np.random.default_rng(len(pieces)).normal(size=(len(pieces), 3))
    found = probe_accuracy(features, labels, works, seed=0)
    measured = len(pieces) - found.n_left_out
    assert found.accuracy.n == (measured if len(found.classes) > 1 else 0)
