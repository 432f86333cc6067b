"""The weights that the authors of CLaMP 2 publish: where they are, and the format they have.

A file is a pickle of named tensors, `{"model": state, ...}`; the model's shape is read off them.
What BERT adds to every patch besides its position, the type of its part of the text, is always the
same here, and becomes part of the bias.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from notagen.features.clamp import ClampConfig
from notagen.features.encoder import EncoderConfig
from notagen.features.m3 import M3Config
from notagen.foundation.errors import InputError
from notagen.model.checks import abbreviate
from notagen.model.hub import PublishedFile
from notagen.model.published import count_layers, decoder_names, read_tensors
from notagen.tokenizer.vocabulary import SIZE

TEXT_MODEL = "FacebookAI/xlm-roberta-base"
"""The text model of the published weights, and its tokenizer."""
PUBLISHED_ENCODERS = {
    "clamp2": PublishedFile(
        "sander-wood/clamp2",
        "weights_clamp2_h_size_768_lr_5e-05_batch_128_scale_1_t_length_128_t_model_FacebookAI_xlm-roberta-base_t_dropout_True_m3_True.pth",
    ),
    "m3": PublishedFile(
        "sander-wood/clamp2",
        "weights_m3_p_size_64_p_length_512_t_layers_3_p_layers_12_h_size_768_lr_0.0001_batch_16_mask_0.45.pth",
    ),
}
"""Weights that are loaded by name."""

_MUSIC, _ENCODER, _DECODER = "music_model", "encoder", "decoder.base"
_TEXT = "text_model."
# Published name, our name
_EMBEDDING_NAMES = (
    ("base.embeddings.position_embeddings.weight", "positions"),
    ("base.embeddings.LayerNorm.weight", "norm.weight"),
    ("base.embeddings.LayerNorm.bias", "norm.bias"),
)
_LAYER_NAMES = (
    ("attention.output.dense", "output"),
    ("attention.output.LayerNorm", "norm_1"),
    ("intermediate.dense", "expand"),
    ("output.dense", "contract"),
    ("output.LayerNorm", "norm_2"),
)
_PROJECTIONS = (("music_proj", "music_projection"), ("text_proj", "text_projection"))
_TABLE = "patch_embedding.weight"
_TYPES = "base.embeddings.token_type_embeddings.weight"
# in the files, and without use
_UNUSED = ("word_embeddings.weight", "pooler.dense.weight", "pooler.dense.bias", "position_ids")


def read_published_clamp(
    path: Path, *, text: bool
) -> tuple[ClampConfig, dict[str, Tensor], dict[str, Tensor]]:
    """Return the shape, the tensors under our names, and those of the text model under its own.

    Args:
        path: A published file.
        text: Whether the text side is wanted; without it the last dictionary is empty.

    Raises:
        InputError: If the file cannot be read or holds no CLaMP 2 model.
    """
    state = read_tensors(path)
    _check_there(state, ["music_proj.weight", f"{_MUSIC}.{_TABLE}"], path, "CLaMP 2")
    fields = _encoder_fields(state, _MUSIC, path)
    try:
        config = ClampConfig(**fields, feature_size=len(state["music_proj.weight"]))
    except ValueError as error:
        raise InputError(f"{path}: found no shape of a CLaMP 2 model: {error}") from error
    weights = _encoder_weights(state, _MUSIC, "music", config, path)
    sides = _PROJECTIONS if text else _PROJECTIONS[:1]
    for theirs, own in sides:
        for kind in ("weight", "bias"):
            weights[f"{own}.{kind}"] = _take(state, f"{theirs}.{kind}", path)
    words = {
        name.removeprefix(_TEXT): tensor
        for name, tensor in state.items()
        if text and name.startswith(_TEXT) and ".pooler." not in name and "position_ids" not in name
    }
    return config, weights, words


def read_published_m3(path: Path) -> tuple[M3Config, dict[str, Tensor]]:
    """Return the shape and the tensors of a published M3 file, under our names.

    Raises:
        InputError: If the file cannot be read or holds no M3 model.
    """
    state = read_tensors(path)
    decoder = f"{_DECODER}.transformer"
    _check_there(state, [f"{_ENCODER}.{_TABLE}", f"{decoder}.wte.weight"], path, "M3")
    layers = count_layers(state, f"{decoder}.h")
    try:
        config = M3Config(**_encoder_fields(state, _ENCODER, path), char_layers=layers)
    except ValueError as error:
        raise InputError(f"{path}: found no shape of an M3 model: {error}") from error
    weights = _encoder_weights(state, _ENCODER, "encoder", config, path)
    weights["decoder.table"] = state[f"{decoder}.wte.weight"]
    for theirs, own in decoder_names(decoder, "decoder.transformer", layers).items():
        tensor = _take(state, theirs, path)
        # linear layers of GPT-2 are stored transposed
        linear = tensor.dim() == 2 and not own.endswith("positions")
        weights[own] = tensor.T if linear else tensor
    return config, weights


def is_m3(path: Path) -> bool:
    """Tell a published M3 file from one of CLaMP 2.

    Raises:
        InputError: If the file cannot be read.
    """
    return f"{_ENCODER}.{_TABLE}" in read_tensors(path)


def _encoder_fields(state: Mapping[str, Tensor], prefix: str, path: Path) -> dict[str, Any]:
    table = state[f"{prefix}.{_TABLE}"]
    positions = _take(state, f"{prefix}.base.embeddings.position_embeddings.weight", path)
    if table.dim() != 2 or positions.dim() != 2:
        raise InputError(f"{path}: found tensors of other dimensions than an encoder's, wanted 2")
    return {
        "patch_size": table.shape[1] // SIZE,
        "patch_length": len(positions),
        "patch_layers": count_layers(state, f"{prefix}.base.encoder.layer"),
        "hidden_size": len(table),
        "rests": "written",
    }


def _encoder_weights(
    state: Mapping[str, Tensor], prefix: str, ours: str, config: EncoderConfig, path: Path
) -> dict[str, Tensor]:
    def take(name: str) -> Tensor:
        return _take(state, f"{prefix}.{name}", path)

    weights = {
        "table": take(_TABLE).T,
        "bias": take("patch_embedding.bias") + take(_TYPES)[0],
    }
    weights |= {own: take(theirs) for theirs, own in _EMBEDDING_NAMES}
    for layer in range(config.patch_layers):
        theirs_layer, own_layer = f"base.encoder.layer.{layer}", f"blocks.{layer}"
        for kind in ("weight", "bias"):
            parts = [
                take(f"{theirs_layer}.attention.self.{part}.{kind}")
                for part in ("query", "key", "value")
            ]
            weights[f"{own_layer}.qkv.{kind}"] = torch.cat(parts)
            for theirs, own in _LAYER_NAMES:
                weights[f"{own_layer}.{own}.{kind}"] = take(f"{theirs_layer}.{theirs}.{kind}")
    known = len(_EMBEDDING_NAMES) + 3 + config.patch_layers * 2 * (3 + len(_LAYER_NAMES))
    found = [n for n in state if n.startswith(f"{prefix}.") and not n.endswith(_UNUSED)]
    if len(found) != known:
        raise InputError(f"{path}: found {len(found)} tensors of the encoder, wanted {known}")
    return {f"{ours}.{name}": tensor for name, tensor in weights.items()}


def _check_there(state: Mapping[str, Tensor], names: Iterable[str], path: Path, what: str) -> None:
    if missing := [name for name in names if name not in state]:
        raise InputError(f"{path}: found no {what} model: missing {abbreviate(missing)}")


def _take(state: Mapping[str, Tensor], name: str, path: Path) -> Tensor:
    if name not in state:
        raise InputError(f"{path}: tensors do not fit the model: missing {name}")
    return state[name]
