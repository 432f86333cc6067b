import pytest

from notagen.notation.clean import clean, to_ascii

DIRTY = """X:1
T:Der Lindenbaum
C:Schubert
Z:somebody % 2020
%%score { 1 | 2 }
%%MIDI program 0
L:1/8
Q:1/4=120
M:3/4 % metre
I:linebreak $
K:E % four sharps
V:1 treble nm="Flöte\\n:I" snm="Fl."
V:2 bass
% a comment
V:1
"^Più mosso" c4   d2 | % 1
w: Am Brun-nen
[I:staff 2] e6 |]
V:2
C6 | "" E6 |]
"""


def music(line: str) -> str:
    return clean(f"K:C\n{line}\n").splitlines()[1]


def test_what_is_kept() -> None:
    assert clean(DIRTY).splitlines() == [
        "%%score { 1 | 2 }",
        "L:1/8",
        "Q:1/4=120",
        "M:3/4",
        "K:E",
        'V:1 treble nm="Flote I" snm="Fl."',
        "V:2 bass",
        "V:1",
        '"^Piu mosso" c4 d2 |',
        "[I:staff 2] e6 |]",
        "V:2",
        "C6 | E6 |]",
    ]
    assert clean(clean(DIRTY)) == clean(DIRTY)


def test_prompt_lines_are_kept_and_other_comments_are_not() -> None:
    text = "%Romantic\n%Liszt, Franz\n%Keyboard\nX:1\n%x\nK:C\n%y\nc8|\n"
    assert clean(text) == "%Romantic\n%Liszt, Franz\n%Keyboard\nK:C\nc8|\n"


@pytest.mark.parametrize(
    ("dirty", "tidy"),
    [
        ('"^50% |: x" c', '"^50% |: x" c'),
        ('"^a \\" b" c', '"^a \' b" c'),
        ('"^« dolce »" c', '"^<< dolce >>" c'),
        ('"^' + "x" * 39 + '" c', '"^' + "x" * 39 + '" c'),
        ('"^' + "x" * 40 + '" c', "c"),
        ("!!c !fermata!d", "c !fermata!d"),
        ("c\t d  e", "c d e"),
        ("c d \\", "c d"),
        ('"^see [V:2]" c', '"^see [V 2]" c'),
        ('c "@sffz" d', 'c "@sffz" d'),
        ("(13:8:13c d!fermata! .| e !x3! :|", "(13:8:13c d!fermata! .| e !x3! :|"),
        ("c \x07d", "c d"),
        ("^c_d=e[ceg](3abc{g}a>b c-c", "^c_d=e[ceg](3abc{g}a>b c-c"),
    ],
)
def test_music(dirty: str, tidy: str) -> None:
    assert music(dirty) == tidy


def test_folding_to_ascii() -> None:
    assert to_ascii("Dvořák") == "Dvorak"
    assert to_ascii("“p”") == "'p'"
    assert to_ascii('"p"') == '"p"'
    assert to_ascii("plain") == "plain"
