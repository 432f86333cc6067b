"""Figures of a set of scores: how sound they are, and how they compare to real ones."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from notagen.evaluation.pieces import Measured
from notagen.metrics.figures import NOTHING, Figure, mean_figure, ratio_figure
from notagen.metrics.relative import Relative
from notagen.metrics.validity import Soundness

_LOOP = 4
"""So many times one bar or pattern of bars in a row are a loop."""


def validity_figures(measured: Sequence[Measured], *, seed: int) -> dict[str, Figure]:
    """Return how sound pieces are: shares of all of them, the unreadable counted as failures.

    `bar_alignment_error` is a share of all bars, `distinct_bars` of those that sound,
    `notes_out_of_range` of all notes whose instrument is known, `mended_bars` of the bars that our
    models wrote, each of which was begun again `retries` times. Where no instrument of a piece is
    known it does not count for `in_range`.
    """
    found = [piece.soundness for piece in measured]
    works = [piece.piece.work for piece in measured]
    ours = [piece for piece in measured if piece.piece.finished is not None]
    bars = [piece.soundness.n_bars if piece.soundness else 0 for piece in ours]
    asked = any(sound is not None and sound.same_notes is not None for sound in found)

    judged = [
        (sound, work)
        for sound, work in zip(found, works, strict=True)
        if not (sound and sound.in_range and not sound.n_notes_in_known_ranges)
    ]

    def share(is_so: Callable[[Soundness], bool | None]) -> Figure:
        values = [bool(sound and is_so(sound)) for sound in found]
        return mean_figure(values, seed=seed, works=works)

    def part(above: Callable[[Soundness], int], below: Callable[[Soundness], int]) -> Figure:
        return ratio_figure(
            [above(sound) if sound else 0 for sound in found],
            [below(sound) if sound else 0 for sound in found],
            seed=seed,
            works=works,
        )

    return {
        "parses": share(lambda sound: sound.parses),
        "aligned": share(lambda sound: sound.aligned),
        "converts": share(lambda sound: sound.converts),
        "same_notes": share(lambda sound: sound.same_notes) if asked else NOTHING,
        "has_notes": share(lambda sound: sound.n_sounding_bars > 0),
        "valid": share(is_valid),
        "sound_header": share(lambda sound: not sound.header_problems),
        "in_range": mean_figure(
            [bool(sound and sound.in_range) for sound, _ in judged],
            seed=seed,
            works=[work for _, work in judged],
        ),
        "no_loop": share(lambda sound: sound.parses and sound.longest_repeat < _LOOP),
        "finished": mean_figure([bool(piece.piece.finished) for piece in ours], seed=seed),
        "bar_alignment_error": part(lambda s: s.n_unaligned_bars, lambda s: s.n_bars),
        "notes_out_of_range": part(
            lambda s: s.n_notes_out_of_range,
            lambda s: s.n_notes_in_known_ranges + s.n_notes_out_of_range,
        ),
        "distinct_bars": part(lambda s: s.n_distinct_bars, lambda s: s.n_sounding_bars),
        "mended_bars": ratio_figure([piece.piece.num_mended for piece in ours], bars, seed=seed),
        "retries": ratio_figure([piece.piece.num_retries for piece in ours], bars, seed=seed),
    }


def is_valid(sound: Soundness) -> bool:
    """Return whether a piece is music that can be used as it was written."""
    return sound.parses and sound.aligned and sound.converts and sound.n_sounding_bars > 0


def statistics_figures(relative: Mapping[str, Relative]) -> dict[str, dict[str, Any]]:
    """Return of each statistic what a results file holds: figures, no curves."""
    return {
        name: {
            "overlap": found.overlap,
            "divergence": found.divergence,
            "reference_overlap": found.reference_overlap,
            "reference_divergence": found.reference_divergence,
            "n_reference": found.reference_overlap.n,
        }
        for name, found in relative.items()
    }
