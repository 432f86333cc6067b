"""What ends a piece: its length, limits, loops, and a word from outside."""

import itertools
import re
import threading

import pytest

from notagen.generation import piece as piece_module
from notagen.generation.controls import Controls
from notagen.generation.engine import Generated, Generator
from notagen.generation.sampling import Sampling
from notagen.model.notagen import NotaGen
from tests.generation.beginnings import (
    GREEDY,
    HEADER,
    SCHUBERT,
    WILD,
    body_lines,
    one,
    writer_of,
)


@pytest.mark.parametrize("num_bars", [1, 2, 7, 30])
@pytest.mark.parametrize("sampling", [GREEDY, Sampling()])
def test_a_tune_has_the_bars_asked_for(
    trained_model: NotaGen, num_bars: int, sampling: Sampling
) -> None:
    controls = Controls(num_bars=num_bars)
    piece = one(Generator(trained_model, sampling).generate([SCHUBERT], seed=3, controls=controls))
    assert piece.finished
    lines = piece.text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("[r:"))
    assert len(lines) == first + num_bars
    for i, line in enumerate(lines[first:]):
        assert line.startswith(f"[r:{i}/{num_bars - 1 - i}]")
    assert piece.text.endswith("\n")


def test_bars_of_the_prompt_count(trained_model: NotaGen) -> None:
    generator = Generator(trained_model, GREEDY)
    text = one(generator.generate([SCHUBERT], seed=0)).text
    start = text.index("[r:3/2]") + 12  # inside the fourth bar
    piece = one(generator.generate([text[:start]], seed=0, controls=Controls(num_bars=6)))
    assert piece.text == text
    piece = one(generator.generate([text], seed=0, controls=Controls(num_bars=6)))
    assert (piece.text, piece.finished, piece.patches) == (text, True, 0)
    piece = one(generator.generate([text], seed=0, controls=Controls(max_bars=6)))
    assert (piece.text, piece.reason, piece.patches) == (text, "max_bars", 0)


def test_limits_end_a_piece_with_what_it_has(trained_model: NotaGen) -> None:
    generator = Generator(trained_model, GREEDY)
    whole = one(generator.generate([SCHUBERT], seed=0)).text

    def cut(controls: Controls) -> Generated:
        piece = one(generator.generate([SCHUBERT], seed=0, controls=controls))
        assert not piece.finished
        assert whole.startswith(piece.text)
        return piece

    piece = cut(Controls(max_patches=9))
    assert (piece.reason, piece.patches) == ("max_patches", 9)
    piece = cut(Controls(max_seconds=1e-9))
    assert (piece.reason, piece.text) == ("max_seconds", piece.prompt)
    piece = cut(Controls(max_bars=3))
    assert (piece.reason, len(body_lines(piece.text)), piece.text[-1]) == ("max_bars", 3, "\n")
    for limit in (1, 50, 200):
        piece = cut(Controls(max_characters=limit))
        assert piece.reason == "max_characters"
        assert limit <= len(piece.text) - len(piece.prompt) < limit + 16


def test_a_header_without_end_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piece_module, "_HEADER_PATCHES", 30)
    model = writer_of('V:1 nm="Violin"\n')
    for piece in Generator(model, WILD, batch_size=2).generate([None, "%Romantic\n"], seed=0):
        assert (piece.reason, piece.finished, piece.patches) == ("no_body", False, 30)
        assert piece.text == piece.prompt + 'V:1 nm="Violin"\n' * 30


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_model_in_a_loop_is_stopped(batch_size: int) -> None:
    looping = writer_of("[r:1/9][V:1]c4|\n")
    generator = Generator(looping, WILD, batch_size=batch_size)
    controls = Controls(max_repeats=5, max_retries=3)
    for piece in generator.generate([HEADER] * 3, seed=0, controls=controls):
        assert (piece.reason, piece.finished, piece.retries) == ("loop", False, 3)
        assert [line[7:] for line in body_lines(piece.text)] == ["[V:1]c4|"] * 6
    controls = Controls(max_repeats=5, max_retries=3, num_bars=9)
    piece = one(generator.generate([HEADER], seed=0, controls=controls))
    assert (piece.finished, len(body_lines(piece.text))) == (True, 9)


@pytest.mark.parametrize("valid_bars", [False, True])
def test_a_way_out_of_a_loop_is_found(valid_bars: bool) -> None:
    notes = "cde" if valid_bars else "cdef"
    model = writer_of(*(f"[r:1/9][V:1]{note}4|\n" for note in notes))
    controls = Controls(max_repeats=2, max_bars=50, valid_bars=valid_bars)
    piece = one(Generator(model, WILD).generate([HEADER], seed=0, controls=controls))
    # its first counter plans ten bars, which valid_bars keeps to
    assert piece.reason == ("eos" if valid_bars else "max_bars")
    assert piece.retries > 0
    music = "".join(re.findall(r"\[V:1\](.)", piece.text))
    assert re.fullmatch(f"[{notes}]{{{10 if valid_bars else 50}}}", music)
    assert not re.search(r"(.{1,8})\1\1", music)


def test_pieces_are_stopped_with_what_they_have(trained_model: NotaGen) -> None:
    generator = Generator(trained_model, GREEDY, batch_size=3)
    told: dict[int, str] = {}

    def on_text(index: int, text: str) -> None:
        told[index] = told.get(index, "") + text
        if index == 2 and "[r:" in text:
            generator.stop()

    endless = Controls(num_bars=10_000)
    whole = one(
        Generator(trained_model, GREEDY).generate([SCHUBERT], seed=0, controls=Controls())
    ).text
    pieces = list(generator.generate([SCHUBERT] * 9, seed=0, controls=endless, on_text=on_text))
    assert sorted(piece.index for piece in pieces) == [0, 1, 2]
    for piece in pieces:
        assert (piece.reason, piece.finished) == ("stopped", False)
        assert piece.text == told[piece.index]
        assert 0 < piece.patches < 100
        assert piece.text[: whole.index("[r:")] == whole[: whole.index("[r:")]
    # and it goes on as before
    assert one(generator.generate([SCHUBERT], seed=0)).text == whole


def test_another_thread_stops_a_piece(trained_model: NotaGen) -> None:
    generator = Generator(trained_model, GREEDY, batch_size=2)
    timer = threading.Timer(0.3, generator.stop)
    timer.start()
    pieces = list(generator.generate([SCHUBERT] * 2, seed=0, controls=Controls(num_bars=10**6)))
    timer.join()
    assert [piece.reason for piece in pieces] == ["stopped"] * 2
    assert all(piece.patches > 0 for piece in pieces)


def test_stopped_before_it_began_nothing_is_written(trained_model: NotaGen) -> None:
    generator = Generator(trained_model, GREEDY)
    pieces = generator.generate([SCHUBERT], seed=0)
    generator.stop()
    assert list(pieces) == []
    assert one(generator.generate([SCHUBERT], seed=0)).finished


def test_stopped_between_two_pieces_no_other_begins(trained_model: NotaGen) -> None:
    generator = Generator(trained_model, GREEDY)
    found = []
    for piece in generator.generate(itertools.repeat(SCHUBERT), seed=0):
        found.append(piece)
        generator.stop()
    assert [piece.finished for piece in found] == [True]
