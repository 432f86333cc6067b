"""Train CLaMP 2: M3's encoder and a text encoder learn which words belong to which piece.

On one processor or GPU:  accelerate launch 2_train-clamp.py
On GPUs, in bfloat16:     accelerate launch --multi_gpu --mixed_precision bf16 2_train-clamp.py
Every setting is a flag:  accelerate launch 2_train-clamp.py --help

A run that was stopped goes on when the same command is given again; --fresh starts anew.
"""

import dataclasses
import logging
from pathlib import Path

from notagen.features.clamp import Clamp, ClampConfig
from notagen.features.patches import MusicTokenizer
from notagen.features.text import download_text_model, load_tokenizer, new_text_model
from notagen.features.weights import load_m3
from notagen.foundation.config import run_stage
from notagen.training.clamp import centre, clamp_task, training_texts
from notagen.training.m3 import music_tunes
from notagen.training.run import describe_launch, describe_result, start, train
from notagen.training.settings import ClampTrainConfig


def main(config: ClampTrainConfig) -> None:
    """Train, then say where the weights are."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("notagen").setLevel(logging.INFO)
    # Precision, device and processes come from the launcher; the seed is set here
    accelerator = start(config)

    # Data: index -> tunes, each epoch in another key; measured in their own
    m3 = load_m3(config.m3)
    patches_per_piece = min(config.patches_per_piece, m3.config.patch_length)
    tokenizer = MusicTokenizer(m3.config.patch_size, patches_per_piece)
    train_tunes = music_tunes(config.train_index, tokenizer, keys=config.keys, seed=config.seed)
    eval_tunes = music_tunes(config.eval_index, tokenizer, keys="original", seed=config.seed)

    # Text side: a model of the hub, or a small new one whose words are those of the training texts
    if config.text_model is None:
        text_model, words = new_text_model(
            training_texts(train_tunes),
            vocabulary_size=config.vocabulary_size,
            layers=config.text_layers,
            hidden_size=config.text_hidden_size,
            dropout=config.dropout,
        )
    else:
        text_model, words = (
            download_text_model(config.text_model),
            load_tokenizer(config.text_model),
        )

    # Music side: M3's encoder
    shape = dataclasses.asdict(m3.config.encoder) | {"dropout": config.dropout}
    model = Clamp(
        ClampConfig(
            **shape,
            feature_size=config.feature_size,
            scale=config.scale,
            normalised=config.normalised,
        ),
        text_model,
    )
    model.music.load_state_dict(m3.encoder.state_dict())
    accelerator.print(
        f"{len(train_tunes)} pieces to learn from, {len(eval_tunes)} to measure on; "
        f"{describe_launch(accelerator, model)}"
    )

    # Each epoch: train, evaluate, write last/ and best/, save a checkpoint (training/run.py)
    task = clamp_task(model, words, train_tunes, eval_tunes, config)
    centre(model, task.train)
    progress = train(accelerator, task, config)
    accelerator.print(describe_result(task, config, progress))


if __name__ == "__main__":
    run_stage(main, Path(__file__).with_name("config.py"), "CLAMP")
