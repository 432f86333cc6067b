import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notagen.foundation.errors import InputError, MissingInputError
from notagen.foundation.features import (
    FeatureSet,
    FeaturesInfo,
    check_made_by,
    check_same_extractor,
    read_features,
    read_features_info,
    write_feature,
    write_features_info,
)

SHA256 = "0123456789abcdef" * 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_features_info(tmp_path, extractor="m3", weights_sha256=SHA256)
    write_feature(tmp_path, "b", [1.0, 2.0, 3.0])
    return tmp_path


def test_what_is_written_is_read(folder: Path) -> None:
    write_feature(folder, "a/x.y", np.array([[4.0, 5.0, 6.0]]))
    write_feature(folder, "c", [7, 8, 9])
    found = read_features(folder)
    assert found.names == ("a/x.y", "b", "c")
    assert found.matrix.dtype == np.float32
    assert found.matrix.tolist() == [[4, 5, 6], [1, 2, 3], [7, 8, 9]]
    assert (found.extractor, found.weights_sha256) == ("m3", SHA256)


def test_a_file_is_as_published_extractors_write_it(folder: Path) -> None:
    row = np.load(folder / "b.npy", allow_pickle=False)
    assert (row.shape, row.dtype) == ((1, 3), np.float32)
    assert json.loads((folder / "features.json").read_text()) == {
        "extractor": "m3",
        "weights_sha256": SHA256,
    }


def test_more_may_be_known_of_a_folder(folder: Path) -> None:
    assert read_features_info(folder) == FeaturesInfo(extractor="m3", weights_sha256=SHA256)
    known = {"extractor": "m3", "weights_sha256": None, "precision": "int8", "input": "../in"}
    write_features_info(folder, **known)
    assert read_features_info(folder) == FeaturesInfo(**known)


def test_a_stopped_write_is_passed_over(folder: Path) -> None:
    (folder / ".b-x1y2.part.npy").write_bytes(b"half")
    assert read_features(folder).names == ("b",)


def test_nothing_is_left_of_a_failed_write(folder: Path) -> None:
    before = sorted(folder.iterdir())
    for vector in ([np.nan, 1.0], [np.inf], [], [[1.0], [2.0]], np.ones((1, 1, 2))):
        with pytest.raises(InputError, match=r"c\.npy: found"):
            write_feature(folder, "c", vector)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "", ".x", "a/", "a/.x"])
def test_names_that_lead_out_or_are_never_read(folder: Path, name: str) -> None:
    with pytest.raises(InputError):
        write_feature(folder, name, [1.0])
    assert read_features(folder).names == ("b",)


def test_missing_folder_and_info(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"features\.json is not there"):
        read_features(tmp_path / "none")


def test_empty_folder(tmp_path: Path) -> None:
    write_features_info(tmp_path, extractor="m3", weights_sha256=None)
    with pytest.raises(InputError, match=r"holds no \.npy file"):
        read_features(tmp_path)


@pytest.mark.parametrize(
    "info",
    [
        b"",
        b"[]",
        b"{}",
        b'{"extractor": 3}',
        b'{"extractor": "m3", "weights_sha256": 3}',
        b'{"extractor": "m3", "weights_sha256": null, "precision": 3}',
        b'{"extractor": "m3", "input": []}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_broken_info(folder: Path, info: bytes) -> None:
    (folder / "features.json").write_bytes(info)
    with pytest.raises(InputError, match=r"features\.json: found") as refused:
        read_features(folder)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "array",
    [
        np.ones(3, dtype=np.float32),
        np.ones((2, 3), dtype=np.float32),
        np.ones((1, 3)),
        np.ones((1, 4), dtype=np.float32),
        np.ones((1, 0), dtype=np.float32),
        np.full((1, 3), np.nan, dtype=np.float32),
        np.array([[np.inf, 1, 1]], dtype=np.float32),
        np.ones((1, 3), dtype=">f4"),
        np.array([["a", "b", "c"]]),
    ],
)
def test_arrays_that_are_no_feature(folder: Path, array: np.ndarray) -> None:
    np.save(folder / "c.npy", array)
    with pytest.raises(InputError, match=r"c\.npy: found"):
        read_features(folder)


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return pytest.fail, ("a pickle was opened",)


def test_pickles_are_not_opened(folder: Path) -> None:
    (folder / "c.npy").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError, match=r"c\.npy: found no readable array"):
        read_features(folder)
    np.save(folder / "c.npy", np.array([[Trap()]], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"c\.npy: found no readable array"):
        read_features(folder)


def test_a_shape_beyond_the_file_asks_for_no_memory(folder: Path) -> None:
    content = (folder / "b.npy").read_bytes()
    vast = content.replace(b"(1, 3), }            ", b"(1, 3000000000000), }")
    assert len(vast) == len(content)
    assert vast != content
    (folder / "c.npy").write_bytes(vast)
    with pytest.raises(InputError, match=r"c\.npy: found no readable array"):
        read_features(folder)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 127), content=st.binary(max_size=40), cut=st.booleans())
def test_damaged_files_are_read_or_refused(
    folder: Path, place: int, content: bytes, cut: bool
) -> None:
    sound = (folder / "b.npy").read_bytes()
    rest = b"" if cut else sound[place + len(content) :]
    (folder / "c.npy").write_bytes(sound[:place] + content + rest)
    try:
        assert np.isfinite(read_features(folder).matrix).all()
    except InputError as refused:
        assert "c.npy: found" in str(refused)  # noqa: PT017 - both ends are right


def features(extractor: str, weights: str | None, width: int) -> FeatureSet:
    return FeatureSet(("a",), np.ones((1, width), dtype=np.float32), extractor, weights)


def test_sets_of_one_extractor() -> None:
    check_same_extractor(*[features("m3", SHA256, 4)] * 3)
    check_same_extractor(features("m3", None, 4))
    # the folder of the weights was renamed
    check_same_extractor(features("m3", SHA256, 4), features("m4", SHA256, 4))
    check_made_by(features("m3", SHA256, 4), "m4", SHA256)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("m3", SHA256), ("m3", SHA256[::-1])),
        (("m3", SHA256), ("m3", None)),
        (("m3", None), ("m3", SHA256)),
        (("m3", None), ("m4", None)),
    ],
)
def test_features_of_another_extractor(
    one: tuple[str, str | None], other: tuple[str, str | None]
) -> None:
    with pytest.raises(InputError, match=rf"of {one[0]} \(weights {one[1]}\), wanted those of "):
        check_made_by(features(*one, 4), *other)
    with pytest.raises(InputError, match="wanted them of one extractor"):
        check_same_extractor(features(*one, 4), features(*other, 4))


@pytest.mark.parametrize(
    "other",
    [features("clamp", "ab", 4), features("m3", None, 4), features("m3", SHA256, 8)],
)
def test_sets_of_two_extractors(other: FeatureSet) -> None:
    with pytest.raises(InputError, match=r"found features of m3 .*width 4.* and of ") as refused:
        check_same_extractor(features("m3", SHA256, 4), features("m3", SHA256, 4), other)
    assert other.extractor in str(refused.value).split(" and of ")[1]
