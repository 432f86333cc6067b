"""Who has something written, and who waits for it."""

import math
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

from notagen.foundation.errors import InputError
from notagen.generation import engine

Result = TypeVar("Result")
Word = TypeVar("Word")

TICK = 0.25
"""Seconds between looks at what goes on."""
_SILENCE = 2.0
"""Seconds at most without a word to who waits."""


class Waiting(NamedTuple):
    """A piece that has not begun, as others are being written."""

    before: int
    """Pieces that are written or wait before it; 0 when its turn has come."""


class Run:
    """What a session is having written, which can be stopped at any time, also while it waits."""

    def __init__(self, session: str) -> None:
        self.session = session
        self.stopped = False
        self.deadline = math.inf
        """On time.monotonic's clock."""
        self.generator: engine.Generator | None = None

    @property
    def is_late(self) -> bool:
        """Whether its time is up."""
        return time.monotonic() > self.deadline

    def stop(self) -> None:
        """End it."""
        self.stopped = True
        if self.generator is not None:
            self.generator.stop()

    def unless_stopped(
        self, work: Callable[[], Result], word: Word
    ) -> Generator[Word, None, Result | None]:
        """Yield a word now and then; return what work gives, None where the run is stopped first.

        Who has left is only found out when there is a word for them.
        """
        future: Future[Result] = Future()

        def fill() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 -- raised again where it is waited for
                future.set_exception(error)

        threading.Thread(target=fill, daemon=True).start()
        told = time.monotonic()
        while not self.stopped:
            if wait([future], timeout=TICK).done:
                return future.result()
            if time.monotonic() - told > _SILENCE:
                told = time.monotonic()
                yield word
        return None


class Line:
    """Runs in the order in which they came.

    Args:
        at_once: The first so many go on; the others wait.
        most_waiting: More than so many are refused.
    """

    def __init__(self, at_once: int, most_waiting: int) -> None:
        self._at_once = at_once
        self._most_waiting = most_waiting
        self._runs: list[Run] = []
        self._lock = threading.Lock()

    @contextmanager
    def joined(self, session: str) -> Iterator[Run]:
        """Stand in the line with a new run.

        Raises:
            InputError: If too many wait already.
        """
        run = Run(session)
        with self._lock:
            waiting = len(self._runs) - self._at_once
            if waiting >= self._most_waiting:
                raise InputError(f"{waiting} pieces wait already: try again in a few minutes")
            self._runs.append(run)
        try:
            yield run
        finally:
            with self._lock:
                self._runs.remove(run)

    def wait(self, run: Run) -> Iterator[Waiting]:
        """Yield the run's place until its turn has come, or it is stopped."""
        told, told_at = 0, 0.0
        while (before := self._before(run)) and not run.stopped:
            # now and then also where nothing moves: who has left is only found out then
            if before != told or time.monotonic() - told_at > _SILENCE:
                told, told_at = before, time.monotonic()
                yield Waiting(before)
            time.sleep(TICK)
        if told and not run.stopped:
            yield Waiting(0)

    def stop(self, session: str) -> bool:
        """End the runs of a session; return whether there was any."""
        with self._lock:
            runs = [run for run in self._runs if run.session == session]
        for run in runs:
            run.stop()
        return bool(runs)

    def _before(self, run: Run) -> int:
        """Return how many stand before one that must wait; 0 where it may go on."""
        with self._lock:
            place = self._runs.index(run)
        return place if place >= self._at_once else 0
