import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notagen.features.scoring import (
    Labels,
    Reference,
    judge,
    judge_reference,
    read_reference,
    write_means,
)
from notagen.features.similarity import cosine, piece_scores
from notagen.foundation.errors import InputError, MissingInputError
from notagen.foundation.features import FeatureSet, write_feature, write_features_info

SONG = ("Romantic", "Schubert, Franz", "Art Song")
OTHER_SONG = ("Romantic", "Wolf, Hugo", "Art Song")
OLD_SONG = ("Baroque", "Purcell, Henry", "Art Song")
QUARTET = ("Romantic", "Schubert, Franz", "Chamber")
labels = st.sampled_from([SONG, OTHER_SONG, OLD_SONG, QUARTET, None])


def reference(*pieces: tuple[Labels | None, list[float]]) -> Reference:
    matrix = np.array([vector for _, vector in pieces], dtype=np.float32)
    names = tuple(str(place) for place in range(len(pieces)))
    return Reference(FeatureSet(names, matrix, "m3", None), tuple(known for known, _ in pieces))


def test_means_inside_means_by_hand() -> None:
    real = reference(
        (SONG, [8, 0]),
        (OTHER_SONG, [0, 4]),
        (OLD_SONG, [0, 8]),
        (QUARTET, [-4, -4]),
        (None, [1, 2]),
    )
    piece = np.array([[1.0, 0.0]])
    # all: (5, 10) / 5; songs: ((8, 12) + 2 (1, 2)) / 5; romantic: ((8, 4) + 2 (2, 3.2)) / 4;
    # Schubert's: ((8, 0) + 2 (3, 2.6)) / 3
    (found,) = judge(piece, [SONG], real, shrinkage=2)
    assert found.score == pytest.approx(cosine([1, 0], [1, 2]))
    assert found.prompt_score == pytest.approx(cosine([1, 0], [14 / 3, 5.2 / 3]))
    assert found[2:] == ("Romantic / Schubert, Franz / Art Song", 1)
    unknown: list[tuple[Labels | None, list[float], str, int]] = [
        (("Romantic", "Berg, Alban", "Art Song"), [3, 2.6], "Romantic / Art Song", 2),
        (("Modern", "Berg, Alban", "Art Song"), [2, 3.2], "Art Song", 3),
        (("Modern", "Berg, Alban", "Opera"), [1, 2], "all", 5),
        (None, [1, 2], "all", 5),
    ]
    for asked, mean, group, size in unknown:
        (found,) = judge(piece, [asked], real, shrinkage=2)
        assert found.prompt_score == pytest.approx(cosine([1, 0], mean))
        assert found[2:] == (group, size)


def test_shrinkage_from_none_to_all() -> None:
    real = reference((SONG, [8, 0]), (SONG, [4, 4]), (QUARTET, [0, 20]), (OLD_SONG, [-1, 1]))
    piece = np.array([[1.0, 0.0]])
    (alone,), (drowned,) = (judge(piece, [SONG], real, shrinkage=k) for k in (0, 1e9))
    assert alone.prompt_score == pytest.approx(cosine([1, 0], [6, 2]))
    assert drowned.prompt_score == pytest.approx(drowned.score)


@given(
    known=st.lists(labels, min_size=2, max_size=9),
    shrinkage=st.sampled_from([0.0, 0.5, 3.0]),
    seed=st.integers(0, 99),
)
def test_a_real_piece_is_judged_as_if_it_were_not_there(
    known: list[Labels | None], shrinkage: float, seed: int
) -> None:
    vectors = np.random.default_rng(seed).normal(size=(len(known), 4)) + 0.3
    pieces = list(zip(known, vectors.tolist(), strict=True))
    real = reference(*pieces)
    found = judge_reference(real, shrinkage=shrinkage)
    # without being told so, a piece that stands in the reference is known again
    again = judge(real.features.matrix, known, real, shrinkage=shrinkage)
    assert [tuple(one) for one in again] == [tuple(one) for one in found]
    for place, one in enumerate(found):
        others = reference(*pieces[:place], *pieces[place + 1 :])
        piece = real.features.matrix[[place]]
        (wanted,) = judge(piece, [known[place]], others, shrinkage=shrinkage)
        assert one[:2] == pytest.approx(wanted[:2], abs=1e-6)
        assert one[2:] == wanted[2:]


def test_pieces_that_are_not_there_are_judged_by_all() -> None:
    rng = np.random.default_rng(0)
    real = reference(*((SONG, row) for row in rng.normal(size=(6, 5)).tolist()))
    pieces = rng.normal(size=(4, 5))
    found = [one.score for one in judge(pieces, [None] * 4, real)]
    assert found == pytest.approx(piece_scores(pieces, real.features.matrix))
    # a copy but for the last digits is the piece itself, and a scaled one is another
    near = real.features.matrix[:1] * np.float32(1 + 1e-6)
    assert [
        one.group_size for one in judge(np.concatenate([near, 2 * near]), [None] * 2, real)
    ] == [5, 6]


def test_a_piece_is_known_again_by_its_name() -> None:
    rng = np.random.default_rng(1)
    real = reference(*((SONG, row) for row in rng.normal(size=(5, 4)).tolist()))
    # as another precision finds them
    coarse = real.features.matrix + rng.normal(scale=0.01, size=(5, 4))
    asked: list[Labels | None] = [SONG] * 5
    assert {one.group_size for one in judge(coarse, asked, real)} == {5}
    found = judge(coarse, asked, real, names=real.features.names)
    assert [one[2:] for one in found] == [one[2:] for one in judge_reference(real)]
    # a piece of another name may be the same all the same
    (one,) = judge(real.features.matrix[:1], [SONG], real, names=["other"])
    assert one == judge_reference(real)[0]
    # the name goes first
    (one,) = judge(real.features.matrix[:1], [SONG], real, names=["1"])
    without = real.features.matrix[[0, 2, 3, 4]]
    assert one.score == pytest.approx(cosine(without[0], without.mean(axis=0)))


def test_names_are_compared_as_prompts_are_written() -> None:
    real = reference((("Modern", "Bartók, Béla", "Chamber"), [1, 1]), (None, [0, 1]))
    (found,) = judge(np.array([[1.0, 0.0]]), [("Modern", "Bartok, Bela", "Chamber")], real)
    assert found[2:] == ("Modern / Bartok, Bela / Chamber", 1)


def test_one_piece_cannot_be_judged_by_itself() -> None:
    real = reference((SONG, [1, 2]))
    assert judge(np.array([[2.0, 1.0]]), [SONG], real)[0].score == pytest.approx(0.8)
    with pytest.raises(InputError, match="found one real piece, and that the judged one"):
        judge_reference(real)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    features = tmp_path / "features"
    write_features_info(features, extractor="m3", weights_sha256=None)
    for place, name in enumerate(("C/x_C", "Eb/x_Eb", "F/y_F", "F/z_F")):
        write_feature(features, name, [1.0, place])
    return features


Index = Callable[..., Path]


@pytest.fixture
def index(tmp_path: Path) -> Index:
    def write(*lines: dict[str, str], path: Path = tmp_path / "index.jsonl") -> Path:
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        return path

    return write


def line(path: str, known: Labels | None = None, **other: str) -> dict[str, str]:
    names = ("period", "composer", "instrumentation")
    return {"path": path, **dict(zip(names, known or (), strict=False)), **other}


def test_an_index_says_which_pieces_count(folder: Path, index: Index) -> None:
    lines = (
        line("interleaved/x", SONG, key="Eb"),
        line("interleaved/w", OTHER_SONG, key="C"),
        line("interleaved/y", key="F"),
    )
    found = read_reference(folder, index(*lines))
    assert found.features.names == ("Eb/x_Eb", "F/y_F")
    assert found.features.matrix.tolist() == [[1, 1], [1, 2]]
    assert found.labels == (SONG, None)


def test_prompts_beside_the_features(folder: Path, index: Index) -> None:
    assert read_reference(folder).labels == (None,) * 4
    index(line("F/y_F", SONG), line("C/x_C", QUARTET), path=folder / "prompts.jsonl")
    found = read_reference(folder)
    assert found.features.names == ("C/x_C", "F/y_F")
    assert found.labels == (QUARTET, SONG)


def test_an_index_of_other_pieces_is_refused(folder: Path, index: Index) -> None:
    with pytest.raises(InputError, match=r"features: found no feature of a piece of .*jsonl"):
        read_reference(folder, index(line("interleaved/w", SONG)))
    with pytest.raises(MissingInputError, match=r"absent\.jsonl is not there; data/ writes it"):
        read_reference(folder, folder / "absent.jsonl")


def test_the_digest_is_that_of_all_scores_depend_on() -> None:
    real = reference((SONG, [1, 2]), (None, [3, 4]))
    others = (
        reference((SONG, [1, 2]), (SONG, [3, 4])),
        reference((SONG, [1, 2]), (None, [3, 5])),
        dataclasses.replace(real, features=dataclasses.replace(real.features, names=("0", "2"))),
    )
    assert real.sha256 == reference((SONG, [1, 2]), (None, [3, 4])).sha256
    assert len({real.sha256, *(other.sha256 for other in others)}) == 4


def test_means_of_a_reference_give_the_same_scores(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    kinds: list[Labels | None] = [("Romantic", f"Composer {n % 3}", "Art Song") for n in range(20)]
    kinds += [("Baroque", "Bach", "Choral")] * 5 + [None] * 3
    matrix = rng.normal(size=(28, 6)).astype(np.float32)
    names = tuple(f"piece {number:02}" for number in range(28))
    reference = Reference(FeatureSet(names, matrix, "x", "abc"), tuple(kinds))
    write_means(reference, tmp_path / "reference.npz")
    means = read_reference(tmp_path / "reference.npz")
    assert len(means.labels) == 5
    assert (means.features.extractor, means.features.weights_sha256) == ("x", "abc")
    np.testing.assert_allclose(means.mean, matrix.mean(axis=0), atol=1e-6)
    # "all" is the name of a mean, and of no piece
    pieces = rng.normal(size=(9, 6)).astype(np.float32)
    (other,) = judge(pieces[:1], [None], means, names=["all"])
    assert other == judge(pieces[:1], [None], means)[0]
    asked = [*kinds[:4], *kinds[20:22], None, ("Modern", "Satie", "Art Song"), kinds[-1]]
    for one, other in zip(
        judge(pieces, asked, reference), judge(pieces, asked, means), strict=True
    ):
        assert one[:2] == pytest.approx(other[:2], abs=1e-5)
        assert one[2:] == other[2:]


DAMAGES = ("cut", "other arrays", "not finite", "nothing", "vast", "sizes")


@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_means_are_one_line(tmp_path: Path, how: str) -> None:
    path = tmp_path / "reference.npz"
    features = FeatureSet(("a", "b"), np.ones((2, 3), np.float32), "x", None)
    if how == "not finite":
        features.matrix[1, 1] = np.nan
    write_means(Reference(features, (None, ("P", "C", "I"))), path)
    if how == "cut":
        path.write_bytes(path.read_bytes()[:300])
    elif how == "other arrays":
        np.savez(path, means=np.ones((2, 3)))
    elif how == "nothing":
        path.unlink()
    elif how == "sizes":
        with np.load(path) as arrays:
            held = dict(arrays)
        np.savez(path, **held | {"sizes": np.array([1, np.nan])})
    elif how == "vast":
        with ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        vast = b"(2, 3000000000000000), }"
        head = members["means.npy"].replace(b"(2, 3), }".ljust(len(vast)), vast)
        assert head != members["means.npy"]
        with ZipFile(path, "w") as archive:
            for name, content in (members | {"means.npy": head}).items():
                archive.writestr(name, content)
    with pytest.raises((InputError, MissingInputError), match=r"reference\.npz") as caught:
        read_reference(path)
    assert "\n" not in str(caught.value)
