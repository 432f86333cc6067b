"""Calls into foreign code, each in a worker process with a time limit.

Converters and engravers written in C++, or that keep state in module globals, may crash, hang or
mix up threads. Their work is done in a process of its own, which is replaced when it dies.
"""

import atexit
import functools
import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import ParamSpec, TypeVar

from pebble import ProcessExpired, ProcessPool

from notagen.foundation.errors import ConversionError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_lock = threading.Lock()


def limited(
    seconds: float,
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Decorate a module-level function: its calls run in a worker process, for at most `seconds`.

    The worker finds the function by its module and name; arguments and result travel by pickle.
    Safe from any number of threads: they share one worker.

    Raises (from the decorated function):
        ConversionError: If the time is up or the worker crashed; what the function itself raises
            comes through unchanged.
    """

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        @functools.wraps(function)
        def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            future = _pool().schedule(
                _call, args=[function.__module__, function.__name__, args, kwargs], timeout=seconds
            )
            try:
                result: Result = future.result()
            except FutureTimeoutError as error:
                message = f"{function.__name__}: not done after {seconds:g} s; given up"
                raise ConversionError(message) from error
            except ProcessExpired as error:
                message = f"{function.__name__}: crashed (exit code {error.exitcode})"
                raise ConversionError(message) from error
            return result

        return call

    return decorate


def _call(module: str, name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
    """Run in the worker: find the decorated function by name and call what it wraps."""
    decorated = getattr(__import__(module, fromlist=[name]), name)
    return decorated.__wrapped__(*args, **kwargs)


def _pool() -> ProcessPool:
    """Return this process's worker pool of one, started at the first call."""
    with _lock:
        pool = _start_pool()
        if not pool.active:
            _start_pool.cache_clear()
            pool = _start_pool()
        return pool


@functools.cache
def _start_pool() -> ProcessPool:
    # spawn, not fork: the parent may hold threads and locks of torch
    pool = ProcessPool(max_workers=1, context=multiprocessing.get_context("spawn"))
    atexit.register(_stop, pool)
    return pool


def _stop(pool: ProcessPool) -> None:
    pool.stop()
    pool.join()
