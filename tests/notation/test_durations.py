from fractions import Fraction

import pytest

from notagen.foundation.errors import NotationError
from notagen.notation.durations import (
    bar_duration,
    event_durations,
    format_length,
    parse_length,
    parse_metre,
)

F = Fraction


@pytest.mark.parametrize(
    ("text", "factor"),
    [
        ("", F(1)),
        ("2", F(2)),
        ("3/2", F(3, 2)),
        ("/", F(1, 2)),
        ("//", F(1, 4)),
        ("/4", F(1, 4)),
        ("3/", F(3, 2)),
        ("3//", F(3, 4)),
    ],
)
def test_lengths(text: str, factor: Fraction) -> None:
    assert parse_length(text) == factor
    assert parse_length(format_length(factor)) == factor


@pytest.mark.parametrize("text", ["0", "3/0", "a", "-1", "999999", "1/99999999", "2 "])
def test_lengths_that_are_none(text: str) -> None:
    with pytest.raises(NotationError, match="found length"):
        parse_length(text)


@pytest.mark.parametrize(
    ("value", "length"),
    [
        ("4/4", F(1)),
        ("6/8", F(3, 4)),
        ("C", F(1)),
        ("C|", F(1)),
        ("2+3/8", F(5, 8)),
        ("(2+3)/8", F(5, 8)),
        (" 3/4 ", F(3, 4)),
        ("none", None),
        ("", None),
        ("4/0", None),
        ("0/4", None),
        ("__import__('os')", None),
    ],
)
def test_metres(value: str, length: Fraction | None) -> None:
    assert parse_metre(value) == length


@pytest.mark.parametrize(
    ("music", "eighths"),
    [
        ("c2 (3def z/", F(9, 2)),
        ("", F(0)),
        ("c>d e<f", F(4)),
        ("c>>d", F(2)),
        ("c2 > d2", F(4)),
        ("[ceg]3", F(3)),
        ("[c2e4g]", F(2)),
        ("[c2e2]3/2", F(3)),
        ("{abc}d {/e4}f", F(2)),
        ("{[ac]}d", F(1)),
        ("(3:2:3c2d2e2", F(4)),
        ("(3c[eg]z", F(2)),
        ("(5c/d/e/f/g/", F(1)),
        ("(6cdefga", F(2)),
        ("(2cd", F(3)),
        ("(4cdef", F(3)),
        ("(3:2:2c2d", F(2)),
        ("(3:2:4c/d/ef", F(2)),
        (".(3abc", F(2)),
        ('"^c4 | d"c !fermata!d', F(2)),
        ("(c d) c-c", F(4)),
        ("x2 y z", F(3)),
        ("c | d", F(2)),
        ("(5:4:5cdefg", F(4)),
        ("(13:8:13" + "c" * 13, F(8)),
        ("(10:8:10" + "c/" * 10, F(4)),
        ("(58:48:58" + "c/4" * 58, F(12)),
        ("(7:4cdefgab", F(4)),
        ("(5::3cde", F(6, 5)),
        ("c// [c/e/]2 [c2e4]/ [z2c]", F(1, 4) + 1 + 1 + 2),
        ("c4!fermata! .| d4!x3!:|", F(8)),
        ('"^(3 [c" c [I:staff +1]d !//-!e', F(3)),
        ("(3{abc}d{e}f[ga]", F(2)),
        ("c-c [c-e]2-", F(4)),
    ],
)
def test_what_a_bar_lasts(music: str, eighths: Fraction) -> None:
    assert bar_duration(music) == eighths / 8


def test_nested_tuplets_multiply() -> None:
    # (3:2:5 spans five written notes, the inner (3 the first three of them
    assert list(event_durations("(3:2:5(3abc de f")) == [F(4, 9)] * 3 + [F(2, 3)] * 2 + [F(1)]
    assert list(event_durations("(3a(3bcd e")) == [F(2, 3), *[F(4, 9)] * 2, F(2, 3), F(1)]


def test_each_open_tuplet_counts_each_note_once() -> None:
    # a quintuplet as the last third of a triplet: its notes last 4/5 of 2/3
    music = "(3:2:7c2e2(5:4:5c/d/e/f/g/ a2"
    assert list(event_durations(music)) == [F(4, 3)] * 2 + [F(4, 15)] * 5 + [F(2)]
    # three deep
    music = "(3:2:5c(3:2:4c(3:2:3ccc c"
    assert list(event_durations(music)) == [F(2, 3), F(4, 9), *[F(8, 27)] * 3, F(1)]
    # a chord is one note, a rest too, a grace none
    assert list(event_durations("(3:2:3[ce]{g}z(3:2:1d e")) == [F(2, 3), F(2, 3), F(4, 9), F(1)]


def test_broken_rhythm_of_each_note() -> None:
    assert list(event_durations("c>d e<f")) == [F(3, 2), F(1, 2), F(1, 2), F(3, 2)]
    assert list(event_durations("c>>d")) == [F(7, 4), F(1, 4)]
    assert list(event_durations("[ce]2>d2")) == [F(3), F(1)]


def test_bar_rests_last_as_long_as_the_metre() -> None:
    assert bar_duration("Z") is None
    assert bar_duration("Z", metre=F(3, 4)) == F(3, 4)
    assert bar_duration("X2", metre=F(3, 4)) == F(3, 2)
    assert bar_duration("Z", metre=F(3, 4), unit=F(1, 16)) == F(3, 4)


def test_unit_note_length() -> None:
    assert bar_duration("c2d", unit=F(1, 16)) == F(3, 16)


@pytest.mark.parametrize(
    ("music", "said"),
    [
        ("[ce", "'[ce': found `[` without `]`"),
        ("c]", "'c]': found `]`, wanted notes of a chord before it"),
        ("[]", "'[]': found `]`, wanted notes of a chord before it"),
        ("[c[e]", "'[c[e]': found `[` inside a chord"),
        ("{ce", "'{ce': found `{` without `}`"),
        ("ce}", "'ce}': found `}` without `{`"),
        ("{c{e}", "'{c{e}': found `{` inside a grace"),
        ('"^dolce c2', "'\"^dolce c2': found a quote that is never closed"),
        ("c4 & e4", "'c4 & e4': found `&`, wanted one voice"),
        ("c0", "found length '0'"),
        ("c3/0", "found length '3/0'"),
        ("c" + "9" * 5000, "found length '99999999999999999999', wanted"),
        ("c" + "/" * 40, "found length '////////////////////', wanted"),
        ("Z0", "found 'Z0', wanted bars to rest"),
        ("Z99999", "found 'Z99999', wanted bars to rest"),
        ("Z9999Z9999", "found rests for more than 9999 bars"),
        ("Z/2", "found 'Z/2', wanted bars to rest"),
        ("(0abc", "found tuplet '(0', wanted"),
        ("(1abc", "found tuplet '(1', wanted"),
        ("(0:2:3abc", "found tuplet '(0:2:3', wanted"),
        ("(3:2:9" * 9 + "c", "found more than 8 tuplets inside one another"),
        ("c" + " >" * 99, "found broken rhythm that never ends"),
        ("c/3c/7c/11c/13c/17c/19c/23c/29c/31c/37c/41c/43c/47", "no usual fraction"),
    ],
)
def test_what_cannot_be_read_is_named(music: str, said: str) -> None:
    with pytest.raises(NotationError) as caught:
        bar_duration(music)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 200
