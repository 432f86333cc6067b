import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from notagen.foundation.errors import InputError
from notagen.foundation.files import (
    inside,
    is_fresh,
    replaced_when_done,
    sha256,
    write_bytes,
    write_text,
)


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def test_file_appears_when_the_block_is_done(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "tune.abc"
    with replaced_when_done(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == path.parent
        assert temporary.suffix == ".abc"
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "tune.abc"
    path.write_text("old")

    def fail() -> None:
        with replaced_when_done(path) as temporary:
            temporary.write_text("half")
            assert path.read_text() == "old"
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_failure_without_an_old_file_leaves_none(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "tune.abc", "a\ud800")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("umask")
def test_mode_follows_the_umask(tmp_path: Path) -> None:
    write_text(tmp_path / "tune.abc", "x")
    assert (tmp_path / "tune.abc").stat().st_mode & 0o777 == 0o640
    assert os.umask(0o027) == 0o027


def test_text_is_utf8_with_unix_line_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "é\n")
    assert (tmp_path / "a").read_bytes() == b"\xc3\xa9\n"
    write_bytes(tmp_path / "a", b"\x00\r\n")
    assert (tmp_path / "a").read_bytes() == b"\x00\r\n"


def test_fresh_is_no_older_than_any_input(tmp_path: Path) -> None:
    output, first, second = tmp_path / "out", tmp_path / "1", tmp_path / "2"
    for path in (first, second):
        path.touch()
        os.utime(path, ns=(0, 1_000_000_000))
    assert not is_fresh(output, first)
    output.touch()
    os.utime(output, ns=(0, 1_000_000_000))
    assert is_fresh(output, first, second)
    os.utime(second, ns=(0, 1_000_000_001))
    assert is_fresh(output, first)
    assert not is_fresh(output, first, second)
    assert not is_fresh(tmp_path, first)


def test_inside(tmp_path: Path) -> None:
    assert inside(tmp_path, "a/b.c") == tmp_path / "a" / "b.c"
    assert inside(tmp_path, "a/..b") == tmp_path / "a" / "..b"
    for outside in ("..", "../a", "a/../../b", "a/..", "/etc/passwd"):
        with pytest.raises(InputError) as caught:
            inside(tmp_path, outside)
        assert str(caught.value) == f"{outside!r} leads out of {tmp_path}; wanted a path inside it"


def test_sha256_of_the_standard_example(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-4, example 1
    assert sha256(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
