import pytest

from notagen.generation.controls import Controls
from notagen.generation.engine import Generated, Generator
from notagen.generation.finish import line_faults
from notagen.generation.prompts import Prompt
from notagen.generation.sampling import Sampling
from notagen.model.notagen import NotaGen
from notagen.tokenizer.windows import split_header

WILD = Sampling(top_k=0, top_p=1.0, temperature=1.3)
SCHUBERT = Prompt("Romantic", "Schubert, Franz", "Art Song")


def pieces(model: NotaGen, *, valid_bars: bool, max_retries: int = 300) -> list[Generated]:
    controls = Controls(num_bars=5, valid_bars=valid_bars, max_retries=max_retries, max_patches=400)
    return list(Generator(model, WILD).generate([SCHUBERT] * 3, seed=1, controls=controls))


def faulty_bars(piece: Generated) -> int:
    header, body = split_header(piece.text)
    whole = [line for line in body if line.endswith("\n")]
    return sum(bool(line_faults(line, "".join(header))) for line in whole)


def test_faulty_bars_are_written_again_until_they_are_sound(trained_model: NotaGen) -> None:
    plain, checked = (pieces(trained_model, valid_bars=on) for on in (False, True))
    assert sum(map(faulty_bars, plain)) > 0
    assert sum(piece.retries for piece in checked) > 0
    assert [faulty_bars(piece) for piece in checked] == [0, 0, 0]
    assert all(piece.retries == 0 for piece in plain)


def test_a_bar_stays_once_the_retries_are_used_up(trained_model: NotaGen) -> None:
    for piece in pieces(trained_model, valid_bars=True, max_retries=0):
        assert piece.retries == 0
    given_up = pieces(trained_model, valid_bars=True, max_retries=1)
    assert sum(map(faulty_bars, given_up)) > 0
    assert all(piece.retries <= 5 for piece in given_up)


def test_a_sound_piece_is_the_same_with_and_without(trained_model: NotaGen) -> None:
    greedy = Sampling(top_k=1, top_p=1.0, temperature=1.0)
    plain, checked = (
        next(Generator(trained_model, greedy).generate([SCHUBERT], seed=0, controls=controls))
        for controls in (Controls(), Controls(valid_bars=True))
    )
    assert plain.text == checked.text


def test_only_what_stays_is_shown(trained_model: NotaGen) -> None:
    shown: list[str] = []
    controls = Controls(num_bars=5, valid_bars=True, max_patches=400)
    piece = next(
        Generator(trained_model, WILD).generate(
            [SCHUBERT], seed=1, controls=controls, on_text=lambda _, text: shown.append(text)
        )
    )
    assert piece.retries > 0
    assert "".join(shown) == piece.text


def test_a_bar_taken_back_leaves_no_trace_in_the_cache(
    trained_model: NotaGen, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [piece.text for piece in pieces(trained_model, valid_bars=True)]

    def read_everything_afresh(self: Generator, *_: object) -> int:
        self._model.forget()
        return 0

    monkeypatch.setattr(Generator, "_rewind", read_everything_afresh)
    assert [piece.text for piece in pieces(trained_model, valid_bars=True)] == wanted


def test_the_bar_that_the_prompt_began_is_not_taken_back(trained_model: NotaGen) -> None:
    prompt = "%%score { 1 | 2 }\nL:1/8\nM:4/4\nK:C\nV:1 treble\nV:2 bass\n[r:0/2][V:1]CCC"
    controls = Controls(num_bars=3, valid_bars=True, max_retries=50, max_patches=400)
    pieces = Generator(trained_model, WILD).generate([prompt] * 3, seed=2, controls=controls)
    for piece in pieces:
        assert piece.text.startswith(prompt)
        assert piece.text.count("[r:0/2]") == 1
        assert piece.patches > 0


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("[V:1]c4|[V:2]C4|", None),
        ("[r:3/4][V:1]c4|", None),
        ("[V:1]c4|[V:2]C3|", "lasts"),
        ("[V:1]c4|[V:1]C4|", "besides"),
        ("[V:1]c4|[V:3]C4|", "defines no such voice"),
        ("[V:1][ce4|[V:2]C4|", "closed"),
        ("[V:1]c4|[V:2]C4||", "barlines"),
        ("[V:1]c2|d2|[V:2]C2|D2|", "inside"),
        ("no voice", "no voice"),
    ],
)
def test_what_makes_a_bar_faulty(line: str, fault: str | None) -> None:
    faults = line_faults(line + "\n", "K:C\nV:1 treble\nV:2 bass\n")
    assert bool(faults) == bool(fault)
    assert not fault or fault in " ".join(faults)
