import pytest
from hypothesis import given
from hypothesis import strategies as st

from notagen.notation import barlines
from notagen.notation.barlines import Bar, parse_bar, split_bars


@pytest.mark.parametrize(
    ("music", "bars"),
    [
        ("c4 | d4 |]", [Bar("", "c4", "|"), Bar("", "d4", "|]")]),
        ("|: c4 | d4 :|", [Bar("|:", "c4", "|"), Bar("", "d4", ":|")]),
        ("| c4 | d4", [Bar("|", "c4", "|"), Bar("", "d4", "")]),
        ("c4 :: d4 :|", [Bar("", "c4", "::"), Bar("", "d4", ":|")]),
        ("c4 :| |: d4 |", [Bar("", "c4", ":||:"), Bar("", "d4", "|")]),
        (
            "|: c4 |1 d4 :|2 e4 |]",
            [Bar("|:", "c4", "|1"), Bar("", "d4", ":|2"), Bar("", "e4", "|]")],
        ),
        (
            "c4 | [1 d4 :| [2 e4 |",
            [Bar("", "c4", "|"), Bar("", "[1 d4", ":|"), Bar("", "[2 e4", "|")],
        ),
        ("[K:G] c4 | d4 |", [Bar("", "[K:G] c4", "|"), Bar("", "d4", "|")]),
        ("[M:3/4] |: c4 | d4 |", [Bar("[M:3/4]|:", "c4", "|"), Bar("", "d4", "|")]),
        ('c4 "^a|b" d4 | e4 |', [Bar("", 'c4 "^a|b" d4', "|"), Bar("", "e4", "|")]),
        ('c4 | d4 | "^Fine"', [Bar("", "c4", "|"), Bar("", 'd4 "^Fine"', "|")]),
        ("[ceg]4 | z8 |", [Bar("", "[ceg]4", "|"), Bar("", "z8", "|")]),
        ("Z | x4 |", [Bar("", "Z", "|"), Bar("", "x4", "|")]),
        ("c4 !fermata! | d4!p!|]", [Bar("", "c4 !fermata!", "|"), Bar("", "d4!p!", "|]")]),
        (
            "c4 !x3! :| d4 .| e4",
            [*(Bar("", "c4 !x3!", ":|"), Bar("", "d4", ".|")), Bar("", "e4", "")],
        ),
        ("!segno! |: c4 | d4 |", [Bar("!segno!|:", "c4", "|"), Bar("", "d4", "|")]),
        ("", []),
    ],
)
def test_split_bars(music: str, bars: list[Bar]) -> None:
    assert split_bars(music) == bars


@given(st.text(st.sampled_from('cz|:[]{}12" K')))
def test_no_note_is_lost(music: str) -> None:
    joined = "".join(bar.text for bar in split_bars(music))
    assert sorted(joined.replace(" ", "")) == sorted(music.replace(" ", ""))


@pytest.mark.parametrize(
    ("text", "bar"),
    [
        ("|:c4 d4:|2", Bar("|:", "c4 d4", ":|2")),
        ("c4|", Bar("", "c4", "|")),
        ("c4", Bar("", "c4", "")),
        ("[K:G]|:c4|", Bar("[K:G]|:", "c4", "|")),
        ("c4|d4|", Bar("", "c4|d4", "|")),
        ('"^|"c4|]', Bar("", '"^|"c4', "|]")),
        ("|", Bar("", "", "|")),
        ("", Bar("", "", "")),
        ("c4!fermata!|]", Bar("", "c4!fermata!", "|]")),
        ("c4!x3!:|", Bar("", "c4!x3!", ":|")),
        ("c4.|", Bar("", "c4", ".|")),
        ("c4|]", Bar("", "c4", "|]")),
        ("c4||", Bar("", "c4", "||")),
        ("[c|", Bar("", "[c", "|")),
        ("::c4|", Bar("::", "c4", "|")),
    ],
)
def test_parse_bar(text: str, bar: Bar) -> None:
    assert parse_bar(text) == bar
    assert parse_bar(text).text == text


@given(
    st.lists(st.sampled_from([*"|:[].cz!12%() ", '"a|b"', "!p!", "[K:C]", "::", '"', "\\"])),
)
def test_bars_that_are_read_no_deeper_are_read_right(parts: list[str]) -> None:
    text = "".join(parts) + "|"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(barlines, "_is_plain", lambda _: False)
        deep = parse_bar(text)
    assert parse_bar(text) == deep
