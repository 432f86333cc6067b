from collections.abc import Sequence

import pytest

from notagen.metrics.headers import find_header_problems
from notagen.notation.interleave import parse_interleaved

SCORE = "%%score 1 { ( 2 4 ) | 3 }"
FIELDS = ("L:1/8", "Q:1/4=90", "M:3/4", "K:Eb")
VOICES = (
    'V:1 treble nm="Voice" snm="V."',
    'V:2 treble nm="Piano (left)"',
    "V:3 bass",
    "V:4 treble-8",
)
BARS = "[V:1]c6|[V:2]c6|\n[V:3]C6|[V:4]e6|\n"


def problems(*header: str, bars: str = BARS) -> tuple[str, ...]:
    return find_header_problems(parse_interleaved("\n".join([*header, bars])))


def test_sound_headers() -> None:
    assert problems(SCORE, *FIELDS, *VOICES) == ()
    assert problems("%Baroque", "%Bach", "%Choral", SCORE, *FIELDS, *VOICES) == ()
    assert problems(SCORE, "L:1/8", "M:none", "K:none", *VOICES) == ()
    assert problems(*FIELDS, "V:1 treble", bars="[V:1]c6|\n") == ()


@pytest.mark.parametrize(
    ("score", "problem"),
    [
        (["%%score 1 { ( 2 4 ) | 3"], "%%score: found `{` that is never closed"),
        (["%%score 1 ( 2 4 ) | 3 }"], "%%score: found `}` without `{`"),
        (["%%score 1 { ( 2 4 } | 3 )"], "%%score: found `}` without `{`"),
        (["%%score 1 { ( 2 | 4 ) | 3 }"], "%%score: found `|` inside `( )`, wanted voices"),
        (["%%score 1 { 2 | 3 }"], "%%score: found no V:4"),
        (["%%score 1 { ( 2 4 5 ) | 3 }"], "%%score: found '5', which has no V: line"),
        (["%%score 1 { ( 2 4 ) | 3 } 1"], "%%score: found V:1 2 times, wanted it once"),
        ([], "found 0 %%score lines, wanted one"),
        ([SCORE, SCORE], "found 2 %%score lines, wanted one"),
        (["%%score { 1 | 3 } ( 2 4 )"],
         "%%score: found V:1 and V:3 in one part, others between them"),
        (["%%score ( 1 2 ) { 3 | 4 }"], "%%score: found the names of V:1 and V:2 on one part"),
        ([f"%%score {'[' * 20} 1 {{ ( 2 4 ) | 3 }} {']' * 20}"],
         "%%score: found brackets nested deeper than 16"),
    ],
)  # fmt: skip
def test_faults_of_the_grouping(score: Sequence[str], problem: str) -> None:
    assert problem in problems(*score, *FIELDS, *VOICES)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (["L:1/8", "M:3/4"], "found 0 K: lines, wanted one"),
        (["L:1/8", "M:3/4", "M:4/4", "K:C"], "found 2 M: lines, wanted one"),
        (["L:1/8", "M:3/4", "K:Q"], "found K:Q, wanted one that can be read"),
        (["L:1/8", "M:three", "K:C"], "found M:three, wanted one that can be read"),
        (["L:none", "M:3/4", "K:C"], "found L:none, wanted one that can be read"),
    ],
)
def test_faults_of_the_fields(fields: Sequence[str], problem: str) -> None:
    assert problems(SCORE, *fields, *VOICES) == (problem,)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("V:4 trebel", "V:4: found 'trebel', wanted a clef"),
        ("V:4 clef=moon", "V:4: found 'clef=moon', wanted a clef"),
        ('V:4 treble nm="Piano', "V:4: found a quote that is never closed"),
        ("V:4 treble\nV:4 bass", "V:4: found 2 lines, wanted one"),
        ("V:4 treble\nV:", "found a V: line without a voice"),
        ("", "V:4: found its music but no line in the header"),
    ],
)
def test_faults_of_the_voices(line: str, problem: str) -> None:
    assert problem in problems(SCORE, *FIELDS, *VOICES[:3], line)
