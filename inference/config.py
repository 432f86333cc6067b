"""Values of generate.py; each can be overridden by a flag (`--help` lists them)."""

from pathlib import Path

from notagen.generation.requests import Beginning
from notagen.stages import GenerateConfig

STAGE = Path(__file__).resolve().parent

CONFIG = GenerateConfig(
    weights=STAGE.parent / "weights" / "notagen-mini",
    out=STAGE / "out",
    beginning=Beginning(
        period="Romantic",
        composer="Schubert, Franz",
        instrumentation="Art Song",
    ),
    score_weights=STAGE.parent / "weights" / "clamp-mini",
)
