"""The page under several sessions at once: faults, mixed-up pieces, how often it draws, and memory.

    python -m benchmarks.page [--sessions 4] [--minutes 5]

Starts the page on a free port. Each session writes short pieces one after another, with seeds of
its own, and checks that what it gets is what it asked for. `between drawings` is the longest time
between two drawings of a piece that was being written. Memory is the peak of the page's processes
together, looked at once a second.
"""

import argparse
import json
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
from benchmarks.serving import served

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
        self.gaps: list[float] = []

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
        job = self.client.submit(bars=bars, seed=str(seed), api_name="/compose")
        drawn, drawn_at = None, 0.0
        for states in job:
            score = states[1]
            if isinstance(score, str) and "being written" in score and score != drawn:
                if drawn is not None:
                    self.gaps.append(time.monotonic() - drawn_at)
                drawn, drawn_at = score, time.monotonic()
        result: Any = job.result()
        status, score, files = result[:3]
        if f"{bars} bars, seed {seed}" not in status:
            self.faults.append(f"asked for {bars} bars of seed {seed}, got {status}")
        if (found := score.count('class="measure"')) != bars:
            self.faults.append(f"seed {seed}: a score of {found} bars")
        (recipe,) = [Path(path) for path in files if path.endswith(".json")]
        if json.loads(recipe.read_text())["seed"] != seed:
            self.faults.append(f"seed {seed}: the files are of another piece")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sessions and print what became of them; end with 1 where anything went wrong."""
    parser = argparse.ArgumentParser(description="The page under several sessions at once.")
    parser.add_argument("--sessions", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=5.0)
    options = parser.parse_args(arguments)
    peak = 0.0
    with tempfile.TemporaryDirectory() as name, served(Path(name)) as (address, pid):
        until = time.monotonic() + 60 * options.minutes
        sessions = [
            Session(address, number, until, Path(name) / "kept")
            for number in range(options.sessions)
        ]
        for session in sessions:
            session.start()
        while any(session.is_alive() for session in sessions):
            peak = max(peak, _memory(pid))
            time.sleep(1)
    rows = [
        [
            str(session.number),
            str(session.pieces),
            f"{sum(session.seconds) / max(1, len(session.seconds)):.1f}",
            f"{max(session.gaps, default=0):.1f}",
            str(len(session.faults)),
        ]
        for session in sessions
    ]
    print(table(["session", "pieces", "seconds a piece", "between drawings", "faults"], rows))
    print(f"\npeak memory of the page and its processes: {peak:.0f} MiB")
    faults = [fault for session in sessions for fault in session.faults]
    print(*faults, sep="\n")
    sys.exit(1 if faults else 0)


def _memory(pid: int) -> float:
    """Return the MiB of a process and its children, what they share counted once."""
    total = 0.0
    try:
        page = psutil.Process(pid)
        processes = [page, *page.children(recursive=True)]
    except psutil.Error:
        return 0.0
    for process in processes:
        try:
            total += process.memory_full_info().uss / MIB
        except psutil.Error:
            continue
    return total


if __name__ == "__main__":
    main()
