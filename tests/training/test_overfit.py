"""A model that has seen one tune often enough writes it by heart."""

import json
from pathlib import Path

import pytest

from notagen.generation.controls import Controls
from notagen.generation.engine import Generator
from notagen.generation.settings import Sampling
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.model.weights import load_model
from notagen.stages import PretrainConfig
from notagen.tokenizer.patches import PatchTokenizer
from notagen.tokenizer.windows import remove_counters
from notagen.training.data import TuneDataset
from notagen.training.notagen import notagen_task
from notagen.training.run import start, train


@pytest.mark.usefixtures("forget_accelerator")
def test_one_tune_is_learned_by_heart(corpus: Path) -> None:
    lines = (corpus / "train.jsonl").read_text().splitlines()
    index = corpus / "one.jsonl"
    index.write_text(lines[5] + "\n")
    config = PretrainConfig(
        train_index=index,
        eval_index=index,
        run_folder=corpus / "run",
        model=ModelConfig(
            patch_length=128, patch_layers=2, char_layers=1, hidden_size=128, dropout=0.0
        ),
        keys="original",
        epochs=90,
        peak_learning_rate=4e-3,
        schedule="cosine",
        warmup_steps=10,
        eval_steps=45,
        save_steps=1000,
    )
    accelerator = start(config)
    tokenizer = PatchTokenizer(config.model.patch_size, config.model.patch_length)
    tunes = TuneDataset(index, tokenizer, keys="original", prompted=False, seed=0)
    task = notagen_task(NotaGen(config.model), tunes, tunes, config)
    progress = train(accelerator, task, config)
    assert progress.best_loss is not None
    assert progress.best_loss < 0.01
    learned = load_model(config.run_folder / "best")
    entry = json.loads(lines[5])
    text = (corpus / "abc" / entry["key"] / f"tune5_{entry['key']}.abc").read_text()
    # fitted whole: no window was cut out of it
    assert len(tokenizer.encode(text)) < config.model.patch_length
    sure = Sampling(top_k=1, top_p=1.0, temperature=1.0)
    piece = next(Generator(learned, sure).generate([None], seed=0, controls=Controls()))
    assert piece.finished
    assert remove_counters(piece.text) == text
