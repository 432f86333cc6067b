import dataclasses
from pathlib import Path

import pytest
import torch

from benchmarks import controls
from benchmarks.controls import Wish, changed_notes, continued, obeyed, random_wishes, shortcomings
from benchmarks.raw_reader import read_document
from notagen.generation.engine import Generator
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.notation.musicxml import abc_to_musicxml
from notagen.tokenizer.patches import PatchTokenizer

CONFIG = ModelConfig(patch_length=24, patch_layers=1, char_layers=1, hidden_size=64)
WISH = Wish(
    fifths=-3, minor=True, metre="6/8", tempo=60, num_bars=2, parts=("Bb Clarinet", "Piano")
)
TUNE = """%%score 1 { 2 | 3 }
L:1/8
Q:3/8=60
M:6/8
K:Cmin
V:1 treble transpose=-2 nm="Bb Clarinet"
V:2 treble nm="Piano"
V:3 bass
[V:1][K:Dmin]d6|[V:2]c6|[V:3]C6|
[V:1]z6|[V:2]c3 e3|[V:3]C6|]
"""


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(NotaGen(CONFIG).eval(), batch_size=4)


def found(tune: str, **wishes: object) -> set[str]:
    return set(shortcomings(abc_to_musicxml(tune), dataclasses.replace(WISH, **wishes)))


def test_a_score_as_asked_for_falls_short_in_nothing() -> None:
    assert not found(TUNE)


@pytest.mark.parametrize(
    ("there", "instead", "what"),
    [
        ("K:Cmin\n", "K:Gmin\n", {"key"}),
        ("[K:Dmin]", "", {"key"}),
        ("c3 e3", "c3 [K:Ab]e3", {"key"}),
        ("M:6/8", "M:3/4", {"metre"}),
        ("[V:1]z6", "[V:1][M:3/4]z6", {"metre"}),
        ("Q:3/8=60\n", "", {"tempo"}),
        ("3/8=60", "1/4=60", {"tempo"}),
        ("[V:2]c3", "[V:2][Q:3/8=90]c3", {"tempo"}),
        ("[V:1]z6|", "[V:1]z6|[V:2]c6|[V:3]C6|\n[V:1]z6|", {"bars"}),
        ("Piano", "Organ", {"instruments"}),
        ("transpose=-2 ", "", {"key", "instruments"}),
        ("1 { 2 | 3 }", "1 2 3", {"instruments"}),
    ],
)
def test_what_a_score_has_instead_is_told(there: str, instead: str, what: set[str]) -> None:
    assert TUNE.count(there) == 1
    assert found(TUNE.replace(there, instead)) == what


@pytest.mark.parametrize(("fifths", "sharps"), [(-3, -1), (7, -3), (-7, -5)])
def test_a_part_that_transposes_has_a_signature_of_its_own(fifths: int, sharps: int) -> None:
    assert sharps in controls._signatures(fifths, -2)
    assert fifths not in controls._signatures(fifths, -2)
    assert controls._signatures(fifths, -12) == [fifths]


def test_one_changed_note_is_found() -> None:
    source, other = (
        read_document(abc_to_musicxml(tune)) for tune in (TUNE, TUNE.replace("e3", "f3"))
    )
    assert not changed_notes(source, source, 2)
    assert len(changed_notes(source, other, 2)) == 2
    assert not changed_notes(source, other, 1)


def test_wishes_are_of_all_kinds() -> None:
    wishes = random_wishes(200, 1)
    assert {wish.fifths for wish in wishes} == set(range(-7, 8))
    assert {wish.metre for wish in wishes} == set(controls.METRES)
    assert {wish.minor for wish in wishes} == {True, False}
    assert sum(bool(wish.parts) for wish in wishes) == 100
    for wish in wishes:
        assert wish.request().controls.num_bars == wish.num_bars


def test_a_model_that_has_learned_nothing_obeys(
    generator: Generator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(controls, "ENSEMBLES", ("Voice, Piano", "Guitar"))  # a few voices: faster
    monkeypatch.setattr(controls, "FEWEST_BARS", 1)
    monkeypatch.setattr(controls, "MOST_BARS", 2)
    table = obeyed(generator, random_wishes(8, 3), seed=1)
    assert "short" not in table, capsys.readouterr().err
    assert "| key | 8 of 8 | met |" in table
    assert "| instruments | 4 of 4 | met |" in table


def test_openings_come_back_though_the_context_is_smaller(
    generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controls, "MORE_BARS", 1)
    header, bars = TUNE.split("[V:1]", 1)[0], "[V:1]z6|[V:2]c2d2e2|[V:3]C,6|\n"
    body = "".join(bars.replace("d", note) for note in "abfgabfgab")
    (tmp_path / "piece.musicxml").write_text(abc_to_musicxml(header + body))
    table = continued(generator, PatchTokenizer(16, 24), [tmp_path / "piece.musicxml"], seed=1)
    assert table.count("| 1 of 1 | met |") == 3
    assert table.endswith("1 outgrew the model's context of 24 patches.")
