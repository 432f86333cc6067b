"""Calls into foreign code, each in a worker process with a time limit.

Converters and engravers written in C++, or that keep state in module globals, may crash, hang or
mix up threads. Their work is done in a process of its own, which is replaced when it dies.
"""

import functools
import importlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar

from notagen.foundation.errors import ConversionError, InputError, ScoreError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_GRACE = 5.0
"""Seconds after its limit at which a worker that nobody stopped ends itself."""


def limited(
    seconds: float,
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Decorate a module-level function: its calls run in a worker process, for at most `seconds`.

    The worker finds the function by its module and name; arguments and result travel by pickle.
    Safe from any number of threads: they share one worker, or as many as `share_workers` says, and
    take turns; the time of a call counts from its turn. Forked and joblib processes start workers
    of their own.

    Raises (from the decorated function):
        ConversionError: If the time is up, the worker crashed, or the function raised anything
            but a ScoreError, which comes through unchanged.
        InputError: If this process may start no worker, such as one of dask's.
    """

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        @functools.wraps(function)
        def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            name = function.__name__
            try:
                request = (function.__module__, name, args, kwargs)
                result: Result
                result, error = _desk.ask(request, seconds)
            except TimeoutError as late:
                raise ConversionError(f"{name}: not done after {seconds:g} s; given up") from late
            except ConnectionError as crash:
                raise ConversionError(f"{name}: crashed ({crash})") from crash
            if isinstance(error, ScoreError):
                raise error
            if error is not None:
                # foreign code raises whatever it trips over: one piece is at fault, not the batch
                raise ConversionError(f"{name}: {type(error).__name__}: {error}") from error
            return result

        return call

    return decorate


def share_workers(most: int) -> None:
    """Let threads of this process have so many calls answered at the same time, not one.

    Each worker is started when it is needed, and takes the memory of what it imports.
    """
    _desk.most = most


class _Worker:
    """A process that answers one request after another."""

    def __init__(self) -> None:
        if multiprocessing.current_process().daemon:
            raise InputError(
                "a daemon process may start no other, which some conversions need; start dask's "
                "workers with DASK_DISTRIBUTED__WORKER__DAEMON=False"
            )
        if multiprocessing.get_start_method() not in multiprocessing.get_all_start_methods():
            # a joblib worker calls its method "loky", and a spawned child stumbles over that name
            multiprocessing.set_start_method("spawn", force=True)
        # spawn, not fork: this process may hold threads and locks of torch
        context = multiprocessing.get_context("spawn")
        self._pipe, its_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(its_end,), daemon=True)
        self._process.start()
        its_end.close()
        try:
            self._pipe.recv()
        except EOFError as error:
            raise RuntimeError("a worker process could not start; see its message above") from error

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def ask(self, request: object, seconds: float) -> tuple[Any, Exception | None]:
        """Return the answer; TimeoutError if it is late, ConnectionError if the process died."""
        try:
            self._pipe.send((seconds, request))
            if not self._pipe.poll(seconds):
                raise TimeoutError
            answer: tuple[Any, Exception | None] = self._pipe.recv()
        except (EOFError, ConnectionError) as error:
            self._process.join(_GRACE)
            raise ConnectionError(f"exit code {self._process.exitcode}") from error
        return answer

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


class _Desk:
    """Where the threads of this process take turns at its workers."""

    def __init__(self) -> None:
        self.most = 1
        self.clear()
        # a forked child gets a desk of its own: it must not use, or wait for, its parent's
        if hasattr(os, "register_at_fork"):  # Windows never forks
            os.register_at_fork(after_in_child=self.clear)

    def clear(self) -> None:
        self._turn = threading.Condition()
        self._idle: list[_Worker] = []
        self._busy = 0

    def ask(self, request: object, seconds: float) -> tuple[Any, Exception | None]:
        worker = self._take()
        try:
            if worker is None or not worker.alive:
                worker = None
                worker = _Worker()
            answer = worker.ask(request, seconds)
        except BaseException:
            # late, dead or interrupted: its answer must not meet the next request
            if worker is not None:
                worker.stop()
            self._give_back(None)
            raise
        self._give_back(worker)
        return answer

    def _take(self) -> _Worker | None:
        """Wait for one's turn; return an idle worker, or None where one is to be started."""
        with self._turn:
            self._turn.wait_for(lambda: self._busy < self.most)
            self._busy += 1
            return self._idle.pop() if self._idle else None

    def _give_back(self, worker: _Worker | None) -> None:
        with self._turn:
            self._busy -= 1
            if worker is not None:
                self._idle.append(worker)
            self._turn.notify()


_desk = _Desk()


def _serve(pipe: Connection) -> None:
    """Run in the worker: answer requests with (result, None) or (None, error) until the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe.send("ready")
    while True:
        try:
            seconds, (module, name, args, kwargs) = pipe.recv()
        except EOFError:
            return
        # if the parent is killed, nobody stops an endless call: the alarm's default is to end us
        _set_alarm(seconds + _GRACE)
        try:
            function = getattr(importlib.import_module(module), name).__wrapped__
            pipe.send((function(*args, **kwargs), None))
        except Exception as error:  # noqa: BLE001 -- raised again on the other side
            error.add_note(traceback.format_exc())
            pipe.send((None, error))
        _set_alarm(0)


def _set_alarm(seconds: float) -> None:
    if hasattr(signal, "setitimer"):  # Windows has none
        signal.setitimer(signal.ITIMER_REAL, seconds)
