"""CLaMP 2: music and text as vectors of one space, where a piece lies near the words for it.

In shapes: B pairs, N pairs of all processes, P patches, S ids a patch, T ids of a text, F features.
"""

import dataclasses
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812 -- its usual name
from torch import Tensor, distributed, nn

from notagen.features.encoder import EncoderConfig, MusicEncoder, average
from notagen.features.patches import PAD
from notagen.model.decoders import INITIAL_STD

TOGETHER = 16
"""Segments that are computed at once."""


@dataclasses.dataclass(frozen=True)
class ClampConfig(EncoderConfig):
    """The shape of a CLaMP 2 model's music side, and how likeness is measured in training."""

    feature_size: int = 256
    """Width of the features of music and text."""
    scale: float = 1.0
    """What likeness is multiplied by in training: the higher, the more the nearest count, > 0."""
    normalised: bool = False
    """Whether likeness in training is the cosine; else the dot product, as in the published
    weights. Features are never normalised."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.feature_size < 1:
            raise ValueError(f"feature_size must be >= 1, got {self.feature_size}")
        if not self.scale > 0:
            raise ValueError(f"scale must be > 0, got {self.scale}")

    @classmethod
    def published(cls) -> "ClampConfig":
        """Return the size of the published weights."""
        return cls(patch_layers=12, hidden_size=768, rests="written", feature_size=768)


class Clamp(nn.Module):
    """M3's encoder and a text encoder, each averaged and projected to features.

    Args:
        config: Of the music side.
        text_model: Any model of transformers that takes `input_ids` and `attention_mask` and
            returns a `last_hidden_state`; None for music alone.

    Source: CLaMP 2, arXiv:2410.13267, section 3.
    """

    def __init__(self, config: ClampConfig, text_model: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        self.music = MusicEncoder(config)
        self.music_projection = _projection(config.hidden_size, config.feature_size)
        self.text: nn.Module | None = text_model
        self.text_projection = None
        if text_model is not None:
            shape: Any = text_model.config
            self.text_projection = _projection(shape.hidden_size, config.feature_size)

    def music_features(self, patches: Tensor, lengths: Tensor) -> Tensor:
        """Return the features of segments of music, (B, F).

        Segments of like length are computed together, so that little padding is.

        Args:
            patches: (B, P, S), padded on the right.
            lengths: (B,), real patches of each.
        """
        order = lengths.argsort(stable=True)
        averages = []
        for rows in torch.split(order, TOGETHER):
            longest = int(lengths[rows[-1]])
            vectors = self.music(patches[rows, :longest], lengths[rows])
            averages.append(average(vectors, lengths[rows]))
        features: Tensor = self.music_projection(torch.cat(averages)[order.argsort()])
        return features

    def text_features(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Return the features of texts, (B, F).

        Args:
            ids: (B, T), of the text model's own tokenizer, padded on the right.
            lengths: (B,), real ids of each.

        Raises:
            ValueError: If the model has no text side.
        """
        if self.text is None or self.text_projection is None:
            raise ValueError("the model was made without its text side")
        mask = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        hidden = self.text(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        features: Tensor = self.text_projection(average(hidden, lengths))
        return features

    @torch.no_grad()
    def centre(self, patches: Tensor, ids: Tensor, lengths: Tensor) -> None:
        """Move the features so that those of these pairs, of music and of text, have the mean 0.

        The vectors of M3, and of a new text model, are nearly all alike: what sets pieces apart is
        small beside what they share, and cosines of 1 teach nothing.

        Args:
            patches: (B, P, S), as for `forward`.
            ids: (B, T).
            lengths: (B,).
        """
        music = self.music_features(patches, (patches[..., 0] != PAD).sum(1))
        text = self.text_features(ids, lengths)
        self.music_projection.bias.sub_(music.mean(0))
        if self.text_projection is not None:
            self.text_projection.bias.sub_(text.mean(0))

    def forward(
        self,
        patches: Tensor,
        ids: Tensor,
        lengths: Tensor,
        names: Tensor,
        damaged: Tensor | None = None,
        *,
        reduction: Literal["mean", "sum"] = "mean",
    ) -> Tensor:
        """Return the loss of pairs, in training those of this process beside those of all.

        Each piece must find its text among all texts, and each text its piece. If there are damaged
        copies, each piece must also lie nearer to the mean of all other pieces than its copy: that
        mean is what generated music is scored against.

        Args:
            patches: (B, P, S), a segment of each piece, padded on the right; B is the same on every
                process.
            ids: (B, T), its text, padded on the right.
            lengths: (B,), real ids of each text.
            names: (B,), integers, equal where the texts are: such pairs are not told apart.
            damaged: (B, P', S), a segment of a spoiled copy of each piece, or None.
            reduction: `mean` or `sum` over this process's pairs.
        """
        music = self.music_features(patches, (patches[..., 0] != PAD).sum(1)).float()
        text = self.text_features(ids, lengths).float()
        spoiled = None
        if damaged is not None:
            spoiled = self.music_features(damaged, (damaged[..., 0] != PAD).sum(1)).float()
        # sums over many features and differences of cosines are too fine for bf16
        with torch.autocast(music.device.type, enabled=False):
            losses = self._losses(music, text, names, spoiled)
        return losses.sum() if reduction == "sum" else losses.mean()

    def _losses(self, music: Tensor, text: Tensor, names: Tensor, spoiled: Tensor | None) -> Tensor:
        """Return the loss of each pair, (B,), from its features, (B, F)."""
        all_music, all_text, all_names = music, text, names
        own = rows = torch.arange(len(music), device=music.device)
        if self.training and distributed.is_initialized():
            all_music, all_text, all_names = gather(music), gather(text), gather(names)
            own = rows + distributed.get_rank() * len(music)
        alike = names[:, None] == all_names
        alike[rows, own] = False
        to_text = self._likeness(music, all_text).masked_fill(alike, -torch.inf)
        to_music = self._likeness(text, all_music).masked_fill(alike, -torch.inf)
        losses = (
            F.cross_entropy(to_text, own, reduction="none")
            + F.cross_entropy(to_music, own, reduction="none")
        ) / 2
        if spoiled is not None:
            others = all_music.sum(0) - music
            gain = F.cosine_similarity(music, others) - F.cosine_similarity(spoiled, others)
            losses = losses + F.softplus(-self.config.scale * gain)
        return losses

    def _likeness(self, features: Tensor, others: Tensor) -> Tensor:
        if self.config.normalised:
            features, others = F.normalize(features, dim=1), F.normalize(others, dim=1)
        return self.config.scale * features @ others.T


def gather(rows: Tensor) -> Tensor:
    """Return the rows of all processes, (N, ...), in the order of their ranks.

    Gradients flow back to the process that each row came from. Every process has as many rows.
    """
    gathered: Tensor = _Gather.apply(rows)  # type: ignore[no-untyped-call]
    return gathered


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:  # noqa: ANN401 -- torch's context has no type
        ctx.num_rows = len(rows)
        parts = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        # every process's loss depends on these rows
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        start = distributed.get_rank() * ctx.num_rows
        return total[start : start + ctx.num_rows]


def _projection(size: int, feature_size: int) -> nn.Linear:
    layer = nn.Linear(size, feature_size)
    nn.init.normal_(layer.weight, std=INITIAL_STD)
    nn.init.zeros_(layer.bias)
    return layer
