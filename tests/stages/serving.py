"""The page of gradio_app/, served for tests."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.stages.launching import ROOT, environment, run_to_end


@contextmanager
def served(place: Path) -> Iterator[str]:
    """Serve the page on a free port and yield its address; `place`/out receives its files."""
    command = [sys.executable, "-u", str(ROOT / "gradio_app" / "app.py"), "--no-open-browser"]
    command += ["--out", str(place / "out"), "--max-bars", "64"]
    log = place / "log"
    with (
        log.open("w") as file,
        subprocess.Popen(
            command, cwd=place, env=environment(place), stdout=file, stderr=file
        ) as process,
    ):
        try:
            deadline = time.monotonic() + 120
            while "http://" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield "http://" + log.read_text().split("http://")[1].split()[0]
        finally:
            process.terminate()
            process.wait(timeout=30)
    assert "Traceback" not in log.read_text(), log.read_text()


def assert_made_again(recipe: Path, abc: Path, place: Path) -> None:
    """By its recipe a piece is written again, to the byte."""
    command = [sys.executable, str(ROOT / "inference" / "generate.py"), "--no-show"]
    command += ["--repeat", str(recipe), "--out", str(place / "again")]
    again = run_to_end(command, place)
    assert again.returncode == 0, again.stderr
    (written,) = (place / "again" / "standard").iterdir()
    assert written.name == abc.name
    assert written.read_bytes() == abc.read_bytes()
