import pytest

from notagen.foundation.errors import NotationError
from notagen.generation.finish import finish
from notagen.metrics.validity import check_validity
from notagen.notation.musicxml import abc_to_musicxml

PROMPT = "%Baroque\n%Bach, J. S.\n%Choral\n"
HEADER = "%%score 1 2\nL:1/8\nM:4/4\nK:C\nV:1 treble\nV:2 bass\n"


def mended(*body: str, finished: bool = True) -> tuple[list[str], tuple[str, ...]]:
    """Return the body lines of the finished tune, and what was mended."""
    text = HEADER + "".join(f"{line}\n" for line in body)
    tune = finish(text, finished=finished)
    return [line for line in tune.abc.splitlines() if line.startswith("[V:")], tune.repairs


def test_a_sound_piece_needs_no_mending() -> None:
    text = f"{PROMPT}{HEADER}[r:0/1][V:1]c8|[V:2]C8|\n[r:1/0][V:1]d8|]\n"
    tune = finish(text, finished=True)
    assert tune.repairs == ()
    assert tune.abc == f"{PROMPT}X:1\n{HEADER}[V:1]c8|[V:2]C8|\n[V:1]d8|][V:2]z8|]\n"
    assert finish(tune.abc, finished=True) == tune


@pytest.mark.parametrize(
    ("line", "whole", "repairs"),
    [
        ("[V:1][ce|[V:2]C|", "[V:1][ce]|[V:2]C|", ["bar 1, V:1: closed `chord_open`"]),
        ("[V:1]{gc|[V:2]C|", "[V:1]{gc}|[V:2]C|", ["bar 1, V:1: closed `grace_open`"]),
        ("[V:1][ce[gc]|[V:2]C|", "[V:1][ce][gc]|[V:2]C|", ["bar 1, V:1: closed `chord_open`"]),
        ("[V:1]c]d|[V:2]C2|", "[V:1]cd|[V:2]C2|", ["bar 1, V:1: dropped a stray `]`"]),
        ("[V:1]c}d|[V:2]C2|", "[V:1]cd|[V:2]C2|", ["bar 1, V:1: dropped a stray `}`"]),
        ('[V:1]"c d|[V:2]C2|', "[V:1]c d|[V:2]C2|", ['bar 1, V:1: dropped a stray `"`']),
        ("[V:1]c&d|[V:2]C2|", "[V:1]cd|[V:2]C2|", ["bar 1, V:1: dropped a stray `&`"]),
        ("[V:1]c\x01d|[V:2]C2|", "[V:1]cd|[V:2]C2|", ["bar 1, V:1: dropped a stray `'\\x01'`"]),
        (
            "[V:1]c|[V:2]C|[V:1]d|",
            "[V:1]c|[V:2]C|",
            ["bar 1, V:1: dropped what the voice has besides its bar"],
        ),
        (
            "[V:1]c|[V:7]C|",
            "[V:1]c|[V:2]z|",
            ["bar 1, V:7: dropped, as the header defines no such voice"],
        ),
    ],
)
def test_faults_are_mended_and_named(line: str, whole: str, repairs: list[str]) -> None:
    assert mended(line) == ([whole], tuple(repairs))
    assert check_validity(f"{HEADER}{whole}\n").parses


def test_text_that_no_voice_has_is_dropped() -> None:
    body, repairs = mended("[V:1]c|[V:2]C|", "[r:1/0]cde[V:1]d|[V:2]D|")
    assert body == ["[V:1]c|[V:2]C|", "[V:1]d|[V:2]D|"]
    assert repairs == ("bar 2: dropped 'cde', which no voice has",)


def test_the_begun_bar_of_a_cut_off_piece_is_dropped() -> None:
    text = f"{HEADER}[r:0/9][V:1]c8|[V:2]C8|\n[r:1/8][V:1]d4 e"
    tune = finish(text, finished=False)
    assert tune.abc.splitlines()[-1] == "[V:1]c8|[V:2]C8|"
    assert (tune.repairs, tune.cut_bar) == ((), 2)
    # cut off between two bars, nothing is begun
    assert finish(text[: text.index("[r:1")], finished=False).cut_bar is None
    # a piece that came to its end keeps its last bar, line end or not
    whole = finish(text.replace("d4 e", "d8|]"), finished=True)
    assert whole.abc.splitlines()[-1] == "[V:1]d8|][V:2]z8|]"
    assert (whole.repairs, whole.cut_bar) == ((), None)


@pytest.mark.parametrize(
    ("text", "finished"),
    [("", True), (HEADER, True), (PROMPT, False), (f"{HEADER}[r:0/3][V:1]c4", False)],
)
def test_no_whole_bar(text: str, finished: bool) -> None:
    with pytest.raises(NotationError, match="found no whole bar in what the model wrote"):
        finish(text, finished=finished)


def test_an_own_number_is_kept() -> None:
    assert finish(f"X:7\n{HEADER}[V:1]c|\n", finished=True).abc.count("X:") == 1


def test_the_standard_form_has_voice_after_voice() -> None:
    tune = finish(f"{HEADER}[r:0/1][V:1]c8|[V:2]C8|\n[r:1/0][V:2]D8|]\n", finished=True)
    assert tune.standard == f"X:1\n{HEADER}V:1\nc8 | z8 |]\nV:2\nC8 | D8 |]\n"
    assert abc_to_musicxml(tune.standard) == abc_to_musicxml(tune.abc)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("[V:1]c0|", "bar 2, V:1: found length '0', wanted a positive number of usual size"),
        ("[V:1](0c|", "bar 2, V:1: found tuplet '(0', wanted one such as (3 or (3:2:3"),
        ("[V:2]|", "bar 2, V:2: found no note or rest"),
    ],
)
def test_a_bar_in_which_no_voice_can_be_read(line: str, problem: str) -> None:
    with pytest.raises(NotationError) as error:
        finish(f"{HEADER}[V:1]c|\n{line}\n[V:1]d|\n", finished=True)
    assert str(error.value) == problem


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("c0", "found length '0', wanted a positive number of usual size"),
        ("c'''''''", "found a note in octave 12, wanted one in 0 to 9"),
        ("(0c", "found tuplet '(0', wanted one such as (3 or (3:2:3"),
        ("[]c", "found `]`, wanted notes of a chord before it"),
        ("[K:H]c", "K:H: found no key, wanted one such as Eb or F#min"),
        ("[M:x]c", "found metre 'x', wanted one such as 3/4"),
        ("[L:x]c", "found unit note length 'x', wanted one such as 1/8"),
        ("Z0", "found 'Z0', wanted bars to rest, such as Z or Z4"),
    ],
)
def test_what_does_not_convert_names_bar_and_voice(cell: str, problem: str) -> None:
    tune = finish(f"{HEADER}[V:1]c|\n[V:1]d|[V:2]{cell}|\n", finished=True)
    for text in (tune.abc, tune.standard):
        with pytest.raises(NotationError) as error:
            abc_to_musicxml(text)
        assert str(error.value) == f"bar 2, V:2: {problem}"


def test_a_voice_with_nothing_in_its_bar_has_no_standard_form() -> None:
    tune = finish(f"{HEADER}[V:1]c|[V:2]C|\n[V:1]d|[V:2]|\n", finished=True)
    with pytest.raises(NotationError, match="bar 2: found nothing in V:2, wanted a rest"):
        _ = tune.standard
