"""Published reference figures of CLaMP 2, and small models of both kinds."""

import json
import lzma
from pathlib import Path
from typing import Any

import pytest
import torch

from notagen.features.clamp import Clamp, ClampConfig
from notagen.features.m3 import M3, M3Config
from notagen.features.text import new_text_model
from notagen.features.weights import save_clamp

GOLDEN = Path(__file__).parent.parent / "golden" / "clamp"
TEXTS = ["Romantic, Schubert, Art Song", "Baroque, Bach, Choral", "a slow song in a minor key"]


@pytest.fixture(scope="session")
def published_clamp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clamp") / "clamp2_tiny.pth"
    path.write_bytes(lzma.decompress((GOLDEN / "clamp2_tiny.pth.xz").read_bytes()))
    return path


@pytest.fixture(scope="session")
def clamp_texts() -> dict[str, Any]:
    texts: dict[str, Any] = json.loads((GOLDEN / "clamp2_texts.json").read_text())
    return texts


@pytest.fixture
def small_m3() -> M3:
    torch.manual_seed(0)
    return M3(M3Config(patch_length=64, patch_layers=2, char_layers=1, hidden_size=64)).eval()


@pytest.fixture
def small_clamp(tmp_path: Path) -> Path:
    """Return a folder with new weights of a small model."""
    torch.manual_seed(0)
    text, words = new_text_model(TEXTS, vocabulary_size=200, layers=1, hidden_size=64, dropout=0.1)
    config = ClampConfig(patch_length=64, patch_layers=2, hidden_size=64, feature_size=32)
    save_clamp(Clamp(config, text), tmp_path / "clamp", words)
    return tmp_path / "clamp"
