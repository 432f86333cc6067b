"""Low-rank adaptation: a few new weights are trained beside the frozen ones."""

import torch
from torch import Tensor

from notagen.foundation.errors import InputError
from notagen.model.notagen import NotaGen

_LAYERS = ["qkv", "output", "expand", "contract"]
"""The linear layers of both decoders."""


def add_lora(model: NotaGen, *, rank: int, alpha: float | None = None, dropout: float = 0.0) -> int:
    """Put a low-rank addition beside each linear layer and freeze all other weights.

    The model computes what it computed before, until the additions are trained. Their first
    values come from torch's random numbers.

    Args:
        model: Changed in place; `merged` makes a plain model of it.
        rank: Of the additions, > 0.
        alpha: The additions are scaled by alpha / rank; None for twice the rank.
        dropout: Share of an addition's inputs dropped while training, from 0 to below 1.

    Returns:
        The number of parameters that are trained now.

    Raises:
        InputError: If peft is not installed.

    Source: Hu et al. 2021, arXiv:2106.09685.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise InputError(f"lora: {error}; pip install 'notagen[lora]'") from error
    settings = LoraConfig(
        r=rank,
        lora_alpha=2 * rank if alpha is None else alpha,
        lora_dropout=dropout,
        target_modules=_LAYERS,
    )
    inject_adapter_in_model(settings, model)
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


@torch.no_grad()
def merged(model: NotaGen) -> NotaGen:
    """Return a plain model with the additions of `add_lora` in its weights.

    It is in eval mode, on the processor, and shares no memory with the given one, which is left as
    it is. A model without additions is plain already and returned itself.
    """
    # asked for by what they do: a model without them needs no peft
    layers = {
        name: module
        for name, module in model.named_modules()
        if hasattr(module, "get_delta_weight")
    }
    if not layers:
        return model
    with torch.device("meta"):
        plain = NotaGen(model.config)
    state: dict[str, Tensor] = {}
    for name, layer in layers.items():
        weight = layer.base_layer.weight + layer.get_delta_weight("default")
        # one layer at a time leaves the device: a small GPU has no room for a second model
        state[f"{name}.weight"] = weight.cpu()
        state[f"{name}.bias"] = layer.base_layer.bias.to("cpu", copy=True)
    unchanged = model.state_dict()
    state |= {
        name: unchanged[name].to("cpu", copy=True)
        for name in plain.state_dict()
        if name not in state
    }
    plain.load_state_dict(state, assign=True)
    return plain.eval()
