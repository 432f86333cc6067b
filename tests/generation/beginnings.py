"""What pieces of the tests begin with, and a model that writes what a test says."""

from collections.abc import Iterator

import torch

from notagen.generation.engine import Generated
from notagen.generation.prompts import Prompt
from notagen.generation.sampling import Sampling
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen

GREEDY = Sampling(top_k=1, top_p=1.0, temperature=1.0)
WILD = Sampling(top_k=0, top_p=1.0, temperature=1.3)
SCHUBERT = Prompt("Romantic", "Schubert, Franz", "Art Song")
HEADER = "%%score { 1 | 2 }\nL:1/8\nQ:1/4=80\nM:2/4\nK:F\nV:1 treble\nV:2 bass\n"


def writer_of(*patches: str) -> NotaGen:
    """Return a model that writes any of the patches' characters at each place, and no others."""
    shape = ModelConfig(patch_length=64, patch_layers=1, char_layers=1, hidden_size=64)
    model = NotaGen(shape).eval()
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    characters = model.char_decoder
    torch.nn.init.ones_(characters.transformer.norm.weight)
    for place in range(16):  # each place has a dimension of its own
        characters.transformer.positions.data[place, place] = 1e3
        for patch in patches:
            characters.table.data[ord(patch[place]), place] = 4
    return model


def one(pieces: Iterator[Generated]) -> Generated:
    (piece,) = pieces
    return piece


def body_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("[r:")]


def opening(num_bars: int) -> str:
    return HEADER + "".join(f"[r:{i}/30][V:1]c2 f2|[V:2]F,4|\n" for i in range(num_bars))
