import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

# each test's script runs beside this module, in an interpreter of its own
WORK = """
import os, signal, sys, threading, time
from notagen.foundation.errors import ConversionError, NotationError
from notagen.foundation.limits import limited, share_workers

@limited(1)
def endless():
    while True:
        pass

@limited(20)
def crash():
    os.kill(os.getpid(), signal.SIGSEGV)

@limited(20)
def leave():
    sys.exit(3)

@limited(20)
def hand_back_a_lambda():
    return lambda: 0

@limited(20)
def refuse():
    raise NotationError("bar 3: found 5 beats, wanted 4")

@limited(20)
def double(number, *, pause=0.0):
    time.sleep(pause)
    return 2 * number

@limited(1)
def nap(seconds):
    time.sleep(seconds)
    return os.getpid()

def double_and_crash(number):
    if number == 2:
        crash()
    return double(number)

def fails(function):
    try:
        function()
    except (ConversionError, NotationError) as error:
        return f"{type(error).__name__}: {error}"
    return "no error"
"""


Run = Callable[[str], list[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a script that has the functions above; return the lines it printed once all ended."""
    (tmp_path / "work.py").write_text(WORK, encoding="utf-8")

    def run_script(body: str) -> list[str]:
        script = tmp_path / "script.py"
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        script.write_text(f"from work import *\nif __name__ == '__main__':\n{lines}")
        # a stray process would hold the pipe open and the call would not return
        done = subprocess.run(
            [sys.executable, script], capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout.split("\n")[:-1]

    return run_script


def test_endless_call_is_ended_at_its_time(run: Run) -> None:
    message, seconds, answer = run(
        "began = time.monotonic()\n"
        "print(fails(endless))\n"
        "print(time.monotonic() - began)\n"
        "print(double(4))"
    )
    assert message == "ConversionError: endless: not done after 1 s; given up"
    assert 1 <= float(seconds) < 8
    assert answer == "8"


def test_crash_is_an_error_and_the_next_call_works(run: Run) -> None:
    lines = run("for number in range(4):\n    print(fails(crash))\n    print(double(number))")
    assert lines[::2] == ["ConversionError: crash: crashed (exit code -11)"] * 4
    assert lines[1::2] == ["0", "2", "4", "6"]


def test_leaving_the_process_is_a_crash(run: Run) -> None:
    assert run("print(fails(leave))\nprint(double(4))") == [
        "ConversionError: leave: crashed (exit code 3)",
        "8",
    ]


def test_what_cannot_travel_is_an_error(run: Run) -> None:
    lines = run(
        "try:\n"
        "    hand_back_a_lambda()\n"
        "except Exception as error:\n"
        "    print(type(error).__name__)\n"
        "print(double(4))"
    )
    assert lines == ["ConversionError", "8"]


def test_interrupted_call_leaves_no_answer_behind(run: Run) -> None:
    lines = run(
        # a shell's background jobs begin with the signal ignored
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "try:\n"
        "    double(1, pause=3)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
        "print(double(4))"
    )
    assert lines == ["interrupted", "8"]


def test_own_errors_come_through(run: Run) -> None:
    assert run("print(fails(refuse))") == ["NotationError: bar 3: found 5 beats, wanted 4"]


def test_calls_from_threads_wait_without_losing_their_time(run: Run) -> None:
    # four naps of 0.6 s under a limit of 1 s: one after another, each within its own limit
    lines = run(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(4) as threads:\n"
        "    print(len(set(threads.map(nap, [0.6] * 4))))\n"
        "    print(sorted(threads.map(double, range(40))) == list(range(0, 80, 2)))"
    )
    assert lines == ["1", "True"]


def test_threads_may_be_served_side_by_side(run: Run) -> None:
    lines = run(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "share_workers(2)\n"
        "with ThreadPoolExecutor(4) as threads:\n"
        "    print(len(set(threads.map(nap, [0.6] * 4))))\n"
        "    futures = [threads.submit(double_and_crash, n % 4) for n in range(40)]\n"
        "print([fails(f.result)[:22] if f.exception() else f.result() for f in futures])"
    )
    assert lines == ["2", str([0, 2, "ConversionError: crash", 6] * 10)]


def test_crash_in_one_thread_spares_the_others(run: Run) -> None:
    lines = run(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(4) as threads:\n"
        "    futures = [threads.submit(double_and_crash, n % 4) for n in range(40)]\n"
        "print([fails(f.result)[:22] if f.exception() else f.result() for f in futures])"
    )
    assert lines == [str([0, 2, "ConversionError: crash", 6] * 10)]


def test_batch_workers_have_limited_calls_of_their_own(run: Run) -> None:
    lines = run(
        "from notagen.foundation.batch import run_batch\n"
        "for outcome in run_batch(double_and_crash, range(4), workers=2):\n"
        "    print(outcome.result, (outcome.reason or '')[:14].strip())"
    )
    assert lines == ["0 ", "2 ", "None crash: crashed", "6 "]


def test_fork_starts_a_worker_of_its_own(run: Run) -> None:
    lines = run(
        "print(double(1), flush=True)\n"
        "child = os.fork()\n"
        "print(double(2 if child else 3), flush=True)\n"
        "child and os.waitpid(child, 0)"
    )
    assert sorted(lines) == ["2", "4", "6"]


def test_worker_ends_itself_when_its_parent_is_killed(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(WORK, encoding="utf-8")
    script = tmp_path / "script.py"
    script.write_text("from work import *\nif __name__ == '__main__':\n    endless()\n")
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE)
    time.sleep(1)
    os.kill(parent.pid, signal.SIGKILL)
    # the worker holds the other end of the pipe for as long as it lives
    assert parent.communicate(timeout=20)[0] == b""


def test_a_process_that_may_start_none_says_so(run: Run) -> None:
    lines = run(
        "import multiprocessing\n"
        "try:\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:  # of daemons\n"
        "        pool.apply(double, [2])\n"
        "except ValueError as error:\n"
        "    print(f'{type(error).__name__}: {error}')"
    )
    assert lines == [
        "InputError: a daemon process may start no other, which some conversions need; start "
        "dask's workers with DASK_DISTRIBUTED__WORKER__DAEMON=False"
    ]
