import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import XLMRobertaConfig

from notagen.features.clamp import Clamp, ClampConfig
from notagen.features.m3 import M3, M3Config
from notagen.features.patches import MusicTokenizer
from notagen.features.weights import (
    load_clamp,
    load_encoder,
    load_tokenizer_of,
    save_m3,
)
from notagen.foundation.errors import InputError, MissingInputError
from notagen.model.published import decoder_names
from tests.features.conftest import GOLDEN

FEATURES = np.load(GOLDEN / "clamp2_features.npz")


@pytest.fixture(scope="module")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    config = json.loads((GOLDEN / "clamp2_tiny_config.json").read_text())["text_config"]
    config.pop("class")
    # the shape alone: the weights come from the published file
    XLMRobertaConfig(**config).save_pretrained(folder)
    return folder


def without_prompt(text: str) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("%") or line.startswith("%%"))


@torch.inference_mode()
def test_published_weights_give_the_published_features(
    published_clamp: Path, clamp_texts: dict[str, Any]
) -> None:
    model = load_clamp(published_clamp)
    tokenizer = MusicTokenizer()
    for name, piece in clamp_texts["music"].items():
        patches = tokenizer.encode_whole(without_prompt(piece["text"]))
        assert len(patches) == piece["n_patches"]
        weights = tokenizer.segment_weights(len(patches))
        features = [
            model.music_features(torch.from_numpy(segment)[None], torch.tensor([len(segment)]))[0]
            for segment in tokenizer.segments(patches)
        ]
        feature = np.average(features, axis=0, weights=weights)
        np.testing.assert_allclose(feature, FEATURES[f"music_{name}"], rtol=0, atol=5e-6)


@torch.inference_mode()
def test_published_weights_give_the_published_text_features(
    published_clamp: Path, text_model: Path
) -> None:
    model = load_clamp(published_clamp, text=True, text_model=text_model)
    for name in ("short", "long"):
        ids = torch.tensor(FEATURES[f"text_{name}_ids"])[:, :128]
        feature = model.text_features(ids, torch.tensor([ids.shape[1]]))
        np.testing.assert_allclose(feature, FEATURES[f"text_{name}_direct128"], rtol=0, atol=1e-6)


def test_a_published_m3_file_is_read(tmp_path: Path, small_m3: M3) -> None:
    published_m3(small_m3, tmp_path / "m3.pth")
    loaded = load_encoder(tmp_path / "m3.pth")
    assert isinstance(loaded, M3)
    assert loaded.config.rests == "written"
    tokenizer = MusicTokenizer(patch_length=64)
    patches = torch.from_numpy(tokenizer.encode("K:C\n[V:1]c4|[V:2]C4|\n"))[None]
    selected = torch.ones(patches.shape[:2], dtype=torch.bool)
    torch.testing.assert_close(
        loaded(patches, patches, selected), small_m3(patches, patches, selected)
    )


def published_m3(model: M3, path: Path) -> None:
    """Write a model as its authors would: BERT's and GPT-2's names, unused tensors among them."""
    own = model.state_dict()
    hidden = model.config.hidden_size
    state = {
        "encoder.patch_embedding.weight": own["encoder.table"].T,
        # half of the bias as the type of all text
        "encoder.patch_embedding.bias": own["encoder.bias"] / 2,
        "encoder.base.embeddings.token_type_embeddings.weight": torch.stack(
            [own["encoder.bias"] / 2, torch.randn(hidden)]
        ),
        "encoder.base.embeddings.position_embeddings.weight": own["encoder.positions"],
        "encoder.base.embeddings.word_embeddings.weight": torch.randn(1, hidden),
        "encoder.base.pooler.dense.weight": torch.randn(hidden, hidden),
        "encoder.base.pooler.dense.bias": torch.randn(hidden),
    }
    for kind in ("weight", "bias"):
        state[f"encoder.base.embeddings.LayerNorm.{kind}"] = own[f"encoder.norm.{kind}"]
        for layer in range(model.config.patch_layers):
            theirs, ours = f"encoder.base.encoder.layer.{layer}", f"encoder.blocks.{layer}"
            qkv = own[f"{ours}.qkv.{kind}"].chunk(3)
            for part, tensor in zip(("query", "key", "value"), qkv, strict=True):
                state[f"{theirs}.attention.self.{part}.{kind}"] = tensor
            for name, our_name in (
                ("attention.output.dense", "output"),
                ("attention.output.LayerNorm", "norm_1"),
                ("intermediate.dense", "expand"),
                ("output.dense", "contract"),
                ("output.LayerNorm", "norm_2"),
            ):
                state[f"{theirs}.{name}.{kind}"] = own[f"{ours}.{our_name}.{kind}"]
    gpt = "decoder.base.transformer"
    state[f"{gpt}.wte.weight"] = state["decoder.base.lm_head.weight"] = own["decoder.table"]
    for name, our_name in decoder_names(
        gpt, "decoder.transformer", model.config.char_layers
    ).items():
        tensor = own[our_name]
        linear = tensor.dim() == 2 and "positions" not in our_name
        state[name] = (tensor.T if linear else tensor).contiguous()
    torch.save({"model": state, "epoch": 3}, path)


def test_our_weights_come_back(tmp_path: Path, small_m3: M3, small_clamp: Path) -> None:
    save_m3(small_m3, tmp_path / "m3")
    loaded = load_encoder(tmp_path / "m3")
    assert isinstance(loaded, M3)
    assert loaded.config == small_m3.config
    for name, tensor in small_m3.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    with_text, alone = load_clamp(small_clamp, text=True), load_clamp(small_clamp)
    assert alone.text is None
    words = load_tokenizer_of(small_clamp)
    ids = torch.tensor([words("a slow song")["input_ids"]])
    assert with_text.text_features(ids, torch.tensor([ids.shape[1]])).shape == (1, 32)
    with pytest.raises(ValueError, match="without its text side"):
        alone.text_features(ids, torch.tensor([ids.shape[1]]))


def damaged(folder: Path, how: str) -> Path:
    """Return what of weights a fault was made in."""
    config = folder / "config.json"
    weights = folder / "model.safetensors"
    if how == "no config":
        config.unlink()
    elif how == "no JSON":
        config.write_text("{")
    elif how == "other kind":
        config.write_text(config.read_text().replace("CLaMP 2", "CLaMP 9"))
    elif how == "other shape":
        config.write_text(config.read_text().replace('"patch_layers": 2', '"patch_layers": 3'))
    elif how == "giant":
        config.write_text(
            config.read_text().replace('"patch_layers": 2', '"patch_layers": 2000000000')
        )
    elif how == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif how == "nothing":
        shutil.rmtree(folder)
    elif how == "other suffix":
        return weights.rename(folder / "model.txt")
    elif how == "a published NotaGen":
        path = folder / "x.pth"
        torch.save({"model": {"patch_level_decoder.base.wpe.weight": torch.zeros(4, 64)}}, path)
        return path
    elif how == "a pickle":
        path = folder / "x.pth"
        torch.save({"model": io.StringIO("code")}, path)
        return path
    return folder


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no config", "config.json is not there"),
        ("no JSON", "found no JSON object"),
        ("other kind", "found a model of kind 'CLaMP 9'"),
        ("other shape", "missing: music.blocks.2"),
        ("giant", "config.json: found patch_layers = 2000000000, wanted at most 1000"),
        ("cut", "found no readable weights"),
        ("nothing", "is not there; wanted a folder"),
        ("other suffix", "is no weights file"),
        ("a published NotaGen", "found no CLaMP 2 model: missing"),
        ("a pickle", "found no readable weights"),
    ],
)
def test_wrong_weights_are_one_line(small_clamp: Path, how: str, message: str) -> None:
    path = damaged(small_clamp, how)
    with pytest.raises((InputError, MissingInputError), match=message) as caught:
        load_clamp(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("vocab_size", 10**13, "config.json: found vocab_size = 1.*, wanted at most 10000000"),
        ("num_hidden_layers", 10**6, "found num_hidden_layers = 1000000, wanted at most 1000"),
        ("inside", {"sizes": [1, 10**13]}, "found sizes = 1.*, wanted at most 10000000"),
        ("hidden_size", "x", "expected int, got str"),
        ("hidden_size", 64.5, "expected int, got float"),
        ("vocab_size", 0, "found no text side: "),
        ("vocab_size", -1, "found no text side: "),
        ("num_attention_heads", 0, "found no text side: "),
        ("dtype", "x", "found no text side: "),
        ("pad_token_id", 999, "found no text side: "),
        ("model_type", "nope", "Unrecognized model identifier: nope"),
        ("model_type", None, "Unrecognized model identifier"),
        # as large as may be, but not what the weights are
        ("vocab_size", 10**7, r"of another shape: text.embeddings.word_embeddings"),
    ],
)
def test_a_wrong_text_side_is_one_line(
    small_clamp: Path, field: str, value: object, message: str
) -> None:
    file = small_clamp / "config.json"
    about = json.loads(file.read_text())
    about["text"][field] = value
    file.write_text(json.dumps(about))
    with pytest.raises(InputError, match=message) as caught:
        load_clamp(small_clamp, text=True)
    assert "\n" not in str(caught.value)
    assert load_clamp(small_clamp).text is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (5, "config.json: found no text side, wanted the shape of its model"),
        (None, "config.json: found no text side, wanted the shape of its model"),
        ({}, "found no text side: transformers makes no such model"),
        ({"model_type": "clip"}, "found no text side: found CLIPModel, wanted a text model"),
    ],
)
def test_no_text_side_is_one_line(small_clamp: Path, text: object, message: str) -> None:
    file = small_clamp / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"text": text}))
    with pytest.raises(InputError, match=message) as caught:
        load_clamp(small_clamp, text=True)
    assert "\n" not in str(caught.value)


def test_a_file_does_not_choose_the_code_that_computes_it(small_clamp: Path) -> None:
    file = small_clamp / "config.json"
    about = json.loads(file.read_text())
    about["text"]["_attn_implementation"] = "kernels-community/none"
    file.write_text(json.dumps(about))
    assert load_clamp(small_clamp, text=True).text is not None


def test_m3_has_no_text_side(tmp_path: Path, small_m3: M3) -> None:
    save_m3(small_m3, tmp_path)
    with pytest.raises(InputError, match="M3, which reads no text"):
        load_encoder(tmp_path, text=True)
    with pytest.raises(InputError, match="found a model of kind 'M3', wanted 'CLaMP 2'"):
        load_clamp(tmp_path)


def test_published_sizes() -> None:
    with torch.device("meta"):
        m3, clamp = M3(M3Config.published()), Clamp(ClampConfig.published())
    assert sum(p.numel() for p in clamp.music.parameters()) == sum(
        p.numel() for p in m3.encoder.parameters()
    )
    assert sum(p.numel() for p in m3.encoder.parameters()) == 91_741_440
