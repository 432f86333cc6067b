import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState

from notagen.model.config import ModelConfig
from notagen.tokenizer.patches import PatchTokenizer

TINY = ModelConfig(patch_length=64, patch_layers=1, char_layers=1, hidden_size=64, dropout=0.0)
HEADER = """%%score {{ 1 | 2 }}
L:1/8
Q:1/4=96
M:4/4
K:{key}
V:1 treble nm="Piano" snm="Pno."
V:2 bass
"""


def tune_text(name: str, key: str, num_bars: int) -> str:
    """A reduced tune for piano; the left hand rests in some bars and is left out there."""
    rng = random.Random(name)
    bars = []
    for _ in range(num_bars):
        right = " ".join("".join(rng.choices("CDEFGABcdefg", k=4)) for _ in range(2))
        left = (
            f"[V:2]{rng.choice('CDEFG')},4 {rng.choice('CDEFG')},4|" if rng.random() < 0.7 else ""
        )
        bars.append(f"[V:1]{right}|{left}\n")
    return HEADER.format(key=key) + "".join(bars)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Eleven tunes of 2 to 22 bars, each in its own key only; all but one name their style.

    The folder holds their index, train.jsonl.
    """
    keys = ["C", "G", "F", "Eb", "A", "Db", "F#", "Bb", "D", "Ab", "E"]
    lines = []
    for number, key in enumerate(keys):
        name = f"tune{number}"
        file = tmp_path / "abc" / key / f"{name}_{key}.abc"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(tune_text(name, key, 2 + 2 * number))
        style = {"period": "Romantic", "composer": "Dvořák", "instrumentation": "Keyboard"}
        lines.append({"path": f"abc/{name}", "key": key} | (style if number else {}))
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


@pytest.fixture
def tokenizer() -> PatchTokenizer:
    return PatchTokenizer(TINY.patch_size, TINY.patch_length)


@pytest.fixture
def tiny() -> ModelConfig:
    return TINY


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def forget_accelerator() -> Iterator[None]:
    """Accelerators share their state; each test begins without."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.fixture
def accelerator(forget_accelerator: None) -> Accelerator:
    return Accelerator(cpu=True, step_scheduler_with_optimizer=False)
