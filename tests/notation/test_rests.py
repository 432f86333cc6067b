import pytest

from notagen.foundation.errors import NotationError
from notagen.notation.rests import omit_rests, restore_rests

HEADER = "%%score ( 1 2 ) 3\nL:1/8\nM:4/4\nK:C\nV:1\nV:2\nV:3\n"


def both_ways(full: str, reduced: str) -> None:
    """Check a body line in full and reduced form, each made from the other."""
    assert omit_rests(HEADER + full + "\n") == HEADER + reduced + "\n"
    assert restore_rests(HEADER + reduced + "\n") == HEADER + full + "\n"


@pytest.mark.parametrize(
    ("full", "reduced"),
    [
        ("[V:1]c8|[V:2]x8|[V:3]z8|", "[V:1]c8|"),
        ("[V:1]z8|[V:2]x8|[V:3]C8|", "[V:3]C8|"),
        ("[V:1]c4 d4|[V:2]x8|[V:3]C8|", "[V:1]c4 d4|[V:3]C8|"),
        # every voice rests: the first stays
        ("[V:1]z8|[V:2]x8|[V:3]z8|", "[V:1]z8|"),
        # a pickup, and an unusual metre
        ("[V:1]c|[V:2]x|[V:3]z|", "[V:1]c|"),
        ("[V:1]c3/|[V:2]x3/2|[V:3]z3/2|", "[V:1]c3/|[V:2]x3/2|[V:3]z3/2|"),
        # what the rest says more than its length is kept
        ('[V:1]c8|[V:2]x8|[V:3]"^tacet"z8|', '[V:1]c8|[V:3]"^tacet"z8|'),
        ("[V:1]c8|[V:2]x8|[V:3]!fermata!z8|", "[V:1]c8|[V:3]!fermata!z8|"),
        ("[V:1]c8|[V:2]x8|[V:3][K:G]z8|", "[V:1]c8|[V:3][K:G]z8|"),
        ("[V:1]c8|[V:2]x8|[V:3]z4 z4|", "[V:1]c8|[V:3]z4 z4|"),
        # the other kind of rest than the staff asks for
        ("[V:1]c8|[V:2]z8|[V:3]z8|", "[V:1]c8|[V:2]z8|"),
        ("[V:1]c8|[V:2]x8|[V:3]x8|", "[V:1]c8|[V:3]x8|"),
        # rests of another length than the music
        ("[V:1]c8|[V:2]x8|[V:3]z4|", "[V:1]c8|[V:3]z4|"),
        # barlines: shared ones are restored, others stay
        ("[V:1]|:c8:|2[V:2]|:x8:|2[V:3]|:z8:|2", "[V:1]|:c8:|2"),
        ("[V:1]c8|[V:2]x8|[V:3]z8||", "[V:1]c8|[V:3]z8||"),
    ],
)
def test_omit_and_restore(full: str, reduced: str) -> None:
    if "3/2" in full:
        # the canonical length is the shorter text, so another one stays written
        assert restore_rests(omit_rests(HEADER + full + "\n")) == HEADER + full + "\n"
        return
    both_ways(full, reduced)


def test_rests_of_one_unit_may_be_written_either_way() -> None:
    assert omit_rests(HEADER + "[V:1]c|[V:2]x1|[V:3]z|\n") == HEADER + "[V:1]c|\n"


def test_missing_voices_last_as_long_as_most() -> None:
    text = HEADER.replace("( 1 2 )", "1 2") + "[V:1]c4|[V:2]C8|\n"
    assert restore_rests(text).splitlines()[-1] == "[V:1]c4|[V:2]C8|[V:3]z4|"
    four = text.replace("V:3\n", "V:3\nV:4\n").replace("|\n", "|[V:3]z8|\n")
    assert restore_rests(four).splitlines()[-1].endswith("[V:4]z8|")


def test_a_bar_that_says_nothing_of_its_length_is_refused() -> None:
    with pytest.raises(NotationError) as caught:
        restore_rests(HEADER + "[V:1]c8|\n[V:1]|\n")
    assert str(caught.value) == "bar 2: found no voice whose length can be read"


def test_counters_go() -> None:
    assert restore_rests("K:C\n[r:0/0][V:1]c8|\n") == "K:C\n[V:1]c8|\n"


def test_what_stands_before_a_bar_is_put_back_without_the_key() -> None:
    both_ways("[V:1][K:G]|:c8|[V:2]|:x8|[V:3]|:z8|", "[V:1][K:G]|:c8|")
    both_ways('[V:1]"^|"|:c8|[V:2]|:x8|[V:3]|:z8|', '[V:1]"^|"|:c8|')


@pytest.mark.parametrize("end", ["!fermata!|", "!x3!:|", "!p!|]", '"^Fine"||'])
def test_a_rest_with_a_mark_before_its_barline_stays(end: str) -> None:
    barline = end.rsplit("!")[-1].rsplit('"')[-1]
    both_ways(f"[V:1]c8{barline}[V:2]x8{barline}[V:3]z8{end}", f"[V:1]c8{barline}[V:3]z8{end}")
    # on the voice that is written it is no matter of the others
    both_ways(f"[V:1]c8{end}[V:2]x8{barline}[V:3]z8{barline}", f"[V:1]c8{end}")


@pytest.mark.parametrize("barline", [".|", "|1", ":|2", "|[1,2", "::", "|]"])
def test_barlines_come_back(barline: str) -> None:
    both_ways(f"[V:1]c8{barline}[V:2]x8{barline}[V:3]z8{barline}", f"[V:1]c8{barline}")
    # where all rest, the first is written and keeps the bar
    both_ways(f"[V:1]z8{barline}[V:2]x8{barline}[V:3]z8{barline}", f"[V:1]z8{barline}")
    # a barline of one voice alone is written with its rest
    both_ways(f"[V:1]c8||[V:2]x8||[V:3]z8{barline}", f"[V:1]c8||[V:3]z8{barline}")


def test_more_rests_than_any_music_has_are_refused() -> None:
    text = "K:C\n" + "".join(f"[V:{n}]c|\n" for n in range(1100))
    with pytest.raises(NotationError, match="found 1100 bars for 1100 voices"):
        restore_rests(text)
