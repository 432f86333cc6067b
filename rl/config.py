"""Values of the scripts in this folder; each can be overridden by a flag (`--help` lists them)."""

from pathlib import Path

from notagen.stages.preference import DpoConfig, PreferencesConfig

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
