import pytest
import torch

from notagen.features.encoder import EncoderConfig, MusicEncoder, average

CONFIG = EncoderConfig(patch_size=8, patch_length=12, patch_layers=2, hidden_size=64)


@pytest.fixture
def encoder() -> MusicEncoder:
    torch.manual_seed(0)
    encoder = MusicEncoder(CONFIG).eval()
    for parameter in encoder.parameters():  # a new one hardly mixes its positions
        torch.nn.init.normal_(parameter, std=0.2)
    return encoder


def test_padding_changes_nothing(encoder: MusicEncoder) -> None:
    patches = torch.randint(4, 128, (2, 12, 8))
    patches[1, 5:] = 0
    lengths = torch.tensor([12, 5])
    together = encoder(patches, lengths)
    alone = encoder(patches[1:, :5], lengths[1:])
    torch.testing.assert_close(together[1, :5], alone[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        average(together, lengths)[1], average(alone, lengths[1:])[0], atol=1e-5, rtol=1e-5
    )


def test_every_patch_is_seen_by_every_other(encoder: MusicEncoder) -> None:
    patches = torch.randint(4, 128, (1, 6, 8))
    changed = patches.clone()
    changed[0, 3, 2] = 4 + (changed[0, 3, 2] - 3) % 124
    lengths = torch.tensor([6])
    differs = (encoder(patches, lengths) - encoder(changed, lengths)).abs().sum(-1)[0]
    assert bool((differs > 0).all())


@pytest.mark.parametrize("shape", [(1, 13, 8), (1, 12, 7), (12, 8)])
def test_other_shapes_are_refused(encoder: MusicEncoder, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="patches must have shape"):
        encoder(torch.zeros(shape, dtype=torch.uint8), torch.tensor([1]))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hidden_size", 100),
        ("patch_layers", 0),
        ("patch_size", 3),
        ("dropout", 1.0),
        ("rests", "x"),
    ],
)
def test_a_shape_that_no_encoder_has_is_refused(field: str, value: object) -> None:
    with pytest.raises((TypeError, ValueError), match=field):
        EncoderConfig(**{field: value})  # type: ignore[arg-type]
