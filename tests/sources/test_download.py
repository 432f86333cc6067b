import hashlib
import urllib.request
from email.message import Message
from pathlib import Path

import pytest

from notagen.foundation.errors import InputError
from notagen.sources.download import _NeverLessSafe, download, unpack
from tests.sources.web import server, zipped


def test_what_arrives_is_what_was_sent(tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000  # more than one chunk
    with server({"/a": content}) as (address, _):
        digest = download(f"{address}/a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == content
    assert digest == hashlib.sha256(content).hexdigest()


def test_half_an_answer_leaves_no_file(tmp_path: Path) -> None:
    with (
        server({"/a": b"abc"}, missing_bytes=5) as (address, _),
        pytest.raises(InputError, match="found 3 of 8 bytes"),
    ):
        download(f"{address}/a", tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_too_much_is_not_taken(tmp_path: Path) -> None:
    with (
        server({"/a": b"abcd"}) as (address, _),
        pytest.raises(InputError, match="more than 3 bytes"),
    ):
        download(f"{address}/a", tmp_path / "a", max_bytes=3)
    assert list(tmp_path.iterdir()) == []


def test_servers_that_refuse_are_one_line(tmp_path: Path) -> None:
    with (
        server({}) as (address, _),
        pytest.raises(InputError, match="the server answered 404 Not Found"),
    ):
        download(f"{address}/a", tmp_path / "a")
    with pytest.raises(InputError, match="cannot be reached"):
        download(f"{address}/a", tmp_path / "a")  # gone by now
    with pytest.raises(InputError, match="wanted an address that begins with"):
        download("file:///etc/passwd", tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_redirects_are_followed_but_not_out_of_https(tmp_path: Path) -> None:
    with server({"/b": b"abc"}, redirects={"/a": "/b", "/c": "ftp://127.0.0.1/b"}) as (address, _):
        download(f"{address}/a", tmp_path / "a")
        with pytest.raises(InputError, match=r"/c: leads to ftp://127\.0\.0\.1/b; wanted http://"):
            download(f"{address}/c", tmp_path / "c")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    request = urllib.request.Request("https://a.org/x")
    follow = _NeverLessSafe().redirect_request
    followed = follow(request, None, 302, "", Message(), "https://b.org/x")
    assert followed is not None
    assert followed.full_url == "https://b.org/x"
    with pytest.raises(InputError, match=r"leads to http://b\.org/x; wanted https://"):
        follow(request, None, 302, "", Message(), "http://b.org/x")


def scores(path: str) -> bool:
    return path.endswith(".mxl")


def put(tmp_path: Path, content: bytes) -> Path:
    archive = tmp_path / "a.zip"
    archive.write_bytes(content)
    return archive


def test_wanted_files_are_unpacked(tmp_path: Path) -> None:
    archive = put(tmp_path, zipped({"a/b.mxl": b"1", "c é.mxl": b"22", "README.md": b"3"}))
    assert unpack(archive, tmp_path / "out", wanted=scores) == 2
    files = {p.relative_to(tmp_path / "out"): p.read_bytes() for p in tmp_path.rglob("*.mxl")}
    assert files == {Path("a/b.mxl"): b"1", Path("c é.mxl"): b"22"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "out"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (zipped({"../../evil.mxl": b"x"}), "leads out of"),
        (zipped({"/etc/evil.mxl": b"x"}), "leads out of"),
        (zipped({"..\\evil.mxl": b"x"}), "leads out of"),
        (zipped({"a.mxl": bytes(1001)}), "more bytes than are taken"),
        (zipped({f"{i}.mxl": bytes(900) for i in range(4)}), "more bytes than are taken"),
        (zipped({"README.md": b"x"}), "found no score in it"),
        (b"no zip", "damaged archive"),
        (zipped({"a.mxl": b"x" * 500})[:-30], "damaged archive"),
    ],
)
def test_bad_archives_leave_nothing(content: bytes, said: str, tmp_path: Path) -> None:
    archive = put(tmp_path, content)
    with pytest.raises(InputError, match=said) as caught:
        unpack(archive, tmp_path / "out", wanted=scores, max_file=1000, max_unpacked=3000)
    assert str(caught.value).startswith(f"{archive}: ")
    assert list(tmp_path.iterdir()) == [archive]


def test_a_member_that_cannot_be_unpacked_is_one_line(tmp_path: Path) -> None:
    content = bytearray(zipped({"a.mxl": 400 * b"abc"}))
    start = content.index(b"a.mxl") + len("a.mxl")
    content[start : start + 6] = 6 * b"\xff"
    with pytest.raises(InputError, match=r"damaged archive: .*invalid block type"):
        unpack(put(tmp_path, bytes(content)), tmp_path / "out", wanted=scores)
    assert not (tmp_path / "out").exists()


def test_a_damaged_member_is_found_by_its_checksum(tmp_path: Path) -> None:
    content = zipped({"a.mxl": bytes(range(256))}).replace(bytes(range(9)), bytes(range(1, 10)), 1)
    with pytest.raises(InputError, match="damaged archive"):
        unpack(put(tmp_path, content), tmp_path / "out", wanted=scores)
    assert not (tmp_path / "out").exists()
