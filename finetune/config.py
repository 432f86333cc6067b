"""Settings of fine-tuning: edit here, or give a flag (train-gen.py --help lists them)."""

from pathlib import Path

from notagen.stages import FinetuneConfig

STAGE = Path(__file__).resolve().parent
ROOT = STAGE.parent

CONFIG = FinetuneConfig(
    train_index=ROOT / "data" / "out" / "train.jsonl",
    eval_index=ROOT / "data" / "out" / "eval.jsonl",
    run_folder=STAGE / "runs" / "demo",
    weights=ROOT / "pretrain" / "runs" / "demo" / "best",
    epochs=7,
    patches_per_step=144,
    # for the demonstration's small model; 1e-5 suits the sizes of the paper
    peak_learning_rate=1e-3,
    schedule="cosine",
    warmup_steps=10,
    save_steps=50,
)
