"""Weights on disk: our folders, and the files that the NotaGen authors publish.

A folder holds `model.safetensors` and `config.json`, from which the model's shape is read. A
published file is a pickle of named tensors; its shape is inferred from theirs.
"""

import dataclasses
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from notagen.foundation.errors import InputError, MissingInputError
from notagen.foundation.files import replaced_when_done, sha256, write_text
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen

WEIGHTS_SUFFIX = ".safetensors"
WEIGHTS_NAME = f"model{WEIGHTS_SUFFIX}"
CONFIG_NAME = "config.json"
PICKLE_SUFFIXES = (".pth", ".pt", ".bin")

ACCEPTED = f"a folder with {WEIGHTS_NAME} and {CONFIG_NAME}, or a published .pth file"
_LARGEST = {
    "patch_size": 1024,
    "patch_length": 1_000_000,
    "patch_layers": 1000,
    "char_layers": 1000,
    "hidden_size": 100_000,
}
"""Far beyond any model; a damaged file that asks for more is refused before it is built."""
_HEAD = "char_level_decoder.base.lm_head.weight"
_CHAR_TABLE = "char_level_decoder.base.transformer.wte.weight"
# Published name, our name; the weights of linear layers are stored transposed there.
_LAYER_NAMES = (
    ("ln_1", "norm_1"),
    ("ln_2", "norm_2"),
    ("attn.c_attn", "attention.qkv"),
    ("attn.c_proj", "attention.output"),
    ("mlp.c_fc", "expand"),
    ("mlp.c_proj", "contract"),
)
_NAMES = (
    ("patch_level_decoder.patch_embedding.weight", "patch_decoder.table"),
    ("patch_level_decoder.patch_embedding.bias", "patch_decoder.bias"),
    ("patch_level_decoder.base.wte.weight", "patch_decoder.unused_row"),
    (_CHAR_TABLE, "char_decoder.table"),
)
_DECODERS = (
    ("patch_level_decoder.base", "patch_decoder.transformer"),
    ("char_level_decoder.base.transformer", "char_decoder.transformer"),
)
_TRANSPOSED = re.compile(r"patch_decoder\.table|.*\.(qkv|output|expand|contract)\.weight")


def save_model(model: NotaGen, folder: Path) -> None:
    """Write `model.safetensors` and `config.json` into `folder`, each whole or not at all."""
    state = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    shape = json.dumps(dataclasses.asdict(model.config), indent=2) + "\n"
    with replaced_when_done(folder / WEIGHTS_NAME) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})
    write_text(folder / CONFIG_NAME, shape)


def export_published(model: NotaGen, path: Path) -> None:
    """Write the model as a file that the authors' own code loads, whole or not at all."""
    tensors = model.state_dict()
    names = _published_names(model.config)
    state = {name: _flip(own, tensors[own].cpu()) for name, own in names.items()}
    state[_HEAD] = state[_CHAR_TABLE]
    with replaced_when_done(path) as temporary:
        torch.save({"model": state}, temporary)


def load_model(
    path_or_name: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
) -> NotaGen:
    """Return the model in eval mode.

    Args:
        path_or_name: A folder written by `save_model`, the `.safetensors` file in it, or a
            published `.pth` file.
        device: Where the weights go.
        dtype: Type of the weights; None for float32, whatever the file holds.

    Raises:
        MissingInputError: If there is nothing at the path.
        InputError: If the file cannot be read or its tensors are not those of a NotaGen model.
    """
    path = weights_file(path_or_name)
    state = _read_tensors(path)
    published = path.suffix != WEIGHTS_SUFFIX
    config = _infer_config(state, path) if published else _read_config(path.parent / CONFIG_NAME)
    with torch.device("meta"):
        model = NotaGen(config)
    if published:
        state = _from_published(state, model, path)
    else:
        _check_tensors(state, model.state_dict(), path)
    wanted = dtype or torch.float32
    copies = {name: tensor.to(device, wanted, copy=True) for name, tensor in state.items()}
    model.load_state_dict(copies, assign=True)
    return model.eval()


def weights_sha256(path_or_name: str | Path) -> str:
    """Return the SHA-256 of the weights file at a path that `load_model` takes.

    Raises:
        MissingInputError: If there is nothing at the path.
        InputError: If it is not a weights file.
    """
    return sha256(weights_file(path_or_name))


def weights_file(path_or_name: str | Path) -> Path:
    """Return the file that holds the weights.

    Raises:
        MissingInputError: If there is nothing at the path.
        InputError: If it is not a weights file.
    """
    path = Path(path_or_name)
    if path.is_dir():
        path = path / WEIGHTS_NAME
    if not path.is_file():
        raise MissingInputError(f"{path} is not there; wanted {ACCEPTED}")
    if path.suffix not in (WEIGHTS_SUFFIX, *PICKLE_SUFFIXES):
        raise InputError(f"{path} is no weights file; wanted {ACCEPTED}")
    return path


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == WEIGHTS_SUFFIX:
            return load_file(path)
        content = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except MemoryError:
        raise
    except Exception as error:  # a damaged file fails in dozens of ways, and none is documented
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{path}: found no readable weights: {reason[0]}") from error
    state = content.get("model", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        raise InputError(f"{path}: found {type(content).__name__}, wanted named tensors")
    named = {str(name).removeprefix("module."): value for name, value in state.items()}
    return {name: value for name, value in named.items() if isinstance(value, Tensor)}


def _read_config(path: Path) -> ModelConfig:
    if not path.is_file():
        raise MissingInputError(f"{path} is not there; it belongs beside {WEIGHTS_NAME}")
    try:
        return _bounded(ModelConfig(**json.loads(path.read_text(encoding="utf-8"))))
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: found no shape of a NotaGen model: {error}") from error


def _infer_config(state: Mapping[str, Tensor], path: Path) -> ModelConfig:
    """Read the model's shape off the tensors of a published file."""
    patches = "patch_level_decoder.base.wpe.weight"
    chars = "char_level_decoder.base.transformer.wpe.weight"
    missing = [name for name in (patches, chars) if name not in state]
    if missing:
        raise InputError(f"{path}: found no NotaGen model: missing {_abbreviate(missing)}")
    try:
        patch_length, hidden_size = state[patches].shape
        char_positions, _ = state[chars].shape
        return _bounded(
            ModelConfig(
                patch_size=char_positions - 1,
                patch_length=patch_length,
                patch_layers=_count_layers(state, "patch_level_decoder.base"),
                char_layers=_count_layers(state, "char_level_decoder.base.transformer"),
                hidden_size=hidden_size,
            )
        )
    except ValueError as error:
        raise InputError(f"{path}: found no shape of a NotaGen model: {error}") from error


def _count_layers(state: Mapping[str, Tensor], decoder: str) -> int:
    # counted, not the highest number: a damaged name cannot ask for a billion layers
    numbers = (re.match(rf"{re.escape(decoder)}\.h\.(\d+)\.", name) for name in state)
    return len({number[1] for number in numbers if number})


def _bounded(config: ModelConfig) -> ModelConfig:
    for name, largest in _LARGEST.items():
        if getattr(config, name) > largest:
            raise ValueError(f"{name} must be <= {largest}, got {getattr(config, name)}")
    return config


def _published_names(config: ModelConfig) -> dict[str, str]:
    """Return our name of each tensor of a published file, the tied output layer left out."""
    names = dict(_NAMES)
    layers = (config.patch_layers, config.char_layers)
    for (published, ours), num_layers in zip(_DECODERS, layers, strict=True):
        names[f"{published}.wpe.weight"] = f"{ours}.positions"
        for kind in ("weight", "bias"):
            names[f"{published}.ln_f.{kind}"] = f"{ours}.norm.{kind}"
            for layer in range(num_layers):
                for theirs, own in _LAYER_NAMES:
                    published_name = f"{published}.h.{layer}.{theirs}.{kind}"
                    names[published_name] = f"{ours}.blocks.{layer}.{own}.{kind}"
    return names


def _from_published(state: Mapping[str, Tensor], model: NotaGen, path: Path) -> dict[str, Tensor]:
    """Check a published file's tensors against the model and give them our names and layout."""
    # Older files hold the causal mask as a buffer beside the weights.
    buffers = (".attn.bias", ".attn.masked_bias")
    weights = {name: tensor for name, tensor in state.items() if not name.endswith(buffers)}
    head = weights.pop(_HEAD, None)
    names = _published_names(model.config)
    wanted = model.state_dict()
    _check_tensors(weights, {name: _flip(own, wanted[own]) for name, own in names.items()}, path)
    if head is not None and not torch.equal(head, weights[_CHAR_TABLE]):
        raise InputError(f"{path}: {_HEAD} differs from {_CHAR_TABLE}; wanted them tied")
    return {own: _flip(own, weights[name]) for name, own in names.items()}


def _flip(own_name: str, tensor: Tensor) -> Tensor:
    """Turn a tensor from our layout to the published one, or back."""
    return tensor.T.contiguous() if _TRANSPOSED.fullmatch(own_name) else tensor


def _check_tensors(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: Path) -> None:
    faults = {
        "missing": sorted(wanted.keys() - state.keys()),
        "extra": sorted(state.keys() - wanted.keys()),
        "of another shape": [
            f"{name} {tuple(state[name].shape)}, wanted {tuple(wanted[name].shape)}"
            for name in sorted(wanted.keys() & state.keys())
            if state[name].shape != wanted[name].shape
        ],
    }
    found = [f"{kind}: {_abbreviate(names)}" for kind, names in faults.items() if names]
    if found:
        raise InputError(f"{path}: tensors do not fit a NotaGen model: {'; '.join(found)}")


def _abbreviate(names: Sequence[str], shown: int = 3) -> str:
    rest = len(names) - shown
    # a name from a damaged file may hold line ends
    spelled = (name if name.isprintable() else ascii(name) for name in names[:shown])
    return ", ".join(spelled) + (f" and {rest} more" if rest > 0 else "")
