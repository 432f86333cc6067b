"""The settings of the page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from notagen.foundation.config import check_fields

LOCAL_HOSTS = ("127.0.0.1", "localhost")
"""What a machine calls itself."""


@dataclass(frozen=True, kw_only=True)
class PageConfig:
    """Settings of gradio_app/app.py."""

    weights: Path
    """The model that the page begins with: a folder with model.safetensors, a published .pth file,
    or the name of published weights."""
    score_weights: Path
    """Weights that rank variations, with the reference.npz of real pieces beside them."""
    out: Path
    """Receives a folder for each session; each piece in it is removed after `keep_hours`."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets everybody in the network in."""
    port: int | None = None
    """None takes the first free one from 7860 on."""
    open_browser: bool = True
    """Show the page in the browser when it is ready."""
    at_once: int = 2
    """Pieces that are written at the same time; others wait, and see their place."""
    queue: int = 16
    """Pieces that may wait at the same time; more are refused."""
    max_bars: int = 256
    """Most bars of a piece."""
    max_variations: int = 8
    """Most variations of a piece."""
    max_upload: int = 2_000_000
    """Bytes of an uploaded score at most."""
    max_seconds: float = 600.0
    """Seconds that a piece may take with all its variations; then it ends with the bars it has."""
    keep_hours: float = 24.0
    """Hours after which a session's files are removed."""
    soundfont: Path | None = None
    """An .sf2 or .sf3 file; None takes the one that comes with pretty_midi."""
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto"
    """Type of the weights; see inference/."""
    threads: int = 1
    """Processor threads of each piece."""
    device: str = "auto"
    """`cpu`, `cuda`, `mps`, or `auto` for the fastest there is."""

    def __post_init__(self) -> None:
        check_fields(self)
        counts = ("at_once", "queue", "max_bars", "max_variations", "max_upload", "threads")
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")
        for name in ("max_seconds", "keep_hours"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be > 0, got {getattr(self, name)}")
        if self.port is not None and not 0 < self.port < 2**16:
            raise ValueError(f"port must be 1 to 65535, got {self.port}")

    @property
    def max_request(self) -> int:
        """Bytes of a request at most: an upload with what stands around it, or an edited text."""
        return 2_000_000 + self.max_upload

    @property
    def is_local(self) -> bool:
        """Whether nobody but this machine can open the page."""
        return self.host in LOCAL_HOSTS
