"""Speed and memory of a training step beside the original's computation, both in one run.

    python -m benchmarks.training [--corpus FOLDER] [--steps] [--device cuda]

A step is forward, backward, clipping and AdamW on real text. The sides take turns in one process;
a rate is that of a side's best round, a ratio the median over the rounds. On a processor one
thread works and its own time is counted, not the clock's: other work on the machine disturbs it
least. On a CUDA device the clock counts, and the share of the card's bf16 peak that is used.
"""

import argparse
import copy
import functools
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import AdamW, Optimizer

from benchmarks.fidelity import draw
from benchmarks.original import original_loss
from benchmarks.report import table
from notagen.foundation.errors import ScoreError
from notagen.model.config import ModelConfig
from notagen.model.notagen import LIMITS, NotaGen
from notagen.notation.clean import clean
from notagen.notation.interleave import interleave
from notagen.notation.musicxml import musicxml_to_abc
from notagen.notation.rests import omit_rests
from notagen.sources.music21_corpus import corpus_pieces
from notagen.tokenizer.patches import PatchTokenizer
from notagen.tokenizer.vocabulary import SIZE
from notagen.training.batching import deal, plan_epoch
from notagen.training.schedule import make_optimizer

LEARNING_RATE = 1e-4
PATCH_LENGTH = 1024
SIZES = {
    "tiny": ModelConfig(patch_length=PATCH_LENGTH, patch_layers=2, char_layers=1, hidden_size=64),
    "mini": ModelConfig.mini(),
    "small": ModelConfig.small(),
    "large": ModelConfig.large(),
}
MIB = 2**20

Loss = Callable[[NotaGen, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Side:
    """A way to take the training step."""

    loss: Loss = NotaGen.__call__
    bf16: bool = False
    fused: bool = True
    """Whether the optimizer is ours; else torch's AdamW as it comes."""
    prepare: Callable[[NotaGen], None] | None = None
    """What is done to a model of its own; None if it shares the model of the others."""
    share: float = 1.0
    """Of the patches whose characters are predicted."""
    base: str = "original, fp32"
    """The side it builds on, or is to be compared with."""


_summed_rows = functools.partial(original_loss, one_hot=False)
_own_attention = functools.partial(original_loss, one_hot=False, eager=False)

ORIGINAL = Side.base
BOTH = {
    ORIGINAL: Side(original_loss, fused=False),
    "ours, fp32": Side(),
    "original, bf16": Side(original_loss, fused=False, bf16=True),
    "ours, bf16": Side(bf16=True, base="original, bf16"),
}
STEPS = {
    ORIGINAL: BOTH[ORIGINAL],
    "summed rows for one-hot": Side(_summed_rows, fused=False),
    "our attention": Side(_own_attention, fused=False, base="summed rows for one-hot"),
    "real characters only": Side(fused=False, base="our attention"),
    "fused AdamW": Side(base="real characters only"),
    "bf16": Side(bf16=True, base="fused AdamW"),
    "half of the patches predicted": Side(bf16=True, share=0.5, base="bf16"),
    "activation checkpointing": Side(
        bf16=True, prepare=NotaGen.checkpoint_activations, base="bf16"
    ),
    "compiled layers": Side(bf16=True, prepare=NotaGen.compile_layers, base="bf16"),
}


class Bench:
    """Models, optimizers and a batch; takes the steps of all sides.

    Args:
        config: The model's shape.
        patches: (B, P, S), all real.
        device: Where it runs.
    """

    def __init__(self, config: ModelConfig, patches: NDArray[np.uint8], device: str) -> None:
        torch.manual_seed(0)
        self.device = torch.device(device)
        self.patches = torch.from_numpy(patches).to(self.device)
        self.model = NotaGen(config).to(self.device)
        self._ready: dict[object, tuple[NotaGen, Optimizer]] = {}

    def step(self, side: Side) -> None:
        """Take one step."""
        model, optimizer = self._get(side)
        mask = self.mask(side)
        with self._autocast(side):
            loss = side.loss(model, self.patches, mask)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    def loss(self, side: Side) -> float:
        """Return the loss without dropout of the weights as they are."""
        model, _ = self._get(side)
        model.eval()
        with torch.no_grad(), self._autocast(side):
            loss = side.loss(model, self.patches, self.mask(side)).item()
        model.train()
        return loss

    def seconds(self, side: Side) -> float:
        """Return the seconds of one step: of this process, or on the clock for a CUDA device."""
        cuda = self.device.type == "cuda"
        clock = time.perf_counter if cuda else time.process_time
        start = clock()
        self.step(side)
        if cuda:
            torch.cuda.synchronize()
        return clock() - start

    def mask(self, side: Side) -> Tensor:
        """Return which patches a side predicts, (B, P), the same in every step."""
        draw_ = torch.rand(self.patches.shape[:2], generator=torch.Generator().manual_seed(0))
        return (draw_ < side.share).to(self.device)

    def _autocast(self, side: Side) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=side.bf16)

    def _get(self, side: Side) -> tuple[NotaGen, Optimizer]:
        key = (side.fused, side.prepare)
        if key not in self._ready:
            model = self.model
            if side.prepare is not None:
                model = copy.deepcopy(self.model)
                side.prepare(model)
            optimizer: Optimizer = AdamW(model.parameters(), lr=LEARNING_RATE)
            if side.fused:
                optimizer = make_optimizer(
                    model, peak_learning_rate=LEARNING_RATE, weight_decay=0.01
                )
            self._ready[key] = (model.train(), optimizer)
        return self._ready[key]


def race(bench: Bench, sides: dict[str, Side], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each side's rounds; a first round is not counted."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, side in sides.items():
            seconds = bench.seconds(side)
            if turn:
                times[name].append(seconds)
        print(f"round {turn} of {rounds}", file=sys.stderr, flush=True)
    return times


def read_pieces(corpus: Path | None, count: int) -> list[NDArray[np.uint8]]:
    """Return pieces as patches, each up to the context's length."""
    files = draw(corpus, count, 7) if corpus else []
    files = files or [piece.source for piece in corpus_pieces() if piece.is_native][:count]
    random.Random(7).shuffle(files)  # noqa: S311 -- an order, no secret
    tokenizer = PatchTokenizer(patch_length=PATCH_LENGTH)
    pieces = []
    for file in files:
        try:
            text = omit_rests(interleave(clean(musicxml_to_abc(file))))
            pieces.append(tokenizer.encode(text))
        except ScoreError as error:
            print(f"left out: {error}", file=sys.stderr)
    return pieces


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
    bench: Bench, sides: dict[str, Side], times: dict[str, list[float]], nominal: float | None
) -> dict[str, list[str]]:
    """Return what share of the card's bf16 peak each side reaches, measured and as named."""
    flops = {
        name: step_flops(bench.model.config, bench.patches, bench.mask(side))
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


def peak_memory(name: str, size: str, patches: NDArray[np.uint8], device: str) -> float:
    """Return the MiB that two steps of a side take beyond its model, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "patches.npy"
        np.save(file, patches)
        command = [sys.executable, "-m", "benchmarks.training", "--peak-of", name, "--size", size]
        command += ["--patches", str(file), "--device", device]
        result = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1]
        )
    if result.returncode:
        raise SystemExit(f"memory of {name}: {result.stderr[-1000:]}")
    return float(result.stdout.split()[-1])


def _print_peak(name: str, bench: Bench) -> None:
    def used() -> float:
        if bench.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / MIB
        # not getrusage: it counts what the process was before it became this program
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    before = used()
    for _ in range(2):
        bench.step((BOTH | STEPS)[name])
    print(used() - before)


def compare(
    bench: Bench, sides: dict[str, Side], times: dict[str, list[float]], notes: dict[str, list[str]]
) -> str:
    """Return the table of all sides: rates and ratios, and the notes by their headings."""
    num_patches = bench.patches.shape[0] * bench.patches.shape[1]
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
    parser.add_argument("--patches", type=Path, help="a batch as .npy (B, P, 16) for --peak-of")
    parser.add_argument("--peak-of", choices=BOTH | STEPS, help="print the MiB of one side alone")
    options = parser.parse_args(arguments)
    if options.quick:
        options.size, options.pieces, options.tunes, options.length = "tiny", 4, 2, 24
        options.rounds = 2
    torch.set_num_threads(options.threads)
    if options.peak_of:
        bench = Bench(SIZES[options.size], np.load(options.patches), options.device)
        _print_peak(options.peak_of, bench)
        return
    pieces = read_pieces(options.corpus, options.pieces)
    patches = join(pieces, options.tunes, options.length)
    bench = Bench(SIZES[options.size], patches, options.device)
    sides = STEPS if options.steps else BOTH
    if options.quick:
        sides = {name: side for name, side in sides.items() if name != "compiled layers"}
    # before the first step, while all weights are the same
    losses = [bench.loss(side) for side in sides.values()]
    apart = [
        f"{loss - losses[0]:+.1e}" if side.share == 1 else "-"
        for loss, side in zip(losses, sides.values(), strict=True)
    ]
    times = race(bench, sides, options.rounds)
    notes = {"loss at the start differs by": apart}
    if bench.device.type == "cuda":
        notes |= shares_of_peak(bench, sides, times, options.nominal_tflops)
    peaks = [peak_memory(name, options.size, patches, options.device) for name in sides]
    notes["MiB beyond the weights"] = [f"{peak:.0f}" for peak in peaks]
    text = (patches != 0).sum(-1).mean()
    print(
        f"{options.size}, {options.tunes} x {options.length} patches of {text:.2f} characters, "
        f"{options.device}, {options.threads} threads, {options.rounds} rounds\n"
    )
    print(compare(bench, sides, times, notes))
    print()
    print(table(["padded", "original", "ours"], padding(pieces, patches)))


if __name__ == "__main__":
    main()
