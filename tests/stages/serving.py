"""The page of gradio_app/, served for tests, and its pieces made again."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import serving
from tests.stages.launching import ROOT, environment, run_to_end


@contextmanager
def served(place: Path) -> Iterator[str]:
    """Serve the page on a free port and yield its address; `place`/out receives its files."""
    with serving.served(place, environment=environment(place)) as (address, _):
        yield address


def assert_made_again(recipe: Path, abc: Path, place: Path) -> None:
    """By its recipe a piece is written again, to the byte."""
    command = [sys.executable, str(ROOT / "inference" / "generate.py"), "--no-show"]
    command += ["--repeat", str(recipe), "--out", str(place / "again")]
    again = run_to_end(command, place)
    assert again.returncode == 0, again.stderr
    (written,) = (place / "again" / "standard").iterdir()
    assert written.name == abc.name
    assert written.read_bytes() == abc.read_bytes()
