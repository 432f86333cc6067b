"""Which pieces are learned from and which are kept for evaluation: by work, never by file."""

import dataclasses
import hashlib
from collections.abc import Sequence

from notagen.foundation.index import IndexEntry


def split_by_work(
    entries: Sequence[IndexEntry], *, eval_share: float, seed: int
) -> list[IndexEntry]:
    """Return the entries with `split` set to `train` or `eval`, in their order.

    Works are ranked by a hash of seed and name, so adding a piece moves no other. The first so
    many works are kept for evaluation: `eval_share` of all, at least one, and never the last one.

    Args:
        entries: A piece without `work` is a work of its own.
        eval_share: From 0 to 1.
        seed: Chooses the works.
    """
    works = {entry.work or entry.path for entry in entries}
    ranked = sorted(works, key=lambda work: hashlib.sha256(f"{seed}/{work}".encode()).digest())
    count = min(max(1, round(eval_share * len(ranked))), len(ranked) - 1) if eval_share else 0
    kept = set(ranked[:count])
    return [
        dataclasses.replace(e, split="eval" if (e.work or e.path) in kept else "train")
        for e in entries
    ]
