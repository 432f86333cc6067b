"""Write a piece for each of ten seeds, engrave and sound them, and lay them out on one page.

    python gallery.py

Nothing is chosen by ear: a seed draws the prompt, by the number of pieces behind it, and the piece;
on a processor, `generate.py --draw-prompts --seed N --device cpu` writes the same one. First pages
and MIDI go beside the page, all other forms and the sound into a folder of their own. One that was
stopped goes on when the same command is given again.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import tyro

from notagen.exports import GenerationFolder
from notagen.foundation.config import one_line_errors
from notagen.foundation.errors import ConversionError, InputError
from notagen.foundation.files import write_bytes, write_text
from notagen.generation.engine import Generator
from notagen.generation.prompt_table import need_prompt_table
from notagen.generation.prompts import Prompt
from notagen.model.weights import load_model, weights_sha256
from notagen.render.audio import audio
from notagen.stages import GenerateConfig

STAGE = Path(__file__).resolve().parent
ROOT = STAGE.parent
INTRODUCTION = """# Gallery

Pieces by `{weights}`, one for each seed, none chosen by ear: the seed draws the prompt, by the
number of pieces behind it, and the piece. `inference/gallery.py` writes such a page, `make gallery`
that of the weights that come with the project, with all pages, MusicXML and WAV.
"""


def main(
    weights: Path = ROOT / "weights" / "notagen-mini",
    out: Path = STAGE / "out" / "gallery",
    page: Path = ROOT / "docs" / "gallery.md",
    seeds: int = 10,
    max_bars: int | None = None,
) -> None:
    """Write a piece for each of ten seeds, engrave and sound them, and lay them out on one page.

    Args:
        weights: Fine-tuned weights with their table of prompts.
        out: Receives every form of each piece, and `wav/`.
        page: Markdown page; pictures and MIDI go into a folder called like it.
        seeds: Pieces of the page: those of seeds 1, 2, ...
        max_bars: Bars after which a piece is ended; None lets it come to its own end.
    """
    if seeds < 1 or (max_bars is not None and max_bars < 1) or not page.suffix:
        raise InputError(
            f"found {seeds} seeds, max_bars {max_bars} and page {page}, wanted numbers from 1 and "
            "a page such as gallery.md"
        )
    torch.set_num_threads(1)
    known = need_prompt_table(weights)
    generator = Generator(load_model(weights), batch_size=1)
    entries = [
        make_entry(seed, weights, out, page.with_suffix(""), known, generator, max_bars)
        for seed in range(1, seeds + 1)
    ]
    write_text(page, "\n".join([INTRODUCTION.format(weights=weights.name), *entries]))
    print(f"{page}: {len(entries)} pieces; sound and other forms in {out}")


def make_entry(
    seed: int,
    weights: Path,
    out: Path,
    pictures: Path,
    known: Mapping[Prompt, int],
    generator: Generator,
    max_bars: int | None,
) -> str:
    """Write one seed's piece in every form, and return its part of the page."""
    config = GenerateConfig(weights=weights, out=out, draw_prompts=True, seed=seed)
    if max_bars is not None:
        config = replace(config, controls=replace(config.controls, max_bars=max_bars))
    requests = config.requests(known=known)
    run: dict[str, Any] = {"seed": seed, "weights_sha256": weights_sha256(weights)}
    folder = GenerationFolder(out, requests, run)
    folder.drop_torn_line()
    record = next(iter(folder.records()), None)
    if record is None:
        (piece,) = generator.generate(requests, seed=seed)
        record = folder.add(piece)
    print(json.dumps({name: record[name] for name in ("name", "n_bars", "seconds", "error")}))
    prompt = Prompt.parse(record["prompt"])
    files = {Path(path).suffix: out / path for path in reversed(record["files"])}
    said = [f"{record['n_bars']} bars in {record['seconds']:.0f} s"]
    said += [] if record["finished"] else [f"ended by a limit ({record['reason']})"]
    said += [f"{len(record['mended'])} bars mended"] if record["mended"] else []
    said += [f"not engraved: {record['error']}"] if record["error"] else []
    entry = f"## Seed {seed}: {prompt}\n\n{'; '.join(said)}.\n"
    for suffix, text in ((".mid", "[MIDI]({})"), (".svg", "![first page]({})")):
        if suffix in files:
            copy = pictures / f"seed-{seed:02}{suffix}"
            write_bytes(copy, files[suffix].read_bytes())
            entry += f"\n{text.format(f'{pictures.name}/{copy.name}')}\n"
    if ".mid" in files:
        try:
            sound = audio(files[".mid"].read_bytes(), form="wav")
            write_bytes(out / "wav" / f"seed-{seed:02}.wav", sound)
        except ConversionError as error:
            print(f"warning: seed {seed} has no sound: {error}", file=sys.stderr)
    return entry


if __name__ == "__main__":
    with one_line_errors():
        tyro.cli(main)
