"""Values of the scripts in this folder; each can be overridden by a flag (`--help` lists them)."""

from pathlib import Path

from notagen.stages import DataConfig

STAGE = Path(__file__).resolve().parent

CONFIG = DataConfig(out=STAGE / "out")
