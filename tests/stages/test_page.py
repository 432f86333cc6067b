"""The page in a real browser, and through its API, as users meet it."""

import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mido
import music21
import pypdf
import pytest
from gradio_client import Client, handle_file
from playwright.sync_api import Page, sync_playwright

from notagen.generation.continuation import read_score
from notagen.notation.interleave import parse_interleaved
from notagen.sources.music21_corpus import corpus_folder
from tests.stages.launching import ROOT, environment, run_to_end

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    "--autoplay-policy=no-user-gesture-required",
]
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page, served on a free port."""
    place = tmp_path_factory.mktemp("page")
    command = [sys.executable, "-u", str(ROOT / "gradio_app" / "app.py"), "--no-open-browser"]
    command += ["--out", str(place / "out"), "--max-bars", "64"]
    log = place / "log"
    with (
        log.open("w") as file,
        subprocess.Popen(
            command, cwd=place, env=environment(place), stdout=file, stderr=file
        ) as process,
    ):
        deadline = time.monotonic() + 120
        while "http://" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield "http://" + log.read_text().split("http://")[1].split()[0]
        process.terminate()
        process.wait(timeout=30)
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture
def page(address: str) -> Iterator[Page]:
    """A tab; nothing may be asked of anybody but the page's own server."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        tab = browser.new_page(viewport={"width": 1400, "height": 1000}, accept_downloads=True)
        elsewhere: list[str] = []
        faults: list[str] = []
        own = (address, "data:", "blob:")
        tab.on(
            "request",
            lambda asked: elsewhere.append(asked.url) if not asked.url.startswith(own) else None,
        )
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.goto(address)
        tab.wait_for_selector("#compose")
        yield tab
        browser.close()
    assert elsewhere == []
    assert faults == []


def fill(page: Page, **fields: str) -> None:
    for label, value in fields.items():
        page.get_by_label(label, exact=True).fill(value)


def wait_for_piece(page: Page, number: int = 1) -> str:
    page.wait_for_selector(f"#status p:has-text('{number}: ')", timeout=120_000)
    page.wait_for_selector("#score audio", timeout=120_000)
    return page.inner_text("#status")


def keep(page: Page, folder: Path) -> dict[str, Path]:
    """Download all that is offered; return it by suffix."""
    found = {}
    links = page.locator("#files a[download]")
    for place in range(links.count()):
        with page.expect_download() as waited:
            links.nth(place).click()
        name = waited.value.suggested_filename
        path = folder / name
        waited.value.save_as(path)
        found[name.split(".", 1)[1]] = path
    return found


def assert_made_again(recipe: Path, abc: Path, place: Path) -> None:
    """By its recipe a piece is written again, to the byte."""
    command = [sys.executable, str(ROOT / "inference" / "generate.py"), "--no-show"]
    command += ["--repeat", str(recipe), "--out", str(place / "again")]
    again = run_to_end(command, place)
    assert again.returncode == 0, again.stderr
    (written,) = (place / "again" / "standard").iterdir()
    assert written.name == abc.name
    assert written.read_bytes() == abc.read_bytes()


def test_choose_watch_hear_and_keep(page: Page, tmp_path: Path) -> None:
    fill(page, Bars="12", Seed="5")
    before = time.monotonic()
    page.click("#compose")
    page.wait_for_selector("#score svg.page g.measure", timeout=60_000)
    assert time.monotonic() - before < 15
    assert "12 bars, seed 5" in wait_for_piece(page)
    assert page.locator("#score g.measure").count() == 12

    # it sounds as long as its MIDI, and the bar that sounds is lit
    page.wait_for_function("document.querySelector('.take audio').duration > 0")
    seconds = page.evaluate("document.querySelector('.take audio').duration")
    page.evaluate("document.querySelector('.take audio').currentTime = 3")
    page.evaluate("document.querySelector('.take audio').play()")
    page.wait_for_selector("g.measure.playing", timeout=10_000)
    page.evaluate("document.querySelector('.take audio').pause()")

    files = keep(page, tmp_path)
    assert files.keys() == {
        *("pdf", "musicxml", "mid", "wav", "abc", "interleaved.abc", "json", "zip"),
    }
    midi = mido.MidiFile(files["mid"])
    assert seconds == pytest.approx(midi.length, abs=2)
    with wave.open(str(files["wav"])) as sound:
        assert sound.getnframes() / sound.getframerate() == pytest.approx(seconds, abs=0.1)
    assert len(pypdf.PdfReader(files["pdf"]).pages) >= 1
    assert len(music21.converter.parse(files["musicxml"]).parts) >= 1

    assert_made_again(files["json"], files["abc"], tmp_path)


def test_stop_keeps_the_bars_written_so_far(page: Page, tmp_path: Path) -> None:
    fill(page, Bars="16", Seed="4")
    page.click("#compose")
    page.wait_for_selector("#score svg.page g.measure", timeout=60_000)
    page.click("#stop")
    before = time.monotonic()
    said = wait_for_piece(page)
    assert time.monotonic() - before < 30
    assert "stopped" in said
    assert 1 <= page.locator("#score g.measure").count() < 16
    files = keep(page, tmp_path)
    assert_made_again(files["json"], files["abc"], tmp_path)


def test_a_song_is_continued_note_for_note(address: str, tmp_path: Path) -> None:
    (source,) = (corpus_folder() / "schubert").glob("[Ll]indenbaum.*xml")
    client = Client(address, verbose=False, download_files=str(tmp_path))
    status, _, files, *_ = client.predict(
        score=handle_file(str(source)), first_bars=8, bars=8, seed="1", api_name="/continue"
    )
    assert "16 bars" in status, status
    (abc,) = [path for path in files if path.endswith(".interleaved.abc")]
    theirs, ours = parse_interleaved(read_score(source)), parse_interleaved(Path(abc).read_text())
    for before, after in zip(theirs.bars[:7], ours.bars[:7], strict=True):
        assert {v: bar.music for v, bar in before.items()} == {
            v: bar.music for v, bar in after.items()
        }


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
            request = urllib.request.Request(f"{address}/gradio_api/file={spelled}")  # noqa: S310
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request, timeout=10)  # noqa: S310
            assert caught.value.code in (403, 404)
            caught.value.close()
