from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from notagen.generation.cache import CachedModel
from notagen.model import packed
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.model.packed import PackedModel, Precision, pack

Arrays = Callable[[str], dict[str, NDArray[np.generic]]]


@torch.inference_mode()
def log_probs(model: PackedModel, patches: Tensor) -> Tensor:
    """Return the log-probabilities of all characters of known tunes (B, P, S), (..., 128).

    The tunes are read side by side; each patch but the first is written.
    """
    cached = CachedModel(model, len(patches))
    found = []
    for last, written in zip(patches[:, :-1].unbind(1), patches[:, 1:].unbind(1), strict=True):
        inputs = cached.step(last)
        for place, characters in enumerate(written.unbind(1)):
            found.append((cached.next_logits(inputs, place), written[:, :place]))
            inputs = cached.embed_characters(characters.long())
    kept = [logits[~((before == 0) | (before == 2)).any(1)] for logits, before in found]
    return torch.cat(kept).log_softmax(-1)


def difference(model: NotaGen, patches: Tensor, precision: Precision) -> tuple[float, float]:
    """Return the mean divergence from fp32, in nats, and the share of places with its argmax."""
    rows = len(patches)
    expected = log_probs(pack(model, "fp32", rows=rows), patches)
    found = log_probs(pack(model, precision, rows=rows), patches)
    assert found.dtype == torch.float32
    divergence = (expected.exp() * (expected - found)).sum(-1).mean().item()
    return divergence, (found.argmax(-1) == expected.argmax(-1)).float().mean().item()


@pytest.fixture
def known_tunes(golden_arrays: Arrays) -> Tensor:
    """Eight tunes, (8, 44, 16), of music that the trained model has learned."""
    arrays = golden_arrays("greedy_tiny_trained")
    parts = [arrays["prompt_patches"], arrays["generated_after_eos_zeroed"][:39]]
    tune = torch.from_numpy(np.concatenate(parts))
    tunes = tune.repeat(8, 1, 1)
    for row in range(1, 8):  # the others lack lines of its header, so that the rows differ
        tunes[row, 1:-row] = tune[1 + row :]
    return tunes


BOUNDS: list[tuple[Precision, float, float]] = [
    ("bf16", 1e-4, 0.99),
    ("fp16", 1e-4, 0.99),
    ("int8", 2e-3, 0.985),
]


@pytest.mark.parametrize("rows", [1, 8])
@pytest.mark.parametrize(("precision", "divergence", "same"), BOUNDS)
def test_few_bits_change_little(
    trained_model: NotaGen,
    full_model: NotaGen,
    known_tunes: Tensor,
    golden_arrays: Arrays,
    precision: Precision,
    divergence: float,
    same: float,
    rows: int,
) -> None:
    # of eight tunes the first patches are places enough: some machines are slow with them in 8 bits
    found = difference(trained_model, known_tunes[:rows, : 44 if rows == 1 else 16], precision)
    assert 0 < found[0] <= divergence
    assert found[1] >= same
    # a model of broad distributions shows more
    golden = torch.from_numpy(golden_arrays("train_forward")["patches"])
    golden = golden[:, : 30 if rows == 1 else 16]
    found = difference(full_model, golden[:1].repeat(rows, 1, 1), precision)
    assert 0 < found[0] <= divergence


@pytest.mark.parametrize("precision", [None, "fp32", "bf16", "fp16", "int8"])
def test_packing_leaves_the_model_as_it_is(
    full_model: NotaGen, precision: Precision | None
) -> None:
    before = {name: tensor.clone() for name, tensor in full_model.state_dict().items()}
    made = pack(full_model, precision, rows=2)
    log_probs(made, torch.full((2, 3, 16), 65))
    after = full_model.state_dict()
    assert before.keys() == after.keys()
    for name, tensor in after.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("type_", [torch.float32, torch.bfloat16, torch.float16])
def test_without_a_precision_the_weights_keep_their_type(
    full_model: NotaGen, type_: torch.dtype
) -> None:
    made = pack(full_model.to(type_))
    assert made.cache_type == type_
    assert made.patches.blocks[0].qkv(torch.ones(1, 128)).dtype == type_
    assert made.char_table.dtype == made.patches.positions.dtype == torch.float32


def test_large_layers_in_fp32_are_the_same_layers(
    trained_model: NotaGen, known_tunes: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = log_probs(pack(trained_model, "fp32"), known_tunes[:3])
    monkeypatch.setattr(packed, "LARGE", 1)
    made = pack(trained_model, "fp32")
    assert isinstance(made.patches.blocks[0].expand, packed._OneDnnLinear)
    torch.testing.assert_close(log_probs(made, known_tunes[:3]), plain, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("precision", "divergence", "same"), BOUNDS)
def test_other_devices_have_plain_layers(
    trained_model: NotaGen,
    known_tunes: Tensor,
    precision: Precision,
    divergence: float,
    same: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packed, "_HAS_INT8_KERNELS", False)
    monkeypatch.setattr(torch._C, "_has_mkldnn", False)
    layer = pack(trained_model, precision).patches.blocks[0].expand
    assert isinstance(layer, packed._PlainInt8Linear | packed._PlainLinear)
    found = difference(trained_model, known_tunes[:3], precision)
    assert 0 < found[0] <= divergence
    assert found[1] >= same


@pytest.mark.parametrize("has_kernels", [True, False])
@pytest.mark.parametrize("packed_for", [1, 8])
def test_a_row_does_not_change_the_rows_beside_it(
    full_model: NotaGen, packed_for: int, has_kernels: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "_HAS_INT8_KERNELS", packed._HAS_INT8_KERNELS and has_kernels)
    block = pack(full_model, "int8", rows=packed_for).patches.blocks[0]
    rows = torch.randn(8, 128, generator=torch.Generator().manual_seed(0))
    rows *= 10.0 ** torch.arange(-4, 4)[:, None]  # a scale for all would round most of them away
    rows[3] = 0
    # fbgemm rounds to 8 bits between the least and the largest number, wherever they lie
    tolerance = 3e-2 if packed_for == 1 and has_kernels else 1e-5
    for layer in (block.qkv, block.expand):
        together = layer(rows)
        alone = torch.cat([layer(row[None]) for row in rows])
        size = alone.abs().amax(1, keepdim=True)
        assert together.isfinite().all()
        torch.testing.assert_close(together / size, alone / size, atol=tolerance, rtol=0)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16", "int8"])
@pytest.mark.parametrize("rows", [1, 3])
def test_layers_are_those_of_the_model(precision: Precision, rows: int) -> None:
    torch.manual_seed(0)
    model = NotaGen(ModelConfig(patch_length=8, patch_layers=1, char_layers=1, hidden_size=128))
    block = next(iter(model.patch_decoder.transformer.layers()))
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    block.expand.weight.data[5] = 0  # an output of no scale
    x, gathered = torch.randn(2, rows, 128).unbind()
    made = pack(model, precision, rows=rows).patches.blocks[0]
    with torch.inference_mode():
        inner = x + block.attention.output(gathered)
        hidden = block.expand(block.norm_2(inner))
        expected = inner + block.contract(torch.nn.functional.gelu(hidden, approximate="tanh"))
        found = made.finish(x, gathered).float()
    tolerance = {"fp32": 1e-5, "fp16": 2e-3, "bf16": 2e-2, "int8": 4e-2}[precision]
    error = (found - expected).norm() / expected.norm()
    assert error <= tolerance
