"""What M3 and CLaMP 2 weights have learned, on works that they have not seen.

    python -m benchmarks.encoders --train data/out/train.jsonl --eval data/out/eval.jsonl

Hidden characters are restored, beside the commonest continuation of a 6-gram of the same text; the
right words for a piece are looked for among all; classes are told by linear probes; and the score
of a piece, its likeness to real music of its kind, is compared with that of its damaged copies.
Other pieces to damage, from music that no weights saw, may be given with --other.
"""

import argparse
import random
from collections.abc import Iterable, Sequence
from itertools import starmap
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.report import table
from notagen.features.damage import DAMAGES, TAUGHT, damage
from notagen.features.descriptions import describe, prompt_text, sentence
from notagen.features.extract import Extractor
from notagen.features.m3 import M3
from notagen.features.masking import SELECTED
from notagen.features.patches import EOS, MASK, PAD, MusicTokenizer, Patches
from notagen.features.scoring import Reference, judge
from notagen.features.weights import load_m3
from notagen.foundation.cosine import unit
from notagen.foundation.features import FeatureSet
from notagen.foundation.index import IndexEntry, Labels, read_index
from notagen.metrics.probes import probe_agreement

ROOT = Path(__file__).resolve().parent.parent
ORDER = 6
TOP = 5
FEWEST_WORKS = 30
"""Works of the whole corpus that a class needs to be told."""
SYMBOL_BITS = 7


class Piece(NamedTuple):
    """A piece of an index, in its own key."""

    entry: IndexEntry
    text: str


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table for each question."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--train", type=Path, required=True, help="index that was learned from")
    parser.add_argument("--eval", type=Path, required=True, help="index of unseen works")
    parser.add_argument("--other", type=Path, help="index of more unseen pieces to damage")
    parser.add_argument("--m3", type=Path, default=ROOT / "weights" / "m3-mini")
    parser.add_argument("--clamp", type=Path, default=ROOT / "weights" / "clamp-mini")
    parser.add_argument("--damaged", type=int, default=200, help="pieces to damage, at most")
    options = parser.parse_args(arguments)
    train, unseen = _pieces(options.train), _pieces(options.eval)
    other = _pieces(options.other) if options.other else []
    print(f"{len(train)} pieces learned from, {len(unseen)} of unseen works\n")

    print(_restoring(load_m3(options.m3), train, unseen), end="\n\n", flush=True)

    extractor = Extractor(options.clamp)
    train_features, unseen_features = (_features(extractor, pieces) for pieces in (train, unseen))
    print(_retrieval(extractor, train, unseen, unseen_features), end="\n\n", flush=True)
    print(_probes(train, unseen, train_features, unseen_features), end="\n\n", flush=True)
    reference = Reference(
        FeatureSet(tuple(piece.entry.path for piece in train), train_features, "", None),
        tuple(piece.entry.prompt for piece in train),
    )
    for name, pieces in (("unseen works", unseen), ("other music", other)):
        if pieces:
            drawn = _draw(pieces, options.damaged)
            print(_damages(extractor, reference, name, drawn), end="\n\n", flush=True)


def _pieces(index: Path) -> list[Piece]:
    entries = read_index(index, made_by="data/2_preprocess.py")
    return [
        Piece(entry, (index.parent / entry.keyed_path(entry.key or "")).read_text("utf-8"))
        for entry in entries
    ]


def _draw(pieces: Sequence[Piece], count: int) -> list[Piece]:
    return random.Random(0).sample(pieces, min(count, len(pieces)))  # noqa: S311 -- no secret


def _features(extractor: Extractor, pieces: Iterable[Piece]) -> NDArray[np.float32]:
    return np.stack([extractor.features(piece.text) for piece in pieces])


# ---- hidden characters


def _restoring(model: M3, train: Sequence[Piece], unseen: Sequence[Piece]) -> str:
    tokenizer = MusicTokenizer(model.config.patch_size, model.config.patch_length)
    grams = _commonest(tokenizer.encode_whole(piece.text) for piece in train)
    rng = random.Random(0)  # noqa: S311 -- no secret
    right = blind = by_gram = total = 0
    for piece in unseen:
        patches = tokenizer.encode(piece.text, rng=rng)
        hidden = np.zeros(len(patches), dtype=np.bool_)
        hidden[rng.sample(range(len(patches)), max(1, round(SELECTED * len(patches))))] = True
        targets = patches[hidden][:, 1:]
        real = targets != PAD
        right += int((_restored(model, patches, hidden) == targets)[real].sum())
        blind += int((_restored(model, patches, hidden, of_others=True) == targets)[real].sum())
        by_gram += int((_continued(grams, patches) == patches)[hidden][:, 1:][real].sum())
        total += int(real.sum())
    shares = {
        "M3": right,
        "M3, each from the vector of another hidden patch": blind,
        f"{ORDER}-gram": by_gram,
    }
    rows = [[name, f"{share / total:.1%}"] for name, share in shares.items()]
    return table([f"of {total:,} hidden characters right", "share"], rows)


@torch.inference_mode()
def _restored(
    model: M3, patches: Patches, hidden: NDArray[np.bool_], *, of_others: bool = False
) -> NDArray[np.int64]:
    """Return the likeliest id at each place of the hidden patches, those before it known.

    Told from the vectors of other patches, they show what the vectors are worth.
    """
    shown = patches.copy()
    shown[hidden] = MASK
    vectors = model.encoder(torch.from_numpy(shown)[None], torch.tensor([len(patches)]))[0]
    targets = torch.from_numpy(patches[hidden][:, 1:])
    chosen = vectors[torch.from_numpy(hidden)]
    logits = model.decoder(chosen.roll(1, 0) if of_others else chosen, targets[:, :-1])
    likeliest: NDArray[np.int64] = logits.argmax(-1).numpy()
    return likeliest


Grams = list[tuple[NDArray[np.int64], NDArray[np.int64]]]
"""Of each number of symbols that went before, from 0: contexts, sorted, and what follows most."""


def _commonest(pieces: Iterable[Patches]) -> Grams:
    """Count what follows 0 to 5 symbols in the patches of all pieces."""
    symbols = np.concatenate([np.append(_symbols(patches)[0], EOS) for patches in pieces])
    grams: Grams = []
    codes = np.zeros(len(symbols), dtype=np.int64)
    for order in range(ORDER):
        codes[order:] |= symbols[: len(symbols) - order] << (SYMBOL_BITS * order)
        found, counts = np.unique(codes[ORDER:], return_counts=True)
        # the newest symbol, the one that follows, has the lowest bits
        contexts, following = found >> SYMBOL_BITS, found & (2**SYMBOL_BITS - 1)
        by_count = np.lexsort((counts, contexts))
        last = np.append(np.diff(contexts[by_count]) != 0, True)
        grams.append((contexts[by_count][last], following[by_count][last]))
    return grams


def _continued(grams: Grams, patches: Patches) -> NDArray[np.int64]:
    """Return what follows most on what stands before each id, in the shape of the patches."""
    symbols, places = _symbols(patches)
    told = np.zeros(len(symbols), dtype=np.int64)
    context = np.zeros(len(symbols), dtype=np.int64)
    for order, (contexts, following) in enumerate(grams):
        if order:
            before = np.append(np.full(order, EOS), symbols)[: len(symbols)]
            context |= before << (SYMBOL_BITS * (order - 1))
        at = np.minimum(np.searchsorted(contexts, context), len(contexts) - 1)
        told = np.where(contexts[at] == context, following[at], told)
    filled = np.zeros(patches.shape, dtype=np.int64)
    filled[places] = told
    return filled


def _symbols(patches: Patches) -> tuple[NDArray[np.int64], tuple[NDArray[np.intp], ...]]:
    """Return the ids of a piece one after another, pads and the bos of each left out."""
    real = patches != PAD
    real[:, 0] = False
    return patches[real].astype(np.int64), np.nonzero(real)


# ---- words and classes


def _retrieval(
    extractor: Extractor,
    train: Sequence[Piece],
    unseen: Sequence[Piece],
    features: NDArray[np.float32],
) -> str:
    prompted = [place for place, piece in enumerate(unseen) if piece.entry.prompt]
    known = sorted({piece.entry.prompt for piece in (*train, *unseen) if piece.entry.prompt})
    wanted = [known.index(unseen[place].entry.prompt) for place in prompted]  # type: ignore[arg-type]  # they have one
    rows = [
        _found("composer, period, instrumentation", extractor, list(starmap(prompt_text, known)),
               features[prompted], wanted)
    ]  # fmt: skip
    said = [sentence(describe(piece.entry, piece.text)) for piece in unseen]
    rows.append(_found("all that is known", extractor, said, features, range(len(unseen))))
    return table(
        ["words for a piece, among", "texts", f"in first {TOP}", "by chance", "ratio"], rows
    )


def _found(
    name: str,
    extractor: Extractor,
    texts: Sequence[str],
    features: NDArray[np.float32],
    wanted: Sequence[int],
) -> list[str]:
    words = np.stack([extractor.text_features(text) for text in texts])
    likeness = unit(features) @ unit(words).T
    own = likeness[np.arange(len(wanted)), list(wanted)]
    share = float(np.mean((likeness > own[:, None]).sum(1) < TOP))
    chance = min(1.0, TOP / len(texts))
    return [name, str(len(texts)), f"{share:.1%}", f"{chance:.1%}", f"{share / chance:.1f}"]


def _probes(
    train: Sequence[Piece],
    unseen: Sequence[Piece],
    train_features: NDArray[np.float32],
    unseen_features: NDArray[np.float32],
) -> str:
    rows = []
    for name in ("instrumentation", "period"):
        works: dict[str, set[str]] = {}
        for piece in (*train, *unseen):
            label = getattr(piece.entry, name)
            works.setdefault(label, set()).add(piece.entry.work or piece.entry.path)
        classes = {label for label, of in works.items() if label and len(of) >= FEWEST_WORKS}
        seen = [
            label if label in classes else None
            for label in (getattr(piece.entry, name) for piece in train)
        ]
        told = [p for p, piece in enumerate(unseen) if getattr(piece.entry, name) in classes]
        labels = [getattr(unseen[place].entry, name) for place in told]
        figure = probe_agreement(
            train_features,
            seen,
            [piece.entry.work or piece.entry.path for piece in train],
            unseen_features[told],
            labels,
            seed=0,
        ).agreement
        right, commonest = "too few works", "-"
        if figure.n:
            right = f"{figure.value:.1%} ({figure.low:.1%} to {figure.high:.1%})"
            commonest = f"{max(map(labels.count, classes)) / len(labels):.1%}"
        rows.append([name, str(len(classes)), str(len(labels)), right, commonest])
    return table(["probe for", "classes", "unseen pieces", "right", "commonest class"], rows)


# ---- damages


def _damages(extractor: Extractor, reference: Reference, name: str, pieces: Sequence[Piece]) -> str:
    labels: list[Labels | None] = [piece.entry.prompt for piece in pieces]
    whole = judge(_features(extractor, pieces), labels, reference)
    rows = []
    for kind in DAMAGES:
        rng = random.Random(0)  # noqa: S311 -- no secret
        spoiled = [
            piece._replace(text=damage(piece.text, kind, rng, other=_partner(piece, pieces, rng)))
            for piece in pieces
        ]
        fewer = judge(_features(extractor, spoiled), labels, reference)
        falls = [
            np.mean(
                [getattr(a, score) > getattr(b, score) for a, b in zip(whole, fewer, strict=True)]
            )
            for score in ("score", "prompt_score")
        ]
        drop = np.mean([a.score - b.score for a, b in zip(whole, fewer, strict=True)])
        taught = "yes" if kind in TAUGHT else "no"
        rows.append([kind, taught, *(f"{share:.1%}" for share in falls), f"{drop:.3f}"])
    headings = [f"{len(pieces)} pieces of {name}", "taught", "score falls", "per prompt", "by"]
    return table(headings, rows)


def _partner(piece: Piece, pieces: Sequence[Piece], rng: random.Random) -> str:
    """Return another piece, of the same metre where there is one."""
    others = [other for other in pieces if other is not piece]
    alike = [other for other in others if _metre(other.text) == _metre(piece.text)]
    return rng.choice(alike or others).text


def _metre(text: str) -> str:
    return next((line for line in text.splitlines() if line.startswith("M:")), "")


if __name__ == "__main__":
    main()
