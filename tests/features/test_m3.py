import random

import torch

from notagen.features.m3 import M3, M3Config, count_restored
from notagen.features.masking import mask_patches
from notagen.features.patches import MusicTokenizer

TOKENIZER = MusicTokenizer(patch_length=64)
TEXT = "K:C\n" + "".join(f"[V:1]c{n}d{n % 3}|[V:2]C{n % 5}D|\n" for n in range(12))


def example(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    patches = TOKENIZER.encode(TEXT)
    shown, selected = mask_patches(patches, random.Random(seed))
    return tuple(torch.from_numpy(array)[None] for array in (patches, shown, selected))  # type: ignore[return-value]


def test_the_loss_is_that_of_the_restored_characters_one_by_one(small_m3: M3) -> None:
    patches, shown, selected = example(0)
    vectors = small_m3.encoder(shown, torch.tensor([patches.shape[1]]))[selected]
    expected, count = torch.zeros(()), 0
    for vector, patch in zip(vectors, patches[selected], strict=True):
        real = patch[patch != 0].long()
        # the decoder reads the vector in the place of bos, then the characters
        logits = small_m3.decoder(vector[None], real[None, 1:-1])[0]
        expected += torch.nn.functional.cross_entropy(logits, real[1:], reduction="sum")
        count += len(real) - 1
    assert int(count_restored(patches, selected)) == count
    loss = small_m3(patches, shown, selected, reduction="sum")
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(small_m3(patches, shown, selected), expected / count)


def test_padding_changes_no_loss(small_m3: M3) -> None:
    patches, shown, selected = example(1)
    padded = [torch.nn.functional.pad(tensor, (0, 0, 0, 9)) for tensor in (patches, shown)]
    wider = torch.nn.functional.pad(selected, (0, 9))
    torch.testing.assert_close(small_m3(*padded, wider), small_m3(patches, shown, selected))


def test_one_piece_is_learned_by_heart() -> None:
    torch.manual_seed(0)
    config = M3Config(patch_length=64, patch_layers=2, char_layers=1, hidden_size=64, dropout=0.0)
    model = M3(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for step in range(120):
        loss = model(*example(step % 4))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.3 < 2 < losses[0]
