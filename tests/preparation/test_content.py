import re

import pytest

from notagen.notation.interleave import interleave, parse_interleaved
from notagen.notation.keys import KEYS
from notagen.notation.rests import omit_rests
from notagen.notation.transpose import transpose
from notagen.preparation.content import count_staves, instruments, music_digest

TUNE = """%%score ( 1 2 ) 3
L:1/8
Q:1/4=90
M:4/4
K:Eb
V:1 treble nm="Flute" snm="Fl."
V:2 treble
V:3 bass nm="Cello"
V:1
"^dolce" !p!(e2 d2) {f}=e2 [ceg]2- | [ceg]4 (3gab ^c'2 | [K:Bb] b8 |]
V:2
z8 | z8 | d8 |]
V:3
E,4 .E,4 | z8 | B,8 |]
"""


def digest(abc: str, *, reduced: bool = True) -> str:
    text = interleave(abc)
    return music_digest(parse_interleaved(omit_rests(text) if reduced else text))


@pytest.mark.parametrize("key", KEYS)
def test_the_key_does_not_matter(key: str) -> None:
    assert digest(transpose(TUNE, key)) == digest(TUNE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"^dolce" !p!(e2 d2)', "!ff!e2(d2"),
        ("Q:1/4=90\n", "Q:1/4=60\nT:Another\n"),
        ('nm="Cello"', 'nm="Violoncello" snm="Vc"'),
        ("M:4/4", "M:C"),
        ("|]", "||"),
        ("[ceg]4 (3gab", "[gce]4 (3:2:3g a b"),
        ("L:1/8", "L:1/8 % a word"),
        ("(3gab ^c'2", "(3gab _d'2"),
    ],
)
def test_words_signs_and_spelling_do_not_matter(old: str, new: str) -> None:
    assert old in TUNE
    assert digest(TUNE.replace(old, new)) == digest(TUNE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("=e2", "e2"),
        ("[ceg]2-", "[ceg]2"),
        ("[ceg]2-", "[cea]2-"),
        ("{f}", ""),
        ("(e2 d2)", "(e3 d)"),
        ("B,8", "B,,8"),
        ("[K:Bb] b8", "[K:Bb] b8 | z8"),
        ("V:3\nE,4", "V:3\nz4"),
    ],
)
def test_every_note_and_length_matters(old: str, new: str) -> None:
    assert old in TUNE
    changed = TUNE.replace(old, new)
    if "z8 |]" in changed:
        changed = re.sub(r"(?<!z8 )\|\]", "| z8 |]", changed)
    assert digest(changed) != digest(TUNE)


def test_resting_voices_do_not_matter() -> None:
    assert digest(TUNE, reduced=False) == digest(TUNE)
    more = TUNE.replace("V:1\n", "V:4\nz8 | z8 | z8 |]\nV:1\n", 1)
    assert digest(more) == digest(TUNE)


def test_drums_are_not_moved() -> None:
    drums = TUNE.replace("V:3 bass", "V:3 perc")
    assert digest(transpose(drums, "A")) == digest(drums) != digest(TUNE)


def test_other_tunes_differ() -> None:
    tunes = ["c8|d8|", "c8|e8|", "c4d4|", "z8|z8|", "[ce]8|d8|", "c8|d8|e8|"]
    assert len({digest(f"L:1/8\nK:C\n{tune}\n") for tune in tunes}) == len(tunes)


def test_unit_note_length_does_not_matter() -> None:
    assert digest("L:1/8\nK:C\nc8|d4e4|\n") == digest("L:1/4\nK:C\nc4|d2e2|\n")


def test_staves_and_instruments() -> None:
    tune = parse_interleaved(interleave(TUNE))
    assert count_staves(tune) == 2
    assert instruments(tune) == ("Flute", "Cello")
    assert count_staves(parse_interleaved("K:C\n[V:1]c8|[V:2]c8|\n")) == 2
