"""What a run that trains NotaGen is made of: tunes as patches, and pieces written on the way."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from notagen.generation.prompt_table import write_prompt_table
from notagen.generation.prompts import Prompt
from notagen.model.notagen import NotaGen, count_targets
from notagen.model.weights import save_model, weights_sha256
from notagen.training.batching import PatchedTunes, pad
from notagen.training.data import TuneDataset
from notagen.training.examples import Batch, Draw
from notagen.training.lora import merged
from notagen.training.run import Task
from notagen.training.samples import write_sample
from notagen.training.settings import TrainConfig

Read = tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]
"""Patches of one tune, (num_patches, patch_size), which of them are predicted, and which are so
without n-gram heads."""


@dataclass(frozen=True)
class TuneExamples(PatchedTunes):
    """Tunes as NotaGen learns from them; see `training.examples.Examples`."""

    silent_share: float = 0.0
    """Of the patches, how many are predicted without n-gram heads, in [0, 1); of the fixed draw
    none."""

    def read(self, draw: Draw) -> Read:
        """Return the patches of a drawn tune, which are predicted, and which without heads.

        Raises:
            InputError: If the text cannot be read; it is named.
            ScoreError: If the text cannot be transposed or encoded; it is named.
        """
        patches = self.tunes[draw]
        fixed = draw[1] is None
        share = 1.0 if fixed else self.sampled_share
        predicted = self.tunes.predicted(draw, len(patches), share)
        if fixed or not self.silent_share:
            return patches, predicted, np.zeros_like(predicted)
        return patches, predicted, self.tunes.silent(draw, len(patches), self.silent_share)

    def collate(self, items: Sequence[Read]) -> Batch:
        """Return B tunes, padded on the right to the longest.

        The tensors are patches, (B, P, S), uint8, padded with 0; mask, (B, P), bool: True for
        the patches whose characters are predicted, and for the first; and silent, likewise, of
        those that are predicted without n-gram heads. No tunes become an empty one.
        """
        blank = self.tunes.tokenizer.encode("")
        chosen = np.ones(len(blank), dtype=np.bool_)
        tunes = items or [(blank, chosen, chosen)]
        patches, mask, silent = (pad(list(parts)) for parts in zip(*tunes, strict=True))
        return Batch(
            (patches, mask, silent),
            num_targets=int(count_targets(patches, mask)),
            num_patches=sum(len(piece) for piece, *_ in items),
            weight=int(bool(items)),
        )


def notagen_task(
    model: NotaGen,
    train_tunes: TuneDataset,
    eval_tunes: TuneDataset,
    config: TrainConfig,
    *,
    weights: Path | None = None,
) -> Task[NotaGen]:
    """Return what `train` needs to train NotaGen; the model is set up as the config wants it.

    Args:
        model: New, or as loaded from `weights`, perhaps with `add_lora`.
        train_tunes: To learn from.
        eval_tunes: To measure the loss on; samples are written for their prompts.
        config: The run's settings.
        weights: What the model was loaded from; a run goes on only from the same content.
    """
    if config.checkpoint_activations:
        model.checkpoint_activations()
    if config.compile_layers:
        model.compile_layers()

    def save(whole: NotaGen, folder: Path) -> None:
        """Write a plain model, whatever `add_lora` put beside its layers, and what it learned."""
        save_model(merged(whole), folder)
        if config.prompted:
            counts = {Prompt(*prompt): n for prompt, n in train_tunes.prompts.items()}
            write_prompt_table(counts, folder)

    def sample(whole: NotaGen, folder: Path, step: int) -> str:
        """Write a piece, for the prompt of one evaluation tune after another."""
        number = step // (config.sample_steps or 1) - 1
        prompt = eval_tunes.entry(number % len(eval_tunes)).prompt if config.prompted else None
        return write_sample(
            whole, folder, step, prompt=Prompt(*prompt) if prompt else None, seed=config.seed
        )

    silent_share = config.silent_share if model.config.ngram_heads else 0.0
    return Task(
        model=model,
        train=replace(TuneExamples.of_run(train_tunes, config), silent_share=silent_share),
        eval=TuneExamples.of_run(eval_tunes, config),
        save=save,
        unit="nats per character",
        inputs={"weights_sha256": None if weights is None else weights_sha256(weights)},
        sample=sample,
        sample_steps=config.sample_steps,
    )
