import math
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 -- its usual name

from notagen.features.clamp import Clamp, ClampConfig
from notagen.features.weights import load_clamp

IDS = torch.tensor([[2, 9, 11, 3], [2, 8, 3, 0], [2, 7, 12, 3]])
LENGTHS = torch.tensor([4, 3, 4])
NAMES = torch.tensor([1, 2, 3])


def music(seed: int) -> torch.Tensor:
    """Return three segments of 9, 6 and 3 patches."""
    patches = torch.randint(4, 128, (3, 9, 64), generator=torch.Generator().manual_seed(seed))
    patches[1, 6:] = patches[2, 3:] = 0
    return patches.to(torch.uint8)


def model(folder: Path, *, scale: float = 3.0, normalised: bool = True) -> Clamp:
    loaded = load_clamp(folder, text=True)
    loaded.config = ClampConfig(**{**vars(loaded.config), "scale": scale, "normalised": normalised})
    return loaded


def features(clamp: Clamp, patches: torch.Tensor) -> torch.Tensor:
    return clamp.music_features(patches, (patches[..., 0] != 0).sum(1))


@torch.inference_mode()
def test_the_loss_by_hand(small_clamp: Path) -> None:
    clamp = model(small_clamp)
    pieces, words = features(clamp, music(0)), clamp.text_features(IDS, LENGTHS)
    likeness = 3 * F.normalize(pieces) @ F.normalize(words).T
    right = torch.arange(3)
    expected = (F.cross_entropy(likeness, right) + F.cross_entropy(likeness.T, right)) / 2
    loss = clamp(music(0), IDS, LENGTHS, NAMES)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(clamp(music(0), IDS, LENGTHS, NAMES, reduction="sum"), 3 * loss)


@torch.inference_mode()
def test_dot_products_are_as_published(small_clamp: Path) -> None:
    clamp = model(small_clamp, scale=1.0, normalised=False)
    pieces, words = features(clamp, music(0)), clamp.text_features(IDS, LENGTHS)
    right = torch.arange(3)
    expected = (
        F.cross_entropy(pieces @ words.T, right) + F.cross_entropy(words @ pieces.T, right)
    ) / 2
    torch.testing.assert_close(clamp(music(0), IDS, LENGTHS, NAMES), expected)


@torch.inference_mode()
def test_mixed_precision_leaves_the_loss_in_float32(small_clamp: Path) -> None:
    clamp = model(small_clamp)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = clamp(music(0), IDS, LENGTHS, NAMES, music(1))
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(
        mixed, clamp(music(0), IDS, LENGTHS, NAMES, music(1)), atol=0.02, rtol=0
    )


@torch.inference_mode()
def test_equal_texts_are_not_told_apart(small_clamp: Path) -> None:
    clamp = model(small_clamp)
    same = IDS[[0, 0, 2]]
    told = clamp(music(0), same, LENGTHS[[0, 0, 2]], torch.tensor([1, 1, 3]))
    pieces, words = features(clamp, music(0)), clamp.text_features(same, LENGTHS[[0, 0, 2]])
    likeness = 3 * F.normalize(pieces) @ F.normalize(words).T
    likeness[0, 1] = likeness[1, 0] = -math.inf
    right = torch.arange(3)
    expected = (F.cross_entropy(likeness, right) + F.cross_entropy(likeness.T, right)) / 2
    torch.testing.assert_close(told, expected)
    # pieces of one text alone have nothing to be told from
    alone = clamp(music(0), IDS[[0, 0, 0]], LENGTHS[[0, 0, 0]], torch.tensor([1, 1, 1]))
    assert float(alone) == 0


@torch.inference_mode()
def test_a_damaged_copy_must_lie_farther_from_the_other_pieces(small_clamp: Path) -> None:
    clamp = model(small_clamp)
    plain = clamp(music(0), IDS, LENGTHS, NAMES)
    same = clamp(music(0), IDS, LENGTHS, NAMES, music(0))
    torch.testing.assert_close(same - plain, torch.tensor(math.log(2)))
    pieces, spoiled = features(clamp, music(0)), features(clamp, music(1))
    losses = []
    for row in range(3):
        others = pieces[[other for other in range(3) if other != row]].sum(0)
        gain = F.cosine_similarity(pieces[row], others, 0) - F.cosine_similarity(
            spoiled[row], others, 0
        )
        losses.append(math.log1p(math.exp(-3 * float(gain))))
    damaged = clamp(music(0), IDS, LENGTHS, NAMES, music(1))
    assert math.isclose(float(damaged - plain), sum(losses) / 3, rel_tol=1e-4)


@torch.inference_mode()
def test_rows_are_those_of_segments_alone(small_clamp: Path) -> None:
    clamp = load_clamp(small_clamp)
    patches = music(0).repeat(9, 1, 1)[:25]
    together = features(clamp, patches)
    for row in range(25):
        length = int((patches[row, :, 0] != 0).sum())
        alone = features(clamp, patches[row : row + 1, :length])
        torch.testing.assert_close(together[row], alone[0], atol=1e-5, rtol=1e-4)
