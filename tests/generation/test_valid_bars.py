"""Bars that hold what was asked for, whatever the model would write."""

import re

import pytest
import torch

from notagen.generation import piece as piece_module
from notagen.generation.bars import BarRules
from notagen.generation.cache import CachedModel
from notagen.generation.controls import Controls
from notagen.generation.engine import Generated, Generator
from notagen.generation.finish import finish
from notagen.generation.header import HeaderWishes
from notagen.generation.prompts import Prompt
from notagen.generation.requests import Request
from notagen.generation.sampling import Sampling
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.notation.checks import check_alignment
from notagen.notation.musicxml import abc_to_musicxml
from notagen.notation.tune import defined_voices
from notagen.tokenizer.windows import split_header

WILD = Sampling(top_k=0, top_p=1.0, temperature=1.3)
GREEDY = Sampling(top_k=1, top_p=1.0, temperature=1.0)
SCHUBERT = Prompt("Romantic", "Schubert, Franz", "Art Song")


@pytest.fixture
def untrained_model() -> NotaGen:
    """A model that knows no more of music than that lines end, and some begin with a bracket."""
    torch.manual_seed(0)
    shape = ModelConfig(patch_length=64, patch_layers=1, char_layers=1, hidden_size=64)
    model = NotaGen(shape).eval()
    characters = model.char_decoder
    characters.transformer.norm.bias.data.fill_(0.5)
    for character, weight in (("\n", 0.1), ("[", 0.07), ("V", 0.07), (":", 0.07)):
        characters.table.data[ord(character)] += weight
    return model


def pieces(
    model: NotaGen,
    sampling: Sampling = WILD,
    *,
    valid_bars: bool,
    max_retries: int = 12,
    count: int = 3,
) -> list[Generated]:
    controls = Controls(num_bars=5, valid_bars=valid_bars, max_retries=max_retries, max_patches=200)
    generator = Generator(model, sampling, batch_size=count)
    found = generator.generate([SCHUBERT] * count, seed=1, controls=controls)
    return sorted(found, key=lambda piece: piece.index)


def faulty_bars(piece: Generated, fixed: str = "") -> list[str]:
    """Return what is wrong with the bars that the model wrote."""
    header, body = split_header(piece.text)
    given = sum(line.endswith("\n") for line in split_header(piece.prompt)[1])
    rules = BarRules("".join(header), fixed=fixed)
    faults = []
    for number, line in enumerate(body):
        if not line.endswith("\n"):
            break
        fault = rules.find_fault(line, closed=True)
        if fault and number >= given:
            faults.append(f"{line}: {fault.what}")
        rules.accept(line)
    return faults


def test_every_bar_that_stays_is_sound(trained_model: NotaGen) -> None:
    plain, checked = (pieces(trained_model, valid_bars=on) for on in (False, True))
    assert sum(len(faulty_bars(piece)) for piece in plain) > 0
    assert all((piece.retries, piece.mended) == (0, ()) for piece in plain)
    assert [faulty_bars(piece) for piece in checked] == [[], [], []]
    assert sum(piece.retries for piece in checked) > 0
    for piece in checked:
        assert piece.finished
        tune = finish(piece.text, finished=True)
        assert not tune.repairs
        assert check_alignment(tune.abc).ok
        assert "<part " in abc_to_musicxml(tune.standard)


def test_mended_bars_are_listed(trained_model: NotaGen, monkeypatch: pytest.MonkeyPatch) -> None:
    mended: list[str] = []

    class Watched(BarRules):
        def mended(self, line: str) -> str:
            mended.append(super().mended(line))
            return mended[-1]

    monkeypatch.setattr(piece_module, "BarRules", Watched)
    found = pieces(trained_model, valid_bars=True, max_retries=0)
    assert all(piece.retries == 0 for piece in found)
    assert sum(len(piece.mended) for piece in found) == len(mended) > 0
    for piece in found:
        assert faulty_bars(piece) == []
        body = split_header(piece.text)[1]
        assert [body[number - 1] in mended for number in piece.mended] == [True] * len(piece.mended)


def test_retries_mend_fewer_bars(trained_model: NotaGen) -> None:
    none, many = (pieces(trained_model, valid_bars=True, max_retries=n) for n in (0, 16))
    assert sum(len(piece.mended) for piece in many) < sum(len(piece.mended) for piece in none)
    assert all(piece.retries <= 16 * 5 + 16 * 20 for piece in many)


def test_a_piece_is_as_long_as_its_first_counter_plans(trained_model: NotaGen) -> None:
    def counters(*, valid_bars: bool) -> list[tuple[str, list[str]]]:
        controls = Controls(valid_bars=valid_bars, max_patches=300)
        generator = Generator(trained_model, WILD, batch_size=6)
        found = generator.generate([SCHUBERT] * 6, seed=3, controls=controls)
        return [(piece.reason, re.findall(r"^\[r:[^]]*\]", piece.text, re.M)) for piece in found]

    def wanted(written: list[str]) -> list[str]:
        num_bars = int(re.findall(r"\d+", written[0])[1]) + 1
        return [f"[r:{i}/{num_bars - 1 - i}]" for i in range(num_bars)]

    kept = counters(valid_bars=True)
    assert all(written == wanted(written)[: len(written)] for _, written in kept)
    ended = [written for reason, written in kept if reason == "eos"]
    assert len(ended) > 2
    assert all(written == wanted(written) for written in ended)
    assert any(written != wanted(written) for _, written in counters(valid_bars=False))


def test_a_prompt_that_has_all_its_bars_gets_no_more(trained_model: NotaGen) -> None:
    header = "%%score { 1 | 2 }\nL:1/8\nM:4/4\nK:C\nV:1 treble\nV:2 bass\n"
    bars = ["[V:1]C8|\n", "[V:1]D8|\n"]
    controls = Controls(valid_bars=True, max_patches=40)

    def written(*counters: str) -> str:
        prompt = header + "".join(map("".join, zip(counters, bars, strict=True)))
        (piece,) = Generator(trained_model).generate([prompt], seed=0, controls=controls)
        return piece.text.removeprefix(prompt)

    assert written("[r:0/1]", "[r:1/0]") == ""
    assert written("[r:0/2]", "[r:1/1]").startswith("[r:2/0]")
    assert written("[r:0/0]", "[r:1/0]") != ""  # which says two things at once


def test_a_sound_piece_is_the_same_with_and_without(trained_model: NotaGen) -> None:
    plain, checked = (
        next(Generator(trained_model, GREEDY).generate([SCHUBERT], seed=0, controls=controls))
        for controls in (Controls(), Controls(valid_bars=True))
    )
    assert faulty_bars(plain) == []
    assert (plain.text, checked.retries) == (checked.text, 0)


def test_a_bar_taken_back_leaves_no_trace_in_the_cache(
    trained_model: NotaGen, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [piece.text for piece in pieces(trained_model, valid_bars=True)]
    unread = piece_module.Piece.unread

    def read_everything_afresh(self: piece_module.Piece) -> tuple[int, list[list[int]]]:
        kept, new = unread(self)
        assert len(self.tune.patches) == kept + len(new)  # all of it fits
        return 0, self.tune.patches

    monkeypatch.setattr(piece_module.Piece, "unread", read_everything_afresh)
    assert [piece.text for piece in pieces(trained_model, valid_bars=True)] == wanted


def test_cache_lengths_follow_what_was_taken_back(
    trained_model: NotaGen, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts: list[int] = []
    cut = CachedModel.cut

    def watched(self: CachedModel, slot: int, length: int) -> None:
        cuts.append(self.lengths[slot] - min(length, self.lengths[slot]))
        cut(self, slot, length)

    monkeypatch.setattr(CachedModel, "cut", watched)
    (piece,) = pieces(trained_model, valid_bars=True, count=1)
    assert piece.retries > 0
    assert max(cuts) < 30  # only what changed is read again


@pytest.mark.parametrize("unfinished", ["[r:0/2][V:1]CCC", "[r:0/2][V:1]CCCCCCCCCCCCCCC|", "[r:0"])
def test_the_bar_that_the_prompt_began_is_not_taken_back(
    trained_model: NotaGen, unfinished: str
) -> None:
    prompt = "%%score { 1 | 2 }\nL:1/8\nM:4/4\nK:C\nV:1 treble\nV:2 bass\n" + unfinished
    controls = Controls(num_bars=3, valid_bars=True, max_retries=5, max_patches=200)
    found = Generator(trained_model, WILD, batch_size=3).generate(
        [prompt] * 3, seed=2, controls=controls
    )
    for piece in found:
        assert piece.text.startswith(prompt)
        assert piece.text.count("\n[r:") == 3
        assert all(fault.startswith("[r:0") for fault in faulty_bars(piece))
        assert piece.patches > 0


WISHES = [
    HeaderWishes(key="E flat"),
    HeaderWishes(metre="3/4", tempo=72),
    HeaderWishes(instruments=("Violin", "Viola", "Cello"), key="f# minor"),
    HeaderWishes(instruments=("Voice, Piano",), metre="C|", tempo="1/2=60", key="Bb"),
]


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_wishes_are_obeyed_by_any_model(
    trained_model: NotaGen, untrained_model: NotaGen, trained: bool, batch_size: int
) -> None:
    controls = Controls(num_bars=4, valid_bars=True, max_retries=2, max_patches=300)
    model = trained_model if trained else untrained_model
    generator = Generator(model, WILD, batch_size=batch_size)
    prompts = [Request(prompt=SCHUBERT, controls=controls, wishes=wishes) for wishes in WISHES]
    found = {piece.index: piece for piece in generator.generate(prompts, seed=0)}
    assert len(found) == len(WISHES)
    assert sum(piece.finished for piece in found.values()) >= 2
    for index, wishes in enumerate(WISHES):
        piece = found[index]
        header, body = split_header(piece.text)
        for lines in wishes.lines().values():
            for line in lines:
                assert header.count(f"{line}\n") == 1
        for name, lines in wishes.lines().items():
            of_field = [line for line in header if line.startswith(f"{name}:")]
            assert len(of_field) == len(lines) or name == "%%score"
        if wishes.instruments:
            assert len(defined_voices(header)) == len(wishes.lines()["V"])
            marks = set(re.findall(r"\[V:([^\]]*)\]", "".join(body)))
            assert marks <= set(defined_voices(header))
        if piece.reason == "no_body" and not wishes.instruments:
            continue  # a model that never opens the bars has none
        assert (piece.finished, len(body)) == (True, 4)
        fixed = "".join(name for name in wishes.lines() if name in ("K", "M", "Q"))
        assert faulty_bars(piece, fixed) == []


def test_without_wishes_and_rules_the_model_is_free(trained_model: NotaGen) -> None:
    free = Controls(max_patches=60)
    generator = Generator(trained_model, WILD)
    plain = [piece.text for piece in generator.generate([SCHUBERT] * 3, seed=7, controls=free)]
    asked = [Request(prompt=SCHUBERT, controls=free, wishes=HeaderWishes())] * 3
    assert [piece.text for piece in generator.generate(asked, seed=7)] == plain
