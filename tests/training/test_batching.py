import itertools
import multiprocessing
import random
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from notagen.foundation.errors import AlphabetError
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.tokenizer.patches import PatchTokenizer
from notagen.training.batching import (
    count_steps,
    deal,
    eval_batches,
    plan_epoch,
    plan_pieces,
    train_batches,
)
from notagen.training.data import TuneDataset
from notagen.training.examples import Batch
from notagen.training.notagen import TuneExamples, notagen_task
from notagen.training.settings import TrainConfig

LENGTHS = st.lists(st.integers(1, 99), min_size=1, max_size=200)


@pytest.fixture
def tunes(corpus: Path, tokenizer: PatchTokenizer) -> TuneDataset:
    return TuneDataset(corpus / "train.jsonl", tokenizer, keys="original", prompted=False, seed=0)


def by_patches(
    tunes: TuneDataset, patches_per_batch: int, sampled_share: float = 1.0
) -> TuneExamples:
    return TuneExamples(tunes, 150, patches_per_batch, sampled_share)


def song_lengths(count: int) -> NDArray[np.int32]:
    """Lengths like those of 710 art songs, whose logarithms have mean 5.98 and deviation 0.63."""
    lengths = np.random.default_rng(0).lognormal(5.98, 0.63, count)
    return np.clip(lengths, 2, 1024).astype(np.int32)


def rows(batches: Sequence[Batch]) -> list[bytes]:
    """The pieces of batches whose patches are all predicted."""
    return sorted(
        patches[mask].numpy().tobytes()
        for batch in batches
        if batch.weight
        for patches, mask, _ in zip(*batch.tensors, strict=True)
    )


@given(lengths=LENGTHS, patches_per_step=st.integers(1, 2000), epoch=st.integers(0, 3))
def test_each_piece_is_in_one_step(lengths: list[int], patches_per_step: int, epoch: int) -> None:
    steps = plan_epoch(lengths, patches_per_step=patches_per_step, seed=0, epoch=epoch)
    assert sorted(itertools.chain(*steps)) == list(range(len(lengths)))
    assert len(steps) == count_steps(lengths, patches_per_step)
    for step in steps:
        assert step.dtype == np.int64
        sizes = [lengths[piece] for piece in step]
        assert sizes
        assert sizes == sorted(sizes)
    again = plan_epoch(lengths, patches_per_step=patches_per_step, seed=0, epoch=epoch)
    assert all(np.array_equal(one, other) for one, other in zip(steps, again, strict=True))


@given(lengths=LENGTHS, patches_per_step=st.integers(100, 2000))
def test_steps_share_the_patches_evenly(lengths: list[int], patches_per_step: int) -> None:
    num_steps = count_steps(lengths, patches_per_step)
    assert num_steps == min(len(lengths), -(-sum(lengths) // patches_per_step))
    wanted = sum(lengths) / num_steps
    # where a step holds no piece's length, each still has one
    near = max(lengths) if wanted >= max(lengths) else 2 * max(lengths)
    for step in plan_epoch(lengths, patches_per_step=patches_per_step, seed=0, epoch=0):
        assert abs(sum(lengths[piece] for piece in step) - wanted) <= near


def test_no_pieces_make_no_steps() -> None:
    assert count_steps([], 9) == 0
    assert plan_epoch([], patches_per_step=9, seed=0, epoch=0) == []


@given(num_pieces=st.integers(0, 60), pieces_per_step=st.integers(1, 70), epoch=st.integers(0, 3))
def test_steps_of_equally_many_pieces(num_pieces: int, pieces_per_step: int, epoch: int) -> None:
    steps = plan_pieces(num_pieces, pieces_per_step=pieces_per_step, seed=0, epoch=epoch)
    pieces = list(itertools.chain(*steps))
    assert len(set(pieces)) == len(pieces)
    assert set(pieces) <= set(range(num_pieces))
    if num_pieces < pieces_per_step:
        assert len(pieces) == num_pieces
        assert len(steps) == (num_pieces > 0)
    else:
        assert {len(step) for step in steps} == {pieces_per_step}
        assert num_pieces - len(pieces) < pieces_per_step


def test_each_epoch_leaves_out_other_pieces() -> None:
    left = set()
    for epoch in range(40):
        steps = plan_pieces(10, pieces_per_step=4, seed=0, epoch=epoch)
        left |= set(range(10)) - set(itertools.chain(*steps))
    assert left == set(range(10))


def test_order_differs_between_epochs_and_seeds() -> None:
    lengths = song_lengths(100)
    plans = [
        [step.tolist() for step in plan_epoch(lengths, patches_per_step=1800, seed=s, epoch=e)]
        for s, e in ((0, 0), (0, 1), (1, 0))
    ]
    assert plans[0] != plans[1]
    assert plans[0] != plans[2]


@pytest.mark.parametrize(
    ("pieces", "per_step", "per_batch"),
    # four, four, sixteen pieces a batch; sixteen batches of sixteen a step
    [(200, 1800, 1800), (10_000, 1800, 1800), (2000, 7200, 7200), (20_000, 115_200, 7200)],
)
def test_little_is_padded(pieces: int, per_step: int, per_batch: int) -> None:
    lengths = song_lengths(pieces)
    real = padded = 0
    for step in plan_epoch(lengths, patches_per_step=per_step, seed=0, epoch=0):
        for (run,) in zip(
            *deal(step, lengths, patches_per_batch=per_batch, num_processes=1), strict=True
        ):
            real += int(lengths[run].sum())
            padded += len(run) * int(lengths[run].max(initial=0))
    assert real == lengths.sum()
    assert 1 - real / padded < 0.1


@pytest.mark.parametrize(
    ("pieces", "per_step", "most"),
    # the first has four steps, two of them a window
    [(60, 7200, 0.7), (100, 1800, 0.35), (500, 1800, 0.35), (500, 7200, 0.35)],
)
def test_small_sets_are_mixed_anew_each_epoch(pieces: int, per_step: int, most: float) -> None:
    lengths = song_lengths(pieces)
    companions: list[set[frozenset[int]]] = []
    for epoch in range(4):
        steps = plan_epoch(lengths, patches_per_step=per_step, seed=0, epoch=epoch)
        pairs = (itertools.combinations(step.tolist(), 2) for step in steps)
        companions.append({frozenset(pair) for pair in itertools.chain(*pairs)})
    for before, after in itertools.pairwise(companions):
        assert len(before & after) < most * len(after)


def cost(run: Sequence[int], lengths: Sequence[int]) -> int:
    return len(run) * max((lengths[piece] for piece in run), default=0)


@given(
    lengths=st.lists(st.integers(1, 60), max_size=60).map(sorted),
    patches_per_batch=st.integers(1, 200),
    num_processes=st.integers(1, 5),
)
def test_deal_gives_each_process_as_many_batches_within_the_room(
    lengths: list[int], patches_per_batch: int, num_processes: int
) -> None:
    dealt = deal(
        range(len(lengths)),
        lengths,
        patches_per_batch=patches_per_batch,
        num_processes=num_processes,
    )
    assert len(dealt) == num_processes
    assert len({len(runs) for runs in dealt}) == 1
    runs = [runs[step] for step in range(len(dealt[0])) for runs in dealt]
    assert list(itertools.chain(*runs)) == list(range(len(lengths)))
    for run in runs:
        assert cost(run, lengths) <= patches_per_batch or len(run) == 1


@settings(max_examples=400)
@given(
    lengths=st.lists(st.integers(1, 20), min_size=4, max_size=9).map(sorted),
    patches_per_batch=st.integers(9, 90),
    num_processes=st.integers(1, 3),
)
def test_no_other_deal_is_smaller(
    lengths: list[int], patches_per_batch: int, num_processes: int
) -> None:
    pieces = range(len(lengths))
    dealt = deal(pieces, lengths, patches_per_batch=patches_per_batch, num_processes=num_processes)
    largest = max(cost(run, lengths) for runs in dealt for run in runs)
    best: dict[int, int] = {}
    for bits in itertools.product([False, True], repeat=len(lengths) - 1):
        cuts = [0, *(place + 1 for place, cut in enumerate(bits) if cut), len(lengths)]
        runs = [pieces[start:end] for start, end in itertools.pairwise(cuts)]
        if all(cost(run, lengths) <= patches_per_batch or len(run) == 1 for run in runs):
            steps = -(-len(runs) // num_processes)
            worst = max(cost(run, lengths) for run in runs)
            best[steps] = min(worst, best.get(steps, worst))
    assert len(dealt[0]) == min(best)
    assert largest == best[min(best)]


def test_collate_pads_and_marks(tunes: TuneDataset) -> None:
    short, long = np.full((2, 16), 65, np.uint8), np.full((3, 16), 66, np.uint8)
    short[1, 9:] = 0
    items = [
        (short, np.array([True, True]), np.array([True, False])),
        (long, np.array([True, False, True]), np.array([True, True, False])),
    ]
    batch = by_patches(tunes, 64).collate(items)
    patches, mask, silent = batch.tensors
    assert patches.dtype == torch.uint8
    assert patches.shape == (2, 3, 16)
    assert mask.tolist() == [[True, True, False], [True, False, True]]
    assert silent.tolist() == [[True, False, False], [True, True, False]]
    assert patches[0, 2].tolist() == [0] * 16
    assert patches[1, 1].tolist() == [66] * 16
    # the first patch of each is never predicted
    assert (batch.num_targets, batch.num_patches, batch.weight) == (9 + 16, 5, 1)


def test_a_share_of_what_is_learned_is_so_without_heads(tunes: TuneDataset) -> None:
    index = tunes.index
    config = TrainConfig(
        train_index=index, eval_index=index, run_folder=index.parent, silent_share=0.25
    )
    for heads, share in (((), 0.0), ((1, 4), 0.25)):
        shape = ModelConfig(patch_layers=1, char_layers=1, hidden_size=64, ngram_heads=heads)
        task = notagen_task(NotaGen(shape), tunes, tunes, config)
        silent = np.concatenate([task.train.read((piece, 0))[2][1:] for piece in range(len(tunes))])
        assert abs(silent.mean() - share) <= 0.05 * bool(heads)
        # measured as it is written where all is known
        assert not any(task.eval.read((piece, None))[2].any() for piece in range(len(tunes)))


def test_no_tunes_are_an_empty_one_without_weight(
    tunes: TuneDataset, tokenizer: PatchTokenizer
) -> None:
    empty = by_patches(tunes, 64).collate([])
    assert (empty.num_patches, empty.weight) == (0, 0)
    patches, mask, _ = empty.tensors
    assert patches.tolist() == [[tokenizer.bos_patch, tokenizer.eos_patch]]
    assert mask.tolist() == [[True, True]]


@pytest.mark.parametrize(("workers", "num_processes"), [(0, 1), (0, 3), (2, 2)])
def test_processes_share_each_step(tunes: TuneDataset, workers: int, num_processes: int) -> None:
    examples = by_patches(tunes, 64)
    steps = examples.plan(1)
    assert len(steps) == examples.num_steps > 2
    shares = [
        list(
            train_batches(
                examples,
                steps,
                epoch=1,
                rank=rank,
                num_processes=num_processes,
                workers=workers,
            )
        )
        for rank in range(num_processes)
    ]
    for step, *batches in zip(steps, *shares, strict=True):
        assert len({len(share) for share in batches}) == 1
        seen = [batch for share in batches for batch in share]
        assert rows(seen) == sorted(tunes[int(piece), 1].tobytes() for piece in step)
        assert sum(batch.num_patches for batch in seen) == sum(
            len(tunes[int(piece), 1]) for piece in step
        )


@pytest.mark.parametrize("num_processes", [1, 3])
def test_predicted_patches_do_not_depend_on_processes(
    tunes: TuneDataset, num_processes: int
) -> None:
    steps = [list(range(len(tunes)))]
    marked = {}
    for rank in range(num_processes):
        (batches,) = train_batches(
            by_patches(tunes, 128, sampled_share=0.3),
            steps,
            epoch=2,
            rank=rank,
            num_processes=num_processes,
            workers=0,
        )
        for batch in batches:
            for patches, mask, _ in zip(*batch.tensors, strict=True):
                real = patches[patches.sum(1) > 0]
                marked[real.numpy().tobytes()] = mask[: len(real)].tolist()
                assert not mask[len(real) :].any()
    for piece in range(len(tunes)):
        patches = tunes[piece, 2]
        predicted = tunes.predicted((piece, 2), len(patches), 0.3)
        assert 1 < predicted.sum() < len(patches)
        assert marked[patches.tobytes()] == predicted.tolist()


@pytest.mark.parametrize(("room", "num_processes"), [(1, 1), (64, 1), (200, 2), (9999, 3)])
def test_evaluation_covers_each_piece_once(
    tunes: TuneDataset, room: int, num_processes: int
) -> None:
    seen: list[Batch] = []
    counts = set()
    for rank in range(num_processes):
        # that training predicts a share of the patches changes nothing here
        batches, count = eval_batches(
            by_patches(tunes, room, sampled_share=0.5),
            rank=rank,
            num_processes=num_processes,
            workers=0,
        )
        share = list(batches)
        assert len(share) == count
        counts.add(count)
        seen += share
    assert len(counts) == 1
    assert rows(seen) == sorted(tunes[piece, None].tobytes() for piece in range(len(tunes)))


def test_reading_leaves_the_global_random_states_alone(tunes: TuneDataset) -> None:
    def states() -> tuple[object, ...]:
        return torch.get_rng_state().tolist(), random.getstate(), repr(np.random.get_state())

    before = states()
    by_patches(tunes, 99).plan(0)
    list(eval_batches(by_patches(tunes, 99), rank=0, num_processes=1, workers=0)[0])
    tunes.predicted((0, 0), 9, 0.5)
    assert states() == before


def workers_left(tunes: TuneDataset, ending: str) -> list[bool]:
    """Whether each worker is still alive after reading was stopped early."""
    before = set(multiprocessing.active_children())
    steps = [[piece % len(tunes)] for piece in range(200)]
    batches = train_batches(
        by_patches(tunes, 64),
        steps,
        epoch=0,
        rank=0,
        num_processes=1,
        workers=2,
    )
    next(batches)
    workers = set(multiprocessing.active_children()) - before
    if ending == "close":
        batches.close()  # type: ignore[attr-defined]
    else:
        tunes.index.unlink()
        with pytest.raises(ValueError, match="cannot be read: No such file"):
            list(batches)
    for worker in workers:
        # a machine with other work may take its time to end a process
        worker.join(timeout=60)
    return [worker.is_alive() for worker in workers]


@pytest.mark.parametrize("ending", ["close", "raise"])
def test_workers_end_when_reading_stops_early(tunes: TuneDataset, ending: str) -> None:
    # in a process of its own: where dask ran before, its profiler keeps frames of the main thread,
    # and with them the iterator that a worker lives as long as
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as apart:
        assert apart.submit(workers_left, tunes, ending).result() == [False, False]


@pytest.mark.parametrize("workers", [0, 1])
def test_refused_text_is_one_line_from_workers_too(
    corpus: Path, tunes: TuneDataset, workers: int
) -> None:
    file = corpus / "abc/C/tune0_C.abc"
    file.write_text(file.read_text() + "é")
    examples = by_patches(tunes, 200)
    batches, _ = eval_batches(examples, rank=0, num_processes=1, workers=workers)
    with pytest.raises(AlphabetError, match=r"tune0_C\.abc in C: line") as caught:
        list(batches)
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)
