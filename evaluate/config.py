"""Values of the scripts in this folder; each can be overridden by a flag (`--help` lists them)."""

from pathlib import Path

from notagen.stages import EvaluateConfig

STAGE = Path(__file__).resolve().parent
DATA = STAGE.parent / "data" / "out"

CONFIG = EvaluateConfig(
    name="latest",
    results=STAGE / "results",
    page=STAGE.parent / "docs" / "results.md",
    reference=DATA / "eval.jsonl",
    train=DATA / "train.jsonl",
    model=STAGE.parent / "finetune" / "runs" / "demo" / "best",
    generations=STAGE.parent / "inference" / "out" / "walkthrough",
)
