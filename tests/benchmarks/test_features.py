import json
import lzma
from pathlib import Path

import numpy as np
import pytest

from benchmarks import features
from notagen.features.form import prepare
from notagen.features.patches import MusicTokenizer
from notagen.features.weights import load_clamp
from tests.features.conftest import GOLDEN


def test_the_original_is_the_original(tmp_path: Path) -> None:
    path = tmp_path / "clamp2_tiny.pth"
    path.write_bytes(lzma.decompress((GOLDEN / "clamp2_tiny.pth.xz").read_bytes()))
    text = json.loads((GOLDEN / "clamp2_texts.json").read_text())["music"]["short_1seg"]["text"]
    pieces = [MusicTokenizer().encode_whole(prepare(text, "written"))]
    with np.load(GOLDEN / "clamp2_features.npz") as arrays:
        expected = arrays["music_short_1seg"]
    found = features.original(load_clamp(path))(pieces)
    np.testing.assert_allclose(found[0], expected, atol=5e-6, rtol=0)


def test_all_sides_run(capsys: pytest.CaptureFixture[str]) -> None:
    features.main(["--quick"])
    printed = capsys.readouterr().out
    assert "3 pieces of " in printed
    for side in ("original, fp32", "ours, fp32", "ours, bf16", "ours, int8"):
        assert f"| {side} | " in printed
