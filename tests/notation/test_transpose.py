"""Hand-worked cases; the general rule is tested in test_properties.py."""

import re

import pytest

from notagen.foundation.errors import NotationError
from notagen.notation.keys import KEYS
from notagen.notation.transpose import transpose, transpose_to_keys


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


def test_graces_with_chords_end_no_tie() -> None:
    # B double sharp is respelled, so it shows that the B after the grace is still tied to it
    assert moved("^^B-|{[Ac]}B B|", "C", "C#") == "^^c-|{[Ac]}c B|"
    # an accidental in a grace holds for the bar as any other
    assert moved("{^F}F|F|", "C", "Ab") == "{=D}D|D|"


def test_ties_within_chords_and_over_key_changes() -> None:
    assert moved("[^F-A]2[FA]|F|", "C", "Ab") == "[=D-F]2[DF]|D|"
    # B flat is tied into a key that has none
    assert moved("_B-|[K:G]B B|", "F", "D") == "=G-|[K:E]G G|"
    # B major would get twelve sharps, so it becomes C: what is tied into it is respelled
    assert moved("C-|[K:B]C C|", "C", "C#") == "C-|[K:C]_D =D|"


def test_keys_change_inside_a_bar() -> None:
    assert moved("F[K:G]F ^F[K:treble-8]F[M:3/4]F|", "C", "D") == (
        "G[K:A]G ^G[K:treble-8]G[M:3/4]G|"
    )
    # a new key ends what accidentals were in force
    assert moved("^F F[K:D]F|", "C", "Eb") == "=A A[K:F]A|"


def test_each_voice_of_a_tune_without_a_key_has_its_own() -> None:
    abc = "K:none\nV:1\nV:2\nV:3 perc\n[V:1][K:Eb]E|[V:2][K:F]F|[V:3][K:none]C|\n[V:1]B|[V:2]B|\n"
    assert transpose(abc, "D") == (
        "K:D\nV:1\nV:2\nV:3 perc\n[V:1][K:F]F|[V:2][K:G]G|[V:3][K:none]C|\n[V:1]c|[V:2]c|\n"
    )
    standard = "K:none\nV:1\nV:2\nV:1\n[K:Eb] E | B |\nV:2\n[K:F] F | B |\n"
    assert transpose(standard, "D") == ("K:D\nV:1\nV:2\nV:1\n[K:F] F | c |\nV:2\n[K:G] G | c |\n")


def test_what_stands_before_barlines_stays() -> None:
    assert moved('F!p!|F!fermata!.|F!x3!:|"@f"F"^Fine A"|]', "C", "D") == (
        'G!p!|G!fermata!.|G!x3!:|"@f"G"^Fine A"|]'
    )


def test_a_name_makes_no_percussion() -> None:
    abc = 'K:C\nV:1 treble nm="Metal perc 1"\n[V:1]C|\n'
    assert transpose(abc, "D") == abc.replace("K:C", "K:D").replace("]C", "]D")


def test_all_keys_in_one_go() -> None:
    abc = 'X:1\nK:G\n[V:1]"G"^FGA  |\n\n'
    moved_to = transpose_to_keys(abc, KEYS)
    assert list(moved_to) == list(KEYS)
    assert moved_to["G"] == abc
    assert moved_to["Eb"] == 'X:1\nK:Eb\n[V:1]"Eb"=DEF  |\n\n'
    assert transpose_to_keys(abc, []) == {}


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


def test_no_tie_reaches_over_a_bar_that_is_left_out() -> None:
    tune = "L:1/8\nK:C\n[V:1]^c4-|[V:2]C4|\n[V:1]z4|[V:2]C4|\n[V:1]c4|[V:2]C4|\n"
    reduced = tune.replace("[V:1]z4|", "")
    assert transpose(reduced, "D") == transpose(tune, "D").replace("[V:1]z4|", "")
