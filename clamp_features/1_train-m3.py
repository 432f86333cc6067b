"""Train M3, the music encoder of CLaMP 2, to restore hidden bars.

On one processor or GPU:  accelerate launch 1_train-m3.py
On GPUs, in bfloat16:     accelerate launch --multi_gpu --mixed_precision bf16 1_train-m3.py
Every setting is a flag:  accelerate launch 1_train-m3.py --help

A run that was stopped goes on when the same command is given again; --fresh starts anew.
"""

import logging
from pathlib import Path

from notagen.features.m3 import M3
from notagen.features.patches import MusicTokenizer
from notagen.foundation.config import run_stage
from notagen.training.m3 import m3_task, music_tunes
from notagen.training.run import describe_launch, describe_result, start, train
from notagen.training.settings import M3TrainConfig


def main(config: M3TrainConfig) -> None:
    """Train, then say where the weights are."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("notagen").setLevel(logging.INFO)
    # Precision, device and processes come from the launcher; the seed is set here
    accelerator = start(config)

    # Data: index -> tunes, each epoch in another key -> patches, some of them hidden
    tokenizer = MusicTokenizer(config.model.patch_size, config.model.patch_length)
    train_tunes = music_tunes(config.train_index, tokenizer, keys=config.keys, seed=config.seed)
    # Measured in their own keys, always the same window and the same hidden patches
    eval_tunes = music_tunes(config.eval_index, tokenizer, keys="original", seed=config.seed)

    # Model: new, of the shape that config.py names
    model = M3(config.model)
    accelerator.print(
        f"{len(train_tunes)} pieces to learn from, {len(eval_tunes)} to measure on; "
        f"{describe_launch(accelerator, model)}"
    )

    # Each epoch: train, evaluate, write last/ and best/, save a checkpoint (training/run.py)
    task = m3_task(model, train_tunes, eval_tunes, config)
    progress = train(accelerator, task, config)
    accelerator.print(describe_result(task, config, progress))


if __name__ == "__main__":
    run_stage(main, Path(__file__).with_name("config.py"), "M3")
