"""Patches a second beside the original's way, both in one run, and how near the machine's limit.

    python -m benchmarks.generation [--dims small | large] [--quick] [--device cuda]
    python -m benchmarks.generation --parity --weights FOLDER [--texts FOLDER]
    python -m benchmarks.generation --pieces 200 --weights FOLDER

The sides take turns; a rate is that of a side's best round, a ratio the median over the rounds of
what both sides took in the same round. On a processor one thread works and its own time is
counted, not the clock's: other work on the machine disturbs it least. On a CUDA device the clock
counts. Weights are random and of the right shape, patches as long as those of real scores.
"""

import argparse
import dataclasses
import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.generation_sides import (
    BYTES,
    MIB,
    Original,
    Ours,
    Reader,
    Side,
    make_model,
    peak_memory,
    real_patches,
    weight_bytes,
    written_lengths,
)
from benchmarks.report import table
from benchmarks.training import read_pieces
from benchmarks.written import parity, read_texts, soundness
from notagen.generation.prompts import Prompt
from notagen.model.config import ModelConfig
from notagen.model.weights import load_model

ROOM = 32
"""Patches beyond the longest context that there is room for."""
CONTEXTS = {"tiny": (8, 16), "small": (32, 128, 512, 1024), "large": (64, 512)}
SIZES = {
    "tiny": ModelConfig(patch_length=16 + ROOM, patch_layers=2, char_layers=1, hidden_size=64),
    "small": dataclasses.replace(ModelConfig.small(), patch_length=1024 + ROOM),
    "large": dataclasses.replace(ModelConfig.large(), patch_length=512 + ROOM),
}
WANTED: dict[str, dict[Side, tuple[float, ...]]] = {
    "tiny": {Side(precision, batch): () for precision in ("fp32", "int8") for batch in (1, 8)},
    "small": {
        Side("fp32", 1): (3.5, 7, 16, 40),
        Side("bf16", 1): (9, 17, 38, 64),
        Side("bf16", 8): (43, 74, 170, 370),
        Side("bf16", 32): (82, 140, 280, 560),
        Side("int8", 1): (16, 32, 70, 150),
        Side("int8", 8): (65, 120, 240, 480),
        Side("int8", 32): (107, 170, 340, 620),
    },
    "large": {
        Side("fp32", 1): (3.7, 17),
        Side("bf16", 1): (10, 43),
        Side("int8", 1): (18, 80),
        Side("int8", 8): (86, 300),
    },
}
"""Ratios to the original that are wanted on a processor, one for each context."""
WANTED_OF_FLOOR = 0.6
WANTED_OF_FIRST = 0.65
"""Of the rate at the shortest context, at the longest."""
WANTED_STOP = 1.1
CUDA_SIDES = [Side(p, batch) for p in ("fp32", "bf16", "fp16", "int8") for batch in (1, 32, 128)]
TEXTS = 40
"""Scores whose patches give the lengths."""

Times = dict[int, list[float]]
"""The seconds of a patch by context, one for each round."""


@dataclasses.dataclass(frozen=True)
class Result:
    """What a side, the original, and reading took in the same rounds."""

    times: Times
    original: Times
    memory: Times
    """The seconds of reading a byte of a buffer that is larger than caches."""
    again: Times
    """The seconds of reading a byte of a buffer as large as the weights, again and again."""

    def rate(self, context: int) -> float:
        """Return the patches a second of the best round."""
        return 1 / min(self.times[context])

    def ratio(self, context: int) -> float:
        """Return how many times as fast as the original the side is, the median of the rounds."""
        return median_ratio(self.original[context], self.times[context])


def median_ratio(there: Sequence[float], here: Sequence[float]) -> float:
    """Return the median over the rounds of one side's seconds to the other's."""
    return median(one / other for one, other in zip(there, here, strict=True))


def race(
    sides: Sequence[Callable[[int], float]], contexts: Sequence[int], rounds: int
) -> list[Times]:
    """Return the times of each side, which take turns; a first round is not counted.

    Args:
        sides: Each returns its seconds at a context.
        contexts: In patches.
        rounds: At least 1.
    """
    times: list[Times] = [{context: [] for context in contexts} for _ in sides]
    for turn in range(rounds + 1):
        for context in contexts:
            for seconds, found in zip(sides, times, strict=True):
                took = seconds(context)
                if turn:
                    found[context].append(took)
        print(f"round {turn} of {rounds}", file=sys.stderr, flush=True)
    return times


def measure(
    config: ModelConfig,
    sides: Sequence[Side],
    contexts: Sequence[int],
    patches: NDArray[np.uint8],
    options: argparse.Namespace,
) -> dict[Side, Result]:
    """Return the times of all sides; those of one precision race together with the original."""
    device = options.device
    results: dict[Side, Result] = {}
    model = make_model(config, device)
    for precision in dict.fromkeys(side.precision for side in sides):
        together = [side for side in sides if side.precision == precision]
        held, _ = weight_bytes(config, together[0], 1)
        entrants: list[Callable[[int], float]] = [Original(model).seconds]
        entrants += [_reading(options.memory * MIB, device), _reading(held, device)]
        entrants += [Ours(model, side, patches).seconds for side in together]
        original, memory, again, *times = race(entrants, contexts, options.rounds)
        results |= {
            side: Result(own, original, memory, again)
            for side, own in zip(together, times, strict=True)
        }
        del entrants
        gc.collect()  # before the next precision takes its memory
    return results


def _reading(num_bytes: float, device: str) -> Callable[[int], float]:
    reader = Reader(num_bytes, device)
    return lambda context: reader.seconds_per_byte()


def rates(
    results: dict[Side, Result], contexts: Sequence[int], peaks: dict[Side | None, float]
) -> str:
    """Return the patches a second of all sides, and the share left at the longest context."""
    best = {
        context: 1 / min(min(result.original[context]) for result in results.values())
        for context in contexts
    }
    rows = [["original", *(f"{best[context]:.2f}" for context in contexts), _share(best)]]
    for side, result in results.items():
        found = {context: result.rate(context) for context in contexts}
        rows.append([str(side), *(f"{rate:.1f}" for rate in found.values()), _share(found)])
        if side.batch == 1:
            rows[-1][-1] = _judged(found[contexts[-1]] / found[contexts[0]], WANTED_OF_FIRST)
    head = ["patches/s", *map(str, contexts), f"at {contexts[-1]} / at {contexts[0]}"]
    if peaks:
        head.append("peak MiB")
        for row, measured in zip(rows, [None, *results], strict=True):
            row.append(f"{peaks[measured]:.0f}")
    return table(head, rows)


def ratios(
    results: dict[Side, Result], contexts: Sequence[int], wanted: dict[Side, dict[int, float]]
) -> str:
    """Return how many times as fast as the original all sides are, beside what is wanted."""
    rows = [
        [
            str(side),
            *(
                _judged(result.ratio(context), wanted.get(side, {}).get(context))
                for context in contexts
            ),
        ]
        for side, result in results.items()
    ]
    return table(["times the original", *map(str, contexts)], rows)


def floors(
    config: ModelConfig,
    results: dict[Side, Result],
    context: int,
    characters: float,
    memory: int,
) -> str:
    """Return what reading the weights alone would take beside what sides of batch 1 take.

    Args:
        config: The model's shape.
        results: Those of `measure`.
        context: In patches; the shortest, as keys and values are not counted.
        characters: Of a patch, on average.
        memory: MiB of the larger buffer.
    """
    rows = []
    for side, result in results.items():
        if side.batch == 1:
            held, read = weight_bytes(config, side, characters)
            rows.append([str(side), f"{held / 1e6:.0f}", f"{read / 1e6:.0f}"])
            for reading in (result.memory[context], result.again[context]):
                floor = [read * seconds for seconds in reading]
                share = median_ratio(floor, result.times[context])
                rows[-1] += [
                    f"{1e-9 / min(reading):.1f}",
                    f"{1 / min(floor):.1f}",
                    _judged(share, WANTED_OF_FLOOR),
                ]
    head = [f"at context {context}", "MB of weights", "MB read a patch"]
    head += [f"GB/s of {memory} MiB", "so patches/s at most", "our share of it"]
    head += ["GB/s of so many bytes as the weights, again and again", *head[-2:]]
    return table(head, rows)


def stopping(results: dict[Side, Result], contexts: Sequence[int]) -> str:
    """Return what is gained by ending a patch at its end symbol."""
    rows = []
    for side, full in results.items():
        if side.full:
            stopped = results[dataclasses.replace(side, full=False)]
            gains = (
                median_ratio(full.times[context], stopped.times[context]) for context in contexts
            )
            rows.append([str(side), *(_judged(gain, WANTED_STOP) for gain in gains)])
    return table(["times as fast as", *map(str, contexts)], rows)


def _share(found: dict[int, float]) -> str:
    first, last = min(found), max(found)
    return f"{found[last] / found[first]:.2f}"


def _judged(found: float, wanted: float | None) -> str:
    if wanted is None:
        return f"{found:.3g}"
    return f"{found:.3g} (wanted {wanted:g}: {'met' if found >= wanted else 'short'})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is asked for and print it."""
    parser = argparse.ArgumentParser(description="Generation beside the original's way.")
    parser.add_argument("--dims", choices=SIZES, default="small")
    parser.add_argument("--precisions", nargs="+", choices=BYTES, default=list(BYTES))
    parser.add_argument("--batches", nargs="+", type=int, help="only these (default all)")
    parser.add_argument("--contexts", nargs="+", type=int, help="other lengths, in patches")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--quick", action="store_true", help="seconds: tiny model, one round")
    parser.add_argument("--memory", type=int, default=2048, help="MiB that no cache holds")
    parser.add_argument("--parity", action="store_true", help="lower precisions beside fp32")
    parser.add_argument("--pieces", type=int, help="write so many pieces and check them")
    parser.add_argument("--weights", help="of a trained model, for --parity and --pieces")
    parser.add_argument("--texts", type=Path, help="folder of .abc for --parity")
    parser.add_argument("--count", type=int, default=20, help="texts for --parity (default 20)")
    parser.add_argument("--batch", type=int, default=8, help="for --pieces (default 8)")
    parser.add_argument(
        "--prompt",
        nargs=3,
        metavar=("PERIOD", "COMPOSER", "INSTRUMENTATION"),
        help="one that the weights have learned, for --pieces",
    )
    parser.add_argument("--max-patches", type=int, default=1000, help="of a piece, for --pieces")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    if options.quick:
        options.dims, options.rounds, options.memory = "tiny", 1, 64
    if options.parity or options.pieces:
        if not options.weights or (options.parity and not options.texts):
            parser.error("--pieces needs --weights of a trained model, --parity also --texts")
        _print_quality(options)
    else:
        _print_speed(options)


def _print_speed(options: argparse.Namespace) -> None:
    config = SIZES[options.dims]
    contexts = sorted(options.contexts or CONTEXTS[options.dims])
    if contexts[-1] + ROOM > config.patch_length:
        raise SystemExit(f"--contexts must be at most {config.patch_length - ROOM}")
    cuda = options.device != "cpu"
    wanted = {
        side: dict(zip(CONTEXTS[options.dims], wishes, strict=False))
        for side, wishes in WANTED[options.dims].items()
    }
    sides = [
        side
        for side in (CUDA_SIDES if cuda else wanted)
        if side.precision in options.precisions and side.batch in (options.batches or [side.batch])
    ]
    sides += [dataclasses.replace(side, full=True) for side in sides if side.batch == 1]
    patches = real_patches(read_pieces(None, 4 if options.quick else TEXTS))
    lengths = written_lengths(patches)
    print(
        f"{options.dims}: {config.patch_layers} + {config.char_layers} layers, width "
        f"{config.hidden_size}; patches of {lengths.mean():.2f} characters, "
        f"{(lengths == config.patch_size).mean():.0%} of them full; {options.device}, "
        f"{options.threads} thread(s), {options.rounds} rounds\n"
    )
    results = measure(config, sides, contexts, patches, options)
    peaks: dict[Side | None, float] = {}
    if cuda:
        peaks = {
            side: peak_memory(config, side, contexts[-1], options.device)
            for side in (None, *results)
        }
    print(rates(results, contexts, peaks) + "\n")
    print(ratios(results, contexts, {} if cuda else wanted) + "\n")
    print(floors(config, results, contexts[0], lengths.mean(), options.memory) + "\n")
    print(stopping(results, contexts))


def _print_quality(options: argparse.Namespace) -> None:
    model = load_model(options.weights, options.device)
    if options.parity:
        texts = read_texts(options.texts, options.count)
        print(parity(model, texts, options.precisions, options.batch))
    if options.pieces:
        precision = options.precisions[0]
        prompt = Prompt(*options.prompt) if options.prompt else None
        print(
            soundness(model, options.pieces, precision, options.batch, options.max_patches, prompt)
        )


if __name__ == "__main__":
    main()
