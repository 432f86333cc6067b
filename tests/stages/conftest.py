import json
import random
from pathlib import Path

import pytest

from notagen.model.notagen import NotaGen
from notagen.model.weights import save_model
from tests.stages.launching import TINY


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder with 22 tunes in an index for both training and evaluation, and tiny weights."""
    rng = random.Random(0)
    lines = []
    for number in range(22):
        key = rng.choice(["C", "G", "Eb", "A"])
        body = [
            f"[V:1]{''.join(rng.choices('CDEFGABcdefg', k=8))}|[V:2]{rng.choice('CDEFG')},8|\n"
            for _ in range(rng.randint(2, 20))
        ]
        file = tmp_path / "abc" / key / f"tune{number}_{key}.abc"
        file.parent.mkdir(parents=True, exist_ok=True)
        header = f"%%score {{ 1 | 2 }}\nL:1/8\nM:4/4\nK:{key}\nV:1 treble\nV:2 bass\n"
        file.write_text(header + "".join(body))
        style = {"period": "Romantic", "composer": "Liszt, Franz", "instrumentation": "Keyboard"}
        lines.append(json.dumps({"path": f"abc/tune{number}", "key": key} | style))
    (tmp_path / "index.jsonl").write_text("\n".join(lines) + "\n")
    save_model(NotaGen(TINY), tmp_path / "weights")
    return tmp_path
