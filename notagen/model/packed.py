"""A model's weights laid out for writing: packed linear layers in fp32, bf16, fp16 or int8.

Training computes whole sequences; writing computes one position of each of a few tunes, again and
again, and its time is the time in which the weights pass through the processor. Packed layers read
fewer bytes and in the order of the processor's own kernels. The residual stream and the
normalisations stay in fp32 whatever the precision.
"""

import copy
import math
import platform
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812 -- its usual name
from torch import Tensor, nn

from notagen.foundation.errors import InputError
from notagen.model.config import HEAD_SIZE, ModelConfig
from notagen.model.decoders import NORM_EPS, Transformer
from notagen.model.ngram_heads import NgramHeads
from notagen.model.notagen import NotaGen

Precision = Literal["fp32", "bf16", "fp16", "int8"]
Gelu = Literal["none", "tanh"]
"""What stands in for the GELU's error function, in torch's words: nothing, or a tanh."""
Linear = Callable[[Tensor], Tensor]

_TYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
INT8_MAX = 127
_TINY = 1e-30
LARGE = 2**20
"""Elements from which on an fp32 layer is faster packed, for few rows."""
MANY = 64
"""Rows from which on an fp32 layer is faster as it is."""


@dataclass(frozen=True)
class PackedBlock:
    """One layer; the attention's scale is part of the weights that give the queries."""

    norm_1: tuple[Tensor, Tensor]
    qkv: Linear
    output: Linear
    norm_2: tuple[Tensor, Tensor]
    expand: Linear
    """With the GELU behind it."""
    contract: Linear

    def finish(self, x: Tensor, gathered: Tensor) -> Tensor:
        """Return the layer's output from its input and what attention gathered, both (N, H)."""
        x = x + self.output(gathered)
        return x + self.contract(self.expand(normalise(x, self.norm_2)))


@dataclass(frozen=True)
class PackedTransformer:
    """Positions, layers and the last normalisation of a decoder."""

    positions: Tensor
    blocks: tuple[PackedBlock, ...]
    norm: tuple[Tensor, Tensor]


@dataclass(frozen=True)
class PackedModel:
    """What `pack` makes of a model: weights only, no state."""

    config: ModelConfig
    patch_table: Tensor
    patch_bias: Tensor
    patches: PackedTransformer
    char_table: Tensor
    ngram_heads: NgramHeads | None
    """In fp32."""
    characters: PackedTransformer
    head: Linear
    """From a state (N, H) to the logits (N, 128)."""
    cache_type: torch.dtype
    """Of the keys and values of patches."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.char_table.device


def pack(model: NotaGen, precision: Precision | None = None, *, rows: int = 1) -> PackedModel:
    """Return a model's weights in the form for writing; the model is left as it is.

    Args:
        model: On any device, in any float type.
        precision: Of the linear layers, from which nearly all time and memory goes; None for the
            type that the model's weights have. `int8` are 8-bit weights with a scale for each
            output, and on a processor 8-bit inputs with a scale for each row too.
        rows: Tunes that will be written side by side; int8 is packed for one, or for several.

    Raises:
        InputError: If a weight is NaN or infinite and the precision int8.
    """
    wanted = precision or _precision_of(model)

    def linear(layer: nn.Linear, *, gelu: Gelu | None = None, queries: int = 0) -> Linear:
        weight, bias = layer.weight.detach(), layer.bias.detach()
        if queries:
            weight, bias = weight.clone(), bias.clone()
            weight[:queries] *= HEAD_SIZE**-0.5  # a power of two: no rounding
            bias[:queries] *= HEAD_SIZE**-0.5
        return pack_linear(weight, bias, wanted, gelu=gelu, rows=rows)

    def transformer(source: Transformer) -> PackedTransformer:
        blocks = tuple(
            PackedBlock(
                norm_1=norm_weights(block.norm_1),
                qkv=linear(block.attention.qkv, queries=model.config.hidden_size),
                output=linear(block.attention.output),
                norm_2=norm_weights(block.norm_2),
                expand=linear(block.expand, gelu="tanh"),
                contract=linear(block.contract),
            )
            for block in source.layers()
        )
        return PackedTransformer(
            source.positions.detach().float(), blocks, norm_weights(source.norm)
        )

    with torch.inference_mode():
        table, heads = model.char_decoder.table.detach(), model.char_decoder.ngram_heads
        return PackedModel(
            config=model.config,
            patch_table=model.patch_decoder.table.detach(),
            patch_bias=model.patch_decoder.bias.detach().float(),
            patches=transformer(model.patch_decoder.transformer),
            char_table=table.float(),
            ngram_heads=heads and copy.deepcopy(heads).float(),
            characters=transformer(model.char_decoder.transformer),
            # stays a float layer: it is small, and its errors would be errors of the logits
            head=_PlainLinear(table.to(_float_type(wanted, table.device)), None, gelu=None),
            cache_type=parameter_type(wanted),
        )


def parameter_type(precision: Precision) -> torch.dtype:
    """Return the type in which weights are best loaded that will be packed with a precision."""
    return _TYPES.get(precision, torch.bfloat16)


def pack_linear(
    weight: Tensor,
    bias: Tensor,
    precision: Precision,
    *,
    gelu: Gelu | None = None,
    rows: int,
    alike: bool = False,
) -> Linear:
    """Return a linear layer in the form that is fastest for its device and precision.

    It takes (N, inputs) of any float type; its outputs (N, outputs) are of the layer's own.

    Args:
        weight: (outputs, inputs), left as it is.
        bias: (outputs,), likewise.
        precision: Of the weights, see `pack`.
        gelu: The GELU behind the layer, if there is one.
        rows: About how many rows it will be given; int8 is packed for one, or for several.
        alike: Whether all rows of a call may share one scale in int8, which is faster; a row then
            depends on the others.

    Raises:
        InputError: If a weight is NaN or infinite and the precision int8.
    """
    type_ = _float_type(precision, weight.device)
    if precision == "int8":
        return _int8_linear(weight, bias, gelu, type_, rows, alike)
    return _float_linear(weight, bias, gelu, type_, rows)


def normalise(x: Tensor, norm: tuple[Tensor, Tensor], eps: float = NORM_EPS) -> Tensor:
    """Return the layer norm of each row of (N, H)."""
    weight, bias = norm
    return torch.layer_norm(x, weight.shape, weight, bias, eps)


def norm_weights(norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
    """Return what `normalise` needs of a layer norm."""
    return norm.weight.detach().float(), norm.bias.detach().float()


def _float_type(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the type that layers compute in where they do not compute in 8 bits."""
    if precision == "int8":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    return _TYPES[precision]


def _precision_of(model: NotaGen) -> Precision:
    type_ = model.char_decoder.table.dtype
    for name, known in _TYPES.items():
        if known == type_:
            return name
    raise ValueError(f"found weights of {type_}, wanted float32, bfloat16 or float16")


def _float_linear(
    weight: Tensor, bias: Tensor, gelu: Gelu | None, type_: torch.dtype, rows: int
) -> Linear:
    weight, bias = weight.to(type_), bias.to(type_)
    has_kernel = False
    if weight.device.type == "cpu" and torch._C._has_mkldnn:
        if type_ == torch.bfloat16:
            has_kernel = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        elif type_ == torch.float32:
            has_kernel = weight.numel() >= LARGE and rows < MANY
    return (_OneDnnLinear if has_kernel else _PlainLinear)(weight, bias, gelu)


def _int8_linear(
    weight: Tensor,
    bias: Tensor,
    gelu: Gelu | None,
    type_: torch.dtype,
    rows: int,
    alike: bool,
) -> Linear:
    weight = weight.float()
    if not weight.isfinite().all():  # else they would become numbers like any others
        raise InputError("the weights hold NaN or infinite values, wanted finite numbers")
    scales = (weight.abs().amax(1) / INT8_MAX).clamp(min=_TINY)
    rounded = (weight / scales[:, None]).round().to(torch.int8)
    if weight.device.type != "cpu" or not _HAS_INT8_KERNELS:
        return _PlainInt8Linear(rounded, scales, bias, gelu, type_)
    if rows == 1 and "fbgemm" in _ENGINES:
        return _OneRowInt8Linear(rounded, scales, bias.float(), gelu)
    if alike and "onednn" in _ENGINES:
        return _AlikeInt8Linear(rounded, scales, bias.float(), gelu)
    return _RowsInt8Linear(rounded, scales, bias.float(), gelu)


_HAS_INT8_KERNELS = torch._C._has_mkldnn and platform.machine().lower() in ("x86_64", "amd64")
# deprecated in torch 2.13: where they are gone, the layer for several rows serves all
_ENGINES = (
    torch.backends.quantized.supported_engines
    if hasattr(torch, "_make_per_channel_quantized_tensor")
    else []
)


class _PlainLinear:
    """Torch's own layer, on any device."""

    def __init__(self, weight: Tensor, bias: Tensor | None, gelu: Gelu | None) -> None:
        self.weight, self.bias, self.gelu = weight, bias, gelu

    def __call__(self, x: Tensor) -> Tensor:
        out = F.linear(x.to(self.weight.dtype), self.weight, self.bias)
        if self.gelu:
            torch.ops.aten.gelu_(out, approximate=self.gelu)
        return out


class _OneDnnLinear:
    """The processor's layer of oneDNN, its weights in the order of the kernel."""

    def __init__(self, weight: Tensor, bias: Tensor, gelu: Gelu | None) -> None:
        self.type = weight.dtype
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), 1)
        self.bias = bias
        self.after: tuple[str, list[float], str] = ("gelu", [], gelu) if gelu else ("none", [], "")

    def __call__(self, x: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            x.to(self.type), self.weight, self.bias, *self.after
        )
        return out


class _PlainInt8Linear:
    """8-bit weights in memory, made floats for each product; on any device."""

    def __init__(
        self, weight: Tensor, scales: Tensor, bias: Tensor, gelu: Gelu | None, type_: torch.dtype
    ) -> None:
        self.weight, self.scales, self.bias = weight, scales.to(type_), bias.to(type_)
        self.gelu = gelu

    def __call__(self, x: Tensor) -> Tensor:
        type_ = self.bias.dtype
        out = torch.addcmul(self.bias, F.linear(x.to(type_), self.weight.to(type_)), self.scales)
        return F.gelu(out, approximate=self.gelu) if self.gelu else out


class _OneRowInt8Linear:
    """fbgemm's layer, the fastest for one row: it rounds its input to 8 bits itself."""

    def __init__(self, weight: Tensor, scales: Tensor, bias: Tensor, gelu: Gelu | None) -> None:
        self.gelu, self.bias = gelu, bias
        self.packed = _prepack(weight, scales, bias, "fbgemm")

    def __call__(self, x: Tensor) -> Tensor:
        x = x.float()
        if len(x) == 1:
            out: Tensor = torch.ops.quantized.linear_dynamic(x, self.packed, _REDUCE_RANGE)
        else:
            # the layer has one scale for all rows: made equally large, none spoils the others
            size = _largest(x)
            out = torch.ops.quantized.linear_dynamic(x / size, self.packed, _REDUCE_RANGE)
            out = (out - self.bias) * size + self.bias
        return _gelu(out, self.gelu) if self.gelu else out


class _AlikeInt8Linear:
    """oneDNN's layer with one scale for all rows, which it finds and rounds by itself."""

    def __init__(self, weight: Tensor, scales: Tensor, bias: Tensor, gelu: Gelu | None) -> None:
        self.gelu = gelu
        self.packed = _prepack(weight, scales, bias, "onednn")

    def __call__(self, x: Tensor) -> Tensor:
        out: Tensor = torch.ops.quantized.linear_dynamic(x.float(), self.packed, False)
        return _gelu(out, self.gelu) if self.gelu else out


class _RowsInt8Linear:
    """oneDNN's layer for several rows, each with a scale of its own: no row changes another."""

    def __init__(self, weight: Tensor, scales: Tensor, bias: Tensor, gelu: Gelu | None) -> None:
        self.gelu, self.bias, self.scales = gelu, bias, scales
        self.zeros = torch.zeros(len(scales), dtype=torch.int64)
        self.packed = torch.ops.onednn.qlinear_prepack(weight, None)

    def __call__(self, x: Tensor) -> Tensor:
        x = x.float()
        unit = _largest(x).div_(INT8_MAX)
        rounded = (x / unit).round_().to(torch.int8)
        product = torch.ops.onednn.qlinear_pointwise(
            *(rounded, 1.0, 0),
            *(self.packed, self.scales, self.zeros, None),
            *(1.0, 0, torch.float32),
            *("none", [], ""),
        )
        out = torch.addcmul(self.bias, product, unit, out=product)
        return _gelu(out, self.gelu) if self.gelu else out


def _prepack(weight: Tensor, scales: Tensor, bias: Tensor, engine: str) -> Any:  # noqa: ANN401 -- of torch's own class
    """Return 8-bit weights in the form of one of torch's engines."""
    zeros = torch.zeros(len(scales), dtype=torch.int64)
    before = torch.backends.quantized.engine
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantized = torch._make_per_channel_quantized_tensor(weight, scales.double(), zeros, 0)
    try:
        torch.backends.quantized.engine = engine
        return torch.ops.quantized.linear_prepack(quantized, bias)
    finally:
        torch.backends.quantized.engine = before


def _largest(x: Tensor) -> Tensor:
    """Return the largest absolute value in each row of (N, H), made > 0, (N, 1)."""
    # half the memory traffic of x.abs().amax(1)
    return torch.maximum(x.amax(1, keepdim=True), -x.amin(1, keepdim=True)).clamp_(min=_TINY)


def _gelu(x: Tensor, form: Gelu) -> Tensor:
    """Return the GELU; with tanh in half the time of torch's: 1 + tanh(z) is 2 sigmoid(2 z).

    The numbers that it is given may be overwritten.
    """
    if form == "none":
        exact: Tensor = torch.ops.aten.gelu_(x)
        return exact
    inner = torch.addcmul(_GELU_FACTOR, x, x, value=0.044715 * float(_GELU_FACTOR))
    return inner.mul_(x).sigmoid_().mul_(x)


_GELU_FACTOR = torch.tensor(2 * math.sqrt(2 / math.pi))
# without VNNI, products of 8-bit inputs can overflow fbgemm's 16-bit sums
_REDUCE_RANGE = not torch.cpu._is_vnni_supported()
