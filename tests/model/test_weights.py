import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from notagen.foundation.errors import InputError, MissingInputError
from notagen.foundation.files import sha256
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.model.weights import export_published, load_model, save_model, weights_sha256

Weights = Callable[[str], Path]
NAMES = (
    "notagen_tiny_full",
    "notagen_tiny_policy_model_only",
    "notagen_tiny_trained_model_only",
)


def published(path: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["model"]
    return state


def assert_same(first: NotaGen, second: NotaGen) -> None:
    assert first.config == second.config
    states = first.state_dict(), second.state_dict()
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


@pytest.mark.parametrize("name", NAMES)
def test_published_files_load(golden_weights: Weights, name: str) -> None:
    model = load_model(golden_weights(name))
    assert model.config == ModelConfig(
        patch_length=64, patch_layers=3, char_layers=2, hidden_size=128
    )
    assert not model.training
    assert not model.patch_decoder.unused_row.requires_grad
    assert model.patch_decoder.table.requires_grad


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


@pytest.mark.parametrize("change", ["bare", "module", "half", "old buffers", "no head"])
def test_variants_of_published_files_load(
    golden_weights: Weights, full_model: NotaGen, tmp_path: Path, change: str
) -> None:
    state = published(golden_weights("notagen_tiny_full"))
    content: object = state
    if change == "module":
        content = {"model": {f"module.{name}": tensor for name, tensor in state.items()}}
    elif change == "half":
        content = {"model": {name: tensor.half() for name, tensor in state.items()}}
    elif change == "old buffers":
        state["patch_level_decoder.base.h.0.attn.bias"] = torch.ones(1, 1, 64, 64)
    elif change == "no head":
        del state["char_level_decoder.base.lm_head.weight"]
    torch.save(content, tmp_path / "weights.pth")
    model = load_model(tmp_path / "weights.pth")
    if change == "half":
        full_model.half().float()
    assert_same(model, full_model)


def test_the_type_of_the_weights_can_be_chosen(golden_weights: Weights) -> None:
    path = golden_weights("notagen_tiny_full")
    assert load_model(path).char_decoder.table.dtype == torch.float32
    assert load_model(path, dtype=torch.bfloat16).char_decoder.table.dtype == torch.bfloat16


def test_an_exported_file_is_the_published_one(
    golden_weights: Weights, full_model: NotaGen, tmp_path: Path
) -> None:
    export_published(full_model, tmp_path / "out.pth")
    exported = published(tmp_path / "out.pth")
    original = published(golden_weights("notagen_tiny_full"))
    assert exported.keys() == original.keys()
    for name, tensor in original.items():
        assert torch.equal(exported[name], tensor), name
    table = exported["char_level_decoder.base.transformer.wte.weight"]
    assert exported["char_level_decoder.base.lm_head.weight"].data_ptr() == table.data_ptr()


def test_faults_are_named_in_one_line(golden_weights: Weights, tmp_path: Path) -> None:
    state = published(golden_weights("notagen_tiny_full"))
    for layer in range(3):
        for kind in ("weight", "bias"):
            del state[f"patch_level_decoder.base.h.{layer}.ln_1.{kind}"]
    state["surplus"] = torch.zeros(1)
    state["patch_level_decoder.base.h.1.attn.c_attn.weight"] = torch.zeros(128, 2)
    path = tmp_path / "weights.pth"
    torch.save({"model": state}, path)
    with pytest.raises(InputError) as caught:
        load_model(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    assert "missing: patch_level_decoder.base.h.0.ln_1.bias" in message
    assert "and 3 more" in message
    assert "extra: surplus" in message
    assert "c_attn.weight (128, 2), wanted (128, 384)" in message


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"model": {"encoder.weight": torch.zeros(2)}}, "found no NotaGen model: missing"),
        ({"model": {"patch_level_decoder.x": torch.zeros(2)}}, "found no NotaGen model: missing"),
        ([1, 2], "found list, wanted named tensors"),
    ],
)
def test_other_weights_are_refused(tmp_path: Path, content: object, found: str) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(InputError, match=found):
        load_model(tmp_path / "weights.pth")


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


@pytest.mark.parametrize(
    "text", ["model weights\n", "(dp0\n.", "cmodel\nweights\n", "ntext", "\xff"]
)
def test_text_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "weights.pth").write_text(text)
    with pytest.raises(InputError, match=r"weights\.pth: found") as caught:
        load_model(tmp_path / "weights.pth")
    assert "\n" not in str(caught.value)


def test_flipped_bytes_give_a_model_or_one_line(golden_weights: Weights, tmp_path: Path) -> None:
    content = golden_weights("notagen_tiny_full").read_bytes()
    # names, shapes and types of the tensors are in the first entry of the archive
    pickled = content.index(b"data.pkl")
    rng = random.Random(0)
    path = tmp_path / "weights.pth"
    for _ in range(150):
        damaged = bytearray(content)
        damaged[pickled + rng.randrange(9000)] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        message = ""
        try:
            load_model(path)
        except InputError as error:  # some damage goes unnoticed
            message = str(error)
        assert not message or message.startswith(f"{path}: ")
        assert "\n" not in message


@pytest.mark.parametrize(
    "decoder", ["patch_level_decoder.base", "char_level_decoder.base.transformer"]
)
def test_damaged_shapes_are_refused(golden_weights: Weights, tmp_path: Path, decoder: str) -> None:
    path = tmp_path / "weights.pth"
    positions, last = f"{decoder}.wpe.weight", f"{decoder}.h.1.ln_1.bias"
    state = published(golden_weights("notagen_tiny_full"))
    changes: list[dict[str, torch.Tensor]] = [
        {positions: torch.tensor(1.0)},
        {positions: torch.ones(3)},
        {positions: torch.ones(1).expand(10**12, 128)},
        {last.replace("h.1", "h.999999999"): state[last]},
        {f"{decoder}.h.1\nno": state[last]},
    ]
    for change in changes:
        torch.save(state | change, path)
        with pytest.raises(InputError, match=r"weights\.pth: ") as caught:
            load_model(path)
        assert "\n" not in str(caught.value)


def test_a_config_beyond_any_model_is_refused(full_model: NotaGen, tmp_path: Path) -> None:
    save_model(full_model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"patch_layers": 10**9}))
    with pytest.raises(
        InputError, match=r"config\.json: .*patch_layers must be <= 1000, got 1000000000"
    ):
        load_model(tmp_path)


def test_an_untied_head_is_refused(golden_weights: Weights, tmp_path: Path) -> None:
    state = published(golden_weights("notagen_tiny_full"))
    name = "char_level_decoder.base.lm_head.weight"
    state[name] = state[name] + 1
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(InputError, match="wanted them tied"):
        load_model(tmp_path / "weights.pth")


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
    with pytest.raises(MissingInputError, match="notagen-x is not there; wanted a folder with"):
        load_model("notagen-x")
    with pytest.raises(MissingInputError, match=r"model\.safetensors is not there"):
        load_model(tmp_path)
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(InputError, match=r"notes\.txt is no weights file; wanted"):
        load_model(tmp_path / "notes.txt")
