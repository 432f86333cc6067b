import itertools
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from notagen.foundation.errors import AlphabetError
from notagen.tokenizer.patches import PatchTokenizer
from notagen.training.batching import Batch, Collate, deal, eval_batches, plan_epoch, train_batches
from notagen.training.data import TuneDataset


@pytest.fixture
def tunes(corpus: Path, tokenizer: PatchTokenizer) -> TuneDataset:
    return TuneDataset(corpus / "train.jsonl", tokenizer, keys="original", prompted=False, seed=0)


@given(
    lengths=st.lists(st.integers(1, 99), min_size=1, max_size=300),
    pieces_per_step=st.integers(1, 9),
    epoch=st.integers(0, 3),
)
def test_each_piece_is_in_one_step(lengths: list[int], pieces_per_step: int, epoch: int) -> None:
    steps = plan_epoch(lengths, pieces_per_step=pieces_per_step, seed=0, epoch=epoch)
    assert sorted(itertools.chain(*steps)) == list(range(len(lengths)))
    assert len(steps) == -(-len(lengths) // pieces_per_step)
    assert all(0 < len(step) <= pieces_per_step for step in steps)
    assert steps == plan_epoch(lengths, pieces_per_step=pieces_per_step, seed=0, epoch=epoch)


def test_order_differs_between_epochs_and_seeds() -> None:
    plans = [
        plan_epoch(range(100), pieces_per_step=4, seed=seed, epoch=epoch)
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    ]
    assert plans[0] != plans[1]
    assert plans[0] != plans[2]


def test_little_is_padded() -> None:
    rng = random.Random(0)
    lengths = [min(1024, int(rng.lognormvariate(5.5, 0.8))) for _ in range(5000)]
    steps = plan_epoch(lengths, pieces_per_step=8, seed=0, epoch=0)
    room = sum(len(step) * max(lengths[piece] for piece in step) for step in steps)
    assert 1 - sum(lengths) / room < 0.05


@given(num_pieces=st.integers(0, 40), hands=st.integers(1, 9))
def test_deal_leaves_none_over(num_pieces: int, hands: int) -> None:
    dealt = deal(range(num_pieces), hands)
    assert list(itertools.chain(*dealt)) == list(range(num_pieces))
    assert len(dealt) == hands
    sizes = {len(hand) for hand in dealt}
    assert max(sizes) - min(sizes) <= 1


def test_collate_pads_and_marks() -> None:
    short, long = np.full((2, 4), 65, np.uint8), np.full((3, 4), 66, np.uint8)
    batch = Collate(short)([short, long])
    assert isinstance(batch, Batch)
    assert batch.patches.dtype == torch.uint8
    assert batch.patches.shape == (2, 3, 4)
    assert batch.mask.tolist() == [[True, True, False], [True, True, True]]
    assert batch.patches[0, 2].tolist() == [0, 0, 0, 0]
    assert batch.weight == 1
    empty = Collate(short)([])
    assert isinstance(empty, Batch)
    assert empty.weight == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_processes_share_each_step(tunes: TuneDataset, workers: int) -> None:
    steps = plan_epoch(tunes.lengths, pieces_per_step=4, seed=0, epoch=1)
    shares = [
        list(
            train_batches(
                tunes,
                steps,
                epoch=1,
                rank=rank,
                num_processes=2,
                accumulation_steps=2,
                workers=workers,
            )
        )
        for rank in range(2)
    ]
    for step, ours, theirs in zip(steps, *shares, strict=True):
        assert len(ours) == len(theirs) == 2
        batches = [batch for batch in ours + theirs if batch.weight]
        seen = {
            patches[mask].numpy().tobytes()
            for batch in batches
            for patches, mask in zip(batch.patches, batch.mask, strict=True)
        }
        assert seen == {tunes[piece, 1].tobytes() for piece in step}


@pytest.mark.parametrize(("batch_size", "num_processes"), [(1, 1), (4, 1), (4, 2), (8, 3), (20, 2)])
def test_evaluation_covers_each_piece_once(
    tunes: TuneDataset, batch_size: int, num_processes: int
) -> None:
    seen = [
        patches[mask].numpy().tobytes()
        for rank in range(num_processes)
        for batch in eval_batches(
            tunes, batch_size=batch_size, rank=rank, num_processes=num_processes, workers=0
        )
        for patches, mask in zip(batch.patches, batch.mask, strict=True)
    ]
    assert sorted(seen) == sorted(tunes[piece, None].tobytes() for piece in range(len(tunes)))


def test_reading_leaves_the_global_random_state_alone(tunes: TuneDataset) -> None:
    before = torch.get_rng_state()
    list(eval_batches(tunes, batch_size=4, rank=0, num_processes=1, workers=0))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("workers", [0, 1])
def test_refused_text_is_one_line_from_workers_too(
    corpus: Path, tunes: TuneDataset, workers: int
) -> None:
    file = corpus / "abc/C/tune0_C.abc"
    file.write_text(file.read_text() + "é")
    with pytest.raises(AlphabetError, match=r"tune0_C\.abc in C: line") as caught:
        list(eval_batches(tunes, batch_size=4, rank=0, num_processes=1, workers=workers))
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)
