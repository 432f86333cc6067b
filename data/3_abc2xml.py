"""Convert a folder of ABC tunes back to MusicXML; `--help` lists the settings."""

from tqdm import tqdm

from config import CONFIG
from notagen.foundation.batch import keep_results, run_batch
from notagen.foundation.config import run_stage
from notagen.foundation.errors import InputError, MissingInputError
from notagen.preparation.pieces import convert_back
from notagen.stages import DataConfig


def main(config: DataConfig) -> None:
    """Convert every .abc file below the folder; subfolders are kept."""
    folder = config.abc or config.out / "abc"
    if not folder.is_dir():
        raise MissingInputError(f"{folder} is not there; data/1_xml2abc.py writes ABC files")
    # hidden ones are what a kill left of a file that was being written
    tunes = sorted(path for path in folder.rglob("*.abc") if not path.name.startswith("."))
    if not tunes:
        raise InputError(f"{folder}: found no .abc file, wanted at least one")

    out = config.out / "abc2xml"
    jobs = [(tune, (out / tune.relative_to(folder)).with_suffix(".musicxml")) for tune in tunes]
    outcomes = tqdm(run_batch(convert_back, jobs, workers=config.workers), total=len(jobs))
    kept = keep_results(
        outcomes,
        path_of=lambda job: job[0],
        stage="3_abc2xml",
        rejects=config.out / "rejects.jsonl",
    )
    print(f"kept {len(kept):,} of {len(jobs):,} tunes in {out}")
    if len(kept) < len(jobs):
        print(f"the reasons for the others stand in {config.out / 'rejects.jsonl'}")


if __name__ == "__main__":
    run_stage(main, CONFIG)
