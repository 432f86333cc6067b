import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from notagen.foundation.errors import InputError
from notagen.model.hub import PublishedFile, download
from tests.model.hub_server import Hub, local_hub

WANTED = PublishedFile("Some/Weights", "a model.pth")
CONTENT = hashlib.shake_256(b"weights").digest(50_000)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    state = Hub(CONTENT)
    with local_hub(state, tmp_path / "hub"):
        yield state


def files(folder: Path) -> list[str]:
    """Return the names of the files with content in the hub's cache."""
    return sorted(path.name for path in folder.glob("hub/models--*/blobs/*"))


def refusal(wanted: PublishedFile = WANTED) -> str:
    with pytest.raises(InputError) as caught:
        download(wanted)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_is_downloaded_once(hub: Hub, tmp_path: Path) -> None:
    path = download(WANTED)
    assert path.read_bytes() == CONTENT
    assert path.name == WANTED.file
    assert files(tmp_path) == [hub.digest]
    assert WANTED.url.endswith("/Some/Weights/resolve/main/a%20model.pth")
    hub.asked.clear()
    assert download(WANTED) == path
    assert hub.asked == []


def test_the_hub_s_own_client_finds_it_too(hub: Hub) -> None:
    path = download(WANTED)
    assert huggingface_hub.hf_hub_download(WANTED.repository, WANTED.file) == str(path)
    assert len(hub.contents()) == 1


def test_what_is_in_the_cache_needs_no_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    path = download(WANTED)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert download(WANTED) == path
    message = refusal(PublishedFile("Some/Weights", "other.pth"))
    assert message.startswith("other.pth of Some/Weights could not be downloaded: ")
    assert "HF_HUB_OFFLINE" in message


@pytest.mark.parametrize("ranges", [206, 200], ids=["ranges", "no ranges"])
def test_a_broken_connection_is_gone_on_with(hub: Hub, ranges: int) -> None:
    hub.cut, hub.cut_status = 20_000, ranges
    assert download(WANTED).read_bytes() == CONTENT
    assert hub.contents() == ["GET /content", "GET /content bytes=20000-"]


def test_a_stopped_download_goes_on_in_the_next_run(hub: Hub, tmp_path: Path) -> None:
    hub.cut, hub.cut_status = 20_000, 500
    assert "the server answered 500; run it again" in refusal()
    assert files(tmp_path) == [f"{hub.digest}.incomplete"]
    hub.asked.clear()
    hub.cut_status = 206
    assert download(WANTED).read_bytes() == CONTENT
    assert hub.contents() == ["GET /content bytes=20000-"]
    assert files(tmp_path) == [hub.digest]


@pytest.mark.parametrize("size", [100, len(CONTENT), len(CONTENT) + 1])
def test_a_damaged_start_is_not_built_upon(hub: Hub, tmp_path: Path, size: int) -> None:
    part = tmp_path / "hub" / "models--Some--Weights" / "blobs" / f"{hub.digest}.incomplete"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(size))
    if size <= len(CONTENT):
        assert "found a file of SHA-256" in refusal()
    assert download(WANTED).read_bytes() == CONTENT


def test_a_corrupt_file_is_refused_and_gone(hub: Hub, tmp_path: Path) -> None:
    hub.content = bytes(1) + CONTENT[1:]
    found = hashlib.sha256(hub.content).hexdigest()
    assert refusal() == (
        f"{WANTED.url}: found a file of SHA-256 {found}, wanted {hub.digest}; it was removed, run "
        "it again to download it anew"
    )
    assert files(tmp_path) == []
    hub.content = CONTENT
    assert download(WANTED).read_bytes() == CONTENT


def test_a_file_without_a_checksum_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.digest = "0" * 40  # of git, for files that it holds itself
    assert "found no SHA-256 named by the hub" in refusal()
    assert hub.contents() == []


@pytest.mark.parametrize("status", [401, 403, 404, 503])
def test_refusals_say_what_to_do(hub: Hub, status: int) -> None:
    hub.status = status
    assert refusal() == (
        f"a model.pth of Some/Weights could not be downloaded: the server answered {status}; run "
        f"it again, or download {WANTED.url} by hand and give the file's path"
    )


def test_no_network_is_one_line(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    template = "http://127.0.0.1:1/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    assert "could not be downloaded: " in refusal()
    assert hub.asked == []


def test_a_full_disk_is_one_line(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fill(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("notagen.model.hub.http_get", fill)
    assert "No space left on device; run it again" in refusal()
    (tmp_path / "hub" / "models--Some--Weights").rename(tmp_path / "moved")
    (tmp_path / "hub" / "models--Some--Weights").write_text("no folder")
    assert "could not be downloaded: " in refusal()


def test_those_who_come_at_once_share_one_download(hub: Hub) -> None:
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(download, [WANTED] * 4))
    assert len(set(paths)) == 1
    assert paths[0].read_bytes() == CONTENT
    assert hub.contents() == ["GET /content"]
