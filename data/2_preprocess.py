"""Make training texts of ABC tunes, and split them by work; `--help` lists the settings."""

from pathlib import Path

from tqdm import tqdm

from notagen.foundation.batch import keep_results, kept_line, run_batch
from notagen.foundation.config import run_stage
from notagen.foundation.index import read_index, write_index
from notagen.notation.keys import KEYS
from notagen.preparation.pieces import PreprocessJob, check_names, preprocess_piece
from notagen.preparation.split import split_by_work
from notagen.stages import DataConfig


def main(config: DataConfig) -> None:
    """Interleave what abc.jsonl lists and write train.jsonl and eval.jsonl."""
    index = config.out / "abc.jsonl"
    entries = list(read_index(index, made_by="data/1_xml2abc.py"))
    check_names(entries, index)

    keys = KEYS if config.keys == "all" else ()
    jobs = [PreprocessJob(entry, index, config.out / "interleaved", keys) for entry in entries]
    rejects = config.out / "rejects.jsonl"
    outcomes = tqdm(run_batch(preprocess_piece, jobs, workers=config.workers), total=len(jobs))
    kept = keep_results(
        outcomes,
        path_of=lambda job: job.entry.path,
        stage="2_preprocess",
        rejects=rejects,
    )
    split = split_by_work(kept, eval_share=config.eval_share, seed=config.seed)
    for name in ("train", "eval"):
        side = [entry for entry in split if entry.split == name]
        write_index(config.out / f"{name}.jsonl", side)
        print(f"{name}.jsonl: {len(side):,} pieces")
    print(kept_line(kept, len(jobs), folder=config.out / "interleaved", rejects=rejects))


if __name__ == "__main__":
    run_stage(main, Path(__file__).with_name("config.py"))
