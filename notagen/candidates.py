"""Several candidates of each wished piece, of which the one most like real pieces is kept."""

import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from notagen.features.scoring import Reference, judge
from notagen.foundation.errors import InputError, ScoreError
from notagen.foundation.features import check_made_by
from notagen.generation.engine import Generated
from notagen.generation.finish import finish
from notagen.generation.prompts import Prompt
from notagen.notation.musicxml import abc_to_musicxml

_log = logging.getLogger(__name__)


Score = Callable[[Generated], float]
"""Gives a candidate its score; a ScoreError where it cannot be scored."""


def load_score(weights: Path, reference: Reference, device: torch.device) -> Score:
    """Load an extractor, and return the score that it gives, see `score_with`.

    Raises:
        InputError: If the weights cannot be read, or did not make the features of the reference.
    """
    from notagen.features.extract import Extractor

    extractor = Extractor(weights, device=device)
    check_made_by(reference.features, extractor.name, extractor.weights_sha256)
    return score_with(extractor.features, reference)


def score_with(extract: Callable[[str], NDArray[np.float32]], reference: Reference) -> Score:
    """Return what scores a candidate by its likeness to the real pieces of its prompt.

    One that has no way to MusicXML is refused: nothing could be made of it.

    Args:
        extract: Turns ABC into a feature, (H,), as it did for the reference.
        reference: Real pieces.
    """

    def score(piece: Generated) -> float:
        abc = finish(piece.text, finished=piece.finished).abc
        abc_to_musicxml(abc)
        style = Prompt.parse(piece.prompt)
        labels = (style.period, style.composer, style.instrumentation) if style else None
        return judge(extract(abc)[np.newaxis], [labels], reference)[0].prompt_score

    return score


def gather(pieces: Iterable[Generated], num_candidates: int) -> Iterator[list[Generated]]:
    """Yield the candidates of each wished piece, in order, when the last of them has ended.

    The candidates of wish i are the pieces i * num_candidates and those behind it. Where writing
    was stopped, or an error of one prompt ends it, those of unfinished wishes come last.
    """
    unfinished: dict[int, list[Generated]] = {}
    try:
        for piece in pieces:
            wish = piece.index // num_candidates
            candidates = unfinished.setdefault(wish, [])
            candidates.append(piece)
            if len(candidates) == num_candidates:
                yield _in_order(unfinished.pop(wish))
    except (InputError, ScoreError):
        yield from map(_in_order, unfinished.values())
        raise
    yield from map(_in_order, unfinished.values())


def keep_best(
    candidates: Sequence[Generated], num_candidates: int, score: Score
) -> tuple[Generated, dict[str, Any]]:
    """Return the best-scored candidate of a wished piece, and what its record says of the choice.

    Its index becomes that of the wish. Where a candidate was stopped, or not begun, the choice was
    stopped too, and `reason` says so: the piece is to be written anew.

    Args:
        candidates: From `gather`.
        num_candidates: As wanted.
        score: From `score_with`.

    Returns:
        The piece; and `score`, `candidates` (each one's score, None where it has none) and
        `candidate`, the place of the chosen one. Where none has a score, it is the first.
    """
    scores = [_score_or_none(piece, score) for piece in candidates]
    chosen = max(range(len(scores)), key=lambda place: _or_lowest(scores[place]))
    piece = dataclasses.replace(
        candidates[chosen], index=candidates[chosen].index // num_candidates
    )
    stopped = any(piece.reason == "stopped" for piece in candidates)
    if stopped or len(candidates) < num_candidates:
        piece = dataclasses.replace(piece, reason="stopped")
    return piece, {"score": scores[chosen], "candidates": scores, "candidate": chosen}


def _in_order(candidates: list[Generated]) -> list[Generated]:
    return sorted(candidates, key=lambda piece: piece.index)


def _score_or_none(piece: Generated, score: Score) -> float | None:
    try:
        return round(score(piece), 6)
    except ScoreError:
        return None
    except OSError:
        raise
    except Exception:  # noqa: BLE001 -- a fault of ours: told, but the run goes on
        _log.exception("candidate %d could not be scored", piece.index)
        return None


def _or_lowest(score: float | None) -> float:
    return -np.inf if score is None else score
