"""The door to weights of M3 and CLaMP 2: our folders, published files, and names.

A folder holds `model.safetensors`, `config.json`, from which the shape is read, and where there is
a text side `tokenizer.json`.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from notagen.features.clamp import Clamp, ClampConfig
from notagen.features.encoder import EncoderConfig
from notagen.features.m3 import M3, M3Config
from notagen.features.published import (
    PUBLISHED_ENCODERS,
    TEXT_MODEL,
    is_m3,
    read_published_clamp,
    read_published_m3,
)
from notagen.features.text import TOKENIZER_NAME, download_text_shape, load_tokenizer, text_model_of
from notagen.foundation.errors import InputError, MissingInputError
from notagen.foundation.files import replaced_when_done, sha256, write_text
from notagen.model.checks import check_tensors, one_line_if_unreadable
from notagen.model.hub import download
from notagen.model.published import PUBLISHED_SUFFIXES
from notagen.model.weights import CONFIG_NAME, WEIGHTS_NAME, WEIGHTS_SUFFIX

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ACCEPTED = (
    f"a folder with {WEIGHTS_NAME} and {CONFIG_NAME}, a published .pth file, or one of the names "
    f"{', '.join(PUBLISHED_ENCODERS)}"
)
_M3, _CLAMP = "M3", "CLaMP 2"
_MOST_LAYERS, _LARGEST = 1000, 10_000_000
"""Beyond any number of layers, and any other number, in a shape: a damaged file that asks for more
is refused before it is built."""
_TEXT = "text."
_TEXT_SIDE = (_TEXT, "text_projection.")

Config = TypeVar("Config", bound=EncoderConfig)


def save_m3(model: M3, folder: Path) -> None:
    """Write an M3 model's weights and shape into `folder`, each whole or not at all."""
    _save(model, folder, {"kind": _M3, "shape": dataclasses.asdict(model.config)})


def save_clamp(model: Clamp, folder: Path, tokenizer: "PreTrainedTokenizerBase") -> None:
    """Write a CLaMP 2 model's weights, shape and tokenizer into `folder`, each whole or not at all.

    Args:
        model: With its text side.
        folder: Made if it is not there.
        tokenizer: Of the text side.
    """
    text: Any = model.text
    about = {
        "kind": _CLAMP,
        "shape": dataclasses.asdict(model.config),
        "text": json.loads(text.config.to_json_string(use_diff=False)),
    }
    # the one file of it that is needed again
    with replaced_when_done(folder / TOKENIZER_NAME) as temporary:
        words: Any = tokenizer
        # encoding leaves its limits in it
        words.backend_tokenizer.no_truncation()
        words.backend_tokenizer.no_padding()
        words.backend_tokenizer.save(str(temporary))
    _save(model, folder, about)


def load_m3(path_or_name: str | Path) -> M3:
    """Return an M3 model in eval mode, in float32.

    Args:
        path_or_name: A folder written by `save_m3`, the published `.pth` file, or `m3`, which is
            downloaded the first time.

    Raises:
        MissingInputError: If there is nothing at the path, and it is no name.
        InputError: If the file cannot be read or had, or holds something else.
    """
    path = encoder_file(path_or_name)
    if path.suffix == WEIGHTS_SUFFIX:
        about = _read_about(path)
        config, weights = _shape(M3Config, about, _M3, path), _read_own(path)
    else:
        config, weights = read_published_m3(path)
    with torch.device("meta"):
        model = M3(config)
    _fill(model, weights, path, "an M3 model")
    return model.eval()


def load_clamp(
    path_or_name: str | Path, *, text: bool = False, text_model: str | Path | None = None
) -> Clamp:
    """Return a CLaMP 2 model in eval mode, in float32.

    Args:
        path_or_name: A folder written by `save_clamp`, the published `.pth` file, or `clamp2`,
            which is downloaded the first time.
        text: Load the text side too; for published weights that asks the hub for the shape of
            the text model.
        text_model: For a file in the published format, which does not say what text model it was
            trained with: its name on the hub, or a folder with its `config.json`; None for that of
            the published weights.

    Raises:
        MissingInputError: If there is nothing at the path, and it is no name, or the text model is
            not to be had.
        InputError: If the file cannot be read or had, or holds something else.
    """
    path = encoder_file(path_or_name)
    shape: dict[str, Any] | None = None
    if path.suffix == WEIGHTS_SUFFIX:
        about = _read_about(path)
        config, weights = _shape(ClampConfig, about, _CLAMP, path), _read_own(path)
        if text:
            shape = _text_shape(about, path)
        else:
            weights = {
                name: tensor for name, tensor in weights.items() if not name.startswith(_TEXT_SIDE)
            }
    else:
        config, weights, of_text = read_published_clamp(path, text=text)
        weights |= {_TEXT + name: tensor for name, tensor in of_text.items()}
        if text:
            shape = download_text_shape(str(text_model or TEXT_MODEL))
    with torch.device("meta"):
        model = Clamp(config, None if shape is None else _text_model(shape, path))
    what = "a CLaMP 2 model"
    if shape is not None:
        # made again off the meta device, for what it holds beside its weights: but only if these
        # are of its size
        check_tensors(weights, model.state_dict(), path, what)
        model.text = _text_model(shape, path)
    _fill(model, weights, path, what)
    return model.eval()


def load_encoder(path_or_name: str | Path, *, text: bool = False) -> M3 | Clamp:
    """Return whichever model the weights are of, in eval mode, in float32; see `load_clamp`."""
    path = encoder_file(path_or_name)
    own = path.suffix == WEIGHTS_SUFFIX
    of_m3 = _read_about(path).get("kind") == _M3 if own else is_m3(path)
    if not of_m3:
        return load_clamp(path_or_name, text=text)
    if text:
        raise InputError(f"{path}: found M3, which reads no text, wanted a CLaMP 2 model")
    return load_m3(path_or_name)


def load_tokenizer_of(path_or_name: str | Path) -> "PreTrainedTokenizerBase":
    """Return the tokenizer of the text side of weights that `load_clamp` takes.

    Raises:
        MissingInputError: If it is not there or cannot be downloaded.
    """
    path = encoder_file(path_or_name)
    return load_tokenizer(path.parent if path.suffix == WEIGHTS_SUFFIX else TEXT_MODEL)


def encoder_sha256(path_or_name: str | Path) -> str:
    """Return the SHA-256 of the weights file; errors are those of `encoder_file`."""
    return sha256(encoder_file(path_or_name))


def encoder_file(path_or_name: str | Path) -> Path:
    """Return the file that holds the weights; that of a name is downloaded the first time.

    Raises:
        MissingInputError: If there is nothing at the path, and it is no name.
        InputError: If it is not a weights file, or cannot be downloaded.
    """
    path = Path(path_or_name)
    if not path.exists() and str(path_or_name) in PUBLISHED_ENCODERS:
        return download(PUBLISHED_ENCODERS[str(path_or_name)])
    if path.is_dir():
        path = path / WEIGHTS_NAME
    if not path.is_file():
        raise MissingInputError(f"{path} is not there; wanted {ACCEPTED}")
    if path.suffix not in (WEIGHTS_SUFFIX, *PUBLISHED_SUFFIXES):
        raise InputError(f"{path} is no weights file; wanted {ACCEPTED}")
    return path


def _save(model: nn.Module, folder: Path, about: dict[str, Any]) -> None:
    state = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    with replaced_when_done(folder / WEIGHTS_NAME) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})
    write_text(folder / CONFIG_NAME, json.dumps(about, indent=2) + "\n")


def _read_about(path: Path) -> dict[str, Any]:
    file = path.with_name(CONFIG_NAME)
    if not file.is_file():
        raise MissingInputError(f"{file} is not there; wanted it beside {path.name}")
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        about = None
    if not isinstance(about, dict):
        raise InputError(f"{file}: found no JSON object, wanted the shape of a model")
    return about


def _shape(kind: type[Config], about: Mapping[str, Any], wanted: str, path: Path) -> Config:
    file = path.with_name(CONFIG_NAME)
    if about.get("kind") != wanted:
        raise InputError(f"{file}: found a model of kind {about.get('kind')!r}, wanted {wanted!r}")
    try:
        config = kind(**about["shape"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file}: found no shape of {wanted}: {error}") from error
    _check_numbers(dataclasses.asdict(config), file)
    return config


def _text_shape(about: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return what `config.json` says of the text model."""
    file = path.with_name(CONFIG_NAME)
    shape = about.get("text")
    if not isinstance(shape, dict):
        raise InputError(f"{file}: found no text side, wanted the shape of its model")
    _check_numbers(shape, file)
    return shape


def _text_model(shape: Mapping[str, Any], path: Path) -> nn.Module:
    try:
        return text_model_of(shape)
    except InputError as error:
        raise InputError(f"{path}: found no text side: {error}") from error


def _check_numbers(shape: Mapping[str, Any], file: Path) -> None:
    """Refuse a shape, or one inside it, with a number beyond that of any model."""
    for name, value in shape.items():
        if isinstance(value, dict):
            _check_numbers(value, file)
        most = _MOST_LAYERS if "layer" in name else _LARGEST
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int) and number > most:
                found = f"{ascii(name)[1:-1]} = {str(number)[:20]}"
                raise InputError(f"{file}: found {found}, wanted at most {most}")


def _read_own(path: Path) -> dict[str, Tensor]:
    with one_line_if_unreadable(path):
        tensors: dict[str, Tensor] = load_file(path)
    return tensors


def _fill(model: nn.Module, weights: Mapping[str, Tensor], path: Path, what: str) -> None:
    check_tensors(weights, model.state_dict(), path, what)
    floats = {name: tensor.float().contiguous() for name, tensor in weights.items()}
    model.load_state_dict(floats, assign=True)
