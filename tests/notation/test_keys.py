import time

import pytest

from notagen.foundation.errors import NotationError
from notagen.notation.keys import (
    KEYS,
    Key,
    Move,
    fifths_of,
    key_fifths,
    parse_key,
    signature_alteration,
    spell,
    spelled,
)

# the circle of fifths, as any theory book prints it
SHARPS = {"C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5, "F#": 6, "C#": 7}
FLATS = {"F": -1, "Bb": -2, "Eb": -3, "Ab": -4, "Db": -5, "Gb": -6, "Cb": -7}


def test_the_15_keys() -> None:
    assert {key: key_fifths(key) for key in KEYS} == SHARPS | FLATS
    assert all(Key(fifths, "", "").signature == name for name, fifths in (SHARPS | FLATS).items())


@pytest.mark.parametrize(
    ("value", "key", "signature"),
    [
        ("Eb", Key(-3, "", ""), "Eb"),
        ("F#min", Key(3, "min", ""), "A"),
        ("Am", Key(0, "m", ""), "C"),
        ("A minor", Key(0, "minor", ""), "C"),
        ("Cmaj", Key(0, "maj", ""), "C"),
        ("Ddor", Key(0, "dor", ""), "C"),
        ("D Dorian", Key(0, "Dorian", ""), "C"),
        ("GMix", Key(0, "Mix", ""), "C"),
        ("Ephr", Key(0, "phr", ""), "C"),
        ("Flyd", Key(0, "lyd", ""), "C"),
        ("Bloc", Key(0, "loc", ""), "C"),
        ("Aaeo", Key(0, "aeo", ""), "C"),
        ("Cion", Key(0, "ion", ""), "C"),
        ("Abm", Key(-7, "m", ""), "Cb"),
        ("A#min", Key(7, "min", ""), "C#"),
        ("G clef=bass", Key(1, "", " clef=bass"), "G"),
        ("G middle=d", Key(1, "", " middle=d"), "G"),
        ("eB", Key(-3, "", ""), "Eb"),
        (" Bb ", Key(-2, "", ""), "Bb"),
    ],
)
def test_keys_with_modes(value: str, key: Key, signature: str) -> None:
    parsed = parse_key(value)
    assert parsed == key
    assert parsed.signature == signature
    assert parse_key(parsed.text) == key


@pytest.mark.parametrize(
    "value", ["none", "", "bass", "clef=alto", "treble-8", "perc", "tab", "HP"]
)
def test_no_key(value: str) -> None:
    assert parse_key(value) is None


@pytest.mark.parametrize("value", ["G#", "Fb", "D#maj", "Fbmin", "H", "?", "baritone", "Gx"])
def test_keys_that_cannot_be_written(value: str) -> None:
    with pytest.raises(NotationError) as caught:
        parse_key(value)
    assert str(caught.value).startswith(f"K:{value}: found ")


def test_a_long_field_is_not_repeated_in_full() -> None:
    with pytest.raises(NotationError) as caught:
        parse_key("[" * 5000)
    assert len(str(caught.value)) < 120


def test_unknown_written_key_lists_the_known_ones() -> None:
    with pytest.raises(NotationError, match=r"found key 'G#', wanted one of C# F# B .* Cb"):
        key_fifths("G#")


def test_signatures() -> None:
    for name, fifths in (SHARPS | FLATS).items():
        altered = {letter: signature_alteration(fifths, letter) for letter in "FCGDAEB"}
        sharp = set("FCGDAEB"[: max(fifths, 0)])
        flat = set("BEADGCF"[: max(-fifths, 0)])
        assert {k for k, v in altered.items() if v == 1} == sharp, name
        assert {k for k, v in altered.items() if v == -1} == flat, name
        assert set(altered.values()) <= {-1, 0, 1}


def test_line_of_fifths() -> None:
    assert [spell(fifths) for fifths in range(-9, 14)] == [
        *("Bbb", "Fb", "Cb", "Gb", "Db", "Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B"),
        *("F#", "C#", "G#", "D#", "A#", "E#", "B#", "F##"),
    ]
    for fifths in range(-20, 21):
        assert fifths_of(*spelled(fifths)) == fifths


def test_moves() -> None:
    up = Move(0, 2)  # from C to D
    assert (up.key, up.shift) == (2, 2)
    assert up.pitch(("C", 0), 1) == (("D", 0), 1)
    assert up.pitch(("B", 0), 0) == (("C", 1), 1)
    assert up.chord_symbol("Am7/E") == "Bm7/F#"
    assert up.chord_symbol("Adagio") == "Adagio"
    assert up.chord_symbol("Bbb7/F##") == "Cb7/A"


def test_odd_words_are_read_at_once() -> None:
    start = time.monotonic()
    assert Move(0, 2).chord_symbol("C" + "0m" * 5000 + "x").startswith("C0m")
    assert time.monotonic() - start < 1
    # seven sharps more: B major would have twelve, so it becomes C and moves by five flats
    assert (Move(5, 7).key, Move(5, 7).shift) == (0, -5)
    assert Move(0, 7).respells(("B", 0), 2)
    assert Move(0, 7).pitch(("B", 0), 2) == (("C", 1), 2)
    assert not Move(0, 7).respells(("B", 0), 1)
