"""Speed and memory of a step of DPO-Positive beside the original's way, both in one run.

    python -m benchmarks.preference [--corpus FOLDER] [--size small] [--device cuda]

A step is the loss of a few pairs of pieces, its gradient, clipping and AdamW. The original's way:
policy and reference, two models, read each piece of a pair by itself in fp32, one pair after
another, with the original's computation. Ours: the reference's log-probabilities are known before;
in a row of its own they are computed in each step, as in a run of one epoch.
Each side has a process of its own; the sides take turns. On a processor one thread works and the
process's own time is counted, on a CUDA device the clock. Memory is the peak of a process beyond
what it held before its models.
"""

import argparse
import copy
import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from benchmarks.original import original_log_prob
from benchmarks.report import table
from benchmarks.training import PATCH_LENGTH, SIZES, read_pieces
from benchmarks.training_steps import memory_used
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.preference.loss import Pair, dpo_positive_loss
from notagen.training.batching import deal, pad
from notagen.training.launch import keep_freed_memory
from notagen.training.preference import LearnerConfig, PreferenceLearner
from notagen.training.schedule import make_optimizer

BETA, PENALTY, LEARNING_RATE = 0.1, 10.0, 1e-6

Patches = NDArray[np.uint8]


@dataclass(frozen=True)
class Side:
    """A way to take the step."""

    original: bool = False
    bf16: bool = False
    checkpoint: bool = False
    """Whether activations are computed again in the backward pass."""
    once: bool = False
    """Whether the reference's figures serve one step alone, which then computes them too."""


ORIGINAL = "policy and reference, pair by pair, fp32"
SIDES = {
    ORIGINAL: Side(original=True),
    "ours, fp32": Side(),
    "ours, fp32, with the reference's figures": Side(once=True),
    "ours, fp32, checkpointing": Side(checkpoint=True),
    "ours, bf16": Side(bf16=True),
    "ours, bf16, checkpointing": Side(bf16=True, checkpoint=True),
}


@dataclass(frozen=True)
class Setting:
    """What all sides have in common."""

    config: ModelConfig
    pairs: tuple[tuple[Patches, Patches], ...]
    """Chosen and rejected pieces, (P, S) each."""
    patches_per_batch: int
    """Padded patches that ours computes at once, at least a pair's."""
    device: str = "cpu"
    threads: int = 1


class Bench:
    """Models, optimizer and pairs; takes the steps of one side."""

    def __init__(self, setting: Setting, side: Side) -> None:
        torch.set_num_threads(setting.threads)
        torch.manual_seed(0)
        self.setting, self.side = setting, side
        self.device = torch.device(setting.device)
        # what torch takes for its first product and gradient belongs to no side
        warm = nn.Linear(8, 8, device=self.device)
        warm(torch.ones(1, 8, device=self.device)).sum().backward()
        self.before = memory_used(self.device)
        self.policy = NotaGen(setting.config).to(self.device).eval()
        self.optimizer: Optimizer
        if side.original:
            self.reference = copy.deepcopy(self.policy).requires_grad_(False)
            self.optimizer = AdamW(self.policy.parameters(), lr=LEARNING_RATE)
        else:
            learner = LearnerConfig(setting.config, BETA, PENALTY)
            self.learner = PreferenceLearner(learner, self.policy)
            self.log_probs = self._log_probs()
            self.optimizer = make_optimizer(
                self.policy, peak_learning_rate=LEARNING_RATE, weight_decay=0.0
            )
            if side.checkpoint:
                self.policy.checkpoint_activations()

    def step(self) -> float:
        """Take one step; return its loss."""
        loss = self._original() if self.side.original else self._ours()
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss

    def seconds(self) -> float:
        """Return the seconds of one step."""
        cuda = self.device.type == "cuda"
        clock = time.perf_counter if cuda else time.process_time
        start = clock()
        self.step()
        if cuda:
            torch.cuda.synchronize()
        return clock() - start

    def peak(self) -> float:
        """Return the MiB that models, optimizer and the steps so far took at most."""
        return memory_used(self.device) - self.before

    def _original(self) -> float:
        total = 0.0
        for pair in self.setting.pairs:
            tunes = [torch.from_numpy(piece)[None].to(self.device) for piece in pair]
            policy = Pair(*(original_log_prob(self.policy, tune)[None] for tune in tunes))
            with torch.no_grad():
                reference = Pair(*(original_log_prob(self.reference, tune)[None] for tune in tunes))
            loss = dpo_positive_loss(policy, reference, beta=BETA, penalty=PENALTY).sum()
            loss = loss / len(self.setting.pairs)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        return total

    def _ours(self) -> float:
        if self.side.once:
            self.log_probs = self._log_probs()
        pairs, total = self.setting.pairs, 0.0
        lengths = [2 * max(map(len, pair)) for pair in pairs]
        room = self.setting.patches_per_batch
        places = sorted(range(len(pairs)), key=lambda place: (lengths[place], place))
        for batch in deal(places, lengths, patches_per_batch=room, num_processes=1)[0]:
            tunes = [pairs[place][side] for side in (0, 1) for place in batch]
            known = [self.log_probs[place][side] for side in (0, 1) for place in batch]
            patches, mask = self._tensors(tunes)
            reference = torch.tensor(known, dtype=torch.float64, device=self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.side.bf16):
                loss = self.learner(patches, mask, torch.zeros_like(mask), reference) / len(pairs)
            loss.backward()
            total += loss.item()
        return total

    def _log_probs(self) -> list[list[float]]:
        """Return the log-probabilities of each pair's pieces under the policy as it is."""
        found = []
        for pair in self.setting.pairs:
            with (
                torch.no_grad(),
                torch.autocast(self.device.type, torch.bfloat16, enabled=self.side.bf16),
            ):
                sums = self.policy.log_probs(*self._tensors(pair), dtype=torch.float64)
            found.append(sums.tolist())
        return found

    def _tensors(self, tunes: Sequence[Patches]) -> tuple[Tensor, Tensor]:
        mask = pad([np.ones(len(tune), dtype=np.bool_) for tune in tunes])
        return pad(list(tunes)).to(self.device), mask.to(self.device)


def measure(
    setting: Setting, sides: dict[str, Side], rounds: int
) -> dict[str, tuple[list[float], float, float]]:
    """Return the seconds of each side's rounds, its peak in MiB and the loss at the start."""
    with ExitStack() as stack:
        running = {}
        for name, side in sides.items():
            running[name] = stack.enter_context(
                ProcessPoolExecutor(
                    1,
                    mp_context=multiprocessing.get_context("spawn"),
                    initializer=_begin,
                    initargs=(setting, side),
                )
            )
        losses = {name: process.submit(_step).result() for name, process in running.items()}
        times: dict[str, list[float]] = {name: [] for name in sides}
        for turn in range(rounds):
            for name, process in running.items():
                times[name].append(process.submit(_seconds).result())
            print(f"round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
        peaks = {name: process.submit(_peak).result() for name, process in running.items()}
    return {name: (times[name], peaks[name], losses[name]) for name in sides}


_bench: Bench
"""Of this process, if it is one of a side."""


def _begin(setting: Setting, side: Side) -> None:
    global _bench
    if setting.device == "cpu" and not side.original:
        keep_freed_memory()
    _bench = Bench(setting, side)


def _step() -> float:
    return _bench.step()


def _seconds() -> float:
    return _bench.seconds()


def _peak() -> float:
    return _bench.peak()


def draw_pairs(
    pieces: Sequence[Patches], count: int, length: int
) -> tuple[tuple[Patches, Patches], ...]:
    """Return pairs of pieces, each up to a length, the same ones again if there are too few."""
    cut = [pieces[place % len(pieces)][:length] for place in range(2 * count)]
    return tuple(zip(cut[::2], cut[1::2], strict=True))


def compare(found: dict[str, tuple[list[float], float, float]]) -> str:
    """Return the table of all sides beside the original's way."""
    base, base_peak, _ = found[ORIGINAL]
    rows = [
        [
            name,
            f"{1 / min(times):.3f}",
            f"{median(b / t for b, t in zip(base, times, strict=True)):.2f}",
            f"{peak:.0f}",
            f"{peak / base_peak:.2f}",
            f"{loss:.6f}",
        ]
        for name, (times, peak, loss) in found.items()
    ]
    heads = ["", "steps/s", "of the original's", "peak MiB", "of the original's", "first loss"]
    return table(heads, rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all sides and print them."""
    parser = argparse.ArgumentParser(description="A step of DPO-Positive, the original's and ours.")
    parser.add_argument("--corpus", type=Path, help="folder of MusicXML (default music21's)")
    parser.add_argument("--pieces", type=int, default=16, help="scores to read (default 16)")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--pairs", type=int, default=4, help="of a step (default 4)")
    parser.add_argument("--length", type=int, default=256, help="most patches of a piece")
    parser.add_argument(
        "--patches-per-batch", type=int, default=512, help="that ours takes at once"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--quick", action="store_true", help="seconds: tiny model, two rounds")
    options = parser.parse_args(arguments)
    if options.quick:
        options.size, options.pieces, options.pairs, options.length = "tiny", 4, 2, 24
        options.rounds = 2
    length = min(options.length, PATCH_LENGTH)
    setting = Setting(
        SIZES[options.size],
        draw_pairs(read_pieces(options.corpus, options.pieces), options.pairs, length),
        options.patches_per_batch,
        options.device,
        options.threads,
    )
    sides = SIDES
    if options.quick:
        sides = {
            name: side for name, side in SIDES.items() if side in (Side(original=True), Side())
        }
    found = measure(setting, sides, options.rounds)
    lengths = [len(piece) for pair in setting.pairs for piece in pair]
    print(
        f"{options.size}, {len(setting.pairs)} pairs of pieces of {min(lengths)} to {max(lengths)} "
        f"patches, {options.patches_per_batch} at once, {options.device}, {options.threads} "
        f"threads, {options.rounds} rounds\n"
    )
    print(compare(found))


if __name__ == "__main__":
    main()
