"""Write new pieces with a trained model; `--help` lists the settings."""

import dataclasses
import sys

from config import CONFIG
from notagen.exports import GenerationFolder, best_piece
from notagen.foundation.config import run_stage
from notagen.generation.controls import Controls
from notagen.generation.engine import Generator
from notagen.generation.prompts import Prompt
from notagen.generation.sampling import Sampling
from notagen.model.weights import load_model, weights_sha256
from notagen.stages import GenerateConfig


def main(config: GenerateConfig) -> None:
    """Write `samples` pieces, each in every form, and one line about each."""
    model = load_model(config.weights, device=config.torch_device())
    sampling = Sampling(top_k=config.top_k, top_p=config.top_p, temperature=config.temperature)
    controls = Controls(
        num_bars=config.num_bars, max_patches=config.max_patches, max_seconds=config.max_seconds
    )
    prompt = None
    if config.period:
        prompt = Prompt(config.period, config.composer, config.instrumentation)

    folder = GenerationFolder(
        config.out,
        {
            "seed": config.seed,
            "weights_sha256": weights_sha256(config.weights),
            "sampling": dataclasses.asdict(sampling),
            "controls": dataclasses.asdict(controls),
        },
    )
    done = folder.done()
    if done:
        print(f"{len(done & set(range(config.samples)))} of {config.samples} pieces are there")

    def show(index: int, text: str) -> None:
        if config.show:
            sys.stdout.write(text)
            sys.stdout.flush()

    pieces = Generator(model, sampling).generate(
        [prompt] * config.samples, seed=config.seed, controls=controls, skip=done, on_text=show
    )
    records = []
    for piece in pieces:
        record = folder.add(piece)
        records.append(record)
        state = record["error"] or f"{record['n_bars']} bars, {len(record['problems'])} unaligned"
        print(
            f"\n{record['name']}: {piece.patches} patches, "
            f"{piece.patches / piece.seconds:.0f} a second; {state}"
        )
    print(f"{config.out / 'generations.jsonl'} has a line for each piece")
    if best := best_piece(records):
        print(f"the soundest of them, {best['n_bars']} bars:")
        for path in best["files"]:
            print(f"  {config.out / path}")


if __name__ == "__main__":
    run_stage(main, CONFIG)
