"""Values of the scripts in this folder; each can be overridden by a flag (`--help` lists them)."""

from pathlib import Path

from notagen.features.m3 import M3Config
from notagen.stages.features import ExtractConfig, ScoreConfig
from notagen.training.settings import ClampTrainConfig, M3TrainConfig

STAGE = Path(__file__).resolve().parent
ROOT = STAGE.parent

M3 = M3TrainConfig(
    train_index=ROOT / "data" / "out" / "train.jsonl",
    eval_index=ROOT / "data" / "out" / "eval.jsonl",
    run_folder=STAGE / "runs" / "m3",
    # The mini size, for a processor; the paper's is M3Config.published()
    model=M3Config(char_layers=2, dropout=0.0),
    opening_epochs=1,
    epochs=5,
    patches_per_step=1500,
    sampled_share=0.5,
    peak_learning_rate=5e-4,
    schedule="cosine",
    warmup_steps=100,
    save_steps=100,
)

CLAMP = ClampTrainConfig(
    train_index=ROOT / "data" / "out" / "train.jsonl",
    eval_index=ROOT / "data" / "out" / "eval.jsonl",
    run_folder=STAGE / "runs" / "clamp",
    m3=STAGE / "runs" / "m3" / "best",
    epochs=12,
    pairs_per_step=32,
    patches_per_piece=256,
    peak_learning_rate=4e-4,
    schedule="cosine",
    warmup_steps=50,
    save_steps=50,
)

EXTRACT = ExtractConfig(
    input=ROOT / "inference" / "out" / "walkthrough",
    out=STAGE / "out" / "generations",
    weights=ROOT / "weights" / "clamp-mini",
)

SCORE = ScoreConfig(
    generation_features=STAGE / "out" / "generations",
    reference_features=STAGE / "out" / "reference",
    out=STAGE / "out",
    weights=ROOT / "weights" / "clamp-mini",
    generations=ROOT / "inference" / "out" / "walkthrough",
)
