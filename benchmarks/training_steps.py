"""Ways to take a training step, from the original's to ours, run in processes of their own.

Whether a process keeps freed memory cannot be changed back, and must not touch the original.
"""

import copy
import functools
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import AdamW, Optimizer

from benchmarks.original import original_loss
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.training.launch import keep_freed_memory
from notagen.training.schedule import make_optimizer

LEARNING_RATE = 1e-4
MIB = 2**20

Loss = Callable[[NotaGen, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Side:
    """A way to take the training step."""

    loss: Loss = NotaGen.__call__
    bf16: bool = False
    fused: bool = True
    """Whether the optimizer is ours; else torch's AdamW as it comes."""
    keeps_memory: bool = True
    """Whether freed memory is kept for the next tensors, as in our training on a CPU."""
    prepare: Callable[[NotaGen], None] | None = None
    """What is done to a model of its own; None if it shares the model of the others."""
    share: float = 1.0
    """Of the patches whose characters are predicted."""
    base: str = "original, fp32"
    """The side it builds on, or is to be compared with."""

    def mask(self, patches: Tensor) -> Tensor:
        """Return which of the patches (B, P, S) are predicted, (B, P), the same in every step."""
        drawn = torch.rand(patches.shape[:2], generator=torch.Generator().manual_seed(0))
        return (drawn < self.share).to(patches.device)


_theirs = functools.partial(Side, fused=False, keeps_memory=False)
_summed_rows = functools.partial(original_loss, one_hot=False)
_own_attention = functools.partial(original_loss, one_hot=False, eager=False)

ORIGINAL = Side.base
BOTH = {
    ORIGINAL: _theirs(original_loss),
    "ours, fp32": Side(),
    "original, bf16": _theirs(original_loss, bf16=True),
    "ours, bf16": Side(bf16=True, base="original, bf16"),
}
STEPS = {
    ORIGINAL: BOTH[ORIGINAL],
    "summed rows for one-hot": _theirs(_summed_rows),
    "our attention": _theirs(_own_attention, base="summed rows for one-hot"),
    "real characters only": _theirs(base="our attention"),
    "fused AdamW": Side(keeps_memory=False, base="real characters only"),
    "freed memory kept": Side(base="fused AdamW"),
    "bf16": Side(bf16=True, base="freed memory kept"),
    "half of the patches predicted": Side(bf16=True, share=0.5, base="bf16"),
    "activation checkpointing": Side(
        bf16=True, prepare=NotaGen.checkpoint_activations, base="bf16"
    ),
    "compiled layers": Side(bf16=True, prepare=NotaGen.compile_layers, base="bf16"),
}


@dataclass(frozen=True)
class Setting:
    """What all sides have in common."""

    config: ModelConfig
    patches: NDArray[np.uint8]
    """(B, P, S), all real."""
    device: str = "cpu"
    threads: int = 1


class Bench:
    """Models, optimizers and a batch; takes the steps of all sides."""

    def __init__(self, setting: Setting) -> None:
        torch.set_num_threads(setting.threads)
        torch.manual_seed(0)
        self.device = torch.device(setting.device)
        self.patches = torch.from_numpy(setting.patches).to(self.device)
        self.model = NotaGen(setting.config).to(self.device)
        self._ready: dict[object, tuple[NotaGen, Optimizer]] = {}

    def step(self, side: Side) -> None:
        """Take one step."""
        model, optimizer = self._get(side)
        mask = side.mask(self.patches)
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
            loss = side.loss(model, self.patches, side.mask(self.patches)).item()
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

    def peak(self, side: Side) -> float:
        """Return the MiB that two steps take beyond the model and all that was before."""
        before = memory_used(self.device)
        for _ in range(2):
            self.step(side)
        return memory_used(self.device) - before

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


def memory_used(device: torch.device) -> float:
    """Return the MiB that this process has held at most, on the device or as a whole."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / MIB
    # not getrusage: it counts what the process was before it became this program
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


class Benches:
    """Processes with a bench each: one that keeps freed memory, and one that does not."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._running: dict[bool, ProcessPoolExecutor] = {}

    def __enter__(self) -> "Benches":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            process.shutdown()

    def ask(self, figure: Callable[[Bench, Side], float], side: Side) -> float:
        """Return a figure of a side, a method of `Bench`, from the process it belongs to."""
        # on a CUDA device torch keeps the memory itself, and one process has room for all
        keeps = side.keeps_memory and self._setting.device == "cpu"
        if keeps not in self._running:
            self._running[keeps] = ProcessPoolExecutor(
                1,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=(self._setting, keeps),
            )
        return self._running[keeps].submit(_answer, figure, side).result()


_bench: Bench
"""Of this process, if it is one of those."""


def _begin(setting: Setting, keeps_memory: bool) -> None:
    global _bench
    if keeps_memory:
        keep_freed_memory()
    _bench = Bench(setting)


def _answer(figure: Callable[[Bench, Side], float], side: Side) -> float:
    return figure(_bench, side)
