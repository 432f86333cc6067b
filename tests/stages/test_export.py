"""The script that writes trained weights in the published format."""

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from notagen.foundation.errors import InputError
from notagen.foundation.files import sha256
from notagen.model.notagen import NotaGen
from notagen.model.published import export_published
from notagen.model.weights import load_model, save_model
from tests.stages.launching import ROOT, TINY

SCRIPT = ROOT / "finetune" / "export.py"


@pytest.fixture
def export() -> Callable[..., None]:
    main: Callable[..., None] = runpy.run_path(str(SCRIPT))["main"]
    return main


@pytest.fixture
def best(tmp_path: Path) -> Path:
    save_model(NotaGen(TINY), tmp_path / "best")
    return tmp_path / "best"


def test_what_is_exported_is_what_was_trained(
    export: Callable[..., None], best: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "mine.pth"
    export(best, out)
    said = capsys.readouterr().out
    assert said.startswith(f"{out}: ")
    assert "PATCH_LENGTH = 64, PATCH_NUM_LAYERS = 1, CHAR_NUM_LAYERS = 1, HIDDEN_SIZE = 64" in said
    expected, state = load_model(best), load_model(out).state_dict()
    assert all(torch.equal(state[name], own) for name, own in expected.state_dict().items())
    assert sorted(path.name for path in out.parent.iterdir()) == ["mine.pth"]
    content = torch.load(out, weights_only=True)
    assert content.keys() == {"model"}


def test_a_published_file_goes_through_unchanged(
    export: Callable[..., None], golden_weights: Callable[[str], Path], tmp_path: Path
) -> None:
    source = golden_weights("notagen_tiny_policy_model_only")
    export(source, tmp_path / "out.pth")
    before, after = (
        torch.load(path, weights_only=True)["model"] for path in (source, tmp_path / "out.pth")
    )
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_weights_are_replaced_and_nothing_else(
    export: Callable[..., None], best: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine.pth"
    export_published(NotaGen(TINY), out)
    before = sha256(out)
    export(best, out)
    assert sha256(out) != before

    out.write_bytes(b"somebody's")
    with pytest.raises(InputError, match=r"mine\.pth is there, and not replaced: "):
        export(best, out)
    assert out.read_bytes() == b"somebody's"
    folder = tmp_path / "folder.pth"
    folder.mkdir()
    with pytest.raises(InputError, match=r"folder\.pth is there, and not replaced: "):
        export(best, folder)
    for name in ("mine", "model.safetensors"):
        with pytest.raises(InputError, match=r"wanted a name that ends with \.pth"):
            export(best, tmp_path / name)


def test_a_slip_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--weights", "no/folder", "--out", "mine.pth"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: no/folder is not there; wanted a folder with")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
