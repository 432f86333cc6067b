"""Pieces longer than the context: the window that slides over them."""

import dataclasses

import pytest
import torch
from torch import Tensor

from notagen.generation import engine
from notagen.generation.cache import CachedModel
from notagen.generation.controls import Controls
from notagen.generation.engine import Generator
from notagen.generation.piece import Piece
from notagen.generation.prompts import prompt_text
from notagen.generation.requests import Request
from notagen.model.notagen import NotaGen
from notagen.tokenizer.patches import PatchTokenizer
from notagen.tokenizer.windows import split_header
from tests.generation.beginnings import (
    GREEDY,
    HEADER,
    SCHUBERT,
    body_lines,
    one,
    opening,
)

TOKENIZER = PatchTokenizer()


class Reading:
    """What the model of a run reads, seen from outside, and the same read afresh."""

    def __init__(self, model: NotaGen, monkeypatch: pytest.MonkeyPatch) -> None:
        self.slides = self.steps = self.taken_back = self.taken_back_at_once = 0
        reading = self
        shown: dict[int, list[list[int]]] = {}
        just_slid: set[int] = set()
        limit = model.config.patch_length
        queue: list[Piece] = []

        class WatchedPiece(Piece):
            def unread(self) -> tuple[int, list[list[int]]]:
                kept, new = super().unread()
                before = shown.get(id(self), [])
                rows = shown[id(self)] = before[:kept] + new
                queue.append(self)
                assert new
                assert len(rows) <= limit
                if len(rows) < len(self.tune.patches):
                    is_back = 0 < kept < len(before)
                    reading.taken_back += is_back
                    reading.taken_back_at_once += is_back and id(self) in just_slid
                    just_slid.discard(id(self))
                    if kept == 0:
                        reading.slides += 1
                        just_slid.add(id(self))
                text, so_far = TOKENIZER.decode(rows), TOKENIZER.decode(self.tune.patches)
                header = "".join(split_header(so_far)[0])
                assert text.startswith(header)
                newest = text.removeprefix(header)
                assert so_far.removeprefix(header).endswith(newest)
                assert not newest or newest.startswith("[r:")
                return kept, new

        class WatchedModel(CachedModel):
            def step(self, patches: Tensor) -> Tensor:
                hidden = super().step(patches)
                pieces, queue[:] = queue[:], []
                for row, piece in zip(hidden, pieces, strict=True):
                    rows = torch.tensor(shown[id(piece)])[None]
                    expected = model.patch_decoder(rows)[0, -1]
                    torch.testing.assert_close(row, expected, atol=1e-5, rtol=0)
                    reading.steps += 1
                return hidden

        monkeypatch.setattr(engine, "Piece", WatchedPiece)
        monkeypatch.setattr(engine, "CachedModel", WatchedModel)


def with_context(model: NotaGen, patch_length: int) -> NotaGen:
    """Return the model with fewer positions."""
    weights = model.state_dict()
    name = "patch_decoder.transformer.positions"
    weights[name] = weights[name][:patch_length]
    shorter = NotaGen(dataclasses.replace(model.config, patch_length=patch_length)).eval()
    shorter.load_state_dict(weights)
    return shorter


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_window_slides_and_is_read_as_if_it_were_new(
    trained_model: NotaGen, batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = with_context(trained_model, 48)
    reading = Reading(model, monkeypatch)
    num_bars = 240 if batch_size == 1 else 60
    generator = Generator(model, batch_size=batch_size)
    prompts = [prompt_text(SCHUBERT), HEADER, opening(31)][:batch_size]
    num_patches = 0
    for piece in generator.generate(prompts, seed=1, controls=Controls(num_bars=num_bars)):
        num_patches += piece.patches
        written = body_lines(piece.text.removeprefix(piece.prompt))
        given = len(body_lines(piece.prompt))
        assert len(written) == num_bars - given
        for i, line in enumerate(written, start=given):
            assert line.startswith(f"[r:{i}/{num_bars - 1 - i}]")
    assert num_patches > 480
    assert reading.steps >= num_patches  # a body's first patch is drawn twice
    assert reading.slides >= 10


@pytest.mark.parametrize("batch_size", [1, 3])
def test_bars_are_taken_back_right_after_the_window_slid(
    trained_model: NotaGen, batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = with_context(trained_model, 48)
    reading = Reading(model, monkeypatch)
    controls = Controls(num_bars=120 // batch_size, valid_bars=True, max_retries=2)
    generator = Generator(model, batch_size=batch_size)
    prompts = [prompt_text(SCHUBERT), HEADER, opening(31)][:batch_size]
    for piece in generator.generate(prompts, seed=1, controls=controls):
        assert piece.finished
        assert len(body_lines(piece.text)) == 120 // batch_size
        assert piece.retries > 10
    assert reading.slides >= 5
    assert reading.taken_back > 50
    assert reading.taken_back_at_once > 0


def test_a_slid_window_leads_to_what_follows_it_alone(trained_model: NotaGen) -> None:
    generator = Generator(trained_model, GREEDY)
    whole = one(generator.generate([SCHUBERT], seed=0, controls=Controls(num_bars=30))).text
    tune = Piece(Request(prompt=whole), 0, 0, PatchTokenizer(16, 64), None).tune
    head, start = tune.context()
    assert 0 < head < start
    shown = TOKENIZER.decode(tune.patches[:head] + tune.patches[start:])
    more = Controls(max_patches=3)
    after_whole = one(generator.generate([whole], seed=0, controls=more)).text
    after_shown = one(generator.generate([shown], seed=0, controls=more)).text
    assert after_whole.removeprefix(whole) == after_shown.removeprefix(shown)
