"""Gather scores as MusicXML, with what is known of each; `--help` lists the settings."""

from pathlib import Path

from tqdm import tqdm

from notagen.foundation.batch import keep_results, kept_line
from notagen.foundation.config import run_stage
from notagen.foundation.errors import InputError
from notagen.foundation.index import write_index
from notagen.preparation.pieces import FetchJob, fetch_piece
from notagen.sources.collections import COLLECTIONS, fetch_collections
from notagen.sources.folder import folder_pieces
from notagen.sources.music21_corpus import corpus_pieces
from notagen.stages import DataConfig


def main(config: DataConfig) -> None:
    """Export the source's scores and write musicxml.jsonl."""
    if config.source == "folder" and config.folder is not None:
        pieces = folder_pieces(
            config.folder,
            config.metadata,
            labels=config.labels,
            only_listed=config.only_listed,
        )
    elif config.source == "music21":
        pieces = corpus_pieces()
    else:
        names = list(COLLECTIONS) if config.source == "open-scores" else [config.source]
        for name in names:
            print(f"{name}: {COLLECTIONS[name].attribution}")
        pieces = fetch_collections(
            names, config.out / "downloads", base=config.download_from, metadata=config.metadata
        )
    if config.pieces:
        pieces = [piece for piece in pieces if piece.id.startswith(config.pieces)]
    pieces = pieces[: config.limit]
    if not pieces:
        wanted = f" whose id begins with {' or '.join(config.pieces)}" if config.pieces else ""
        raise InputError(f"found no score{wanted}")

    # stopped half-way, no index of an earlier run must describe the new files
    index = config.out / "musicxml.jsonl"
    index.unlink(missing_ok=True)
    jobs = [FetchJob(piece, config.out / "musicxml", config.source) for piece in pieces]
    rejects = config.out / "rejects.jsonl"
    outcomes = tqdm(config.run_batch(fetch_piece, jobs), total=len(jobs))
    kept = keep_results(
        outcomes,
        path_of=lambda job: job.piece.name,
        stage="0_fetch",
        rejects=rejects,
    )
    write_index(index, kept)
    prompted = sum(entry.prompt is not None for entry in kept)
    print(f"{prompted:,} of {len(kept):,} have period, composer and instrumentation")
    print(kept_line(kept, len(jobs), folder=config.out / "musicxml", rejects=rejects))


if __name__ == "__main__":
    run_stage(main, Path(__file__).with_name("config.py"))
