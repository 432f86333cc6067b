"""The weights that the NotaGen authors publish: where they are, and the format they have.

A file is a pickle of named tensors, `{"model": state, ...}`, perhaps with the state of an optimizer
beside them. It holds no configuration: the model's shape is read off its tensors. The weights of
linear layers are stored transposed, and the output layer of the character decoder is its table.
"""

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from notagen.foundation.errors import InputError
from notagen.foundation.files import replaced_when_done
from notagen.model.checks import abbreviate, check_bounds, check_tensors, one_line_if_unreadable
from notagen.model.config import ModelConfig
from notagen.model.hub import PublishedFile
from notagen.model.notagen import NotaGen

PUBLISHED_SUFFIXES = (".pth", ".pt", ".bin")


@dataclass(frozen=True)
class PublishedModel:
    """A model that can be loaded by name."""

    weights: PublishedFile
    config: ModelConfig
    """The shape that its weights must have."""
    prompted: bool
    """Trained on tunes after prompts of period, composer and instrumentation."""


def _on_hub(file: str) -> PublishedFile:
    return PublishedFile("ElectricAlexis/NotaGen", file)


# each file's name in one line, so that a search finds it
PUBLISHED_MODELS = {
    "small": PublishedModel(
        _on_hub(
            "weights_notagen_pretrain_p_size_16_p_length_2048_p_layers_12_c_layers_3_h_size_768_lr_0.0002_batch_8.pth"
        ),
        ModelConfig.small(),
        prompted=False,
    ),
    "medium": PublishedModel(
        _on_hub(
            "weights_notagen_pretrain_p_size_16_p_length_2048_p_layers_16_c_layers_3_h_size_1024_lr_0.0001_batch_4.pth"
        ),
        ModelConfig.medium(),
        prompted=False,
    ),
    "large": PublishedModel(
        _on_hub(
            "weights_notagen_pretrain_p_size_16_p_length_1024_p_layers_20_c_layers_6_h_size_1280_lr_0.0001_batch_4.pth"
        ),
        ModelConfig.large(),
        prompted=False,
    ),
    "large-finetuned": PublishedModel(
        _on_hub(
            "weights_notagen_pretrain-finetune_p_size_16_p_length_1024_p_layers_c_layers_6_20_h_size_1280_lr_1e-05_batch_1.pth"
        ),
        ModelConfig.large(),
        prompted=True,
    ),
    "large-rl3": PublishedModel(
        _on_hub(
            "weights_notagen_pretrain-finetune-RL3_beta_0.1_lambda_10_p_size_16_p_length_1024_p_layers_20_c_layers_6_h_size_1280_lr_1e-06_batch_1.pth"
        ),
        ModelConfig.large(),
        prompted=True,
    ),
    "notagen-x": PublishedModel(
        _on_hub("weights_notagenx_p_size_16_p_length_1024_p_layers_20_h_size_1280.pth"),
        ModelConfig.large(),
        prompted=True,
    ),
}
"""By name; the files are those that the README of the authors' code lists."""

_HEAD = "char_level_decoder.base.lm_head.weight"
_CHAR_TABLE = "char_level_decoder.base.transformer.wte.weight"
# Published name, our name
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
# put before a name by distributed training and by torch.compile, in any order
_WRAPPERS = re.compile(r"^(module\.|_orig_mod\.)+")
# older files hold the causal mask as a buffer beside the weights
_BUFFERS = (".attn.bias", ".attn.masked_bias")


def read_published(path: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Return the model's shape and its tensors under our names.

    The tensors are views of the file, some of them transposed: nothing is copied.

    Raises:
        InputError: If the file cannot be read or its tensors are not those of a NotaGen model.
    """
    state = read_tensors(path)
    config = _infer_config(state, path)
    weights = {name: tensor for name, tensor in state.items() if not name.endswith(_BUFFERS)}
    head = weights.pop(_HEAD, None)
    names = published_names(config)
    with torch.device("meta"):
        model = NotaGen(config).state_dict()
    check_tensors(weights, {name: _flip(own, model[own]) for name, own in names.items()}, path)
    if head is not None and not torch.equal(head, weights[_CHAR_TABLE]):
        raise InputError(f"{path}: {_HEAD} differs from {_CHAR_TABLE}; wanted them tied")
    return config, {own: _flip(own, weights[name]) for name, own in names.items()}


def export_published(model: NotaGen, path: Path) -> None:
    """Write the model as a file that the authors' own code loads, whole or not at all.

    Raises:
        InputError: If the model has n-gram heads, for which that code has no place.
    """
    if model.config.ngram_heads:
        raise InputError(f"{path}: found a model with n-gram heads, wanted one of the paper's kind")
    tensors = model.state_dict()
    names = published_names(model.config)
    state = {name: _flip(own, tensors[own]).cpu().contiguous() for name, own in names.items()}
    state[_HEAD] = state[_CHAR_TABLE]
    # given a path, torch.save writes its name into the file: equal weights would differ
    with replaced_when_done(path) as temporary, temporary.open("wb") as file:
        torch.save({"model": state}, file)


def published_names(config: ModelConfig) -> dict[str, str]:
    """Return our name of each tensor of a published file, the tied output layer left out."""
    names = dict(_NAMES)
    layers = (config.patch_layers, config.char_layers)
    for (published, ours), num_layers in zip(_DECODERS, layers, strict=True):
        names |= decoder_names(published, ours, num_layers)
    return names


def decoder_names(published: str, ours: str, num_layers: int) -> dict[str, str]:
    """Return our name of each tensor of a published GPT-2 decoder, its tables left out.

    Args:
        published: What stands before its names in a published file.
        ours: What stands before them here.
        num_layers: How many it has.
    """
    names = {f"{published}.wpe.weight": f"{ours}.positions"}
    for kind in ("weight", "bias"):
        names[f"{published}.ln_f.{kind}"] = f"{ours}.norm.{kind}"
        for layer in range(num_layers):
            for theirs, own in _LAYER_NAMES:
                published_name = f"{published}.h.{layer}.{theirs}.{kind}"
                names[published_name] = f"{ours}.blocks.{layer}.{own}.{kind}"
    return names


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the named tensors of a file of `torch.save`, views of it where it allows that.

    They may stand under `model`, as in training checkpoints; what put itself before their names in
    training is taken off.

    Raises:
        InputError: If the file cannot be read or holds something else.
    """
    with one_line_if_unreadable(path):
        content = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    state = content.get("model", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        raise InputError(f"{path}: found {type(content).__name__}, wanted named tensors")
    named = {_WRAPPERS.sub("", str(name)): value for name, value in state.items()}
    return {name: value for name, value in named.items() if isinstance(value, Tensor)}


def _infer_config(state: Mapping[str, Tensor], path: Path) -> ModelConfig:
    patches = "patch_level_decoder.base.wpe.weight"
    chars = "char_level_decoder.base.transformer.wpe.weight"
    missing = [name for name in (patches, chars) if name not in state]
    if missing:
        raise InputError(f"{path}: found no NotaGen model: missing {abbreviate(missing)}")
    try:
        patch_length, hidden_size = state[patches].shape
        char_positions, _ = state[chars].shape
        config = ModelConfig(
            patch_size=char_positions - 1,
            patch_length=patch_length,
            patch_layers=count_layers(state, "patch_level_decoder.base.h"),
            char_layers=count_layers(state, "char_level_decoder.base.transformer.h"),
            hidden_size=hidden_size,
        )
        check_bounds(config)
    except ValueError as error:
        raise InputError(f"{path}: found no shape of a NotaGen model: {error}") from error
    return config


def count_layers(state: Mapping[str, Tensor], layers: str) -> int:
    """Return how many numbers stand behind `layers` in the names of tensors."""
    # counted, not the highest number: a damaged name cannot ask for a billion layers
    numbers = (re.match(rf"{re.escape(layers)}\.(\d+)\.", name) for name in state)
    return len({number[1] for number in numbers if number})


def _flip(own_name: str, tensor: Tensor) -> Tensor:
    """Turn a tensor from our layout to the published one, or back; a view of it."""
    return tensor.T if _TRANSPOSED.fullmatch(own_name) else tensor
