"""Values of app.py; each can be overridden by a flag (`--help` lists them)."""

from pathlib import Path

from notagen.stages.page import PageConfig

STAGE = Path(__file__).resolve().parent
WEIGHTS = STAGE.parent / "weights"

CONFIG = PageConfig(
    weights=WEIGHTS / "notagen-mini",
    score_weights=WEIGHTS / "clamp-mini",
    out=STAGE / "out",
)
