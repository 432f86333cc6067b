"""The listening and reading sheet of an evaluation: which pieces meet, and what people said."""

import random
from collections.abc import Sequence

from notagen.evaluation.pieces import PieceFile, read_music
from notagen.foundation.errors import InputError, ScoreError
from notagen.generation.continuation import opening_of_abc
from notagen.metrics.figures import Figure, mean_figure
from notagen.notation.musicxml import abc_to_musicxml
from notagen.render.sheet import Answer, Pair


def choose_pairs(
    generated: Sequence[PieceFile],
    reference: Sequence[PieceFile],
    *,
    count: int,
    max_bars: int,
    seed: int,
) -> tuple[list[Pair], list[str]]:
    """Return pairs of a generated and a real piece, both cut to their first bars.

    A generated piece meets one with the same period, composer and instrumentation where one is
    left. No real piece stands in two pairs, since who hears it again knows which it is.

    Args:
        generated: To draw from.
        reference: Likewise.
        count: Pairs wanted; there are fewer where the pieces do not suffice.
        max_bars: Bars of each piece.
        seed: Of the draws.

    Returns:
        The pairs, and a line about each piece that could not be taken.

    Raises:
        InputError: If no pair could be made.
    """
    rng = random.Random(seed)  # noqa: S311 -- no secret
    ours, theirs = list(generated), list(reference)
    rng.shuffle(ours)
    rng.shuffle(theirs)
    pairs: list[Pair] = []
    refused: list[str] = []
    for piece in ours:
        if len(pairs) == count or not theirs:
            break
        try:
            own = _excerpt(piece, max_bars)
        except ScoreError as error:
            refused.append(f"{piece.name}: {error}")
            continue
        while theirs:
            place = next((n for n, one in enumerate(theirs) if one.prompt == piece.prompt), 0)
            other = theirs.pop(place)
            try:
                pairs.append(Pair(piece.name, own, other.name, _excerpt(other, max_bars)))
                break
            except ScoreError as error:
                refused.append(f"{other.name}: {error}")
    if not pairs:
        raise InputError(f"found no two pieces to compare, the first for: {refused[0]}")
    return pairs, refused


def judgement_figures(answers: Sequence[Answer], *, seed: int) -> dict[str, Figure]:
    """Return how often generated pieces were preferred, and how often they were told apart.

    Of preferences "no difference" counts half; of guesses "cannot tell" does. The intervals are
    over answers.

    Raises:
        InputError: If there are none.
    """
    if not answers:
        raise InputError("found no answer in the files, wanted one at least")
    preferred = [
        0.5 + (answer.preference > 0) / 2 - (answer.preference < 0) / 2
        for answer in answers
        if answer.preference is not None
    ]
    right = [answer.right for answer in answers if answer.right is not None]
    return {
        "preferred": mean_figure(preferred, seed=seed),
        "told_apart": mean_figure(right, seed=seed),
    }


def _excerpt(piece: PieceFile, max_bars: int) -> str:
    return abc_to_musicxml(opening_of_abc(read_music(piece), first_bars=max_bars))
