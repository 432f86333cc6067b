import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from notagen.foundation.errors import InputError, MissingInputError
from notagen.foundation.files import sha256
from notagen.model import weights
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.model.published import PUBLISHED_MODELS, export_published
from notagen.model.weights import (
    load_model,
    needs_download,
    save_model,
    weights_file,
    weights_sha256,
)
from tests.model.hub_server import Hub, local_hub

Weights = Callable[[str], Path]


def assert_same(first: NotaGen, second: NotaGen) -> None:
    assert first.config == second.config
    states = first.state_dict(), second.state_dict()
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


def test_a_published_file_loads_ready_for_use(golden_weights: Weights) -> None:
    model = load_model(golden_weights("notagen_tiny_full"))
    assert not model.training
    assert not model.patch_decoder.unused_row.requires_grad
    assert model.patch_decoder.table.requires_grad
    assert all(tensor.is_contiguous() for tensor in model.state_dict().values())


def test_a_folder_gives_back_what_was_saved(full_model: NotaGen, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "best"
    save_model(full_model, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert_same(load_model(folder), full_model)
    assert_same(load_model(str(folder / "model.safetensors")), full_model)
    assert weights_sha256(folder) == sha256(folder / "model.safetensors")


def test_loaded_weights_outlive_their_file(full_model: NotaGen, tmp_path: Path) -> None:
    export_published(full_model, tmp_path / "weights.pth")
    model = load_model(tmp_path / "weights.pth")
    with (tmp_path / "weights.pth").open("r+b") as file:
        file.write(bytes(200_000))
    assert_same(model, full_model)


def test_the_type_of_the_weights_can_be_chosen(golden_weights: Weights) -> None:
    path = golden_weights("notagen_tiny_full")
    assert load_model(path).char_decoder.table.dtype == torch.float32
    assert load_model(path, dtype=torch.bfloat16).char_decoder.table.dtype == torch.bfloat16


TINY = ModelConfig(patch_length=64, patch_layers=1, char_layers=1, hidden_size=64)
MEASURE_PEAK = """
import sys, torch
from notagen.model import weights
weights._MAPPED = 2**24
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
weights.load_model(sys.argv[2])  # what torch itself takes the first time
before = peak()
model = weights.load_model(sys.argv[1], dtype=torch.bfloat16)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
@pytest.mark.parametrize("name", ["folder", "weights.pth"])
def test_memory_holds_hardly_more_than_the_model(tmp_path: Path, name: str) -> None:
    model = NotaGen(ModelConfig(patch_layers=8, char_layers=2, hidden_size=576))
    size = 2 * sum(weight.numel() for weight in model.parameters())
    assert 70e6 < size < 110e6
    if name == "folder":
        save_model(model, tmp_path / name)
    else:
        export_published(model, tmp_path / name)
    save_model(NotaGen(TINY), tmp_path / "tiny")
    command = [sys.executable, "-c", MEASURE_PEAK, str(tmp_path / name), str(tmp_path / "tiny")]
    grown = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    # the file, mapped whole, would add twice the size
    assert size < grown < 1.6 * size + 2**24


def test_loading_piece_by_piece_changes_nothing(
    full_model: NotaGen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(weights, "_MAPPED", 1000)
    save_model(full_model, tmp_path / "folder")
    export_published(full_model, tmp_path / "weights.pth")
    state = torch.load(tmp_path / "weights.pth", weights_only=True)
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("folder", "weights.pth", "old.pth"):
        model = load_model(tmp_path / name)
        assert_same(model, full_model)
        assert all(tensor.is_contiguous() for tensor in model.state_dict().values())


@pytest.mark.parametrize("name", ["weights.pth", "model.safetensors"])
def test_broken_files_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    for content in (b"", b"no weights at all", b"PK\x03\x04" + bytes(100)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="found no readable weights") as caught:
            load_model(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_truncated_files_are_refused(golden_weights: Weights, tmp_path: Path) -> None:
    content = golden_weights("notagen_tiny_full").read_bytes()
    for share in (0.1, 0.5, 0.99):
        (tmp_path / "weights.pth").write_bytes(content[: int(len(content) * share)])
        with pytest.raises(InputError, match=r"weights\.pth: found no readable weights") as caught:
            load_model(tmp_path / "weights.pth")
        assert "\n" not in str(caught.value)


def test_a_config_beyond_any_model_is_refused(full_model: NotaGen, tmp_path: Path) -> None:
    save_model(full_model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"patch_layers": 10**9}))
    with pytest.raises(
        InputError, match=r"config\.json: .*patch_layers must be <= 1000, got 1000000000"
    ):
        load_model(tmp_path)


def test_a_config_that_does_not_fit_is_refused(full_model: NotaGen, tmp_path: Path) -> None:
    save_model(full_model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"hidden_size": 192}))
    with pytest.raises(InputError, match="of another shape: char_decoder"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"hidden_size": 100}))
    with pytest.raises(InputError, match=r"config\.json: .*multiple of 64, got 100"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(InputError, match=r"config\.json"):
        load_model(tmp_path)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError) as caught:
        load_model("notagen-y")
    assert str(caught.value) == (
        "notagen-y is not there; wanted a folder with model.safetensors and config.json, a "
        "published .pth file, or one of the names small, medium, large, large-finetuned, "
        "large-rl3, notagen-x"
    )
    with pytest.raises(MissingInputError, match=r"model\.safetensors is not there"):
        load_model(tmp_path)
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(InputError, match=r"notes\.txt is no weights file; wanted"):
        load_model(tmp_path / "notes.txt")


@pytest.fixture
def hub(golden_weights: Weights, tmp_path: Path) -> Iterator[Hub]:
    state = Hub(golden_weights("notagen_tiny_full").read_bytes())
    with local_hub(state, tmp_path / "hub"):
        yield state


def expect(shape: ModelConfig, patch: pytest.MonkeyPatch) -> None:
    """Let the shape of notagen-x be that of the file that the hub has."""
    model = dataclasses.replace(PUBLISHED_MODELS["notagen-x"], config=shape)
    patch.setitem(PUBLISHED_MODELS, "notagen-x", model)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_name_is_downloaded_once_and_loads(
    hub: Hub, full_model: NotaGen, monkeypatch: pytest.MonkeyPatch, kind: type[str] | type[Path]
) -> None:
    expect(full_model.config, monkeypatch)
    name = kind("notagen-x")
    assert needs_download(name)
    assert_same(load_model(name), full_model)
    assert not needs_download(name)
    where = "/ElectricAlexis/NotaGen/resolve/main/"
    file = "weights_notagenx_p_size_16_p_length_1024_p_layers_20_h_size_1280.pth"
    assert hub.asked[0] == f"HEAD {where}{file}"
    hub.asked.clear()
    assert weights_sha256(name) == hub.digest
    assert weights_file(name).name == file
    assert_same(load_model(name), full_model)
    assert hub.asked == []


def test_a_name_of_another_shape_is_refused(hub: Hub) -> None:
    with pytest.raises(InputError, match=r"patch_layers=3.* wanted that of notagen-x: .*=20") as e:
        load_model("notagen-x")
    assert "\n" not in str(e.value)


def test_what_is_called_like_a_name_goes_before_it(
    hub: Hub, trained_model: NotaGen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    save_model(trained_model, tmp_path / "notagen-x")
    monkeypatch.chdir(tmp_path)
    assert not needs_download("notagen-x")
    assert_same(load_model("notagen-x"), trained_model)
    assert_same(load_model(Path("./notagen-x")), trained_model)
    assert hub.asked == []
    (tmp_path / "small").mkdir()
    with pytest.raises(MissingInputError, match=r"small/model\.safetensors is not there"):
        load_model("small")
