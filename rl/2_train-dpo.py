"""Train a model to prefer the chosen pieces to the rejected ones, with DPO-Positive.

On one processor or GPU:  accelerate launch 2_train-dpo.py
On GPUs, in bfloat16:     accelerate launch --multi_gpu --mixed_precision bf16 2_train-dpo.py
Every setting is a flag:  accelerate launch 2_train-dpo.py --help

A run that was stopped goes on when the same command is given again; --fresh starts anew.
"""

import logging
from pathlib import Path

from notagen.foundation.config import run_stage
from notagen.model.weights import load_model, weights_sha256
from notagen.preference.files import read_preferences
from notagen.stages.preference import DpoConfig
from notagen.training.lora import add_lora
from notagen.training.preference import PreferenceExamples, preference_task, reference_tunes
from notagen.training.run import describe_launch, start, train


def main(config: DpoConfig) -> None:
    """Train, then say where the weights are."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("notagen").setLevel(logging.INFO)
    preferences = read_preferences(config.preferences)
    # Precision, device and processes come from the launcher; the seed is set here
    accelerator = start(config)
    model = load_model(config.weights)

    # The reference is what the policy begins as: its log-probabilities are computed once
    folder = config.preferences.parent
    texts = {
        piece.name: (folder / piece.name).read_text(encoding="utf-8")
        for side in preferences
        for piece in side
    }
    tunes = reference_tunes(
        accelerator,
        model,
        texts,
        config.run_folder / "reference.json",
        patches_per_batch=config.patches_per_batch,
        silent_share=config.silent_share,
        origin=weights_sha256(config.weights),
    )
    if config.lora_rank is not None:
        add_lora(model, rank=config.lora_rank)
    if config.checkpoint_activations:
        model.checkpoint_activations()
    examples = PreferenceExamples(
        config.preferences,
        preferences,
        tunes,
        config.pairs_per_step,
        config.patches_per_batch,
        config.seed,
    )
    accelerator.print(
        f"{len(examples)} chosen pieces and as many rejected; start: {config.weights}; "
        f"{describe_launch(accelerator, model)}"
    )

    # Each epoch: train, evaluate, write last/, save a checkpoint (training/run.py)
    task = preference_task(
        model, examples, beta=config.beta, penalty=config.penalty, weights=config.weights
    )
    progress = train(accelerator, task, config)
    accelerator.print(f"{progress.step} steps taken; the weights: {config.run_folder / 'last'}")


if __name__ == "__main__":
    run_stage(main, Path(__file__).with_name("config.py"), "DPO")
