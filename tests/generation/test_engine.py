import itertools
import re
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from notagen.foundation.errors import AlphabetError, InputError
from notagen.generation import engine
from notagen.generation.controls import Controls
from notagen.generation.engine import Generated, Generator, piece_seed
from notagen.generation.prompts import Prompt, prompt_text
from notagen.generation.sampling import Sampling
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.tokenizer.patches import PatchTokenizer

Arrays = Callable[[str], dict[str, NDArray[np.generic]]]
GREEDY = Sampling(top_k=1, top_p=1.0, temperature=1.0)
SCHUBERT = Prompt("Romantic", "Schubert, Franz", "Art Song")
TOKENIZER = PatchTokenizer()


@pytest.fixture
def random_model() -> NotaGen:
    torch.manual_seed(0)
    shape = ModelConfig(patch_length=16, patch_layers=1, char_layers=1, hidden_size=64)
    return NotaGen(shape).eval()


def one(pieces: Iterator[Generated]) -> Generated:
    (piece,) = pieces
    return piece


def body_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("[r:")]


def test_greedy_bytes_are_the_original_ones(trained_model: NotaGen, golden_arrays: Arrays) -> None:
    arrays = golden_arrays("greedy_tiny_trained")
    prompt = TOKENIZER.decode(arrays["prompt_patches"].tolist())
    assert prompt == prompt_text(SCHUBERT)
    expected = TOKENIZER.decode(arrays["generated_after_eos_zeroed"].tolist())
    piece = one(Generator(trained_model, GREEDY).generate([SCHUBERT], seed=0))
    assert piece.text == prompt + expected
    assert (piece.finished, piece.reason, piece.patches) == (True, "eos", 39)
    assert (piece.index, piece.prompt, piece.seed) == (0, prompt, 0)
    assert piece.seconds > 0


def test_an_open_patch_is_gone_on_from(trained_model: NotaGen, golden_arrays: Arrays) -> None:
    arrays = golden_arrays("greedy_tiny_trained")
    prompt = prompt_text(SCHUBERT) + TOKENIZER.decode([arrays["forced_prefix"].tolist()])
    expected = TOKENIZER.decode([arrays["forced_generated"].tolist()])
    pieces = Generator(trained_model, GREEDY).generate(
        [prompt], seed=0, controls=Controls(max_patches=1)
    )
    assert one(pieces).text == prompt + expected


def test_a_piece_depends_on_seed_index_and_prompt_alone(trained_model: NotaGen) -> None:
    controls = Controls(max_patches=20)
    generator = Generator(trained_model)

    def texts(prompts: list[Prompt | str | None], seed: int) -> list[str]:
        return [piece.text for piece in generator.generate(prompts, seed=seed, controls=controls)]

    first = texts([SCHUBERT, SCHUBERT, None], 1)
    assert texts([SCHUBERT, SCHUBERT, None], 1) == first
    assert texts(["%Other\n", None, None], 1)[2] == first[2]
    assert first[0] != first[1]
    assert texts([SCHUBERT], 2) != first[:1]


def test_seeds_of_pieces_are_apart() -> None:
    seeds = {piece_seed(seed, index) for seed in range(20) for index in range(20)}
    assert len(seeds) == 400
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_prompts_are_taken_as_they_are_needed(trained_model: NotaGen) -> None:
    pieces = Generator(trained_model).generate(
        itertools.repeat(None), seed=0, controls=Controls(max_patches=2)
    )
    assert [piece.index for piece in itertools.islice(pieces, 3)] == [0, 1, 2]


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


def test_the_body_begins_with_a_counter(random_model: NotaGen) -> None:
    controls = Controls(max_patches=60)
    pieces = Generator(random_model, Sampling(top_k=0, top_p=1.0)).generate(
        [None] * 20, seed=0, controls=controls
    )
    opened = [match[0] for p in pieces if (match := re.search(r"^\[.*", p.text, re.MULTILINE))]
    assert opened
    assert all(line.startswith("[r:0/") for line in opened)


def test_marks_are_never_text(random_model: NotaGen) -> None:
    pieces = list(
        Generator(random_model, Sampling(top_k=0, top_p=1.0, temperature=2.0)).generate(
            [None, "[V:1]"], seed=5, controls=Controls(max_patches=100)
        )
    )
    for piece in pieces:
        assert piece.patches == 100 or piece.finished
        assert not set(piece.text) & set("\x00\x01\x02")


def test_limits_end_a_piece_with_what_it_has(trained_model: NotaGen) -> None:
    generator = Generator(trained_model, GREEDY)
    whole = one(generator.generate([SCHUBERT], seed=0)).text
    cut = one(generator.generate([SCHUBERT], seed=0, controls=Controls(max_patches=9)))
    assert (cut.finished, cut.reason, cut.patches) == (False, "max_patches", 9)
    assert whole.startswith(cut.text)
    cut = one(generator.generate([SCHUBERT], seed=0, controls=Controls(max_seconds=1e-9)))
    assert (cut.finished, cut.reason, cut.text) == (False, "max_seconds", cut.prompt)


def test_text_is_told_as_it_is_written(trained_model: NotaGen) -> None:
    told: list[tuple[int, str]] = []
    prompts = [SCHUBERT, None, "%Romantic\nL:1/"]
    generator = Generator(trained_model)
    pieces = list(
        generator.generate(
            prompts,
            seed=0,
            controls=Controls(max_patches=12),
            on_text=lambda index, text: told.append((index, text)),
        )
    )
    for piece in pieces:
        parts = [text for index, text in told if index == piece.index]
        assert "".join(parts) == piece.text
        assert len(parts) == piece.patches + bool(piece.prompt)
        assert all(parts)


@pytest.mark.parametrize("sampling", [GREEDY, Sampling()])
def test_the_window_slides_over_a_long_tune(
    trained_model: NotaGen, sampling: Sampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts: list[tuple[str, str]] = []

    class Watched(engine.GrowingTune):
        def context(self) -> list[list[int]]:
            rows = super().context()
            contexts.append((TOKENIZER.decode(rows), TOKENIZER.decode(self.patches)))
            assert len(rows) <= 64
            return rows

    monkeypatch.setattr(engine, "GrowingTune", Watched)
    controls = Controls(num_bars=40)
    piece = one(Generator(trained_model, sampling).generate([SCHUBERT], seed=1, controls=controls))
    assert len(body_lines(piece.text)) == 40
    assert len(contexts) >= 4
    header = piece.text[: piece.text.index("[r:0/")]
    for shown, so_far in contexts:
        assert shown.startswith(header)
        rest = shown.removeprefix(header)
        assert so_far.endswith(rest)
        assert piece.text.startswith(so_far)
        assert rest.startswith("[r:")
        assert so_far[-1] != "\n" or shown.endswith("\n")


def test_a_slid_window_is_read_as_if_it_were_new(trained_model: NotaGen) -> None:
    generator = Generator(trained_model, GREEDY)
    whole = one(generator.generate([SCHUBERT], seed=0, controls=Controls(num_bars=30))).text
    tune = engine.GrowingTune(PatchTokenizer(16, 64), whole)
    shown = TOKENIZER.decode(tune.context())
    more = Controls(max_patches=3)
    after_whole = one(generator.generate([whole], seed=0, controls=more)).text
    after_shown = one(generator.generate([shown], seed=0, controls=more)).text
    assert after_whole.removeprefix(whole) == after_shown.removeprefix(shown)


def test_a_model_in_training_mode_is_refused(trained_model: NotaGen) -> None:
    with pytest.raises(ValueError, match="training mode"):
        Generator(trained_model.train())


def test_a_model_of_no_numbers_is_an_error(trained_model: NotaGen) -> None:
    trained_model.char_decoder.table.data.fill_(torch.nan)
    with pytest.raises(InputError, match="NaN or infinite"):
        one(Generator(trained_model).generate([None], seed=0))


def test_a_prompt_outside_the_alphabet_is_refused(trained_model: NotaGen) -> None:
    with pytest.raises(AlphabetError, match="line 1, column 2"):
        one(Generator(trained_model).generate(["%\x01"], seed=0))


def test_sixteen_bit_weights_write_too(trained_model: NotaGen) -> None:
    generator = Generator(trained_model.bfloat16(), GREEDY)
    piece = one(generator.generate([SCHUBERT], seed=0, controls=Controls(num_bars=3)))
    assert len(body_lines(piece.text)) == 3
