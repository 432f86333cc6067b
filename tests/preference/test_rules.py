import pytest

from notagen.preference.rules import find_copy, find_exclusions

HEADER = """%Romantic
%%score 1 { 2 | 3 }
L:1/8
M:4/4
K:C
V:1 treble nm="Gesang"
V:2 treble nm="Klavier"
V:3 bass
"""
BARS = [f"[V:1]{pitch}8|[V:2]c4 {pitch}4|[V:3]C8|" for pitch in "cdefgabCDEFG"]


def tune(bars: list[str], header: str = HEADER) -> str:
    counted = (f"[r:{i}/{len(bars) - i - 1}]{bar}\n" for i, bar in enumerate(bars))
    return header + "".join(counted)


def rules(abc: str) -> list[str]:
    return [exclusion.rule for exclusion in find_exclusions(abc)]


def test_a_sound_piece_is_not_excluded() -> None:
    assert find_exclusions(tune(BARS)) == []


@pytest.mark.parametrize(
    ("abc", "rule", "reason"),
    [
        (tune([*BARS[:2], "[V:1]c8|[V:2]c6|"]), "alignment", "bar 3: V:2 lasts 3/4, V:1 lasts 1"),
        ("no music", "alignment", "found"),
        (tune(BARS, HEADER.replace("1 { 2 | 3 }", "{ 1 | 3 } 2")), "staves",
         "V:1 and V:3 are one part, others between them"),
        (tune(BARS, HEADER.replace("1 {", "[" * 20 + " 1 {")), "conversion",
         "%%score: found brackets nested deeper than 16"),
        (tune([*BARS[:3], *BARS[:1] * 3]), "repeats", "bar 1 fills 4 of 6 bars"),
        (tune([*BARS[:3], *BARS[3:5] * 3]), "repeats", "bars 4 and 5 in turn fill 6 of 9 bars"),
        (tune([*BARS[:3], "[V:1]C,,,,,8|"]), "conversion", "bar 4, V:1: found a note in octave -1"),
    ],
)  # fmt: skip
def test_what_excludes_a_piece_and_why(abc: str, rule: str, reason: str) -> None:
    (found,) = find_exclusions(abc)
    assert found.rule == rule
    assert found.reason.startswith(reason)


def test_each_rule_is_told() -> None:
    torn = HEADER.replace("1 { 2 | 3 }", "{ 1 | 3 } 2")
    bars = ["[V:1]c8|[V:2]c6|"] * 3 + ["[V:1][K:H]c8|"]
    assert rules(tune(bars, torn)) == ["alignment", "staves", "repeats", "conversion"]


@pytest.mark.parametrize(
    ("bars", "repeats"),
    [
        # half is not more than half
        ([*BARS[:3], *BARS[:1] * 2, BARS[4]], False),
        ([*BARS[:4], *BARS[4:6] * 2], False),
        ([*BARS[:3], *BARS[4:6] * 2], True),
        # with other barlines, the same music
        ([BARS[0], BARS[0].replace("|", "||"), BARS[1]], True),
        # a pair counts once where it overlaps itself, and is no repetition where it comes once
        (BARS[:2], False),
        ([BARS[0], BARS[1], BARS[0]], True),
        (["[V:1]z8|"] * 3 + BARS[:2], True),
        (BARS[:1], True),
    ],
)
def test_one_or_two_bars_that_fill_more_than_half(bars: list[str], repeats: bool) -> None:
    assert rules(tune(bars)) == (["repeats"] if repeats else [])


def test_a_copy_is_more_like_a_real_piece_than_the_limit() -> None:
    assert find_copy(0.95, "Lied") == []
    (found,) = find_copy(0.951, "Lied")
    assert found == ("copy", "similarity 0.951 to Lied")
