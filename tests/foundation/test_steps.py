"""Steps that run once: marks, failures, stops, and what a kill leaves alone."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from notagen.foundation.errors import InputError
from notagen.foundation.steps import Step, hold_folder, run_step

# appends a line to a file, and makes another
SCRIPT = "import pathlib, sys; pathlib.Path(sys.argv[1]).open('a').write(' '.join(sys.argv[2:]))"


def step(folder: Path, code: str = SCRIPT, **other: object) -> Step:
    made = folder / "made"
    known = Step("one", folder / "one.json", [sys.executable, "-c", code, str(made)], made, {})
    return known._replace(**other)  # type: ignore[arg-type]


def run(folder: Path, code: str = SCRIPT, **other: object) -> None:
    with hold_folder(folder) as lock:
        run_step(step(folder, code, **other), lock)


def test_a_step_runs_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(tmp_path, flags="a 'b c'")
    run(tmp_path, flags="a 'b c'")
    assert (tmp_path / "made").read_text() == "a b c"
    mark = json.loads((tmp_path / "one.json").read_text())
    assert mark == {"settings": {}, "flags": "a 'b c'", "done": True}
    # what is done stays as it is
    with caplog.at_level("INFO"):
        run(tmp_path, flags="d")
    assert (tmp_path / "made").read_text() == "a b c"
    assert "what it made is kept" in caplog.text


def test_other_settings_are_refused(tmp_path: Path) -> None:
    run(tmp_path, settings={"seed": 1})
    with pytest.raises(InputError, match=r"found it begun with seed 1, .* wanted seed 2"):
        run(tmp_path, settings={"seed": 2})
    assert (tmp_path / "made").read_text() == ""


@pytest.mark.parametrize("mixes", [True, False])
def test_what_has_begun_goes_on(tmp_path: Path, mixes: bool) -> None:
    with pytest.raises(InputError, match="one ended with exit code 3: "):
        run(tmp_path, "raise SystemExit(3)", flags="a", mixes=mixes)
    if mixes:
        with pytest.raises(InputError, match="flags 'a'; wanted flags 'b'"):
            run(tmp_path, flags="b", mixes=mixes)
        assert not (tmp_path / "made").exists()
    else:
        run(tmp_path, flags="b", mixes=mixes)
        assert (tmp_path / "made").read_text() == "b"
    if mixes:
        run(tmp_path, flags="a", mixes=mixes)
        assert (tmp_path / "made").read_text() == "a"


def test_a_step_that_makes_nothing_is_not_done(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"one ended with no .*made"):
        run(tmp_path, "pass")
    assert not json.loads((tmp_path / "one.json").read_text())["done"]


HOLDER = """
import pathlib, signal, sys
# a shell's background processes are born deaf to it
signal.signal(signal.SIGINT, signal.default_int_handler)
from notagen.foundation.steps import Step, hold_folder, run_step
folder, code = pathlib.Path(sys.argv[1]), sys.argv[2]
made = folder / "made"
with hold_folder(folder) as lock:
    command = [sys.executable, "-c", code, str(made)]
    run_step(Step("one", folder / "one.json", command, made, {}), lock)
"""
SLOW = "import pathlib, sys, time; p = pathlib.Path(sys.argv[1]); p.touch(); time.sleep({})"


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_step_left_alone_by_a_kill_ends_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = SLOW.format(3) + "; p.write_text('whole')"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path), code])
    wait_for(tmp_path / "made")
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "made").read_text() == ""
    with caplog.at_level("INFO"):
        run(tmp_path, "import pathlib, sys; assert pathlib.Path(sys.argv[1]).read_text()")
    assert "another run works there" in caplog.text
    assert json.loads((tmp_path / "one.json").read_text())["done"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_reaches_the_step_and_waits_for_its_end(
    tmp_path: Path, number: signal.Signals
) -> None:
    # ends in its own time, as generation does
    code = (
        "import pathlib, signal, sys, time; p = pathlib.Path(sys.argv[1])\n"
        "def stop(*_): time.sleep(0.5); p.write_text('kept'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop); signal.signal(signal.SIGINT, stop)\n"
        "p.touch(); time.sleep(60)"
    )
    run = [sys.executable, "-c", HOLDER, str(tmp_path), code]
    with subprocess.Popen(run, start_new_session=True, stderr=subprocess.PIPE) as holder:
        wait_for(tmp_path / "made")
        # a terminal tells the whole group
        if number == signal.SIGINT:
            os.killpg(holder.pid, number)
        else:
            holder.send_signal(number)
        assert holder.wait(timeout=60) != 0
    assert (tmp_path / "made").read_text() == "kept"
    assert not json.loads((tmp_path / "one.json").read_text())["done"]
