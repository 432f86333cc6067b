"""Turn every piece of a folder into a feature: one .npy each, and a reason for each that has none.

On one processor or GPU:  python 3_extract.py --input ../inference/out --out out/generations
On several:               accelerate launch --multi_gpu 3_extract.py
Real pieces of data/:     python 3_extract.py --input ../data/out/train.jsonl --out out/reference
Every setting is a flag:  python 3_extract.py --help

A run that was stopped goes on when the same command is given again, and a later one makes what is
new or changed. Features whose files are gone are removed: a folder is that of one input.
"""

import time
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from tqdm import tqdm

from notagen.extraction import (
    REJECTS,
    Extraction,
    claim_folder,
    cut_chunks,
    find_sources,
    finish,
    remove_stale,
)
from notagen.features.extract import Extractor
from notagen.foundation.config import run_stage
from notagen.stages import find_device
from notagen.stages.features import ExtractConfig


def main(config: ExtractConfig) -> None:
    """Write this process's share of the features."""
    # A process whose share is done waits for the last one
    on_cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()
    processes = PartialState(cpu=on_cpu, timeout=timedelta(days=100))
    torch.set_num_threads(config.threads)
    sources = find_sources(config.input)
    extractor = Extractor(
        config.weights,
        device=find_device(config.device, processes.device),
        precision=None if config.precision == "auto" else config.precision,
        patches_per_batch=config.patches_per_batch,
    )
    if processes.is_main_process:
        claim_folder(config.out, extractor, config.input)
        num_stale = remove_stale(config.out, sources)

    # Chunks of which something is missing are dealt out in turn
    processes.wait_for_everyone()
    extraction = Extraction(config.out, processes.process_index)
    chunks = [chunk for chunk in cut_chunks(sources) if not all(map(extraction.is_done, chunk))]
    total = sum(map(len, chunks))
    processes.wait_for_everyone()
    start = time.monotonic()
    share = chunks[processes.process_index :: processes.num_processes]
    bar = tqdm(total=sum(map(len, share)), unit="piece", disable=not processes.is_main_process)
    for chunk in share:
        extraction.add(chunk, extractor)
        bar.update(len(chunk))
    bar.close()

    processes.wait_for_everyone()
    if processes.is_main_process:
        rate = total / (time.monotonic() - start)
        refused = finish(config.out, sources)
        line = f"{len(sources) - refused:,} features of {len(sources):,} files in {config.out}"
        line += f", {total:,} of them made now ({rate:.1f} a second)" if total else ""
        line += f"; the reasons for {refused:,} stand in {config.out / REJECTS}" if refused else ""
        line += f"; {num_stale:,} whose files are gone were removed" if num_stale else ""
        print(line)


if __name__ == "__main__":
    run_stage(main, Path(__file__).with_name("config.py"), "EXTRACT")
