import dataclasses
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from notagen.candidates import gather, keep_best, load_score, score_with
from notagen.features.scoring import Reference, judge
from notagen.foundation.errors import InputError, NotationError
from notagen.foundation.features import FeatureSet
from notagen.generation.engine import Generated

PROMPT = "%Romantic\n%Schubert, Franz\n%Art Song\n"
SONG = ("Romantic", "Schubert, Franz", "Art Song")
SOUND = f"{PROMPT}L:1/8\nM:4/4\nK:C\nV:1 treble\n[r:0/0][V:1]c8|\n"


def piece(index: int, **other: object) -> Generated:
    known = Generated(
        index=index,
        prompt=PROMPT,
        seed=0,
        text=SOUND,
        finished=True,
        reason="eos",
        patches=9,
        retries=0,
        mended=(),
        seconds=0.5,
    )
    return dataclasses.replace(known, **other)


def indices(groups: Iterator[list[Generated]]) -> list[list[int]]:
    return [[one.index for one in group] for group in groups]


def test_candidates_are_gathered_as_the_last_of_them_ends() -> None:
    ended = map(piece, (4, 1, 0, 3, 2, 5, 8))
    assert indices(gather(ended, 3)) == [[0, 1, 2], [3, 4, 5], [8]]
    assert indices(gather(map(piece, (1, 0, 2)), 1)) == [[1], [0], [2]]


def test_what_is_unfinished_comes_before_an_error() -> None:
    def pieces() -> Iterator[Generated]:
        yield from map(piece, (2, 0, 1))
        raise InputError("of one prompt")

    found = []
    with pytest.raises(InputError, match="of one prompt"):
        found.extend(gather(pieces(), 2))
    assert [[one.index for one in group] for group in found] == [[0, 1], [2]]


def kept(scores: Sequence[float | None], *candidates: Generated) -> tuple[Generated, object]:
    given = dict(zip((one.index for one in candidates), scores, strict=True))

    def score(one: Generated) -> float:
        found = given[one.index]
        if found is None:
            raise NotationError("bar 1: nothing there")
        return found

    return keep_best(candidates, 3, score)


def test_the_best_is_kept_under_the_index_of_its_wish() -> None:
    best, facts = kept((0.25, 0.5, -0.125), piece(6), piece(7), piece(8))
    assert best == piece(2)
    assert facts == {"score": 0.5, "candidates": [0.25, 0.5, -0.125], "candidate": 1}


def test_one_that_fails_is_never_the_best() -> None:
    best, facts = kept((None, -0.5, None), piece(0), piece(1, text="b"), piece(2))
    assert best == piece(0, text="b")
    assert facts == {"score": -0.5, "candidates": [None, -0.5, None], "candidate": 1}
    best, facts = kept((None,) * 3, piece(0, text="a"), piece(1), piece(2))
    assert best == piece(0, text="a")
    assert facts == {"score": None, "candidates": [None] * 3, "candidate": 0}


def test_a_choice_that_was_stopped_says_so() -> None:
    cut = {"finished": False, "reason": "stopped"}
    best, _ = kept((0.5, 0.25, 0.125), piece(0), piece(1), piece(2, **cut))
    assert (best.finished, best.reason) == (True, "stopped")
    best, facts = kept((0.5, 0.75), piece(0), piece(1))
    assert (best.index, best.reason) == (0, "stopped")
    assert facts == {"score": 0.75, "candidates": [0.5, 0.75], "candidate": 1}


def test_a_fault_of_ours_is_told_and_the_run_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def score(one: Generated) -> float:
        if one.index:
            raise KeyError("ours")
        return 0.5

    _, facts = keep_best([piece(0), piece(1)], 2, score)
    assert facts["candidates"] == [0.5, None]
    assert "candidate 1 could not be scored" in caplog.text


def test_a_reference_of_another_extractor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = SimpleNamespace(name="m3", weights_sha256="ab", features=None)
    module = SimpleNamespace(Extractor=lambda _, device: made if device.type == "cpu" else None)
    monkeypatch.setitem(sys.modules, "notagen.features.extract", module)
    for sha256, refused in (("ab", False), ("cd", True)):
        features = FeatureSet(("a",), np.ones((1, 2), dtype=np.float32), "m3", sha256)
        real = Reference(features, (None,))
        with pytest.raises(InputError, match=r"weights cd\), w") if refused else nullcontext():
            load_score(Path("weights"), real, torch.device("cpu"))


def test_a_candidate_is_scored_beside_real_pieces_of_its_prompt() -> None:
    matrix = np.array([[1, 0], [1, 1], [0, 1]], dtype=np.float32)
    real = Reference(FeatureSet(("a", "b", "c"), matrix, "m3", None), (SONG, SONG, None))
    heard = []

    def extract(abc: str) -> NDArray[np.float32]:
        heard.append(abc)
        return np.array([3, 1], dtype=np.float32)

    score = score_with(extract, real)
    (with_prompt,), (without,) = (
        judge(np.array([[3.0, 1.0]]), [labels], real) for labels in (SONG, None)
    )
    assert score(piece(0)) == with_prompt.prompt_score
    assert score(piece(0, prompt="")) == without.prompt_score
    assert with_prompt.prompt_score != without.prompt_score
    # as it stands in interleaved/: finished, without prompt and counters
    assert "[V:1]c8|" in heard[0]
    assert "[r:" not in heard[0]
    for text in ("no music", SOUND.replace("c8", "e0")):
        with pytest.raises(NotationError):
            score(piece(0, text=text))
    assert len(heard) == 2
