"""A model whose random weights are large enough that all it reads counts."""

import torch

from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen


def random_model(shape: ModelConfig) -> NotaGen:
    """Return the same model each time, in eval mode; a fresh one hardly looks back."""
    torch.manual_seed(0)
    model = NotaGen(shape).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return model
