"""Copy trained weights in half precision, as those in this folder are kept.

A `reference.npz` beside older weights belongs to those: make it anew. A table of prompts of older
weights goes where the new ones have none.

python weights/ship.py --weights finetune/runs/mine/best --out weights/mine
"""

from pathlib import Path

import tyro

from notagen.foundation.config import one_line_errors
from notagen.generation.prompt_table import PROMPT_TABLE
from notagen.model.weights import WEIGHTS_NAME, copy_in_half_precision


def main(weights: Path, out: Path) -> None:
    """Copy trained weights in half precision, as those in this folder are kept.

    Args:
        weights: A folder that training wrote, of a generating model or of an encoder.
        out: Folder for the copy; what else it holds stays, but for an older table of prompts.
    """
    copy_in_half_precision(weights, out)
    if not (weights / PROMPT_TABLE).is_file():
        (out / PROMPT_TABLE).unlink(missing_ok=True)
    print(f"{out / WEIGHTS_NAME}: {(out / WEIGHTS_NAME).stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    with one_line_errors():
        tyro.cli(main)
