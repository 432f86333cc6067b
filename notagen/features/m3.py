"""M3: an encoder of music that learns by restoring hidden bars."""

import dataclasses
from typing import Literal

import torch
from torch import Tensor, nn

from notagen.features.encoder import EncoderConfig, MusicEncoder
from notagen.features.patches import PAD
from notagen.model.decoders import CharDecoder


@dataclasses.dataclass(frozen=True)
class M3Config(EncoderConfig):
    """The shape of an M3 model; the defaults are those of the mini size."""

    char_layers: int = 3
    """Layers of the decoder inside a patch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.char_layers < 1:
            raise ValueError(f"char_layers must be >= 1, got {self.char_layers}")

    @property
    def encoder(self) -> EncoderConfig:
        """The shape of the encoder alone."""
        fields = dataclasses.fields(EncoderConfig)
        return EncoderConfig(**{field.name: getattr(self, field.name) for field in fields})

    @classmethod
    def published(cls) -> "M3Config":
        """Return the size of the published weights."""
        return cls(patch_layers=12, hidden_size=768, rests="written")


class M3(nn.Module):
    """A music encoder, and a character decoder that restores a patch from its vector.

    Source: CLaMP 2, arXiv:2410.13267, section 3.2.
    """

    def __init__(self, config: M3Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = MusicEncoder(config.encoder)
        # a patch's first id, bos, is no news: the vector stands in its place
        self.decoder = CharDecoder(
            config.patch_size - 1, config.char_layers, config.hidden_size, config.dropout
        )

    def forward(
        self,
        patches: Tensor,
        shown: Tensor,
        selected: Tensor,
        *,
        reduction: Literal["mean", "sum"] = "mean",
    ) -> Tensor:
        """Return the loss of the restored characters, a scalar in nats, eos counted.

        Args:
            patches: (B, P, S), ids of the pieces as they are, padded on the right.
            shown: (B, P, S), the same with some patches spoiled.
            selected: (B, P), true for the patches to restore.
            reduction: `mean` over the characters; `sum` for losses averaged over several batches,
                by the sum of their `count_restored`.
        """
        lengths = (patches[..., 0] != PAD).sum(1)
        vectors = self.encoder(shown, lengths)[selected]
        # a patch is bos, characters, eos, pads: the decoder writes what follows bos
        targets = patches[selected][:, 1:].long()
        sizes, order = (targets != PAD).sum(1).sort(stable=True)
        total = self.decoder.losses(vectors[order], targets[order], sizes).sum()
        return total if reduction == "sum" else total / count_restored(patches, selected)


def count_restored(patches: Tensor, selected: Tensor) -> Tensor:
    """Return the number of ids that `M3.forward` restores, a 64-bit integer scalar."""
    return torch.count_nonzero(patches[selected][:, 1:])
