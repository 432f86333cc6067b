"""Hand-worked cases; the general rule is tested in test_properties.py."""

import re

import pytest

from notagen.foundation.errors import NotationError
from notagen.notation.keys import KEYS
from notagen.notation.transpose import transpose


def moved(music: str, source: str, target: str) -> str:
    """Move a line of music of a one-voice tune from key to key."""
    lines = transpose(f"L:1/8\nK:{source}\n[V:1]{music}\n", target).splitlines()
    assert lines[0] == "L:1/8"
    return lines[2].removeprefix("[V:1]")


def test_the_same_key_changes_nothing() -> None:
    abc = "X:1\r\nK:G\n[V:1]^FGA  |\n\n"
    assert transpose(abc, "G") == abc


@pytest.mark.parametrize(
    ("source", "target", "written"),
    [
        ("C", "D", "D"),
        ("F#min", "C", "Amin"),
        ("Am", "Eb", "Cm"),
        ("Ddor", "G", "Ador"),
        ("Gmix", "Bb", "Fmix"),
        ("Eb clef=bass", "D", "D clef=bass"),
        ("none", "Eb", "Eb"),
    ],
)
def test_keys_keep_their_mode(source: str, target: str, written: str) -> None:
    assert f"\nK:{written}\n" in transpose(f"X:1\nK:{source}\nc8|\n", target)


@pytest.mark.parametrize(
    ("source", "target", "before", "after"),
    [
        ("C", "D", "CDEF GABc|", "DEFG ABcd|"),
        ("C", "D", "^F F|=F F|", "^G G|=G G|"),
        ("C", "F", "c' C, B|", "f' F, e|"),
        ("C", "G", "c C,|", "G G,,|"),
        ("G", "Eb", "^FGA|", "=DEF|"),
        ("C", "B", "^C _D|", "^B, =C|"),
        # an accidental holds for its octave and its bar alone
        ("C", "D", "^F f F|F|", "^G g G|G|"),
        # chords, graces, rests and lengths
        ("C", "D", "[CE^G]2 {^c}d/ z3 (3CDE|", "[DF^A]2 {^d}e/ z3 (3DEF|"),
        # directions and decorations are words
        ("C", "D", '"^Allegro" !trill!C "_G" .D|', '"^Allegro" !trill!D "_G" .E|'),
    ],
)
def test_notes(source: str, target: str, before: str, after: str) -> None:
    assert moved(before, source, target) == after


def test_ties_carry_accidentals_over_the_barline() -> None:
    # the second F is sharp by the tie, the third natural again
    assert moved("^F-|F F|", "C", "D") == "^G-|G G|"
    assert moved("^F-|F F|", "C", "Ab") == "=D-|D D|"
    assert moved("[^FA]-|[FA] F|", "C", "Ab") == "[=DF]-|[DF] D|"


def test_keys_within_the_tune() -> None:
    assert moved("F|[K:G]F|[K:bass]F|[K:Am]F|", "C", "D") == "G|[K:A]G|[K:bass]G|[K:Bm]G|"
    assert moved("[K:none]F|", "G", "A") == "[K:D]G|"


def test_key_changes_beyond_seven_accidentals_are_respelled() -> None:
    # up a semitone from C: B major would have 12 sharps, so it becomes C
    assert moved("C|[K:B]B,|", "C", "C#") == "C|[K:C]C|"


def test_key_lines_under_a_voice_count_for_it_alone() -> None:
    abc = "K:C\nV:1\nV:2\nV:1\nK:F\n_B B|\nV:2\nB|\n"
    # F moves down a semitone to E: Fb would have eight flats; V:2 moves to Cb
    assert transpose(abc, "Cb") == "K:Cb\nV:1\nV:2\nV:1\nK:E\n=A A|\nV:2\nB|\n"


def test_clef_line_leaves_the_key_alone() -> None:
    assert transpose("K:D\nV:1\nK:bass\nFC|\n", "E") == "K:E\nV:1\nK:bass\nGD|\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"C"', '"D"'),
        ('"Am7/E"', '"Bm7/F#"'),
        ('"F#dim"', '"G#dim"'),
        ('"Bbmaj7"', '"Cmaj7"'),
        ('"Gsus4"', '"Asus4"'),
        ('"^C"', '"^C"'),
        ('"Adagio"', '"Adagio"'),
        ('"D.C."', '"D.C."'),
        ('"Fine"', '"Fine"'),
    ],
)
def test_chord_symbols_move_and_words_do_not(before: str, after: str) -> None:
    assert moved(f"{before}z|", "C", "D") == f"{after}z|"


@pytest.mark.parametrize("clef", ["perc", "clef=perc"])
def test_percussion_stays(clef: str) -> None:
    abc = f"K:C\nV:1 treble\nV:2 {clef}\nK:none\n[V:1]C|[V:2][K:none]^C[CE]|\n"
    assert transpose(abc, "D") == (
        f"K:D\nV:1 treble\nV:2 {clef}\nK:none\n[V:1]D|[V:2][K:none]^C[CE]|\n"
    )


def test_never_a_triple_accidental() -> None:
    sharp = "".join(f"^^{letter}" for letter in "CDEFGAB")
    flat = "".join(f"__{letter}" for letter in "CDEFGAB")
    for source in KEYS:
        for target in KEYS:
            text = moved(f"{sharp}|{flat}|", source, target)
            assert not re.search(r"[\^_]{3}|\^_|_\^", text), (source, target)
    # an augmented unison up, B double sharp would be triple: the same pitch is C double sharp
    assert moved("^^B|", "C", "C#") == "^^c|"


def test_prompts_fields_and_counters_stay() -> None:
    abc = '%Baroque\n%Bach\n%Choral\nQ:1/4=60\nK:C\nV:1 nm="C"\n[r:0/0][V:1]C|\n'
    assert transpose(abc, "D") == abc.replace("K:C", "K:D").replace("[V:1]C", "[V:1]D")


def test_refusals() -> None:
    with pytest.raises(NotationError, match="found key 'H'"):
        transpose("K:C\nc|\n", "H")
    with pytest.raises(NotationError, match="found no K: line"):
        transpose("X:1\nc|\n", "C")
    with pytest.raises(NotationError, match="K:Z: found no key"):
        transpose("K:Z\nc|\n", "C")
