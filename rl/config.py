"""Values of the scripts in this folder; each can be overridden by a flag (`--help` lists them)."""

from pathlib import Path

from notagen.stages.preference import DpoConfig, PreferencesConfig, RoundsConfig

STAGE = Path(__file__).resolve().parent
ROOT = STAGE.parent

PREFERENCES = PreferencesConfig(
    generations=ROOT / "inference" / "out" / "walkthrough",
    generation_features=ROOT / "clamp_features" / "out" / "generations",
    reference_features=ROOT / "clamp_features" / "out" / "reference",
    out=STAGE / "out",
)

DPO = DpoConfig(
    preferences=STAGE / "out" / "preferences.json",
    weights=ROOT / "finetune" / "runs" / "demo" / "best",
    run_folder=STAGE / "runs" / "dpo",
)

ROUNDS = RoundsConfig(
    weights=ROOT / "finetune" / "runs" / "demo" / "best",
    reference_index=ROOT / "data" / "out" / "train.jsonl",
    eval_index=ROOT / "data" / "out" / "eval.jsonl",
    out=STAGE / "out" / "rounds",
    # each prompt as often as pieces stand behind it
    generate="--draw-prompts",
)
