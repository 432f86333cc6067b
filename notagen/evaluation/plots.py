"""Pictures: distances between pieces, what each costs in bits, how like real ones each is."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from notagen.evaluation.likelihood import Row
from notagen.features.scoring import Judged
from notagen.foundation.files import replaced_when_done
from notagen.metrics.figures import Figure
from notagen.metrics.relative import Relative

_COLUMNS = 4
_COLOURS = {"generated": "#c4512d", "reference": "#2b5c94", "between": "#555555"}


def plot_statistics(relative: Mapping[str, Relative], out: Path) -> None:
    """Write the densities of distances inside and between the two sets, a panel a statistic.

    Args:
        relative: From `notagen.metrics.relative.compare`.
        out: A .png file, written whole or not at all.
    """
    rows = max(1, -(-len(relative) // _COLUMNS))
    picture = _picture(3 * _COLUMNS, 2.3 * rows)
    panels = np.ravel(picture.subplots(rows, _COLUMNS, squeeze=False))
    for panel, (name, found) in zip(panels, relative.items(), strict=False):
        curves = (
            ("generated", found.intra_generated),
            ("reference", found.intra_reference),
            ("between", found.inter),
        )
        for title, density in curves:
            panel.plot(found.grid, density, color=_COLOURS[title], linewidth=1.2, label=title)
        panel.set_title(f"{name.replace('_', ' ')}: {found.overlap.value:.2f}", fontsize=8)
        panel.set_xlim(left=0)
        _quiet(panel)
    for panel in panels[len(relative) :]:
        panel.set_axis_off()
    if relative:
        panels[0].legend(fontsize=7, frameon=False, title="distances", title_fontsize=7)
    title = "distances between pieces, and the overlapping area of generated and between"
    picture.suptitle(f"{out.stem}: {title}", fontsize=10)
    _save(picture, out)


def plot_likelihood(rows: Mapping[str, Row], characters: Mapping[str, int], out: Path) -> None:
    """Write the bits per character of each piece over its length, a colour a row.

    Args:
        rows: From `notagen.evaluation.likelihood`.
        characters: Of each piece.
        out: A .png file, written whole or not at all.
    """
    picture = _picture(7, 4.5)
    panel = picture.subplots()
    for title, row in rows.items():
        names = list(row["pieces"])
        lengths = np.array([characters[name] for name in names])
        bits = np.array([row["pieces"][name][0] for name in names])
        panel.scatter(lengths, bits / np.maximum(lengths, 1), s=7, alpha=0.7, label=title)
    panel.set_title(out.stem, fontsize=10)
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_xlabel("characters of the piece")
    panel.set_ylabel("bits per character")
    panel.legend(fontsize=8, frameon=False)
    _save(picture, out)


def plot_scores(generated: Sequence[Judged], reference: Sequence[Judged], out: Path) -> None:
    """Write histograms of the scores, those beside all real pieces and those beside their kind.

    Args:
        generated: From `notagen.features.scoring.judge`.
        reference: Real pieces, from `judge_reference`.
        out: A .png file, written whole or not at all.
    """
    picture = _picture(9, 3)
    panels = picture.subplots(1, 2)
    titles = {"score": "beside all real pieces", "prompt_score": "beside those of its kind"}
    for panel, (kind, title) in zip(panels, titles.items(), strict=True):
        sets = {"generated": generated, "reference": reference}
        scores = {name: [getattr(one, kind) for one in judged] for name, judged in sets.items()}
        bins = np.histogram_bin_edges(np.concatenate(list(scores.values())), bins=30)
        for name, values in scores.items():
            # shares: sets of different sizes are compared
            shares = np.full(len(values), 1 / max(1, len(values)))
            panel.hist(values, bins, weights=shares, color=_COLOURS[name], alpha=0.6, label=name)
        panel.set_title(title, fontsize=8)
        _quiet(panel)
    panels[0].legend(fontsize=7, frameon=False)
    picture.suptitle(f"{out.stem}: cosines to the mean of real pieces, shares", fontsize=10)
    _save(picture, out)


def plot_course(
    places: Sequence[int],
    courses: Mapping[str, Sequence[Figure]],
    levels: Mapping[str, Figure],
    out: Path,
) -> None:
    """Write how figures change from round to round, with their intervals, a panel each.

    Args:
        places: Of the rounds.
        courses: Of each title the figure of each round.
        levels: Of each title the figure of real music, a line where there is one.
        out: A .png file, written whole or not at all.
    """
    rows = max(1, -(-len(courses) // _COLUMNS))
    picture = _picture(3 * _COLUMNS, 2.1 * rows)
    panels = np.ravel(picture.subplots(rows, _COLUMNS, squeeze=False))
    for panel, (title, figures) in zip(panels, courses.items(), strict=False):
        values = np.array([one.value for one in figures])
        # a figure without an interval has none to show
        reach = np.nan_to_num([[one.value - one.low, one.high - one.value] for one in figures])
        panel.errorbar(
            places,
            values,
            yerr=np.maximum(0, reach).T,
            color=_COLOURS["generated"],
            marker="o",
            markersize=4,
            capsize=3,
        )
        if levels[title].n:
            panel.axhline(levels[title].value, color=_COLOURS["reference"], linestyle="--")
        panel.set_title(title, fontsize=8)
        panel.set_xticks(list(places))
        panel.tick_params(labelsize=6)
    for panel in panels[len(courses) :]:
        panel.set_axis_off()
    title = "rounds of preference training, with 95 % intervals; dashed: held-out music"
    picture.suptitle(title, fontsize=10)
    _save(picture, out)


def _picture(width: float, height: float) -> Picture:
    picture = Picture(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(picture)
    return picture


def _quiet(panel: Axes) -> None:
    panel.set_yticks([])
    panel.tick_params(labelsize=6)
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)


def _save(picture: Picture, out: Path) -> None:
    with replaced_when_done(out) as temporary:
        # no date or version in it: the same figures give the same bytes
        picture.savefig(temporary, format="png", metadata={"Software": None})
