"""Make training texts of ABC tunes, and split them by work; `--help` lists the settings."""

from itertools import chain
from pathlib import Path

from tqdm import tqdm

from notagen.foundation.batch import keep_results, kept_line, write_refusals
from notagen.foundation.config import run_stage
from notagen.foundation.index import read_index, write_index
from notagen.notation.keys import KEYS
from notagen.preparation.filters import STAGE, filter_pieces
from notagen.preparation.pieces import (
    PreprocessJob,
    WriteJob,
    check_names,
    examine_piece,
    write_texts,
)
from notagen.preparation.report import format_report, make_report, write_report
from notagen.preparation.split import split_by_work
from notagen.stages import DataConfig


def main(config: DataConfig) -> None:
    """Interleave what abc.jsonl lists and write train.jsonl, eval.jsonl and the report."""
    index = config.out / "abc.jsonl"
    entries = list(read_index(index, made_by="data/1_xml2abc.py"))
    check_names(entries, index)

    # all are examined before any is written: which are left out depends on the others
    keys = KEYS if config.keys == "all" else ()
    jobs = [PreprocessJob(entry, index, config.out / "interleaved", keys) for entry in entries]
    running = config.run_batch(examine_piece, jobs)
    outcomes = list(tqdm(running, total=len(jobs), desc="examine"))
    examined = [outcome.result for outcome in outcomes if outcome.result is not None]
    chosen, refusals = filter_pieces(examined, config.filters)

    job_of = {job.entry.path: job for job in jobs}
    # stopped half-way, no index of an earlier run must describe the new texts
    sides = {name: config.out / f"{name}.jsonl" for name in ("train", "eval")}
    for side in sides.values():
        side.unlink(missing_ok=True)
    todo = [WriteJob(piece, job_of[piece.path]) for piece in chosen]
    written = tqdm(config.run_batch(write_texts, todo), total=len(todo), desc="write")
    rejects = config.out / "rejects.jsonl"
    kept = keep_results(
        chain((outcome for outcome in outcomes if outcome.result is None), written),
        path_of=lambda job: job.entry.path,
        stage="2_preprocess",
        rejects=rejects,
    )
    write_refusals(rejects, STAGE, refusals)
    report = make_report(kept, rejects)
    print(format_report(report))
    write_report(report, config.out)

    pieces = [piece.entry for piece in kept]
    split = split_by_work(pieces, eval_share=config.eval_share, seed=config.seed)
    for name, path in sides.items():
        part = [entry for entry in split if entry.split == name]
        write_index(path, part)
        print(f"{path.name}: {len(part):,} pieces")
    print(kept_line(kept, len(jobs), folder=config.out / "interleaved", rejects=rejects))


if __name__ == "__main__":
    run_stage(main, Path(__file__).with_name("config.py"))
