"""Settings of pretraining: edit here, or give a flag (train-gen.py --help lists them)."""

from pathlib import Path

from notagen.model.config import ModelConfig
from notagen.stages import PretrainConfig

STAGE = Path(__file__).resolve().parent
ROOT = STAGE.parent

CONFIG = PretrainConfig(
    train_index=ROOT / "data" / "out" / "train.jsonl",
    eval_index=ROOT / "data" / "out" / "eval.jsonl",
    run_folder=STAGE / "runs" / "demo",
    # A demonstration that a laptop's processor trains in a minute or two: too short for dropout.
    # The sizes of the paper are ModelConfig.small(), .medium() and .large(); .mini() is the
    # largest for a processor.
    model=ModelConfig(
        patch_length=512, patch_layers=4, char_layers=2, hidden_size=192, dropout=0.0
    ),
    epochs=4,
    patches_per_step=144,
    peak_learning_rate=1.5e-3,
    schedule="cosine",
    warmup_steps=50,
    save_steps=50,
)
