"""The page of gradio_app/, served for a while."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

APP = Path(__file__).resolve().parents[1] / "gradio_app" / "app.py"
_SECONDS = 120.0


@contextmanager
def served(
    place: Path, *flags: str, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[str, int]]:
    """Serve the page on a free port and yield its address and process.

    Args:
        place: Folder for its files, `out/`, and what it says, `log`.
        flags: More of them.
        environment: Of its process; None for that of this one.

    Raises:
        RuntimeError: If it does not start, or has printed a traceback by the end.
    """
    log = place / "log"
    command = [sys.executable, "-u", str(APP), "--no-open-browser", "--out", str(place / "out")]
    with (
        log.open("w") as file,
        subprocess.Popen(  # noqa: S603 -- our own script
            [*command, *flags], cwd=place, env=environment, stdout=file, stderr=file
        ) as process,
    ):
        try:
            deadline = time.monotonic() + _SECONDS
            while "http://" not in log.read_text():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the page does not start: {log.read_text()}")
                time.sleep(0.1)
            yield "http://" + log.read_text().split("http://")[1].split()[0], process.pid
        finally:
            process.terminate()
            process.wait(timeout=30)
    if "Traceback" in log.read_text():
        raise RuntimeError(log.read_text())
