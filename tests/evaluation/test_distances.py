from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from notagen.evaluation.distances import LABELS, STATISTICS, Featured, distance_figures, featured
from notagen.evaluation.pieces import Measured, PieceFile
from notagen.foundation.errors import InputError
from notagen.foundation.features import (
    FeatureSet,
    read_features,
    write_feature,
    write_features_info,
)
from notagen.generation.prompts import Prompt
from notagen.metrics.notes import ScoreNote
from notagen.metrics.statistics import piece_statistics, statistics_features

BAROQUE = Prompt("Baroque", "Bach, Johann Sebastian", "Choral")
ROMANTIC = Prompt("Romantic", "Schubert, Franz", "Art Song")


def piece(name: str, prompt: Prompt | None = None) -> PieceFile:
    return PieceFile(name=name, path=None, work=name, prompt=prompt)


def measured(name: str, pitch: int | None = 60) -> Measured:
    notes = [] if pitch is None else [ScoreNote("1", 1, 0, pitch, 1)]  # type: ignore[arg-type]
    statistics = None if pitch is None else piece_statistics(notes, 1)
    return Measured(piece=piece(name), statistics=statistics)


def cloud(
    centre: float, n: int = 20, *, seed: int, prompt: Prompt | None = None, sha256: str = "ab12"
) -> Featured:
    """Return n pieces of one style, their features scattered round (centre, 0, 0)."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal((centre, 0, 0), size=(n, 3)).astype(np.float32)
    pieces = [piece(f"{seed}/{number}", prompt) for number in range(n)]
    names = tuple(one.name for one in pieces)
    return Featured(pieces, FeatureSet(names, matrix, "clamp", sha256), [])


def joined(*sets: Featured, n_without: int = 0) -> Featured:
    pieces = [one for featured in sets for one in featured.pieces]
    matrix = np.concatenate([featured.matrix for featured in sets])
    names = tuple(one.name for one in pieces)
    without = [piece(f"without {number}", BAROQUE) for number in range(n_without)]
    return Featured(pieces, FeatureSet(names, matrix, "clamp", "ab12"), without)


def write_folder(folder: Path, names: Sequence[str], extractor: str = "clamp") -> Path:
    write_features_info(folder, extractor=extractor, weights_sha256="ab12")
    for number, name in enumerate(names):
        write_feature(folder, name, np.array([number, 1.0]))
    return folder


def test_features_of_the_notes() -> None:
    found = featured([measured("a"), measured("b", None), measured("c", 72)], None)
    assert [one.name for one in found.pieces] == ["a", "c"]
    assert [one.name for one in found.without] == ["b"]
    assert found.features.extractor == STATISTICS
    statistics = measured("c", 72).statistics
    assert statistics is not None
    np.testing.assert_allclose(found.matrix[1], statistics_features(statistics), rtol=1e-6)
    nothing = featured([measured("b", None)], None)
    assert (nothing.pieces, len(nothing.without)) == ([], 1)


def test_features_of_a_folder_are_found_by_whole_name_last_part_and_without_key(
    tmp_path: Path,
) -> None:
    folder = write_folder(tmp_path, ["in/a", "b_F#", "c", "in/other"])
    pieces = [measured(name) for name in ("interleaved/c", "in/a", "interleaved/b", "x")]
    found = featured(pieces, read_features(folder))
    rows = {one.name: row[0] for one, row in zip(found.pieces, found.matrix, strict=True)}
    # rows lie in the folder by name: b_F#, c, in/a, in/other
    assert rows == {"interleaved/c": 2, "in/a": 0, "interleaved/b": 1}
    assert [one.name for one in found.without] == ["x"]
    assert found.features.extractor == "clamp"
    assert found.features.weights_sha256 == "ab12"


def test_a_folder_without_features_of_these_pieces(tmp_path: Path) -> None:
    others = read_features(write_folder(tmp_path, ["other"]))
    with pytest.raises(InputError, match="found no feature of a or the others"):
        featured([measured("a")], others)


def test_sets_of_one_kind_and_of_another() -> None:
    reference = cloud(0, 60, seed=1)
    same = distance_figures(cloud(0, 60, seed=2), reference, None, seed=0)
    far = distance_figures(cloud(5, 60, seed=2), reference, None, seed=0)
    assert same["frechet"].keys() == {"mle", "shrinkage", "ledoit-wolf", "oas"}
    near = same["frechet"]["mle"]["infinity"]
    assert near.low < 0 < near.high
    # 5 apart on one axis, else the same
    assert far["frechet"]["mle"]["infinity"].low < 25 < far["frechet"]["mle"]["infinity"].high
    assert same["diversity"]["generations"].n == 60
    assert "copying" not in same
    assert (same["extractor"], same["weights_sha256"]) == ("clamp", "ab12")


def test_few_pieces_say_nothing_of_endless_samples() -> None:
    few, many = cloud(0, 49, seed=1), cloud(0, 60, seed=2)
    for pair in ((few, many), (many, few)):
        found = distance_figures(*pair, None, seed=0)["frechet"]["mle"]
        assert found["distance"].n == len(pair[0].pieces)
        assert (found["infinity"].n, found["bend"]) == (0, None)


def test_copies_are_looked_for_among_the_pieces_learned_from() -> None:
    learned, reference = cloud(0, seed=1), cloud(0, seed=2)
    found = distance_figures(learned, reference, learned, seed=0)["copying"]
    assert found["generations"]["copied"].value == 1
    assert found["reference"]["copied"].value < 1
    empty = Featured([], FeatureSet((), learned.matrix[:0], "clamp", "ab12"), [piece("x")])
    assert "copying" not in distance_figures(reference, reference, empty, seed=0)


def test_probes_tell_whether_a_style_is_as_asked_for() -> None:
    reference = joined(cloud(-4, seed=1, prompt=BAROQUE), cloud(4, seed=2, prompt=ROMANTIC))
    right = joined(cloud(-4, seed=3, prompt=BAROQUE), cloud(4, seed=4, prompt=ROMANTIC))
    wrong = joined(cloud(-4, seed=3, prompt=ROMANTIC), cloud(4, seed=4, prompt=BAROQUE))
    for label in LABELS:
        probe = distance_figures(right, reference, None, seed=0)["probes"][label]
        assert probe["classes"] == 2
        assert probe["accuracy"].value > 0.95
        assert probe["majority"].value == 0.5
        assert probe["agreement"].value > 0.95
        probe = distance_figures(wrong, reference, None, seed=0)["probes"][label]
        assert probe["agreement"].value < 0.05


def test_a_piece_without_features_fails_every_probe() -> None:
    reference = joined(cloud(-4, seed=1, prompt=BAROQUE), cloud(4, seed=2, prompt=ROMANTIC))
    generated = joined(cloud(-4, seed=3, prompt=BAROQUE), n_without=20)
    found = distance_figures(generated, reference, None, seed=0)
    agreement = found["probes"]["composer"]["agreement"]
    assert agreement.n == 40
    assert 0.45 < agreement.value <= 0.5
    assert found["without_features"] == {"generations": 20, "reference": 0}


def test_pieces_without_labels_have_no_agreement() -> None:
    unlabelled = cloud(0, seed=1)
    reference = joined(cloud(-4, seed=1, prompt=BAROQUE), cloud(4, seed=2, prompt=ROMANTIC))
    probe = distance_figures(unlabelled, reference, None, seed=0)["probes"]["period"]
    assert "agreement" not in probe
    assert probe["accuracy"].n == 40
    probe = distance_figures(unlabelled, unlabelled, None, seed=0)["probes"]["period"]
    assert (probe["accuracy"].n, probe["n_left_out"], probe["classes"]) == (0, 20, 0)


def test_sets_without_any_features() -> None:
    some, none = featured([measured("a")], None), featured([measured("b", None)], None)
    for generated, reference in ((some, none), (none, some), (none, none)):
        found = distance_figures(generated, reference, None, seed=0)
        assert "frechet" not in found
        assert found["without_features"]["generations"] == len(generated.without)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_very_few_pieces(n: int) -> None:
    found = distance_figures(cloud(0, n, seed=1), cloud(0, n, seed=2), None, seed=0)
    assert found["frechet"]["mle"]["distance"].n == (0 if n < 2 else n)
    assert found["diversity"]["generations"].n == (0 if n < 2 else n)


def test_features_of_two_extractors_are_not_compared() -> None:
    with pytest.raises(InputError, match="wanted them of one extractor"):
        distance_figures(cloud(0, seed=1), cloud(0, seed=2, sha256="cd34"), None, seed=0)
