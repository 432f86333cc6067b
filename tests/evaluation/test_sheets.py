from pathlib import Path

import pytest

from notagen.evaluation.pieces import PieceFile
from notagen.evaluation.sheets import choose_pairs, judgement_figures
from notagen.foundation.errors import InputError
from notagen.generation.prompts import Prompt
from notagen.render.sheet import Answer

BAROQUE = Prompt("Baroque", "Bach, Johann Sebastian", "Choral")
ROMANTIC = Prompt("Romantic", "Schubert, Franz", "Art Song")


def written(
    folder: Path, name: str, prompt: Prompt | None = None, *, bars: int = 2, sound: bool = True
) -> PieceFile:
    path = folder / f"{name}.abc"
    path.parent.mkdir(parents=True, exist_ok=True)
    body = "[V:1]c4 d4|\n" * bars if sound else ""
    path.write_text(f"%%score 1\nL:1/8\nM:4/4\nK:C\nV:1 treble\n{body}")
    return PieceFile(name=name, path=path, work=name, prompt=prompt)


def test_pieces_of_the_same_kind_meet(tmp_path: Path) -> None:
    ours = [written(tmp_path, f"g{n}", (BAROQUE, ROMANTIC)[n % 2]) for n in range(6)]
    theirs = [written(tmp_path, f"r{n}", (BAROQUE, ROMANTIC)[n % 2]) for n in range(6)]
    pairs, refused = choose_pairs(ours, theirs, count=6, max_bars=4, seed=0)
    assert refused == []
    assert {pair.generated_name for pair in pairs} == {piece.name for piece in ours}
    assert {pair.reference_name for pair in pairs} == {piece.name for piece in theirs}
    for pair in pairs:
        assert int(pair.generated_name[1]) % 2 == int(pair.reference_name[1]) % 2


def test_no_real_piece_is_met_twice(tmp_path: Path) -> None:
    ours = [written(tmp_path, f"g{n}") for n in range(7)]
    theirs = [written(tmp_path, f"r{n}") for n in range(3)]
    pairs, _ = choose_pairs(ours, theirs, count=20, max_bars=4, seed=0)
    met = [pair.reference_name for pair in pairs]
    assert sorted(met) == ["r0", "r1", "r2"]


def test_the_seed_draws(tmp_path: Path) -> None:
    ours = [written(tmp_path, f"g{n}") for n in range(6)]
    theirs = [written(tmp_path, f"r{n}") for n in range(6)]
    first, again, other = (
        choose_pairs(ours, theirs, count=3, max_bars=4, seed=seed)[0] for seed in (0, 0, 1)
    )
    assert first == again != other
    assert len(first) == 3


def test_pieces_are_cut_to_their_first_bars(tmp_path: Path) -> None:
    ours, theirs = [written(tmp_path, "g", bars=9)], [written(tmp_path, "r", bars=3)]
    ((_, generated, _, reference),), _ = choose_pairs(ours, theirs, count=1, max_bars=5, seed=0)
    assert [document.count("<measure ") for document in (generated, reference)] == [5, 3]


def test_what_cannot_be_read_is_told_and_another_piece_taken(tmp_path: Path) -> None:
    ours = [written(tmp_path, "g0", sound=False), written(tmp_path, "g1")]
    theirs = [written(tmp_path, f"r{n}", sound=n == 3) for n in range(4)]
    pairs, refused = choose_pairs(ours, theirs, count=2, max_bars=4, seed=0)
    assert [(pair.generated_name, pair.reference_name) for pair in pairs] == [("g1", "r3")]
    assert {line.split(":")[0] for line in refused} <= {"g0", "r0", "r1", "r2"}
    assert any(line.startswith("g0: ") for line in refused)
    with pytest.raises(InputError, match="found no two pieces to compare, the first for: g0: "):
        choose_pairs(ours[:1], theirs, count=2, max_bars=4, seed=0)
    with pytest.raises(InputError, match="found no two pieces to compare"):
        choose_pairs(ours, theirs[:3], count=2, max_bars=4, seed=0)


def answer(preference: int | None, right: float | None) -> Answer:
    return Answer("me", "p", preference, right, 3.0, "some", "")


def test_what_people_said() -> None:
    given = [(2, 1.0), (1, 0.0), (0, 0.5), (-2, 1.0), (None, None)]
    found = judgement_figures([answer(*one) for one in given], seed=0)
    assert (found["preferred"].value, found["preferred"].n) == (2.5 / 4, 4)
    assert (found["told_apart"].value, found["told_apart"].n) == (2.5 / 4, 4)
    assert 0 <= found["preferred"].low <= 2.5 / 4 <= found["preferred"].high <= 1
    nothing = judgement_figures([answer(None, None)], seed=0)
    assert nothing["preferred"].n == nothing["told_apart"].n == 0
    with pytest.raises(InputError, match="found no answer"):
        judgement_figures([], seed=0)
