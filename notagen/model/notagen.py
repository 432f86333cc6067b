"""The model: a tune as patches, and the probability of each of its characters."""

from typing import Literal

import torch
from torch import Tensor, nn

from notagen.model.config import ModelConfig
from notagen.model.decoders import Block, CharDecoder, PatchDecoder
from notagen.model.ngram_heads import NONE, find_followers
from notagen.tokenizer.vocabulary import PAD


class NotaGen(nn.Module):
    """A decoder across patches and one inside each patch, trained on the next character.

    Source: NotaGen, arXiv:2502.18008, section 3.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_decoder = PatchDecoder(config)
        self.char_decoder = CharDecoder(
            config.patch_size,
            config.char_layers,
            config.hidden_size,
            config.dropout,
            config.ngram_heads,
        )

    def forward(
        self,
        patches: Tensor,
        mask: Tensor,
        silent: Tensor | None = None,
        *,
        reduction: Literal["mean", "sum"] = "mean",
    ) -> Tensor:
        """Return the loss, a scalar in nats; the arguments are left as they are.

        Predicted are the characters of every patch but the first that the mask marks, pads left
        out; the eos characters and the eos patch count. Every patch is read, marked or not.

        Args:
            patches: (B, P, S), integers of any width, 0 to 127; tunes and patches are padded on
                the right.
            mask: (B, P), true or 1 for real patches, or for some of them; false or 0 for padding.
            silent: (B, P), true or 1 for patches that are predicted without n-gram heads; None for
                none.
            reduction: `mean` over the predicted characters of the whole batch; `sum` for losses
                that are averaged over several batches, by the sum of their `count_targets`.

        Raises:
            ValueError: If the shapes do not fit the model.
        """
        losses, _ = self._character_losses(patches, mask, silent)
        total = losses.sum()
        return total if reduction == "sum" else total / count_targets(patches, mask).clamp(min=1)

    def log_probs(
        self,
        patches: Tensor,
        mask: Tensor,
        silent: Tensor | None = None,
        *,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Return the summed log-probability of each tune's predicted characters, (B,), in nats.

        Other arguments and errors are those of `forward`.

        Args:
            patches: (B, P, S).
            mask: (B, P).
            silent: (B, P).
            dtype: Of the sums: 64 bits where small differences between them count; None for that
                of the characters' losses.
        """
        losses, tunes = self._character_losses(patches, mask, silent)
        sums = losses.sum(1, dtype=dtype)
        return sums.new_zeros(len(patches)).index_add(0, tunes, -sums)

    def checkpoint_activations(self) -> None:
        """Keep only the input of each layer for gradients, and compute the rest once more.

        It saves memory for about a third more computation; losses and gradients stay the same,
        dropout included.

        Source: Chen et al. 2016, arXiv:1604.06174.
        """
        for decoder in (self.patch_decoder, self.char_decoder):
            decoder.transformer.checkpointed = True

    def compile_layers(self) -> None:
        """Let torch compile each layer when it is first used, once for all lengths.

        Names of parameters stay as they are; generation runs as before. On a processor it needs a
        C++ compiler.
        """
        for module in self.modules():
            if isinstance(module, Block):
                module.compile(dynamic=True)

    def _character_losses(
        self, patches: Tensor, mask: Tensor, silent: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of each character of N predicted patches, (N, S), pads 0.

        The second tensor, (N,), says which tune each patch belongs to. The patches stand in the
        order of their lengths, so that few pads are computed.
        """
        self._check(patches, mask=mask, silent=silent)
        places = mask[:, 1:].flatten().nonzero().squeeze(1)
        lengths = (patches[:, 1:].flatten(0, 1)[places] != PAD).sum(1)
        lengths, order = lengths.sort(stable=True)
        places = places[order]
        targets = patches[:, 1:].flatten(0, 1)[places].long()
        # Padding is on the right and attention causal: no real patch ever sees a padded one.
        hidden = self.patch_decoder(patches[:, :-1]).flatten(0, 1).index_select(0, places)
        followers = None
        if self.config.ngram_heads:
            followers = find_followers(patches, self.config.ngram_heads)
            if silent is not None:
                followers[silent.bool()] = NONE
            followers = followers[:, 1:].flatten(0, 1)[places]
        losses = self.char_decoder.losses(hidden, targets, lengths, followers)
        return losses, places // (patches.shape[1] - 1)

    def _check(self, patches: Tensor, **marks: Tensor | None) -> None:
        wanted = f"(B, 2 to {self.config.patch_length + 1}, {self.config.patch_size})"
        fits = (
            patches.dim() == 3
            and 2 <= patches.shape[1] <= self.config.patch_length + 1
            and patches.shape[2] == self.config.patch_size
        )
        if not fits:
            raise ValueError(f"patches must have shape {wanted}, got {tuple(patches.shape)}")
        for name, marked in marks.items():
            if marked is not None and marked.shape != patches.shape[:2]:
                raise ValueError(
                    f"{name} must have shape {tuple(patches.shape[:2])}, got {tuple(marked.shape)}"
                )


def count_targets(patches: Tensor, mask: Tensor) -> Tensor:
    """Return the number of characters that `NotaGen.forward` predicts, a 64-bit integer scalar.

    Args:
        patches: (B, P, S), integers.
        mask: (B, P), true or 1 for real patches.
    """
    return torch.count_nonzero((patches[:, 1:] != PAD) & mask[:, 1:, None].bool())
