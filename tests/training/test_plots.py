import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from notagen.training import plots


def write_metrics(folder: Path, num_steps: int) -> Path:
    lines = []
    for step in range(1, num_steps + 1):
        loss = None if step == 3 else 4.8 * math.exp(-step / num_steps)
        lines.append({"step": step, "epoch": 0, "loss": loss, "learning_rate": 1e-4 / step})
        if step % 10 == 0:
            eval_loss = None if step == 10 else 4.9 * math.exp(-step / num_steps)
            lines.append({"step": step, "epoch": 1, "eval_loss": eval_loss})
    metrics = folder / "metrics.jsonl"
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return metrics


def plot_losses(metrics: Path, out: Path) -> None:
    plots.plot_losses(metrics, out, unit="nats per character")


def colours(picture: Path) -> set[tuple[int, ...]]:
    pixels = np.round(imread(picture)[..., :3] * 255).astype(int).reshape(-1, 3)
    return set(map(tuple, np.unique(pixels, axis=0)))


def rgb(name: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(plots._COLOURS[name][1:]))


def test_each_line_is_drawn(tmp_path: Path) -> None:
    plot_losses(write_metrics(tmp_path, 200), tmp_path / "loss.png")
    assert {rgb("training"), rgb("evaluation"), rgb("rate")} <= colours(tmp_path / "loss.png")


@pytest.mark.parametrize("num_steps", [0, 1, 9])
def test_a_run_that_has_barely_begun_is_drawn(tmp_path: Path, num_steps: int) -> None:
    plot_losses(write_metrics(tmp_path, num_steps), tmp_path / "loss.png")
    found = colours(tmp_path / "loss.png")
    assert (255, 255, 255) in found
    assert (rgb("training") in found) is (num_steps > 0)
    assert rgb("evaluation") not in found


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    metrics = write_metrics(tmp_path, 50)
    plot_losses(metrics, tmp_path / "whole.png")
    with metrics.open("a") as file:
        file.write('{"step": 51, "loss": 999')
    plot_losses(metrics, tmp_path / "torn.png")
    assert (tmp_path / "torn.png").read_bytes() == (tmp_path / "whole.png").read_bytes()


def test_an_older_picture_stays_whole_if_drawing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = write_metrics(tmp_path, 50)
    plot_losses(metrics, tmp_path / "loss.png")
    before = (tmp_path / "loss.png").read_bytes()

    def full_disk(_figure: object, out: Path, **_options: object) -> None:
        out.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(plots.Figure, "savefig", full_disk)
    with pytest.raises(OSError, match="no space"):
        plot_losses(metrics, tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl", "loss.png"}


def test_values_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    (steps, losses), (_, evaluations) = plots._read(
        write_metrics(tmp_path, 30), ("loss", "eval_loss")
    )
    assert list(steps) == [1, 2, *range(4, 31)]
    assert len(losses) == 29
    assert len(evaluations) == 2


def test_smoothing_is_a_mean_around_each_value() -> None:
    values = np.array([1.0, 5.0, 2.0] * 100)
    smooth = plots._smooth(values)  # three before and three after
    assert smooth[150] == pytest.approx(values[147:154].mean())
    assert smooth[0] == pytest.approx(values[:4].mean())
    assert smooth[-1] == pytest.approx(values[-4:].mean())


@pytest.mark.parametrize("number", [0, 1, 1999, 2000, 2001, 123_457])
def test_thinned_lines_keep_their_end(number: int) -> None:
    steps, values = plots._thin((np.arange(number), np.arange(number) / 7))
    assert len(steps) == number if number < 2000 else 1000 <= len(steps) <= 2000
    assert list(values) == list(steps / 7)
    assert number == 0 or steps[-1] == number - 1


def test_no_global_state_of_matplotlib_is_touched() -> None:
    program = (
        "import sys, matplotlib; before = matplotlib.get_backend(auto_select=False);"
        "import notagen.training.plots;"
        "assert 'matplotlib.pyplot' not in sys.modules;"
        "assert matplotlib.get_backend(auto_select=False) == before"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
