import random

import numpy as np

from notagen.features.masking import MASKED, SELECTED, SHUFFLED, mask_patches
from notagen.features.patches import MASK, MusicTokenizer

PATCHES = MusicTokenizer().encode_whole("".join(f"[V:1]c{n}d{n}e{n}|\n" for n in range(998)))


def test_shares_of_the_patches_are_as_published() -> None:
    before = PATCHES.copy()
    shown, selected = mask_patches(PATCHES, random.Random(0))
    assert np.array_equal(PATCHES, before)
    assert np.array_equal(shown[~selected], PATCHES[~selected])
    chosen = int(selected.sum())
    assert chosen == round(SELECTED * len(PATCHES))
    masked = (shown == MASK).all(axis=1)
    kept = (shown == PATCHES).all(axis=1) & selected
    assert abs(masked.sum() / chosen - MASKED) < 0.06
    assert abs(kept.sum() / chosen - (1 - MASKED - SHUFFLED)) < 0.05
    assert abs((selected & ~masked & ~kept).sum() / chosen - SHUFFLED) < 0.05


def test_a_shuffled_patch_keeps_its_characters_between_its_marks() -> None:
    shown, selected = mask_patches(PATCHES, random.Random(1))
    shuffled = selected & (shown != MASK).any(axis=1) & (shown != PATCHES).any(axis=1)
    assert shuffled.any()
    for old, new in zip(PATCHES[shuffled], shown[shuffled], strict=True):
        assert sorted(old) == sorted(new)
        assert np.array_equal(old <= 2, new <= 2)


def test_one_patch_at_least_is_restored() -> None:
    assert mask_patches(PATCHES[:1], random.Random(0)).selected.tolist() == [True]


def test_a_share_of_what_would_be_spoiled_stays_as_it_is() -> None:
    shown, selected = mask_patches(PATCHES, random.Random(0), spoiled=0.5)
    masked = (shown == MASK).all(axis=1)
    kept = (shown == PATCHES).all(axis=1) & selected
    assert abs(masked.sum() / selected.sum() - MASKED / 2) < 0.06
    assert abs(kept.sum() / selected.sum() - (1 - (MASKED + SHUFFLED) / 2)) < 0.06
    whole, same = mask_patches(PATCHES, random.Random(0), spoiled=0)
    assert np.array_equal(whole, PATCHES)
    assert same.sum() == selected.sum()
