"""Speed and memory of a training step beside the original's computation, both in one run.

    python -m benchmarks.training [--corpus FOLDER] [--steps] [--device cuda]

A step is forward, backward, clipping and AdamW on real text. The sides take turns; a rate is that
of a side's best round, a ratio the median over the rounds. On a processor the original and we have
processes of our own, one thread works and its own time is counted, not the clock's: other work on
the machine disturbs it least. On a CUDA device the clock counts, and the share of the card's bf16
peak that is used.
"""

import argparse
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.fidelity import draw
from benchmarks.report import table
from benchmarks.training_steps import BOTH, ORIGINAL, STEPS, Bench, Benches, Setting, Side
from notagen.foundation.errors import ScoreError
from notagen.model.config import ModelConfig
from notagen.model.decoders import LIMITS
from notagen.notation.clean import clean
from notagen.notation.interleave import interleave
from notagen.notation.musicxml import musicxml_to_abc
from notagen.notation.rests import omit_rests
from notagen.sources.music21_corpus import corpus_pieces
from notagen.tokenizer.patches import PatchTokenizer
from notagen.tokenizer.vocabulary import SIZE
from notagen.training.batching import deal, plan_epoch

PATCH_LENGTH = 1024
SIZES = {
    "tiny": ModelConfig(patch_length=PATCH_LENGTH, patch_layers=2, char_layers=1, hidden_size=64),
    "mini": ModelConfig.mini(),
    "small": ModelConfig.small(),
    "large": ModelConfig.large(),
}


def race(benches: Benches, sides: dict[str, Side], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each side's rounds; a first round is not counted."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, side in sides.items():
            seconds = benches.ask(Bench.seconds, side)
            if turn:
                times[name].append(seconds)
        print(f"round {turn} of {rounds}", file=sys.stderr, flush=True)
    return times


def read_texts(corpus: Path | None, count: int) -> list[str]:
    """Return training texts of a corpus, or of music21's; scores that are refused are told."""
    files = draw(corpus, count, 7) if corpus else []
    files = files or [piece.source for piece in corpus_pieces() if piece.is_native][:count]
    random.Random(7).shuffle(files)  # noqa: S311 -- an order, no secret
    texts = []
    for file in files:
        try:
            texts.append(omit_rests(interleave(clean(musicxml_to_abc(file)))))
        except ScoreError as error:
            print(f"left out: {error}", file=sys.stderr)
    return texts


def read_pieces(corpus: Path | None, count: int) -> list[NDArray[np.uint8]]:
    """Return pieces as patches, each up to the context's length."""
    tokenizer = PatchTokenizer(patch_length=PATCH_LENGTH)
    return [tokenizer.encode(text) for text in read_texts(corpus, count)]


def join(pieces: Sequence[NDArray[np.uint8]], tunes: int, length: int) -> NDArray[np.uint8]:
    """Return (tunes, length, S) patches, the pieces one behind the other, again if too few."""
    stream = np.concatenate(pieces)
    repeats = -(-tunes * length // len(stream))
    stream = np.concatenate([stream] * repeats)[: tunes * length]
    return stream.reshape(tunes, length, -1)


def padding(pieces: Sequence[NDArray[np.uint8]], patches: NDArray[np.uint8]) -> list[list[str]]:
    """Return the shares of padded positions at both levels, the original's and ours."""
    size = patches.shape[2]
    characters = np.count_nonzero(patches, axis=2)
    filled = characters.sum()
    slots = characters.size * (size + 1)
    limits = np.array(LIMITS) * size // max(LIMITS)
    bucketed = limits[np.searchsorted(limits, characters)].sum()
    lengths = np.array([len(piece) for piece in pieces], dtype=np.int32)
    room = 4 * 256
    plan = plan_epoch(lengths, patches_per_step=4 * room, seed=0, epoch=0)
    dealt = [
        batch
        for step in plan
        for batch in deal(step, lengths, patches_per_batch=room, num_processes=1)[0]
    ]
    order = list(range(len(lengths)))
    random.Random(0).shuffle(order)  # noqa: S311 -- an order, no secret
    fours = [order[start : start + 4] for start in range(0, len(order), 4)]
    return [
        ["character slots", f"{1 - filled / slots:.1%}", f"{1 - filled / bucketed:.1%}"],
        [
            f"patches of {len(lengths)} pieces",
            f"{_padded(lengths, fours):.1%} (random batches of 4)",
            f"{_padded(lengths, dealt):.1%} (batches of {room} patches)",
        ],
    ]


def _padded(lengths: NDArray[np.int32], batches: Sequence[Sequence[int]]) -> float:
    shown = sum(len(batch) * int(lengths[list(batch)].max()) for batch in batches if len(batch))
    return 1 - int(lengths.sum()) / shown


def step_flops(config: ModelConfig, patches: Tensor, mask: Tensor) -> float:
    """Return the operations of a step's matrix products on real characters alone.

    Two for each weight and position, attention up to each position, and twice as many again for
    the backward pass.

    Args:
        config: The model's shape.
        patches: (B, P, S), all real.
        mask: (B, P), the patches whose characters are predicted.
    """
    width = config.hidden_size
    tunes, length = patches.shape[0], patches.shape[1] - 1
    characters = (patches[:, 1:][mask[:, 1:]] != 0).sum(-1).double()
    num_chars, char_pairs = (
        characters.sum().item(),
        (characters * (characters + 1) / 2).sum().item(),
    )
    patch_level = tunes * length * 24 * width**2 + tunes * length * (length + 1) / 2 * 4 * width
    char_level = num_chars * 24 * width**2 + char_pairs * 4 * width
    head = num_chars * 2 * SIZE * width
    return 3 * (config.patch_layers * patch_level + config.char_layers * char_level + head)


def measured_peak() -> float:
    """Return the bf16 operations a second of a large product on the CUDA device."""
    left, right = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in "ab")
    best = float("inf")
    for _ in range(5):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(10):
            left @ right
        torch.cuda.synchronize()
        best = min(best, (time.perf_counter() - start) / 10)
    return 2 * 8192**3 / best


def shares_of_peak(
    setting: Setting,
    sides: dict[str, Side],
    times: dict[str, list[float]],
    nominal: float | None,
) -> dict[str, list[str]]:
    """Return what share of the card's bf16 peak each side reaches, measured and as named."""
    patches = torch.from_numpy(setting.patches)
    flops = {
        name: step_flops(setting.config, patches, side.mask(patches))
        for name, side in sides.items()
    }
    peaks = {"bf16 peak measured": measured_peak()}
    if nominal:
        peaks["bf16 peak as named"] = nominal * 1e12
    return {
        f"of the {name}, {peak / 1e12:.0f} TFLOP/s": [
            f"{flops[side] / min(times[side]) / peak:.1%}" for side in sides
        ]
        for name, peak in peaks.items()
    }


def compare(
    num_patches: int,
    sides: dict[str, Side],
    times: dict[str, list[float]],
    notes: dict[str, list[str]],
) -> str:
    """Return the table of all sides: rates and ratios, and the notes by their headings."""
    rows = []
    for place, (name, side) in enumerate(sides.items()):
        ratios = [
            median(there / here for there, here in zip(times[other], times[name], strict=True))
            for other in (ORIGINAL, side.base)
        ]
        rate = f"{num_patches / min(times[name]):.1f}"
        cells = [note[place] for note in notes.values()]
        rows.append([name, rate, f"{ratios[0]:.2f}", f"{ratios[1]:.2f} of {side.base}", *cells])
    return table(["", "patches/s", "of the original", "of what it builds on", *notes], rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both sides and print them."""
    parser = argparse.ArgumentParser(description="Training beside the original's computation.")
    parser.add_argument("--corpus", type=Path, help="folder of MusicXML (default music21's)")
    parser.add_argument("--pieces", type=int, default=60, help="scores to read (default 60)")
    parser.add_argument("--steps", action="store_true", help="each step from there to here")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--tunes", type=int, default=4, help="in a batch (default 4)")
    parser.add_argument("--length", type=int, default=256, help="patches of a tune (default 256)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument(
        "--nominal-tflops", type=float, help="bf16 peak that the card's maker names"
    )
    parser.add_argument("--quick", action="store_true", help="seconds: tiny model, two rounds")
    options = parser.parse_args(arguments)
    if options.quick:
        options.size, options.pieces, options.tunes, options.length = "tiny", 4, 2, 24
        options.rounds = 2
    pieces = read_pieces(options.corpus, options.pieces)
    patches = join(pieces, options.tunes, options.length)
    setting = Setting(SIZES[options.size], patches, options.device, options.threads)
    sides = STEPS if options.steps else BOTH
    if options.quick:
        sides = {name: side for name, side in sides.items() if name != "compiled layers"}
    with Benches(setting) as benches:
        # before the first step, while all weights are the same
        losses = [benches.ask(Bench.loss, side) for side in sides.values()]
        times = race(benches, sides, options.rounds)
    apart = [
        f"{loss - losses[0]:+.1e}" if side.share == 1 else "-"
        for loss, side in zip(losses, sides.values(), strict=True)
    ]
    notes = {"loss at the start differs by": apart}
    if options.device == "cuda":
        notes |= shares_of_peak(setting, sides, times, options.nominal_tflops)
    peaks = []
    for side in sides.values():
        with Benches(setting) as benches:
            peaks.append(benches.ask(Bench.peak, side))
    notes["MiB beyond the weights"] = [f"{peak:.0f}" for peak in peaks]
    text = (patches != 0).sum(-1).mean()
    print(
        f"{options.size}, {options.tunes} x {options.length} patches of {text:.2f} characters, "
        f"{options.device}, {options.threads} threads, {options.rounds} rounds\n"
    )
    print(compare(patches.shape[0] * patches.shape[1], sides, times, notes))
    print()
    print(table(["padded", "original", "ours"], padding(pieces, patches)))


if __name__ == "__main__":
    main()
