"""Let the n-gram floor write pieces, to stand beside those of a model.

    python floor.py --train ../data/out/train.jsonl --weights ../weights/mine --out out/floor
    python evaluate.py --name floor-writes --model None --generations out/floor

Characters are drawn as a model's are, at the default sampling, for prompts drawn from the weights'
table as `inference/generate.py --draw-prompts` with the same seed draws them. No bar is taken back:
a model's share in that is what its pieces are with --no-valid-bars.
"""

import dataclasses
import sys
from pathlib import Path

import tyro
from tqdm import tqdm

from notagen.evaluation.floor_writer import learn, write
from notagen.evaluation.pieces import describe, find_pieces
from notagen.exports import GenerationFolder
from notagen.foundation.config import one_line_errors
from notagen.foundation.errors import InputError
from notagen.generation.prompt_table import need_prompt_table
from notagen.generation.prompts import draw_prompts
from notagen.generation.requests import Request
from notagen.generation.settings import DEFAULT_SAMPLING
from notagen.metrics.kneser_ney import MAX_ORDER


def main(
    train: Path,
    weights: Path,
    out: Path,
    samples: int = 200,
    seed: int = 0,
    order: int = 8,
    max_characters: int = 30_000,
) -> None:
    """Let the n-gram floor write pieces, to stand beside those of a model.

    Args:
        train: What the floor learns from: an index such as data/out/train.jsonl.
        weights: Their table of prompts is drawn from.
        out: Receives the pieces in every form, as inference/generate.py writes them.
        samples: Pieces to write.
        seed: Of prompts and pieces.
        order: Longest n-grams, 1 to 9 characters.
        max_characters: A piece is cut off after so many.
    """
    if samples < 1 or max_characters < 1 or not 1 <= order <= MAX_ORDER:
        raise InputError(
            f"found samples {samples}, max_characters {max_characters} and order {order}, wanted "
            f"numbers from 1 and an order of {MAX_ORDER} at most"
        )
    prompts = draw_prompts(need_prompt_table(weights), count=samples, seed=seed)
    learned = find_pieces(train)
    orders, left_out = learn(learned, order)
    for line in left_out:
        print(f"warning: {line}", file=sys.stderr)
    run = {
        "seed": seed,
        "sampling": dataclasses.asdict(DEFAULT_SAMPLING),
        "order": len(orders),
        "learned": describe(train, learned),
    }
    folder = GenerationFolder(out, [Request(prompt=prompt) for prompt in prompts], run)
    pieces = write(orders, prompts, DEFAULT_SAMPLING, seed=seed, max_characters=max_characters)
    records = [folder.add(piece) for piece in tqdm(pieces, total=samples, unit="piece")]
    print(
        f"{out}: {samples} pieces by n-grams of {len(orders)} characters, "
        f"{sum(record['finished'] for record in records)} of them came to an end"
    )


if __name__ == "__main__":
    with one_line_errors():
        tyro.cli(main)
