"""The page's endpoints, through its client and as requests that mean harm."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client, handle_file

from tests.page.hostile import HOSTILE
from tests.stages.launching import ROOT
from tests.stages.serving import assert_made_again, served

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def address(place: Path) -> Iterator[str]:
    """The page, served on a free port."""
    with served(place) as address:
        yield address


def test_the_api_is_named_and_gives_files(address: str, tmp_path: Path) -> None:
    client = Client(address, verbose=False, download_files=str(tmp_path))
    names = client.view_api(print_info=False, return_format="dict")["named_endpoints"]
    assert set(names) == {
        *("/compose", "/continue", "/write_on", "/stop", "/engrave", "/show", "/compare"),
    }
    result: Any = client.predict(bars=4, seed="2", api_name="/compose")
    status, score, files = result[:3]
    assert "4 bars, seed 2" in status
    assert score.count('class="measure"') == 4
    (recipe,) = [path for path in files if path.endswith(".json")]
    assert json.loads(Path(recipe).read_text())["seed"] == 2
    (abc,) = [path for path in files if path.endswith("1.abc")]
    assert_made_again(Path(recipe), Path(abc), tmp_path)
    shown = client.predict(
        first_bars=2, bars=3, seed="3", chosen=result[5]["value"], api_name="/write_on"
    )
    assert "5 bars, seed 3" in shown[0]
    text = shown[3].replace("[V:1]", "[V:1]c", 1)
    wrong = client.predict(abc=text, api_name="/engrave")
    assert "bar 1" in wrong[0]


def test_what_is_uploaded_is_never_shown(address: str) -> None:
    # an HTML page on the page's own address could do whatever its user can
    boundary = "xyz"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="x.html"\r\n'
        f"Content-Type: text/html\r\n\r\n<script>alert(1)</script>\r\n--{boundary}--\r\n"
    )
    request = urllib.request.Request(  # noqa: S310
        f"{address}/gradio_api/upload",
        data=body.encode(),
        headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        (path,) = json.load(answer)
    with urllib.request.urlopen(f"{address}/gradio_api/file={path}", timeout=10) as answer:  # noqa: S310
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert "html" not in answer.headers["Content-Type"]


def test_nothing_but_sessions_is_served(address: str) -> None:
    for path in ("/etc/passwd", str(ROOT / "README.md"), str(ROOT / "gradio_app" / "app.py")):
        for spelled in (path, path.replace("/", "%2F"), f"x/../../../../../..{path}"):
            for way in ("file=", "file/"):
                request = urllib.request.Request(f"{address}/gradio_api/{way}{spelled}")  # noqa: S310
                with pytest.raises(urllib.error.HTTPError) as caught:
                    urllib.request.urlopen(request, timeout=10)  # noqa: S310
                assert caught.value.code in (403, 404)
                caught.value.close()


@pytest.mark.parametrize("name", HOSTILE)
def test_an_upload_that_means_harm_gets_one_line(
    address: str, place: Path, tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    file.write_bytes(HOSTILE[name])
    before = {path.name for path in place.iterdir()}
    client = Client(address, verbose=False, download_files=str(tmp_path / "down"))
    status = client.predict(score=handle_file(str(file)), bars=4, seed="1", api_name="/continue")[0]
    assert status.count("<") == 2  # a paragraph, and no tag of the upload's
    assert len(status) < 500
    assert status.startswith(f"<p>{name}: "), status
    assert "root:" not in status
    assert str(place) not in status
    assert {path.name for path in place.iterdir()} == before


def post(url: str, body: bytes, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(  # noqa: S310
        url, data=body, headers={name.replace("_", "-"): said for name, said in headers.items()}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def form(name: str, content: bytes) -> tuple[bytes, str]:
    head = f'--xyz\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    return head.encode() + content + b"\r\n--xyz--\r\n", "multipart/form-data; boundary=xyz"


@pytest.mark.parametrize(
    "name", ["../../../x.abc", "/etc/cron.d/x.abc", "..%2Fx.abc", "a\\..\\x.abc"]
)
def test_a_file_name_is_no_path(address: str, place: Path, name: str) -> None:
    body, kind = form(name, b"X:1\n")
    code, said = post(f"{address}/gradio_api/upload", body, Content_Type=kind)
    assert code == 200
    (path,) = json.loads(said)
    assert Path(path).resolve().is_relative_to((place / "out" / "served").resolve())


def test_what_is_too_large_is_refused(address: str, place: Path) -> None:
    before = set((place / "out").rglob("*"))
    for size in (2_100_000, 30_000_000):
        body, kind = form("x.abc", bytes(size))
        code, said = post(f"{address}/gradio_api/upload", body, Content_Type=kind)
        assert code == 413
        assert len(said) < 200
    kept = [path for path in (place / "out").rglob("*") if path.is_file() and path not in before]
    assert kept == []
    # nor is much read of a request that is no upload
    body = b'{"data": ["' + bytes(9_000_000).replace(b"\0", b"x") + b'"]}'
    code, _ = post(f"{address}/gradio_api/call/engrave", body, Content_Type="application/json")
    assert code == 413


def test_no_address_is_fetched(address: str) -> None:
    for start in ("file=", "file/", "proxy="):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{address}/gradio_api/{start}http://192.0.2.1/x", timeout=10)  # noqa: S310
        assert caught.value.code == 403
        caught.value.close()
    named = {"path": "https://192.0.2.1/x.abc", "meta": {"_type": "gradio.FileData"}}
    deep = b"[" * 100_000 + b"]" * 100_000
    for body in (json.dumps({"data": [named, 8, 0]}).encode(), deep):
        before = time.monotonic()
        code, said = post(
            f"{address}/gradio_api/call/continue", body, Content_Type="application/json"
        )
        assert code == 400
        assert "wanted" in said
        assert time.monotonic() - before < 5


def test_another_host_is_refused(address: str) -> None:
    for host, wanted in (("evil.example", 400), ("localhost:7860", 200)):
        request = urllib.request.Request(f"{address}/config", headers={"Host": host})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                assert answer.status == wanted
        except urllib.error.HTTPError as error:
            assert error.code == wanted  # noqa: PT017
            error.close()


def test_of_a_session_s_files_sound_alone_is_shown(address: str, tmp_path: Path) -> None:
    client = Client(address, verbose=False, download_files=str(tmp_path))
    score = client.predict(bars=2, seed="6", api_name="/compose")[1]
    path = score.split("/gradio_api/file=")[1].split('"')[0]
    with urllib.request.urlopen(f"{address}/gradio_api/file={path}", timeout=10) as answer:  # noqa: S310
        assert answer.headers["Content-Type"].startswith("audio/")
    piece = Path(path).parents[1]
    (drawing,) = (piece / "svg").rglob("*.svg")
    for name in (f"={drawing}", f"/{drawing}", f"={piece}/wav/../{drawing.relative_to(piece)}"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{address}/gradio_api/file{name}", timeout=10)  # noqa: S310
        assert caught.value.code == 403
        caught.value.close()


def test_fields_of_any_kind_get_one_line(address: str) -> None:
    client = Client(address, verbose=False)
    for field, value, said in [
        ("bars", -3, "bars: found -3, wanted a whole number from 1 to 256"),
        ("bars", 2.5, "bars"),
        ("model", "x" * 5000, "model: found no name"),
        ("model", "x" * 500, "File name too long"),
        ("model", "nowhere", "nowhere is not there"),
        ("seed", "seven", "seed: found"),
        ("composer", "", "wanted period, composer and instrumentation, or none of them"),
    ]:
        status = client.predict(**{field: value}, api_name="/compose")[0]
        assert said in status, (field, value, status)
        assert status.count("<") == 2
