"""Convert a folder of ABC tunes back to MusicXML; `--help` lists the settings."""

from pathlib import Path

from tqdm import tqdm

from notagen.foundation.batch import keep_results, kept_line
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
    files = (path for path in folder.rglob("*.abc") if path.is_file())
    tunes = sorted(path for path in files if not path.name.startswith("."))
    if not tunes:
        raise InputError(f"{folder}: found no .abc file, wanted at least one")

    out = config.out / "abc2xml"
    jobs = [(tune, (out / tune.relative_to(folder)).with_suffix(".musicxml")) for tune in tunes]
    rejects = config.out / "rejects.jsonl"
    outcomes = tqdm(config.run_batch(convert_back, jobs), total=len(jobs))
    kept = keep_results(
        outcomes,
        path_of=lambda job: job[0],
        stage="3_abc2xml",
        rejects=rejects,
    )
    print(kept_line(kept, len(jobs), folder=out, rejects=rejects))


if __name__ == "__main__":
    run_stage(main, Path(__file__).with_name("config.py"))
