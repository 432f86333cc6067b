"""The model: a tune as patches, and the probability of each of its characters."""

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 -- its usual name
from torch import Tensor, nn

from notagen.model.config import ModelConfig
from notagen.model.decoders import CharDecoder, PatchDecoder
from notagen.tokenizer.vocabulary import PAD


class NotaGen(nn.Module):
    """A decoder across patches and one inside each patch, trained on the next character.

    Source: NotaGen, arXiv:2502.18008, section 3.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_decoder = PatchDecoder(config)
        self.char_decoder = CharDecoder(config)

    def forward(
        self, patches: Tensor, mask: Tensor, *, reduction: Literal["mean", "sum"] = "mean"
    ) -> Tensor:
        """Return the loss, a scalar in nats; the arguments are left as they are.

        Predicted are the characters of every patch but the first that the mask marks as real, pads
        left out; the eos characters and the eos patch count.

        Args:
            patches: (B, P, S), integers of any width, 0 to 127; padded on the right.
            mask: (B, P), true or 1 for real patches, false or 0 for padding.
            reduction: `mean` over the predicted characters of the whole batch; `sum` for losses
                that are averaged over several batches, by the sum of their `count_targets`.

        Raises:
            ValueError: If the shapes do not fit the model.
        """
        losses, _ = self._character_losses(patches, mask)
        total = losses.sum()
        return total if reduction == "sum" else total / count_targets(patches, mask).clamp(min=1)

    def log_probs(self, patches: Tensor, mask: Tensor) -> Tensor:
        """Return the summed log-probability of each tune's predicted characters, (B,), in nats.

        Arguments and errors are those of `forward`.
        """
        losses, tunes = self._character_losses(patches, mask)
        return losses.new_zeros(len(patches)).index_add(0, tunes, -losses.sum(1))

    def _character_losses(self, patches: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of each character of N predicted patches, (N, up to S), pads 0.

        The second tensor, (N,), says which tune each patch belongs to.
        """
        self._check(patches, mask)
        tunes, places = mask[:, 1:].nonzero(as_tuple=True)
        # Padding is on the right and attention causal: no real patch ever sees a padded one.
        hidden = self.patch_decoder(patches[:, :-1])[tunes, places]
        targets = patches[tunes, places + 1].long()
        filled = (targets != PAD).any(0).nonzero()
        targets = targets[:, : int(filled[-1]) + 1 if len(filled) else 1]
        logits = self.char_decoder(hidden, targets[:, :-1])
        losses = F.cross_entropy(
            logits.float().transpose(1, 2), targets, ignore_index=PAD, reduction="none"
        )
        return losses, tunes

    def _check(self, patches: Tensor, mask: Tensor) -> None:
        wanted = f"(B, 2 to {self.config.patch_length + 1}, {self.config.patch_size})"
        fits = (
            patches.dim() == 3
            and 2 <= patches.shape[1] <= self.config.patch_length + 1
            and patches.shape[2] == self.config.patch_size
        )
        if not fits:
            raise ValueError(f"patches must have shape {wanted}, got {tuple(patches.shape)}")
        if mask.shape != patches.shape[:2]:
            raise ValueError(
                f"mask must have shape {tuple(patches.shape[:2])}, got {tuple(mask.shape)}"
            )


def count_targets(patches: Tensor, mask: Tensor) -> Tensor:
    """Return the number of characters that `NotaGen.forward` predicts, a 64-bit integer scalar.

    Args:
        patches: (B, P, S), integers.
        mask: (B, P), true or 1 for real patches.
    """
    return torch.count_nonzero((patches[:, 1:] != PAD) & mask[:, 1:, None].bool())
