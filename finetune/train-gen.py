"""Fine-tune a trained model: tunes near their own keys, each after its prompt.

On one processor or GPU:  accelerate launch train-gen.py
On GPUs, in bfloat16:     accelerate launch --multi_gpu --mixed_precision bf16 train-gen.py
Every setting is a flag:  accelerate launch train-gen.py --help

A run that was stopped goes on when the same command is given again; --fresh starts anew.
"""

import logging
from pathlib import Path

from notagen.foundation.config import run_stage
from notagen.model.weights import load_model
from notagen.stages import FinetuneConfig
from notagen.tokenizer.patches import PatchTokenizer
from notagen.training.data import TuneDataset
from notagen.training.lora import add_lora
from notagen.training.notagen import notagen_task
from notagen.training.run import describe_launch, describe_result, start, train


def main(config: FinetuneConfig) -> None:
    """Train, then say where the weights are."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("notagen").setLevel(logging.INFO)
    # Precision, device and processes come from the launcher; the seed is set here
    accelerator = start(config)

    # Model: weights and shape as pretraining left them, or as published
    model = load_model(config.weights)
    if config.lora_rank is not None:
        add_lora(model, rank=config.lora_rank)

    # Data: index -> tunes with their prompts, each epoch in another near key -> patches
    tokenizer = PatchTokenizer(model.config.patch_size, model.config.patch_length)
    train_tunes = TuneDataset(
        config.train_index,
        tokenizer,
        keys=config.keys,
        prompted=config.prompted,
        seed=config.seed,
    )
    # Measured in their own keys and always the same window: equal weights, equal loss
    eval_tunes = TuneDataset(
        config.eval_index,
        tokenizer,
        keys="original",
        prompted=config.prompted,
        seed=config.seed,
    )
    accelerator.print(
        f"{len(train_tunes)} tunes to learn from ({train_tunes.prompts.total()} name period, "
        f"composer and instrumentation), {len(eval_tunes)} to measure on; start: {config.weights}; "
        f"{describe_launch(accelerator, model)}"
    )

    # Each epoch: train, evaluate, write last/ and best/, save a checkpoint (training/run.py)
    task = notagen_task(model, train_tunes, eval_tunes, config, weights=config.weights)
    progress = train(accelerator, task, config)
    accelerator.print(describe_result(task, config, progress))


if __name__ == "__main__":
    run_stage(main, Path(__file__).with_name("config.py"))
