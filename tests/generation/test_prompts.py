import pytest

from notagen.foundation.errors import InputError
from notagen.generation.prompts import Prompt, prompt_text, training_prompt_lines

SCHUBERT = Prompt("Romantic", "Schubert, Franz", "Art Song")
TEXT = "%Romantic\n%Schubert, Franz\n%Art Song\n"


def test_a_prompt_is_three_comment_lines() -> None:
    assert prompt_text(SCHUBERT) == TEXT
    assert prompt_text(None) == ""


def test_text_is_folded_to_ascii() -> None:
    assert prompt_text(Prompt("Barock", "Händel", "Chœur")) == "%Barock\n%Handel\n%Choeur\n"
    assert prompt_text("%Dvořák\r\nT:x") == "%Dvorak\nT:x"


@pytest.mark.parametrize("value", ["", "  ", "a\nb", "a\r", "a\u2028b", "a\x0cb", "a\x01b"])
def test_a_field_is_one_line_of_text(value: str) -> None:
    with pytest.raises(InputError, match="composer"):
        Prompt("Romantic", value, "Art Song")


def test_training_text_has_a_fourth_line() -> None:
    assert training_prompt_lines(SCHUBERT) == [*TEXT.splitlines(keepends=True), "%end\n"]


def test_prompts_are_read_off_a_text() -> None:
    assert Prompt.parse(TEXT) == SCHUBERT
    assert Prompt.parse(TEXT.rstrip("\n")) == SCHUBERT
    assert Prompt.parse(TEXT + "%end\n%%score 1\nL:1/8\n") == SCHUBERT
    assert Prompt.parse("%Romantic\n%%score 1\n%x\n") is None
    assert Prompt.parse("L:1/8\n") is None
