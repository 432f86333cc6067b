"""An index of millions of pieces: started, planned and read from, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from notagen.notation.keys import KEYS

PROGRAM = """
import json, re, sys, time
from pathlib import Path
from notagen.foundation.files import sha256
from notagen.tokenizer.patches import PatchTokenizer
from notagen.training.batching import train_batches
from notagen.training.data import TuneDataset
from notagen.training.notagen import TuneExamples

index = Path(sys.argv[1])
tunes = TuneDataset(index, PatchTokenizer(), keys="all", prompted=True, seed=0)
sha256(index)
planned = time.process_time()
examples = TuneExamples(tunes, 16_384, 4096, 0.5)
steps = examples.plan(0)
planned = time.process_time() - planned
# the end of the epoch too: a resumed run reads there
for left in (steps, steps[-2:]):
    batches = train_batches(examples, left, epoch=0, rank=1, num_processes=2, workers=0)
    next(batches)
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(json.dumps({
    "pieces": len(tunes), "prompted": tunes.prompts.total(), "steps": len(steps),
    "patches": int(tunes.lengths.sum()), "planned": planned,
    "seconds": time.process_time(), "gigabytes": int(peak[1]) / 1e6,
}))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from there")
@pytest.mark.parametrize("num_pieces", [200_000, pytest.param(2_000_000, marks=pytest.mark.slow)])
def test_millions_of_pieces_start_within_half_a_minute(tmp_path: Path, num_pieces: int) -> None:
    for number, key in enumerate(KEYS):
        file = tmp_path / f"abc/{key}/tune{number}_{key}.abc"
        file.parent.mkdir(parents=True)
        file.write_text(f"K:{key}\n" + (20 + 20 * number) * "[V:1]c2 d2 e2 f2|\n")
    style = {"period": "Romantic", "composer": "Schubert, Franz", "instrumentation": "Art Song"}
    lines = "".join(
        json.dumps({"path": f"abc/tune{number}", "key": key, "n_patches": 64 + 60 * number} | style)
        + "\n"
        for number, key in enumerate(KEYS)
    )
    rounds, rest = divmod(num_pieces, len(KEYS))
    index = tmp_path / "train.jsonl"
    with index.open("w") as file:
        file.writelines(lines for _ in range(rounds))
        file.writelines(lines.splitlines(keepends=True)[:rest])
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, index], check=True, capture_output=True, text=True
    )
    found = json.loads(run.stdout)
    assert found["pieces"] == found["prompted"] == num_pieces
    assert found["steps"] == -(-found["patches"] // 16_384)
    # of the processor: other work on the machine does not count; a start takes some seconds anyway
    share = num_pieces / 2_000_000
    assert found["seconds"] < 6 + 24 * share
    assert found["planned"] < 0.5 + 2.5 * share
    assert found["gigabytes"] < 0.8 + 1.2 * share
    assert run.stderr == ""
