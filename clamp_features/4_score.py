"""Score pieces by their likeness to real ones, or search a folder by words or by a piece.

    python 4_score.py                                        # generations beside real pieces
    python 4_score.py --query "a slow minor-key song"        # the real pieces most like these words
    python 4_score.py --query piece.mxl --folder out/generations

Every setting is a flag:  python 4_score.py --help
"""

import json
import os
import sys
from pathlib import Path
from statistics import median

import numpy as np
import torch

from notagen.evaluation.likeness import asked_labels, format_scores
from notagen.evaluation.pieces import find_pieces
from notagen.evaluation.plots import plot_scores
from notagen.extraction import SUFFIXES, encode_file
from notagen.features.extract import Extractor
from notagen.features.scoring import (
    MEANS_SUFFIX,
    judge,
    judge_reference,
    read_reference,
    write_means,
)
from notagen.features.similarity import average_score, score_of_averages, search
from notagen.foundation.config import run_stage
from notagen.foundation.errors import InputError, MissingInputError, ScoreError
from notagen.foundation.features import (
    Features,
    FeatureSet,
    check_made_by,
    check_same_extractor,
    read_features,
)
from notagen.foundation.files import write_text
from notagen.foundation.index import GENERATIONS
from notagen.stages import find_device
from notagen.stages.features import ScoreConfig


def main(config: ScoreConfig) -> None:
    """Write the scores of a folder of features, or print what a search finds."""
    if config.query is not None:
        print_found(config, config.query)
        return
    reference = read_reference(config.reference_features, config.reference_index)
    if config.means:
        write_means(reference, config.means)
        print(f"{config.means} holds the means of {len(reference.labels)} pieces")
        return
    features = read_features(config.generation_features)
    check_same_extractor(features, reference.features)

    # What each piece was to be, where a generation folder says so
    written = config.generations is not None and config.generations / GENERATIONS
    pieces = find_pieces(written) if written and written.is_file() else []
    asked = asked_labels(features.names, pieces)
    if unknown := asked.count(None):
        print(f"{unknown} of {len(asked)} pieces: no prompt known, all count", file=sys.stderr)

    # Each piece beside the real ones, and each of these beside the others
    judged = judge(
        features.matrix, asked, reference, names=features.names, shrinkage=config.shrinkage
    )
    alone = reference.sizes is not None or len(reference.labels) < 2
    real = [] if alone else judge_reference(reference, shrinkage=config.shrinkage)
    named = zip(features.names, judged, strict=True)
    lines = [json.dumps({"name": name} | one._asdict()) for name, one in named]
    write_text(config.out / "scores.jsonl", "\n".join(lines) + "\n")
    plot_scores(judged, real, config.out / "scores.png")

    # features of a file of means stand for many pieces each
    sets = features.matrix, reference.mean[np.newaxis]
    print(f"extractor {features.extractor} (weights {features.weights_sha256})")
    num_real = len(reference.labels) if reference.sizes is None else sum(reference.sizes)
    print(f"beside {num_real:,} real pieces, {config.reference_features}; 95 % intervals")
    print(f"average score {average_score(*sets):.4f} (NotaGen's: mean of cosines to the mean)")
    print(f"score of averages {score_of_averages(*sets):.4f} (CLaMP 2's: cosine of two means)\n")
    print(format_scores(judged, asked, real, seed=config.seed))
    print(f"\neach piece has its line in {config.out / 'scores.jsonl'}; scores.png shows them all")


def print_found(config: ScoreConfig, query: str) -> None:
    """Print the pieces of a folder most like the query."""
    place = config.folder or config.reference_features
    if place.suffix == MEANS_SUFFIX:
        raise InputError(f"{place} holds means; wanted a folder of 3_extract.py to search in")
    folder = read_features(place)
    # a name may be given without the folders before it
    shortened = [name for name in folder.names if name.rpartition("/")[2] == query]
    named = [query] if query in folder.names else shortened
    if len(named) > 1:
        raise InputError(f"{query!r} is the name of {' and '.join(named[:2])}; wanted one of these")
    if named:
        vector = folder.matrix[folder.names.index(named[0])]
        what = f"the piece {named[0]}"
    else:
        vector = encode(config, query, folder)
        what = f"the file {query}" if is_path(query) else f"the words {query!r}"
    # a piece of the folder is most like itself
    alike = search(vector, folder, len(folder.names))
    found = [one for one in alike if one.name not in named]
    usual = median(one.similarity for one in found) if found else 0.0
    print(
        f"{len(found)} pieces beside {what}, cosines (half of all are below {usual:.4f}):",
        file=sys.stderr,
    )
    for one in found[: config.num_found]:
        print(f"{one.similarity:.4f}  {one.name}")


def is_path(query: str) -> bool:
    """Tell whether a query means a file."""
    return Path(query).suffix.lower() in SUFFIXES or os.path.exists(query)  # noqa: PTH110 -- words may be longer than a path


def encode(config: ScoreConfig, query: str, folder: FeatureSet) -> Features:
    """Return the feature of a file or of words, (H,), beside which the folder's stand."""
    path = Path(query)
    is_file = is_path(query)
    if is_file and not path.is_file():
        raise MissingInputError(f"{path} is no file; wanted a file, words, or a piece's name")
    if is_file and path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: wanted a file that ends with {', '.join(sorted(SUFFIXES))}")
    fastest = torch.accelerator.current_accelerator(check_available=True)
    device = find_device(config.device, fastest or torch.device("cpu"))
    extractor = Extractor(config.weights, device=device)
    check_made_by(folder, extractor.name, extractor.weights_sha256)
    if not is_file:
        return extractor.text_features(query)
    try:
        return encode_file(path, extractor)
    except ScoreError as error:
        raise InputError(f"{path}: {error}") from error


if __name__ == "__main__":
    run_stage(main, Path(__file__).with_name("config.py"), "SCORE")
