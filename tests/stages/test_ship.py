"""The script that halves trained weights for shipping."""

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from notagen.features.clamp import Clamp, ClampConfig
from notagen.features.m3 import M3, M3Config
from notagen.features.text import new_text_model
from notagen.features.weights import load_clamp, load_m3, load_tokenizer_of, save_clamp, save_m3
from notagen.foundation.errors import InputError, MissingInputError
from notagen.model.notagen import NotaGen
from notagen.model.weights import load_model, save_model
from tests.stages.launching import ROOT, TINY

SHAPE = {"patch_length": 64, "patch_layers": 1, "hidden_size": 64}


@pytest.fixture
def ship() -> Callable[..., None]:
    main: Callable[..., None] = runpy.run_path(str(ROOT / "weights" / "ship.py"))["main"]
    return main


def written(kind: str, folder: Path) -> nn.Module:
    """Write new weights of a kind, and return the model."""
    torch.manual_seed(0)
    model: nn.Module
    if kind == "notagen":
        save_model(model := NotaGen(TINY), folder)
    elif kind == "m3":
        save_m3(model := M3(M3Config(char_layers=1, **SHAPE)), folder)
    else:
        text, words = new_text_model(
            ["a slow song"], vocabulary_size=60, layers=1, hidden_size=64, dropout=0.0
        )
        save_clamp(model := Clamp(ClampConfig(feature_size=32, **SHAPE), text), folder, words)
    return model


def read(kind: str, folder: Path) -> nn.Module:
    if kind == "notagen":
        return load_model(folder)
    return load_m3(folder) if kind == "m3" else load_clamp(folder, text=True)


@pytest.mark.parametrize("kind", ["notagen", "m3", "clamp"])
def test_half_the_room_and_nearly_the_same_numbers(
    ship: Callable[..., None], kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = written(kind, tmp_path / "whole")
    (tmp_path / "deep" / "half").mkdir(parents=True)
    (tmp_path / "deep" / "half" / "prompts.json").write_text("[]")  # of weights that lay there
    (tmp_path / "deep" / "half" / "notes.json").write_text("[]")
    ship(tmp_path / "whole", tmp_path / "deep" / "half")
    whole, half = tmp_path / "whole" / "model.safetensors", tmp_path / "deep" / "half"
    assert (half / "model.safetensors").stat().st_size < 0.6 * whole.stat().st_size
    (half / "notes.json").unlink()  # which is not ours, and stayed
    assert sorted(p.name for p in half.iterdir()) == sorted(p.name for p in whole.parent.iterdir())
    megabytes = (half / "model.safetensors").stat().st_size / 1e6
    assert f"model.safetensors: {megabytes:.1f} MB" in capsys.readouterr().out
    own = model.state_dict()
    for name, tensor in read(kind, half).state_dict().items():
        if tensor.is_floating_point():
            assert tensor.dtype == torch.float32
            torch.testing.assert_close(tensor, own[name], rtol=1e-3, atol=1e-6)
    if kind == "clamp":
        assert load_tokenizer_of(half)("slow")["input_ids"]


def test_faults_get_a_line_and_leave_no_copy(ship: Callable[..., None], tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="a folder that training wrote"):
        ship(tmp_path, tmp_path / "out")
    model = written("notagen", tmp_path / "whole")
    with pytest.raises(InputError, match="another folder"):
        ship(tmp_path / "whole", tmp_path / "other" / ".." / "whole")
    next(model.parameters()).data[0] = 1e9
    assert isinstance(model, NotaGen)
    save_model(model, tmp_path / "whole")
    with pytest.raises(InputError, match="no 16-bit float"):
        ship(tmp_path / "whole", tmp_path / "out")
    assert not (tmp_path / "out").exists()
