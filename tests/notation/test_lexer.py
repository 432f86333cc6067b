import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notagen.notation.lexer import VOICE_MARK, Token, tokens


def kinds(music: str) -> list[str]:
    return [token.kind for token in tokens(music) if token.kind != "space"]


def texts(music: str) -> list[str]:
    return [token.text for token in tokens(music) if token.kind != "space"]


@given(st.text(st.sampled_from('abCz|:[]{}()<>"!%^_=+-.,/\\ \n0123V~TK&*é')))
def test_nothing_is_lost(music: str) -> None:
    assert "".join(token.text for token in tokens(music)) == music


@pytest.mark.parametrize(
    "words", ['"^f! [x] |: c%50 {a} (3"', '"_a \\" b"', '""', '"Am"', '"<[V:2]"']
)
def test_words_in_quotes_are_one_token(words: str) -> None:
    assert list(tokens(f"c{words}d|")) == [
        Token("note", "c"),
        Token("string", words),
        Token("note", "d"),
        Token("barline", "|"),
    ]


def test_a_quote_that_is_never_closed_swallows_nothing() -> None:
    assert kinds('"c d|') == ["other", "note", "note", "barline"]


@pytest.mark.parametrize(
    ("music", "kind"),
    [
        ("^^c'3/2", "note"),
        ("__B,,//", "note"),
        ("=c", "note"),
        ("z4", "rest"),
        ("Z2", "rest"),
        ("x/", "rest"),
        ("!fermata!", "decoration"),
        ("!>(!", "decoration"),
        ("+trill+", "decoration"),
        ("[K:Bb]", "field"),
        ("[V:1 treble]", "field"),
        ("(3", "tuplet"),
        ("(3:2:4", "tuplet"),
        ("(5::3", "tuplet"),
        ("(13:8:13", "tuplet"),
        ("(10:8:10", "tuplet"),
        ("(58:48", "tuplet"),
        ("(3:2:3", "tuplet"),
        ("!x3!", "decoration"),
        ("[I:staff +1]", "field"),
        ('"@sffz"', "string"),
        ("]2", "chord_close"),
        ("{/", "grace_open"),
        (".-", "tie"),
        (">>", "broken"),
        ("% all the rest | c", "comment"),
        ("[2", "ending"),
    ],
)
def test_one_token(music: str, kind: str) -> None:
    assert list(tokens(music)) == [Token(kind, music)]


@pytest.mark.parametrize(
    "barline",
    [
        *("|", "||", "|]", "[|", "|:", ":|", "::", ":||:", ":|:", ":||", ":|]", ".|"),
        *("|1", ":|2", "|[1", "|1,3", ".|1"),
    ],
)
def test_barlines(barline: str) -> None:
    assert texts(f"c{barline} d") == ["c", barline, "d"]
    assert kinds(f"c{barline} d") == ["note", "barline", "note"]


def test_a_dot_before_other_barlines_is_staccato() -> None:
    assert texts("c .|: d .|| e .|] f") == ["c", ".", "|:", "d", ".", "||", "e", ".", "|]", "f"]


@pytest.mark.parametrize(
    "end", ["!p!|", "!fermata!|]", "!x3!:|", "!<)!||", "!fermata!.|", '"^Fine"|', "!p!!f!:|2"]
)
def test_decorations_before_barlines(end: str) -> None:
    *decorations, barline = kinds(f"c{end}")[1:]
    assert barline == "barline"
    assert set(decorations) <= {"decoration", "string"}


def test_plain_tuplets_have_one_digit() -> None:
    assert texts("(3abc (9c") == ["(3", "a", "b", "c", "(9", "c"]
    assert texts("(13abc") == ["(1", "3", "a", "b", "c"]
    assert texts("(3:2:3(5:4:5c") == ["(3:2:3", "(5:4:5", "c"]
    assert texts("(3(5:4:5c") == ["(3", "(5:4:5", "c"]


def test_chords_graces_and_slurs() -> None:
    assert kinds("{/ag}([ce^g]2-[ceg])") == [
        *("grace_open", "note", "note", "grace_close", "slur"),
        *("chord_open", "note", "note", "note", "chord_close", "tie"),
        *("chord_open", "note", "note", "note", "chord_close", "slur"),
    ]


def test_slurs_and_tuplets_are_told_apart() -> None:
    assert kinds("(3abc") == ["tuplet", "note", "note", "note"]
    assert kinds("((3abc)") == ["slur", "tuplet", "note", "note", "note", "slur"]
    assert kinds("(.(ab.)") == ["slur", "slur", "note", "note", "slur"]
    # a staccato dot before a tuplet is no dotted slur
    assert texts(".(3abc") == [".", "(3", "a", "b", "c"]


def test_a_quote_after_a_backslash_opens_nothing() -> None:
    assert kinds('c\\"d" e') == ["note", "other", "note", "other", "note"]
    assert texts('"a\\"b"c') == ['"a\\"b"', "c"]


@pytest.mark.parametrize("part", ['"', '\\"', "[K:", "[V:1", "!", "+a", "|:", "{", "[1"])
def test_time_grows_with_the_text_and_no_faster(part: str) -> None:
    music = part * (100_000 // len(part))
    started = time.process_time()
    assert "".join(text for _, text in tokens(music)) == music
    VOICE_MARK.split(music)
    assert time.process_time() - started < 1.5


def test_an_exclamation_mark_alone_is_no_decoration() -> None:
    assert kinds("c!d e!") == ["note", "other", "note", "note", "other"]
