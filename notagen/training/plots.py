"""The picture of a run: its losses and learning rate over the steps."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from notagen.foundation.files import replaced_when_done

_MOST_POINTS = 2000
"""Points of a line; the picture is about as many pixels wide."""
_MOST_MARKERS = 40
"""More evaluations than so many are drawn as a line alone."""
_WINDOWS = 50
"""The smoothed line averages over a 50th of the run."""
_COLOURS = {"raw": "#b9cbe0", "training": "#2b5c94", "evaluation": "#c4512d", "rate": "#555555"}

Points = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Steps and values, (n,) each."""


def plot_losses(metrics: Path, out: Path, *, unit: str) -> None:
    """Write a picture of a run's losses and learning rate, whole or not at all.

    Values that were not finite (null in the file) are left out, and so is a last line that a kill
    tore.

    Args:
        metrics: The run's metrics.jsonl.
        out: A .png file.
        unit: Of the losses.
    """
    training, evaluation, rate = _read(metrics, ("loss", "eval_loss", "learning_rate"))
    figure = Figure(figsize=(9, 6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    losses, rates = figure.subplots(2, sharex=True, height_ratios=[4, 1])
    if len(training[0]):
        smooth = _smooth(training[1])
        losses.plot(*_thin(training), color=_COLOURS["raw"], linewidth=0.6)
        losses.plot(
            *_thin((training[0], smooth)),
            color=_COLOURS["training"],
            linewidth=1.4,
            label=f"training (now {smooth[-1]:.3f})",
        )
    if len(evaluation[0]):
        losses.plot(
            *_thin(evaluation),
            color=_COLOURS["evaluation"],
            marker="o" if len(evaluation[0]) <= _MOST_MARKERS else "",
            markersize=4,
            label=f"evaluation (lowest {evaluation[1].min():.3f})",
        )
    _bound(losses, training[1], evaluation[1])
    losses.set_ylabel(f"loss, {unit}")
    if losses.lines:
        losses.legend(frameon=False)
    rates.plot(*_thin(rate), color=_COLOURS["rate"], linewidth=1)
    rates.set_ylim(bottom=0)
    rates.set_ylabel("learning rate")
    rates.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    rates.set_xlabel("optimizer step")
    rates.xaxis.set_major_locator(MaxNLocator(integer=True))
    rates.xaxis.set_major_formatter("{x:,.0f}")
    for axes in (losses, rates):
        axes.grid(color="#e5e5e5", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    with replaced_when_done(out) as temporary:
        figure.savefig(temporary, format="png")


def _bound(axes: Axes, training: NDArray[np.float64], evaluation: NDArray[np.float64]) -> None:
    """Let the axis show all but the wildest training losses, which would press the curve flat."""
    usual = training[training <= np.quantile(training, 0.995)] if len(training) else training
    shown = np.concatenate([usual, evaluation])
    if len(shown):
        margin = 0.05 * (shown.max() - shown.min()) + 1e-3
        axes.set_ylim(shown.min() - margin, shown.max() + margin)


def _read(metrics: Path, names: tuple[str, ...]) -> list[Points]:
    """Return the points of each named value."""
    found: dict[str, tuple[list[int], list[float]]] = {name: ([], []) for name in names}
    for line in _lines(metrics):
        for name, (steps, values) in found.items():
            value = line.get(name)
            if value is not None:
                steps.append(line["step"])
                values.append(value)
    return [
        (np.array(steps, dtype=np.int64), np.array(values, dtype=np.float64))
        for steps, values in found.values()
    ]


def _lines(metrics: Path) -> Iterator[dict[str, Any]]:
    with metrics.open(encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over a window around each value, (n,), cut off at both ends."""
    half = len(values) // (2 * _WINDOWS)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    starts, ends = np.maximum(0, places - half), np.minimum(len(values), places + half + 1)
    smooth: NDArray[np.float64] = (sums[ends] - sums[starts]) / (ends - starts)
    return smooth


def _thin(points: Points) -> Points:
    """Return every n-th point, the last one always, so that few enough are left to draw."""
    steps, values = points
    kept = np.arange(len(steps) - 1, -1, -(len(steps) // _MOST_POINTS + 1))[::-1]
    return steps[kept], values[kept]
