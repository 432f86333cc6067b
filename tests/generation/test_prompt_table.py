import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notagen.foundation.errors import InputError, MissingInputError
from notagen.generation.prompt_table import (
    PROMPT_TABLE,
    find_prompt,
    nearest_prompts,
    need_prompt_table,
    read_prompt_table,
    write_prompt_table,
)
from notagen.generation.prompts import Prompt, draw_prompts
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.model.weights import WEIGHTS_NAME, copy_in_half_precision, save_model

SONG = Prompt("Romantic", "Schubert, Franz", "Art Song")
QUARTET = Prompt("Classical", "Haydn, Joseph", "Chamber")
DUMKY = Prompt("Romantic", "Dvořák, Antonín", "Chamber")
KNOWN = {SONG: 120, QUARTET: 40, DUMKY: 7}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shape = ModelConfig(patch_length=8, patch_layers=1, char_layers=1, hidden_size=64)
    save_model(NotaGen(shape), tmp_path / "weights")
    return tmp_path / "weights"


def test_a_table_lies_beside_the_weights_and_goes_with_them(folder: Path, tmp_path: Path) -> None:
    assert read_prompt_table(folder) == {}
    with pytest.raises(
        MissingInputError, match=rf"found no prompts in a {PROMPT_TABLE} beside the weights"
    ):
        need_prompt_table(folder)
    write_prompt_table(KNOWN, folder)
    assert need_prompt_table(folder) == KNOWN
    assert read_prompt_table(folder) == read_prompt_table(folder / WEIGHTS_NAME) == KNOWN
    rows = json.loads((folder / PROMPT_TABLE).read_text(encoding="utf-8"))
    assert [row["pieces"] for row in rows] == [40, 7, 120]
    copy_in_half_precision(folder, tmp_path / "copy")
    assert read_prompt_table(tmp_path / "copy") == KNOWN
    write_prompt_table({}, folder)
    assert read_prompt_table(folder) == {}


def test_what_is_no_table_is_told(folder: Path, tmp_path: Path) -> None:
    for wrong in (
        "{",
        "7",
        "[7]",
        '[{"pieces": 3}]',
        '[{"period": "a", "composer": "b", "instrumentation": "c", "pieces": 0}]',
        '[{"period": "a", "composer": "%b", "instrumentation": "c", "pieces": 1}]',
        '[{"period": "a", "composer": "b", "instrumentation": "c", "era": "d", "pieces": 1}]',
    ):
        (folder / PROMPT_TABLE).write_text(wrong)
        with pytest.raises(InputError, match=rf"{PROMPT_TABLE}: found no list of .*"):
            read_prompt_table(folder)
    with pytest.raises(MissingInputError):
        read_prompt_table(tmp_path / "nothing")


def test_spelling_beyond_ascii_is_no_other_prompt() -> None:
    assert find_prompt(Prompt("Romantic", "Dvorak, Antonin", "Chamber"), KNOWN) == DUMKY
    assert find_prompt(Prompt("Romantic", "Dvorak, Antonin", "Art Song"), KNOWN) is None


def test_the_nearest_are_first_those_of_the_composer() -> None:
    assert nearest_prompts(Prompt("Romantic", "schubert", "Chamber"), KNOWN)[0] == SONG
    assert nearest_prompts(Prompt("Baroque", "Haydn", "Art Song"), KNOWN, 1) == [QUARTET]


@given(wanted=st.sampled_from(list(KNOWN)), count=st.integers(1, 4))
def test_a_known_prompt_is_nearest_to_itself(wanted: Prompt, count: int) -> None:
    found = nearest_prompts(wanted, KNOWN, count)
    assert found[0] == wanted == find_prompt(wanted, KNOWN)
    assert len(found) == len(set(found)) == min(count, 3)


@given(count=st.integers(0, 30), more=st.integers(0, 30), seed=st.integers(0, 10**6))
def test_drawing_more_changes_none_before(count: int, more: int, seed: int) -> None:
    first = draw_prompts(KNOWN, count=count, seed=seed)
    turned = dict(reversed(KNOWN.items()))
    assert draw_prompts(turned, count=count + more, seed=seed)[:count] == first
    assert len(first) == count


def test_prompts_are_drawn_by_the_pieces_behind_them() -> None:
    drawn = Counter(draw_prompts(KNOWN, count=10_000, seed=0))
    for prompt, pieces in KNOWN.items():
        assert drawn[prompt] / 10_000 == pytest.approx(pieces / 167, abs=0.02)
