"""Extraction of features beside the original's computation, all sides turn by turn in one run.

    python -m benchmarks.features [--corpus FOLDER] [--weights FOLDER_OR_NAME]

The original reads one segment at a time, padded to 512 patches, its characters as one-hot vectors,
through transformers' BERT with attention as two products. Both sides begin with patches; bringing a
piece's text into patches is timed apart. Counted is this process's processor time on one thread, in
rounds; a ratio is the median over the rounds.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 -- its usual name
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from benchmarks.report import table
from benchmarks.training import read_texts
from notagen.features.clamp import Clamp, ClampConfig
from notagen.features.encoder import EncoderBlock
from notagen.features.extract import TOGETHER, encode_pieces
from notagen.features.form import prepare
from notagen.features.packed import pack_encoder
from notagen.features.patches import PAD, MusicTokenizer, Patches
from notagen.features.weights import load_clamp
from notagen.model.config import HEAD_SIZE
from notagen.model.packed import Precision
from notagen.tokenizer.vocabulary import SIZE

ORIGINAL = "original, fp32"
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8")
SHORTEST, LONGEST = 67, 347
Features = list[NDArray[np.float32]]


def original(model: Clamp) -> Callable[[Sequence[Patches]], Features]:
    """Return the original's extraction with a model's weights."""
    config, encoder = model.config, model.music
    bert: Any = BertModel(
        BertConfig(
            vocab_size=1,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.patch_layers,
            num_attention_heads=config.hidden_size // HEAD_SIZE,
            intermediate_size=4 * config.hidden_size,
            max_position_embeddings=config.patch_length,
            attn_implementation="eager",
        ),
        add_pooling_layer=False,
    ).eval()
    state = {
        "embeddings.position_embeddings.weight": encoder.positions,
        "embeddings.LayerNorm.weight": encoder.norm.weight,
        "embeddings.LayerNorm.bias": encoder.norm.bias,
        "embeddings.token_type_embeddings.weight": torch.zeros(2, config.hidden_size),
        "embeddings.word_embeddings.weight": torch.zeros(1, config.hidden_size),
    }
    for number, block in enumerate(encoder.blocks):
        if isinstance(block, EncoderBlock):
            state |= _bert_layer(block, f"encoder.layer.{number}")
    bert.load_state_dict(state)
    embedding = nn.Linear(len(encoder.table), config.hidden_size)
    embedding.weight.data, embedding.bias.data = encoder.table.T.contiguous(), encoder.bias
    tokenizer = MusicTokenizer(config.patch_size, config.patch_length)

    def feature(segment: Patches) -> Tensor:
        ids = torch.full((config.patch_length, config.patch_size), PAD)
        ids[: len(segment)] = torch.from_numpy(segment.copy())
        mask = (torch.arange(config.patch_length) < len(segment)).float()[None]
        one_hot = F.one_hot(ids, SIZE).reshape(1, len(ids), -1).float()
        hidden: Tensor = bert(
            inputs_embeds=embedding(one_hot), attention_mask=mask
        ).last_hidden_state
        mean = (hidden * mask[..., None]).sum(1) / mask.sum()
        row: Tensor = model.music_projection(mean)[0]
        return row

    @torch.inference_mode()
    def extract(pieces: Sequence[Patches]) -> Features:
        found = []
        for piece in pieces:
            weights = tokenizer.segment_weights(len(piece))
            rows = [feature(segment) for segment in tokenizer.segments(piece)]
            found.append(np.average(rows, axis=0, weights=weights).astype(np.float32))
        return found

    return extract


def _bert_layer(block: EncoderBlock, name: str) -> dict[str, Tensor]:
    """Return the weights of a layer under the names of transformers."""
    parts = {
        "attention.output.dense": block.output,
        "attention.output.LayerNorm": block.norm_1,
        "intermediate.dense": block.expand,
        "output.dense": block.contract,
        "output.LayerNorm": block.norm_2,
    }
    state = {}
    for kind in ("weight", "bias"):
        thirds = getattr(block.qkv, kind).chunk(3)
        for part, third in zip(("query", "key", "value"), thirds, strict=True):
            state[f"{name}.attention.self.{part}.{kind}"] = third
        for theirs, ours in parts.items():
            state[f"{name}.{theirs}.{kind}"] = getattr(ours, kind)
    return state


def ours(
    model: Clamp, precision: Precision, patches_per_batch: int
) -> Callable[[Sequence[Patches]], Features]:
    """Return our extraction with a model's weights."""
    tokenizer = MusicTokenizer(model.config.patch_size, model.config.patch_length)
    encoder = pack_encoder(model.music, precision)

    def extract(pieces: Sequence[Patches]) -> Features:
        return encode_pieces(pieces, tokenizer, encoder, model.music_projection, patches_per_batch)

    return extract


def compare(
    sides: dict[str, Callable[[Sequence[Patches]], Features]],
    pieces: Sequence[Patches],
    rounds: int,
) -> str:
    """Return the table of all sides: pieces a second, ratios, and how far features lie apart."""
    wanted = np.stack(sides[ORIGINAL](pieces))
    times: dict[str, list[float]] = {name: [] for name in sides}
    rows = []
    for turn in range(rounds):
        for name, side in sides.items():
            start = time.process_time()
            side(pieces)
            times[name].append(time.process_time() - start)
        print(f"round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
    for name, side in sides.items():
        found = np.stack(side(pieces))
        pairs = zip(times[ORIGINAL], times[name], strict=True)
        cosines = (found * wanted).sum(1) / np.linalg.norm(found, axis=1)
        cosines = cosines / np.linalg.norm(wanted, axis=1)
        rows.append(
            [
                name,
                f"{1000 * min(times[name]) / len(pieces):.1f}",
                f"{median(there / here for there, here in pairs):.2f}",
                f"{np.abs(found - wanted).max():.1e}",
                f"{cosines.min():.6f}",
            ]
        )
    heads = ["", "ms a piece", "of the original", "features differ by", "lowest cosine"]
    return table(heads, rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all sides and print them."""
    parser = argparse.ArgumentParser(description="Extraction beside the original's computation.")
    parser.add_argument("--corpus", type=Path, help="folder of MusicXML (default music21's)")
    parser.add_argument("--weights", help="of CLaMP 2 (default random, of the published shape)")
    parser.add_argument("--pieces", type=int, default=24, help="of 67 to 347 patches (default 24)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=TOGETHER, help="patches at once")
    parser.add_argument("--quick", action="store_true", help="seconds: tiny model, one round")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    if options.quick:
        options.pieces, options.rounds = 3, 1
    shape = ClampConfig(patch_layers=2, hidden_size=64) if options.quick else None
    model = load_clamp(options.weights) if options.weights else None
    model = model or Clamp(shape or ClampConfig.published()).eval()
    texts = read_texts(options.corpus, 6 * options.pieces)
    tokenizer = MusicTokenizer(model.config.patch_size, model.config.patch_length)
    pieces: list[Patches] = []
    start = time.process_time()
    for text in texts:
        pieces.append(tokenizer.encode_whole(prepare(text, model.config.rests)))
    seconds = time.process_time() - start
    fitting = [piece for piece in pieces if SHORTEST <= len(piece) <= LONGEST][: options.pieces]
    lengths = sorted(map(len, fitting))
    sides = {ORIGINAL: original(model)} | {
        f"ours, {precision}": ours(model, precision, options.batch) for precision in PRECISIONS
    }
    print(
        f"{len(fitting)} pieces of {lengths[0]} to {lengths[-1]} patches, mean "
        f"{np.mean(lengths):.0f}; {options.threads} threads, {options.rounds} rounds; text to "
        f"patches: {1000 * seconds / len(texts):.1f} ms a piece\n"
    )
    print(compare(sides, fitting, options.rounds))


if __name__ == "__main__":
    main()
