from pathlib import Path

import pytest

from notagen.evaluation.floor_writer import learn, write
from notagen.evaluation.pieces import PieceFile, find_pieces
from notagen.generation.prompts import prompt_text
from notagen.generation.settings import DEFAULT_SAMPLING, Sampling
from notagen.metrics.kneser_ney import Order
from tests.evaluation.written import BACH, write_index

HEADER = "%%score 1\nL:1/8\nM:4/4\nK:C\nV:1 treble\n"
TUNES = {name: f"{HEADER}[V:1]{name}2 d2 e4|]\n" for name in "abc"}


@pytest.fixture
def pieces(tmp_path: Path) -> list[PieceFile]:
    return find_pieces(write_index(tmp_path, TUNES))


@pytest.fixture
def orders(pieces: list[PieceFile]) -> list[Order]:
    found, left_out = learn(pieces, 8)
    assert left_out == []
    return found


def test_pieces_are_like_those_learned_from(orders: list[Order]) -> None:
    (piece,) = write(orders, [BACH], Sampling(top_k=1), seed=0, max_characters=1000)
    prompt, _, tune = piece.text.partition("%end\n")
    assert prompt == piece.prompt == prompt_text(BACH)
    assert tune in TUNES.values()
    assert (piece.finished, piece.reason) == (True, "eos")


def test_each_depends_on_seed_and_place_alone(orders: list[Order]) -> None:
    def texts(count: int, seed: int) -> list[str]:
        written = write(orders, [BACH] * count, DEFAULT_SAMPLING, seed=seed, max_characters=400)
        return [piece.text for piece in written]

    first = texts(3, 1)
    assert texts(5, 1)[:3] == first
    assert texts(3, 2) != first


def test_a_piece_without_end_is_cut_off(orders: list[Order]) -> None:
    (piece,) = write(orders, [BACH], DEFAULT_SAMPLING, seed=0, max_characters=12)
    assert len(piece.text) == len(piece.prompt) + 12
    assert (piece.finished, piece.reason) == (False, "max_characters")


def test_what_cannot_be_read_is_told(pieces: list[PieceFile]) -> None:
    _, left_out = learn([*pieces, PieceFile(name="no", path=None, work="no")], 2)
    assert [line.partition(":")[0] for line in left_out] == ["no"]
