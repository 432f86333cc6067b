"""Which pieces are learned from and which are kept for evaluation: by work, never by file."""

import dataclasses
import hashlib
from collections.abc import Sequence

from notagen.foundation.errors import InputError
from notagen.foundation.index import IndexEntry


def split_by_work(
    entries: Sequence[IndexEntry], *, eval_share: float, seed: int
) -> list[IndexEntry]:
    """Return the entries with `split` set to `train` or `eval`, in their order.

    A work is kept for evaluation if a hash of seed and name, as a share of its range, is below
    `eval_share`: adding a piece moves no other. (Only where that would keep no work, or every
    work, is the one with the lowest hash kept, or the highest learned from.)

    Args:
        entries: A piece without `work` is a work of its own.
        eval_share: Between 0 and 1.
        seed: Chooses the works.

    Raises:
        InputError: If there are fewer than two works.
    """
    works = {entry.work or entry.path for entry in entries}
    if len(works) < 2:
        raise InputError(
            f"found {len(works)} works, wanted two or more: some to learn from, some for evaluation"
        )

    def hash_share(work: str) -> float:
        digest = hashlib.sha256(f"{seed}/{work}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64

    ranked = sorted(works, key=hash_share)
    count = sum(hash_share(work) < eval_share for work in ranked)
    kept = set(ranked[: min(max(1, count), len(ranked) - 1)])
    return [
        dataclasses.replace(e, split="eval" if (e.work or e.path) in kept else "train")
        for e in entries
    ]
