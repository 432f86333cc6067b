"""Write new pieces with a trained model; `--help` lists the settings."""

import dataclasses
import shlex
from pathlib import Path

import torch

from notagen.exports import GenerationFolder, best_piece
from notagen.foundation.config import run_stage
from notagen.generation.engine import Generator
from notagen.generation.prompts import Prompt, prompt_text
from notagen.model.weights import load_model, weights_sha256
from notagen.stages import GenerateConfig


def main(config: GenerateConfig) -> None:
    """Write `samples` pieces, each in every form, and one line about each."""
    torch.set_num_threads(config.threads)
    model = load_model(config.weights, device=config.torch_device())
    prompt = None
    if config.period:
        prompt = Prompt(config.period, config.composer, config.instrumentation)

    # What tells this run's pieces from others in the same folder
    run = {
        "prompt": prompt_text(prompt),
        "seed": config.seed,
        "weights_sha256": weights_sha256(config.weights),
        "sampling": dataclasses.asdict(config.sampling),
        "controls": dataclasses.asdict(config.controls),
    }
    folder = GenerationFolder(config.out, run)
    there = {record["index"] for record in folder.records()}
    if there:
        print(f"{len(there)} pieces of this run are there already")

    def show(_: int, text: str) -> None:
        if config.show:
            print(text, end="", flush=True)

    pieces = Generator(model, config.sampling).generate(
        [prompt] * config.samples,
        seed=config.seed,
        controls=config.controls,
        skip=there,
        on_text=show,
    )
    for piece in pieces:
        record = folder.add(piece)
        state = record["error"] or f"{record['n_bars']} bars, {len(record['problems'])} unaligned"
        rate = piece.patches / piece.seconds
        print(f"\n{record['name']}: {piece.patches} patches, {rate:.0f} a second; {state}")

    records = folder.records()
    counts = {what: sum(r[what] for r in records) for what in ("parses", "aligned", "converts")}
    print(
        f"{len(records)} pieces: {counts['parses']} parse as written, {counts['aligned']} have "
        f"aligned bars, {counts['converts']} convert; {config.out / 'generations.jsonl'} says more"
    )
    if best := best_piece(records):
        print(f"the soundest of this run, {best['n_bars']} bars:")
        for path in best["files"]:
            print(f"  {config.out / path}")
        page = next(path for path in best["files"] if path.endswith(".svg"))
        print(f"to see it:  python -m webbrowser {shlex.quote(str(config.out / page))}")


if __name__ == "__main__":
    run_stage(main, Path(__file__).with_name("config.py"))
