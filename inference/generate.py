"""Write new pieces with a trained model, each in every form.

On one processor or GPU:  python generate.py
On several:               accelerate launch --multi_gpu generate.py
The best of eight each:   python generate.py --candidates 8
What it can be asked for: python generate.py --list-prompts
A piece of the page again: python generate.py --repeat generation.json
Every setting is a flag:  python generate.py --help

A run that was stopped goes on when the same command is given again.
"""

import dataclasses
import json
import os
import shlex
import signal
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from tqdm import tqdm

from notagen.candidates import Score, gather, keep_best, load_score
from notagen.exports import GenerationFolder, best_piece
from notagen.features.scoring import PROMPTS, read_reference
from notagen.features.weights import encoder_file
from notagen.foundation.config import run_stage
from notagen.foundation.errors import InputError
from notagen.foundation.index import GENERATIONS
from notagen.generation.engine import Generated, Generator
from notagen.generation.prompt_table import (
    find_prompt,
    nearest_prompts,
    need_prompt_table,
    read_prompt_table,
)
from notagen.generation.prompts import Prompt
from notagen.generation.recipe import Recipe, read_recipe
from notagen.model.packed import parameter_type
from notagen.model.weights import load_model, weights_sha256
from notagen.stages import GenerateConfig, find_device

SURPRISE = 2.5
"""Nats a character of a prompt from which on a model has hardly learned it."""


def main(config: GenerateConfig) -> None:
    """Write this process's share of the pieces, each in every form, and one line about each."""
    needed = config.list_prompts or config.draw_prompts
    known = (need_prompt_table if needed else read_prompt_table)(config.weights)
    if config.list_prompts:
        for prompt, count in sorted(known.items(), key=lambda row: (-row[1], str(row[0]))):
            print(f"{count:5}  {prompt}")
        return
    # A process whose share is done may wait for days until the last one is
    on_cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()
    processes = PartialState(cpu=on_cpu, timeout=timedelta(days=100))
    torch.set_num_threads(config.threads)
    device = find_device(config.device, processes.device)
    if config.repeat:
        recipe = read_recipe(config.repeat)
        config, requests = repeated(config, recipe), [recipe.request]
    else:
        recipe, requests = None, config.requests(processes.num_processes, known)
    precision = config.precision_on(device)

    # What each piece is to be, and which of them are there since an earlier run
    run: dict[str, Any] = {
        "seed": config.seed,
        "weights_sha256": weights_sha256(config.weights),
        "sampling": dataclasses.asdict(config.sampling),
        "precision": precision,
    }
    reference = None
    if config.candidates > 1 and config.score_weights:
        encoder_file(config.score_weights)  # if they are missing, so is what they make
        reference = read_reference(config.reference_folder)
        if processes.is_main_process and not any(reference.labels):
            print(
                f"warning: {config.reference_folder}: found no prompts of its pieces, wanted a "
                f"{PROMPTS} beside them; candidates are compared with all real pieces alike",
                file=sys.stderr,
            )
        run["best_of"] = {
            "candidates": config.candidates,
            "extractor": reference.features.extractor,
            "extractor_sha256": reference.features.weights_sha256,
            "reference_sha256": reference.sha256,
        }
    folder = GenerationFolder(config.out, requests, run)
    if processes.is_main_process:
        folder.drop_torn_line()
    processes.wait_for_everyone()
    there = {
        record["index"]: record for record in folder.records() if record["reason"] != "stopped"
    }
    processes.wait_for_everyone()
    if config.json and processes.is_main_process:
        print(*map(json.dumps, there.values()), sep="\n", end="\n" if there else "", flush=True)
    elif there and processes.is_main_process:
        print(f"{len(there)} pieces of this run are there already")

    # Pieces are dealt out in turn; each is the same whichever process writes it
    share = set(range(processes.process_index, len(requests), processes.num_processes))
    share -= there.keys()
    told = []
    if share:
        batch_size = min(config.batch_size, len(share) * config.candidates)
        generator = Generator(
            load_model(config.weights, device, parameter_type(precision)),
            config.sampling,
            batch_size=batch_size,
            precision=precision,
        )
        if processes.is_main_process:
            prompts = {requests[index].prompt for index in share}
            warn_of_unlearned(prompts, generator, known)
        score = None
        if reference and config.score_weights:
            score = load_score(config.score_weights, reference, device)
        told = stop_when_told(generator)
        alone = batch_size == processes.num_processes == config.candidates == 1
        # the candidates of a piece stand side by side
        candidates = [request for request in requests for _ in range(config.candidates)]
        pieces = generator.generate(
            candidates,
            seed=config.seed,
            skip={i for i in range(len(candidates)) if i // config.candidates not in share},
            on_text=show if alone and config.show and not config.json else None,
        )
        if recipe:
            pieces = map(recipe.cut, pieces)
        wished = gather(pieces, config.candidates)
        bar = tqdm(total=len(share), disable=alone or not processes.is_main_process)
        for record in recorded(wished, folder, score, config.candidates, at_once=2 * batch_size):
            bar.update()
            with tqdm.external_write_mode():
                print(json.dumps(record) if config.json else describe(record), flush=True)
        bar.close()

    processes.wait_for_everyone()
    if processes.is_main_process and not config.json:
        summarise(folder)
    if told:
        raise KeyboardInterrupt


def repeated(config: GenerateConfig, recipe: Recipe) -> GenerateConfig:
    """Return the settings with those of a piece that was written before.

    Raises:
        InputError: If the weights are others than those that wrote it.
    """
    if weights_sha256(config.weights) != recipe.weights_sha256:
        raise InputError(
            f"{config.repeat}: found a piece of other weights than {config.weights}; wanted "
            f"--weights {recipe.weights}"
        )
    return dataclasses.replace(
        config,
        seed=recipe.seed,
        sampling=recipe.sampling,
        precision=recipe.precision,
        candidates=1,
    )


def recorded(
    wished: Iterable[list[Generated]],
    folder: GenerationFolder,
    score: Score | None,
    num_candidates: int,
    *,
    at_once: int,
) -> Iterator[dict[str, Any]]:
    """Yield the record of each wished piece, made while the next pieces are written.

    Args:
        wished: The candidates of each piece, as the last of them ends.
        folder: Receives the best candidate in every form.
        score: Says which is the best; None where there is one candidate.
        num_candidates: Of each piece.
        at_once: So many pieces may wait; then writing waits.
    """

    def add(candidates: list[Generated]) -> dict[str, Any]:
        if score is None:
            return folder.add(candidates[0])
        piece, facts = keep_best(candidates, num_candidates, score)
        return folder.add(piece, **facts)

    maker = ThreadPoolExecutor(max_workers=1)
    waiting: deque[Future[dict[str, Any]]] = deque()
    try:
        for candidates in wished:
            waiting.append(maker.submit(add, candidates))
            while waiting and (waiting[0].done() or len(waiting) * num_candidates > at_once):
                yield waiting.popleft().result()
        for record in waiting:
            yield record.result()
    except KeyboardInterrupt:
        maker.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        maker.shutdown()


def warn_of_unlearned(
    prompts: set[Prompt | str | None], generator: Generator, known: Mapping[Prompt, int]
) -> None:
    """Warn of each prompt that is not in the weights' table, or without one surprises them."""
    for prompt in prompts:
        if not isinstance(prompt, Prompt) or find_prompt(prompt, known):
            continue
        if known:
            nearest = "; ".join(map(str, nearest_prompts(prompt, known)))
            warning = (
                f"the weights have not learned the prompt {prompt}; most like it are {nearest}; "
                f"--list-prompts shows all {len(known)}"
            )
        elif (nats := generator.prompt_surprise(prompt)) > SURPRISE:
            warning = (
                f"the weights have most likely not learned the prompt {prompt} ({nats:.1f} nats a "
                "character); for a model that was only pretrained, leave period, composer and "
                'instrumentation empty: --period "" --composer "" --instrumentation ""'
            )
        else:
            continue
        print(f"warning: {warning}", file=sys.stderr)


def stop_when_told(generator: Generator) -> list[float]:
    """Let the first Ctrl-C end the running pieces with what they have, and a later one all.

    Returns the moments at which it was told to, filled as they come.
    """
    told: list[float] = []

    def on_signal(*_: object) -> None:
        told.append(time.monotonic())
        # a launcher passes on, at once, the Ctrl-C that has reached its processes already
        if told[-1] - told[0] > 1:
            raise KeyboardInterrupt
        if len(told) == 1:
            os.write(2, b"\nstopping: the pieces begun are kept; Ctrl-C again quits at once\n")
            generator.stop()

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    return told


def show(_: int, text: str) -> None:
    """Print music as it is written."""
    print(text, end="", flush=True)


def describe(record: dict[str, Any]) -> str:
    """Return one line about a piece."""
    state = record["error"] or f"{record['n_bars']} bars, {len(record['problems'])} unaligned"
    if record["mended"]:
        state += f", {len(record['mended'])} mended"
    if not record["finished"] or record["reason"] == "stopped":
        state += f"; cut off by {record['reason']}"
    if "candidates" in record:
        scores = ", ".join("none" if s is None else f"{s:.3f}" for s in record["candidates"])
        state += f"; the best of {len(record['candidates'])} candidates, scores {scores}"
    return f"{record['name']}: {record['patches']} patches, {record['seconds']:.0f} s; {state}"


def summarise(folder: GenerationFolder) -> None:
    """Say how the run's pieces are, and where the soundest is."""
    records = folder.records()
    counts = {what: sum(r[what] for r in records) for what in ("parses", "aligned", "converts")}
    print(
        f"{len(records)} pieces: {counts['parses']} parse as written, {counts['aligned']} have "
        f"aligned bars, {counts['converts']} convert; {folder.folder / GENERATIONS} says more"
    )
    if scores := [record["score"] for record in records if "score" in record]:
        print(f"mean score {sum(scores) / len(scores):.3f}, best {max(scores):.3f}")
    if best := best_piece(records):
        print(f"the soundest of this run, {best['n_bars']} bars:")
        for path in best["files"]:
            print(f"  {folder.folder / path}")
        page = next(path for path in best["files"] if path.endswith(".svg"))
        print(f"to see it:  python -m webbrowser {shlex.quote(str(folder.folder / page))}")


if __name__ == "__main__":
    run_stage(main, Path(__file__).with_name("config.py"))
