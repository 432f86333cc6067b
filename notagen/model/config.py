"""The model's shape."""

import dataclasses
from typing import Self

from notagen.foundation.config import check_fields

HEAD_SIZE = 64
"""Width of one attention head, in every size of the model."""
LONGEST_NGRAM = 1000
"""Characters that an n-gram head compares at most."""


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The shape of a NotaGen model; the defaults are those of `mini`."""

    patch_size: int = 16
    """Characters in a patch."""
    patch_length: int = 1024
    """Patches in the context."""
    patch_layers: int = 8
    """Layers of the decoder across patches."""
    char_layers: int = 3
    """Layers of the decoder inside a patch."""
    hidden_size: int = 256
    """Width of both decoders, a multiple of 64."""
    dropout: float = 0.1
    """Share of activations dropped while training, from 0 up to but not including 1."""
    ngram_heads: tuple[int, ...] = ()
    """Characters that each n-gram head compares, ascending: heads that find what followed when
    they stood in the piece before (`model/ngram_heads.py`). The published models have none."""

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_fields(self)
        for name in ("patch_size", "patch_layers", "char_layers", "hidden_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")
        if self.patch_length < 4:  # bos, header, a line, and room to go on
            raise ValueError(f"patch_length must be >= 4, got {self.patch_length}")
        if any(not 1 <= length <= LONGEST_NGRAM for length in self.ngram_heads):
            raise ValueError(f"ngram_heads must be 1 to {LONGEST_NGRAM}, got {self.ngram_heads}")
        if self.ngram_heads != tuple(sorted(set(self.ngram_heads))):
            raise ValueError(f"ngram_heads must ascend, got {self.ngram_heads}")
        if self.hidden_size % HEAD_SIZE:
            raise ValueError(f"hidden_size must be a multiple of 64, got {self.hidden_size}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be >= 0 and < 1, got {self.dropout}")

    @property
    def num_heads(self) -> int:
        """Attention heads of each layer."""
        return self.hidden_size // HEAD_SIZE

    @classmethod
    def mini(cls) -> Self:
        """Return the size that trains and runs on a laptop's processor: about 9 M parameters."""
        return cls()

    @classmethod
    def small(cls) -> Self:
        """Return the published small size: 109,579,776 parameters."""
        return cls(patch_length=2048, patch_layers=12, char_layers=3, hidden_size=768)

    @classmethod
    def medium(cls) -> Self:
        """Return the published medium size: 243,677,184 parameters."""
        return cls(patch_length=2048, patch_layers=16, char_layers=3, hidden_size=1024)

    @classmethod
    def large(cls) -> Self:
        """Return the published large size: 515,738,880 parameters."""
        return cls(patch_length=1024, patch_layers=20, char_layers=6, hidden_size=1280)
