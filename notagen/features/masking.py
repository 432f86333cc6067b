"""Which patches M3 must guess, and what it is shown in their place."""

import random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from notagen.features.patches import EOS, MASK, PAD, Patches

SELECTED = 0.45
"""Share of a piece's patches that are to be restored."""
MASKED, SHUFFLED = 0.8, 0.1
"""Shares of those whose ids are all hidden, and whose characters are shuffled; the rest stay."""


class Masked(NamedTuple):
    """What a model is shown of a piece, and what it must restore."""

    patches: Patches
    """As they are shown, (n, patch_size)."""
    selected: NDArray[np.bool_]
    """Which are to be restored, (n,)."""


def mask_patches(patches: Patches, rng: random.Random, *, spoiled: float = 1.0) -> Masked:
    """Choose patches to restore, at least one, and spoil most of them; the argument stays as it is.

    Args:
        patches: (n, patch_size), n > 0.
        rng: Of all choices.
        spoiled: Share of those to hide or shuffle that really are, in [0, 1].

    Source: CLaMP 2, arXiv:2410.13267, section 3.2.
    """
    num = len(patches)
    chosen = rng.sample(range(num), max(1, round(SELECTED * num)))
    selected = np.zeros(num, dtype=np.bool_)
    selected[chosen] = True
    shown = patches.copy()
    for place in chosen:
        what = rng.random()
        if what < MASKED * spoiled:
            shown[place] = MASK
        elif what < (MASKED + SHUFFLED) * spoiled:
            shown[place] = _shuffled(patches[place], rng)
    return Masked(shown, selected)


def _shuffled(patch: NDArray[np.uint8], rng: random.Random) -> NDArray[np.uint8]:
    """Return a patch with its characters in another order; bos, eos and pads stay."""
    characters = np.flatnonzero((patch > EOS) & (patch != PAD))
    order = rng.sample(characters.tolist(), len(characters))
    shuffled = patch.copy()
    shuffled[characters] = patch[order]
    return shuffled
