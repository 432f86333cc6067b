"""The door to weights: our folders, published files, and published models by name.

A folder holds `model.safetensors` and `config.json`, from which the model's shape is read.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from notagen.foundation.errors import InputError, MissingInputError
from notagen.foundation.files import replaced_when_done, sha256, write_bytes, write_text
from notagen.model.checks import check_bounds, check_tensors, one_line_if_unreadable
from notagen.model.config import ModelConfig
from notagen.model.hub import cached, download
from notagen.model.notagen import NotaGen
from notagen.model.published import (
    PUBLISHED_MODELS,
    PUBLISHED_SUFFIXES,
    PublishedModel,
    read_published,
)

WEIGHTS_SUFFIX = ".safetensors"
WEIGHTS_NAME = f"model{WEIGHTS_SUFFIX}"
CONFIG_NAME = "config.json"
_MAPPED = 2**26
"""Bytes of a file's weights that are in memory at most beside the model's own, about."""

ACCEPTED = (
    f"a folder with {WEIGHTS_NAME} and {CONFIG_NAME}, a published .pth file, or one of the names "
    f"{', '.join(PUBLISHED_MODELS)}"
)


def save_model(model: NotaGen, folder: Path) -> None:
    """Write `model.safetensors` and `config.json` into `folder`, each whole or not at all."""
    state = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    shape = json.dumps(dataclasses.asdict(model.config), indent=2) + "\n"
    with replaced_when_done(folder / WEIGHTS_NAME) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})
    write_text(folder / CONFIG_NAME, shape)


def load_model(
    path_or_name: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
) -> NotaGen:
    """Return the model in eval mode.

    Args:
        path_or_name: A folder written by `save_model`, the `.safetensors` file in it, a published
            `.pth` file, or a name of `PUBLISHED_MODELS`, whose file is downloaded the first time.
            A file or folder that is called like a name goes before it.
        device: Where the weights go.
        dtype: Type of the weights; None for float32, whatever the file holds.

    Raises:
        MissingInputError: If there is nothing at the path, and it is no name.
        InputError: If the file cannot be read or had, or its tensors are not those of a NotaGen
            model, or not those of the model of that name.
    """
    named = _published_model(path_or_name)
    path = weights_file(path_or_name)
    read = _read_own if path.suffix == WEIGHTS_SUFFIX else read_published
    config, state = read(path)
    if named and config != named.config:
        raise InputError(f"{path}: found {config}, wanted that of {path_or_name}: {named.config}")
    with torch.device("meta"):
        model = NotaGen(config)
    wanted = dtype or torch.float32
    mapped = path.suffix == WEIGHTS_SUFFIX or is_zipfile(path)
    copies = {}
    num_read = 0
    for name in list(state):
        # Views of the file, some of them transposed. What has been read of a mapped file stays in
        # memory as long as any view does: it is mapped anew now and then.
        if num_read > _MAPPED and mapped:
            config, state = read(path)
            num_read = 0
        view = state.pop(name)
        num_read += view.nbytes
        # room first: what a conversion leaves behind it is then used by the next
        copies[name] = torch.empty(view.shape, dtype=wanted, device=device)
        copies[name].copy_(view.to(device, wanted))
    model.load_state_dict(copies, assign=True)
    return model.eval()


def copy_in_half_precision(source: Path, folder: Path) -> None:
    """Copy trained weights and the JSON files beside them; the floats become 16-bit ones.

    Loading widens them again. This works for every folder of ours, also those of encoders.

    Args:
        source: A folder with `model.safetensors`.
        folder: Made if it is not there.

    Raises:
        MissingInputError: If the weights are not there.
        InputError: If they cannot be read, or one is NaN or beyond the range of 16-bit floats.
    """
    path = source / WEIGHTS_NAME
    for needed in (path, source / CONFIG_NAME):
        if not needed.is_file():
            raise MissingInputError(f"{needed} is not there; wanted a folder that training wrote")
    if folder.resolve() == source.resolve():
        raise InputError(f"{folder} holds the weights to copy; wanted another folder for the copy")
    with one_line_if_unreadable(path):
        state = load_file(path)
    for name, tensor in state.items():
        if tensor.is_floating_point():
            state[name] = tensor.to(torch.float16)
            if not state[name].isfinite().all():
                raise InputError(f"{path}: {name} has values that no 16-bit float can be, or NaN")
    for beside in sorted(source.glob("*.json")):
        write_bytes(folder / beside.name, beside.read_bytes())
    with replaced_when_done(folder / WEIGHTS_NAME) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})


def weights_sha256(path_or_name: str | Path) -> str:
    """Return the SHA-256 of the weights file of what `load_model` takes.

    Raises:
        MissingInputError: If there is nothing at the path, and it is no name.
        InputError: If it is not a weights file, or cannot be downloaded.
    """
    return sha256(weights_file(path_or_name))


def weights_file(path_or_name: str | Path) -> Path:
    """Return the file that holds the weights; that of a name is downloaded the first time.

    Raises:
        MissingInputError: If there is nothing at the path, and it is no name.
        InputError: If it is not a weights file, or cannot be downloaded.
    """
    if named := _published_model(path_or_name):
        return download(named.weights)
    path = Path(path_or_name)
    try:
        path = path / WEIGHTS_NAME if path.is_dir() else path
        is_there = path.is_file()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; wanted {ACCEPTED}") from error
    if not is_there:
        raise MissingInputError(f"{path} is not there; wanted {ACCEPTED}")
    if path.suffix not in (WEIGHTS_SUFFIX, *PUBLISHED_SUFFIXES):
        raise InputError(f"{path} is no weights file; wanted {ACCEPTED}")
    return path


def needs_download(path_or_name: str | Path) -> bool:
    """Return whether `weights_file` would ask the hub for the file."""
    named = _published_model(path_or_name)
    return named is not None and cached(named.weights) is None


def _published_model(path_or_name: str | Path) -> PublishedModel | None:
    """Return the model of that name, unless a file or folder is called so."""
    # a Path cannot tell ./small from small: if the name went first, that folder had no spelling
    named = PUBLISHED_MODELS.get(str(path_or_name))
    return None if named is None or Path(path_or_name).exists() else named


def _read_own(path: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Return the shape and the tensors of a file that `save_model` wrote, views of it."""
    config = _read_config(path.parent / CONFIG_NAME)
    with one_line_if_unreadable(path):
        state = load_file(path)
    with torch.device("meta"):
        wanted = NotaGen(config).state_dict()
    check_tensors(state, wanted, path)
    return config, state


def _read_config(path: Path) -> ModelConfig:
    if not path.is_file():
        raise MissingInputError(f"{path} is not there; it belongs beside {WEIGHTS_NAME}")
    try:
        text = path.read_text(encoding="utf-8")
        config = ModelConfig(**json.loads(text, object_hook=_with_tuples))
        check_bounds(config)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: found no shape of a NotaGen model: {error}") from error
    return config


def _with_tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with tuples for JSON's lists, as configs have them."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
