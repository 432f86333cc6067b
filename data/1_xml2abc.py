"""Convert the MusicXML scores to ABC; `--help` lists the settings."""

from pathlib import Path

from tqdm import tqdm

from notagen.foundation.batch import keep_results, kept_line
from notagen.foundation.config import run_stage
from notagen.foundation.index import read_index, write_index
from notagen.preparation.pieces import ConvertJob, check_names, convert_piece
from notagen.stages import DataConfig


def main(config: DataConfig) -> None:
    """Convert what musicxml.jsonl lists and write abc.jsonl."""
    index = config.out / "musicxml.jsonl"
    entries = list(read_index(index, made_by="data/0_fetch.py"))
    check_names(entries, index)

    # stopped half-way, no index of an earlier run must describe the new files
    written = config.out / "abc.jsonl"
    written.unlink(missing_ok=True)
    jobs = [ConvertJob(entry, index, config.out / "abc") for entry in entries]
    rejects = config.out / "rejects.jsonl"
    outcomes = tqdm(config.run_batch(convert_piece, jobs), total=len(jobs))
    kept = keep_results(
        outcomes,
        path_of=lambda job: job.entry.path,
        stage="1_xml2abc",
        rejects=rejects,
    )
    write_index(written, kept)
    print(kept_line(kept, len(jobs), folder=config.out / "abc", rejects=rejects))


if __name__ == "__main__":
    run_stage(main, Path(__file__).with_name("config.py"))
