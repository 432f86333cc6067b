"""Write trained weights as a file that the NotaGen authors' own code loads.

python export.py --weights runs/demo/best --out mine.pth

It holds the model alone, with the names and the layout of the published files. Their code reads the
model's size from a settings file of its own: set it to the line that is printed.
"""

from pathlib import Path

import tyro

from notagen.foundation.config import one_line_errors
from notagen.foundation.errors import InputError
from notagen.model.published import PUBLISHED_SUFFIXES, export_published, read_published
from notagen.model.weights import load_model


def main(weights: Path, out: Path) -> None:
    """Write trained weights as a file that the NotaGen authors' own code loads.

    Args:
        weights: A folder that training wrote, a published file, or the name of published weights.
        out: File to write, ending with .pth; one that holds other things than weights is kept.
    """
    if out.suffix not in PUBLISHED_SUFFIXES:
        raise InputError(f"{out}: wanted a name that ends with .pth")
    if out.exists():
        try:
            read_published(out)
        except (InputError, OSError) as error:
            raise InputError(f"{out} is there, and not replaced: {error}") from error
    model = load_model(weights)
    export_published(model, out)
    size = model.config
    print(
        f"{out}: {sum(tensor.numel() for tensor in model.parameters()):,} weights; "
        f"PATCH_SIZE = {size.patch_size}, PATCH_LENGTH = {size.patch_length}, "
        f"PATCH_NUM_LAYERS = {size.patch_layers}, CHAR_NUM_LAYERS = {size.char_layers}, "
        f"HIDDEN_SIZE = {size.hidden_size}"
    )


if __name__ == "__main__":
    with one_line_errors():
        tyro.cli(main)
