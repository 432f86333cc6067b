"""Calls into foreign code, each in a worker process with a time limit.

Converters and engravers written in C++, or that keep state in module globals, may crash, hang or
mix up threads. Their work is done in a process of its own, which is replaced when it dies.
"""

import atexit
import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from typing import ParamSpec, TypeVar

from pebble import ProcessExpired, ProcessPool

from notagen.foundation.errors import ConversionError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_GRACE = 5.0
"""Seconds after which a worker that should have been stopped ends itself."""

_lock = threading.Lock()
# a fork copies the lock as it is: hold it meanwhile, so that the child gets one it can open
os.register_at_fork(
    before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
)


def limited(
    seconds: float,
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Decorate a module-level function: its calls run in a worker process, for at most `seconds`.

    The worker finds the function by its module and name; arguments and result travel by pickle.
    Safe from any number of threads: they share one worker, and the clock of a call starts when
    the worker turns to it.

    Raises (from the decorated function):
        ConversionError: If the time is up or the worker crashed; what the function itself raises
            comes through unchanged.
    """

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        @functools.wraps(function)
        def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            name = function.__name__
            future = _pool().schedule(
                _call, args=[function.__module__, name, seconds, args, kwargs], timeout=seconds
            )
            try:
                result: Result = future.result()
            except FutureTimeoutError as error:
                raise ConversionError(f"{name}: not done after {seconds:g} s; given up") from error
            except ProcessExpired as error:
                raise ConversionError(f"{name}: crashed (exit code {error.exitcode})") from error
            except BrokenProcessPool as error:
                # the worker died before pebble had read which call it had taken on
                raise ConversionError(f"{name}: crashed") from error
            return result

        return call

    return decorate


def _call(
    module: str, name: str, seconds: float, args: tuple[object, ...], kwargs: dict[str, object]
) -> object:
    """Run in the worker: find the decorated function by name and call what it wraps."""
    # if the parent is killed, nobody stops an endless call: the alarm's default is to end us
    signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE)
    try:
        decorated = getattr(__import__(module, fromlist=[name]), name)
        return decorated.__wrapped__(*args, **kwargs)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _pool() -> ProcessPool:
    """Return this process's worker pool of one, started at the first call."""
    with _lock:
        pool = _start_pool(os.getpid())
        if not pool.active:
            _start_pool.cache_clear()
            pool = _start_pool(os.getpid())
        return pool


@functools.cache
def _start_pool(owner: int) -> ProcessPool:
    """Start the pool of the process `owner`; a forked child must not use its parent's."""
    if multiprocessing.get_start_method() not in multiprocessing.get_all_start_methods():
        # a joblib worker calls its own method "loky", and a spawned child stumbles over that name
        multiprocessing.set_start_method("spawn", force=True)
    # spawn, not fork: the parent may hold threads and locks of torch
    pool = ProcessPool(max_workers=1, context=multiprocessing.get_context("spawn"))
    atexit.register(_stop, pool, owner)
    return pool


def _stop(pool: ProcessPool, owner: int) -> None:
    if owner == os.getpid():
        pool.stop()
        pool.join()
