"""The original's way of a step of DPO-Positive, beside which ours is measured."""

import pytest
import torch

from benchmarks import preference
from benchmarks.original import original_log_prob
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen

CONFIG = ModelConfig(patch_length=64, patch_layers=2, char_layers=1, hidden_size=64, dropout=0.0)


@pytest.fixture
def setting() -> preference.Setting:
    pieces = []
    for length in (9, 20, 14, 14):
        piece = torch.randint(1, 128, (length, 16), dtype=torch.uint8)
        # most patches are not full
        piece[:, 11:] = 0
        pieces.append(piece.numpy())
    return preference.Setting(CONFIG, preference.draw_pairs(pieces, 2, 64), patches_per_batch=40)


def test_both_ways_find_the_same_log_probabilities(setting: preference.Setting) -> None:
    torch.manual_seed(0)
    model = NotaGen(CONFIG).eval()
    for pair in setting.pairs:
        for piece in pair:
            patches = torch.from_numpy(piece)[None]
            mask = torch.ones(patches.shape[:2], dtype=torch.bool)
            theirs = original_log_prob(model, patches).item()
            assert model.log_probs(patches, mask).item() == pytest.approx(theirs, rel=1e-5)


def test_both_ways_take_the_same_steps(setting: preference.Setting) -> None:
    sides = ("policy and reference, pair by pair, fp32", "ours, fp32", "ours, fp32, checkpointing")
    benches = [preference.Bench(setting, preference.SIDES[name]) for name in sides]
    first, second = ([bench.step() for bench in benches] for _ in range(2))
    assert first == pytest.approx([torch.log(torch.tensor(2.0)).item()] * 3, abs=1e-6)
    assert second[0] != pytest.approx(first[0], abs=1e-4)
    # the weights have taken the same step; AdamW divides by gradients near 0
    assert second == pytest.approx([second[0]] * 3, rel=2e-2)


def test_a_quick_run_prints_both_sides(capsys: pytest.CaptureFixture[str]) -> None:
    preference.main(["--quick"])
    rows = [
        [cell.strip() for cell in line.strip("| ").split("|")]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith(("| policy", "| ours"))
    ]
    assert [row[0] for row in rows] == [preference.ORIGINAL, "ours, fp32"]
    for _, rate, ratio, peak, share, loss in rows:
        assert float(rate) > 0
        assert float(ratio) > 0
        assert float(peak) > 0
        assert float(share) > 0
        assert float(loss) == pytest.approx(0.693147, abs=1e-6)
