"""The page under several sessions at once: faults, mixed-up pieces, and memory.

    python -m benchmarks.page [--sessions 4] [--minutes 5]

Starts the page on a free port. Each session writes short pieces one after another, with seeds of
its own, and checks that what it gets is what it asked for. Memory is the peak of the page's
processes together, looked at once a second.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from gradio_client import Client

from benchmarks.report import table

ROOT = Path(__file__).resolve().parents[1]
MIB = 2**20


class Session(threading.Thread):
    """Somebody who has one piece after another written."""

    def __init__(self, address: str, number: int, until: float, folder: Path) -> None:
        super().__init__()
        self.client = Client(address, verbose=False, download_files=str(folder))
        self.number, self.until = number, until
        self.pieces = 0
        self.faults: list[str] = []
        self.seconds: list[float] = []

    def run(self) -> None:
        """Write until the time is up."""
        while time.monotonic() < self.until:
            seed = 1000 * self.number + self.pieces
            start = time.monotonic()
            try:
                self._write(seed)
            except Exception as error:  # noqa: BLE001 -- counted and told
                self.faults.append(f"{type(error).__name__}: {error}")
            self.seconds.append(time.monotonic() - start)
            self.pieces += 1

    def _write(self, seed: int) -> None:
        bars = 4 + seed % 5
        result: Any = self.client.predict(bars=bars, seed=str(seed), api_name="/compose")
        status, score, files = result[:3]
        if f"{bars} bars, seed {seed}" not in status:
            self.faults.append(f"asked for {bars} bars of seed {seed}, got {status}")
        if score.count('class="measure"') != bars:
            self.faults.append(f"seed {seed}: a score of {score.count('measure')} bars")
        (recipe,) = [Path(path) for path in files if path.endswith(".json")]
        if json.loads(recipe.read_text())["seed"] != seed:
            self.faults.append(f"seed {seed}: the files are of another piece")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sessions and print what became of them; end with 1 where anything went wrong."""
    parser = argparse.ArgumentParser(description="The page under several sessions at once.")
    parser.add_argument("--sessions", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=5.0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        log = place / "log"
        command = [sys.executable, "-u", str(ROOT / "gradio_app" / "app.py"), "--no-open-browser"]
        with (
            log.open("w") as file,
            subprocess.Popen(  # noqa: S603 -- our own script
                [*command, "--out", str(place / "out")], stdout=file, stderr=file
            ) as process,
        ):
            while "http://" not in log.read_text():
                if process.poll() is not None:
                    sys.exit(log.read_text())
                time.sleep(0.1)
            address = "http://" + log.read_text().split("http://")[1].split()[0]
            until = time.monotonic() + 60 * options.minutes
            sessions = [
                Session(address, number, until, place / "kept")
                for number in range(options.sessions)
            ]
            for session in sessions:
                session.start()
            peak = 0.0
            while any(session.is_alive() for session in sessions):
                peak = max(peak, _memory(process.pid))
                time.sleep(1)
            process.terminate()
            process.wait(timeout=30)
        faults = [fault for session in sessions for fault in session.faults]
        rows = [
            [
                str(session.number),
                str(session.pieces),
                f"{sum(session.seconds) / max(1, len(session.seconds)):.1f}",
                str(len(session.faults)),
            ]
            for session in sessions
        ]
        print(table(["session", "pieces", "seconds a piece", "faults"], rows))
        print(f"\npeak memory of the page and its processes: {peak:.0f} MiB")
        for fault in faults:
            print(fault)
        if "Traceback" in log.read_text():
            sys.exit(log.read_text())
        sys.exit(1 if faults else 0)


def _memory(pid: int) -> float:
    """Return the MiB of a process and its children, what they share counted once."""
    total = 0.0
    for process in (page := psutil.Process(pid), *page.children(recursive=True)):
        try:
            total += process.memory_full_info().uss / MIB
        except psutil.Error:
            continue
    return total


if __name__ == "__main__":
    main()
