import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notagen.generation.bars import LONGEST_PATTERN, BarRules, Fault
from notagen.generation.finish import finish
from notagen.metrics.validity import check_validity
from notagen.notation.lexer import COUNTER
from notagen.notation.musicxml import abc_to_musicxml
from notagen.tokenizer.patches import PatchTokenizer
from notagen.tokenizer.vocabulary import EOS
from notagen.tokenizer.windows import add_counters, split_header

HEADER = "%%score { 1 | 2 }\nL:1/8\nQ:1/4=96\nM:4/4\nK:Eb\nV:1 treble\nV:2 bass\n"
TOKENIZER = PatchTokenizer()

# a tune with most of what makes lengths hard to read: upbeats, tuplets, graces, chords, broken
# rhythm, words that look like music, changes of metre, key and clef, endings
TUNE = r"""%%score { ( 1 2 ) | 3 }
L:1/8
Q:3/8=60
M:6/8
K:Cmin
V:1 treble nm="Piano"
V:2 treble
V:3 bass
[V:1]!p! G|[V:3]z|
[V:1]|:"^a tempo [c8]" (cde f>ga)|[V:2]|:x3 C3|[V:3]|:C,3 [C,E,G,]3|
[V:1]{/g}(3:2:3abc' !<(! d2!<)! (5:4:5c/d/e/d/c/|1[V:3]C,6|
[V:1]c4!fermata!d:|2[V:3]C,5:|
[V:1]c6|[V:3][K:treble] C3[K:bass] C,3|
[V:1][M:3/4][K:Eb]!f! [ce]2[df]2{ab}[eg]2|[V:2][M:3/4] B4- B2|[V:3][M:3/4][K:Eb] E,2 z4|
[V:1]z6||[V:3]E,6||
[V:1]e2|[V:3]E,2|
[V:1]e/e/e/e/ e2 !fermata!e|[V:3]E,4 E,|
[V:1]e|[V:3]E,|
[V:1]!8va(! e''4 e'2!8va)!|[V:3](6E,F,G,A,B,C D,,4|
[V:1]!fermata!e4|][V:3]E,4|]
"""


def sound_lines() -> tuple[str, list[str]]:
    header, body = split_header(TUNE)
    return "".join(header), add_counters(body)


def fault_of(line: str, header: str = HEADER, *before: str, fixed: str = "") -> Fault | None:
    rules = BarRules(header, fixed=fixed)
    for earlier in before or ("[V:1]c8|[V:2]C8|\n",):
        rules.accept(earlier)
    return rules.find_fault(line, closed=False)


def test_a_sound_tune_has_no_fault_at_any_patch() -> None:
    header, lines = sound_lines()
    rules = BarRules(header, fixed="", max_repeats=1)
    for line in lines:
        patches = TOKENIZER.encode_lines(line)
        for end in range(len(patches) + 1):
            closed = end > 0 and EOS in patches[end - 1]
            text = TOKENIZER.decode(patches[:end])
            assert rules.find_fault(text, closed=closed) is None, text
        for end in range(len(line) + 1):
            assert rules.find_fault(line[:end], closed=False) is None, line[:end]
        assert rules.mended(line) == line
        rules.accept(line)


@pytest.mark.parametrize(
    ("line", "what", "faulty"),
    [
        ("[V:1]c8|[V:2]C6|\n", "V:2 lasts 3/4, V:1 lasts 1", "[V:2]"),
        ("[r:3/4][V:1]c8|[V:2]C6|\n", "V:2 lasts 3/4, V:1 lasts 1", "[V:2]"),
        ("[V:1]c9|[V:2]C9|\n", "V:1 lasts 9/8, the metre is 1", "[V:1]"),
        ("[V:1]c6|[V:2]C6|\n", "V:1 lasts 3/4, the metre is 1", "[V:1]"),
        ("[V:1][M:3/4] c8|\n", "V:1 lasts 1, the metre is 3/4", "[V:1]"),
        ("[V:1]c8|[V:1]c8|\n", "V:1 stands twice", "[V:1]c8|\n"),
        ("[V:1]c8|[V:3]C8|\n", "V:3 is not in the header", "[V:3]"),
        ("[V:1]c8|[V:2]C8||\n", "V:2 has barlines ` ||`, V:1 ` |`", "[V:2]"),
        ("[V:1]|:c8|[V:2]C8|\n", "V:2 has barlines ` |`, V:1 `|: |`", "[V:2]"),
        ("[V:1]c8|[V:2]C8\n", "V:2 has no barline at its end", "[V:2]"),
        ("[V:1]c4|d4|[V:2]C8|\n", "V:1 has a barline inside its bar", "[V:1]"),
        ("[V:1]c4[1d4|\n", "V:1 has a barline inside its bar", "[V:1]"),
        ('[V:1]"^words"|\n', "V:1 has no note and no rest", "[V:1]"),
        ("[V:1]|\n", "V:1 has no note and no rest", "[V:1]"),
        ("[V:1]\n", "V:1 has no note and no rest", "[V:1]"),
        ("[V:1]Z|\n", "V:1 rests for whole bars, wanted the rest's length", "[V:1]"),
        ("[V:1]c4 5|\n", "V:1 has a stray `5`", "[V:1]"),
        ("[V:1][L:1/4]c4|\n", "V:1 has [L:1/4] in its bar", "[V:1]"),
        ("[V:1][ce8|\n", "V:1 cannot be read: '[ce8': found `[` without `]`", "[V:1]"),
        ("[V:1]c8|[V:2]C8]|\n", "V:2 cannot be read: 'C8]': found `]`", "[V:2]"),
        ('[V:1]"c8|\n', "V:1 cannot be read: '\"c8': found a quote that is", "[V:1]"),
        ("[V:1]{gc8|\n", "V:1 cannot be read", "[V:1]"),
        ("[V:1]c0|\n", "V:1 cannot be read: found length '0'", "[V:1]"),
        ("[V:1]c8|[V:2]C,,,,,8|\n", "V:2: found a note in octave -1", "[V:2]"),
        ("[V:1]{c0}c8|\n", "V:1: found length '0'", "[V:1]"),
        ("[V:1][K:H]c8|\n", "V:1: K:H: found no key", "[V:1]"),
        ("[V:1][M:x]c8|\n", "V:1: found metre 'x'", "[V:1]"),
        ("[V:1]c4\x01c4|\n", "found a control character", ""),
        ("[V:1]c8|\n[V:2]C8|\n", "found a control character", ""),
        ("[r:3/4]\n", "found '', wanted a voice", ""),
        ("[r:3/4]c8|\n", "found 'c8|', wanted a voice", ""),
        ("[r:3/4]c8|[V:1]c8|\n", "found 'c8|', wanted a voice", ""),
    ],
)
def test_faulty_lines(line: str, what: str, faulty: str) -> None:
    found = fault_of(line)
    assert found is not None
    assert found.what.startswith(what)
    assert found.offset == (line.rindex(faulty) if faulty else 0)
    assert not found.loop


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[V:1]c8d", "V:1 lasts longer than 1"),
        ("[V:1][M:2/4]c4 [ce", "V:1 lasts longer than 1/2"),
        ("[V:1][M:2/4]c4|[V:2]C2C2 z", "V:2 lasts longer than 1/2"),
        ("[V:1]c8|[V:1]", "V:1 stands twice"),
        ("[V:1]c8|[V:9]", "V:9 is not in the header"),
        ("[V:1]c6|[V:2", None),
        ("[V:1]c6|[V:2]", "V:1 lasts 3/4, the metre is 1"),
        ("[r:1/3]x", "found 'x', wanted a voice"),
        ("[r:1/3][", None),
        # what follows may still change each of these
        ("[V:1]c8", None),
        ("[V:1]c4 (3ddddd", None),
        ("[V:1]c4!dec", None),
        ('[V:1]c8"^de', None),
        ("[V:1]c8[K:Ebm", None),
        ("[V:1]c8{cde", None),
        ("[V:1]c4[ceg", None),
        ("[V:1]c7d", None),
    ],
)
def test_faults_that_are_certain_before_the_line_ends(text: str, what: str | None) -> None:
    rules = BarRules(HEADER)
    rules.accept("[V:1]c8|\n")
    found = rules.find_fault(text, closed=False)
    assert (found and found.what.split(" `")[0]) == what


def test_a_closed_bar_is_judged_before_its_barline_is_there() -> None:
    rules = BarRules(HEADER)
    for text in ("[V:1]c8|[V:2]C7", "[V:1]c9", "[V:1][ce"):
        assert rules.find_fault(text, closed=False) is None
        assert rules.find_fault(text, closed=True) is not None
    # a bar that is short may end a section, and a quote may hold a barline
    for text in ("[V:1]c6", '[V:1]"^one', "[V:1]", "[r:0/3]"):
        assert rules.find_fault(text, closed=True) is None


@pytest.mark.parametrize("line", ["[V:1]c6||\n", "[V:1]c6:|\n", "[V:1]|:c6|\n", "[V:1]c6|]\n"])
def test_short_bars_beside_a_section(line: str) -> None:
    assert fault_of(line) is None
    assert fault_of("[V:1]c2|\n", HEADER, "[V:1]c8|\n", "[V:1]c6::\n") is None
    assert fault_of("[V:1]c2|\n", HEADER, "[V:1]c8|\n", "[V:1]c8|1\n") is not None
    assert fault_of("[V:1]|c6|\n") is not None
    longer = line.replace("c6", "c9")
    assert fault_of(longer) is not None


@pytest.mark.parametrize(
    ("first", "second", "is_sound"),
    [
        ("[V:1]c6:|\n", "[V:1]c2|\n", True),
        ("[V:1]c6:|\n", "[V:1]c8|\n", True),
        ("[V:1]c6:|\n", "[V:1]c3|\n", False),
        ("[V:1]c6||\n", "[V:1]c6||\n", False),
        ("[V:1]!fermata!c6||\n", "[V:1]!fermata!c6||\n", False),
        ("[V:1]c4!fermata!c2|\n", "[V:1]c3!fermata!c|\n", False),
        ("[V:1]|:c2|\n", "[V:1]c6:|\n", True),
        ("[V:1]|:c2|\n", "[V:1]c5:|\n", False),
        ("[V:1]|:c2|\n", "[V:1]c5!fermata!c|\n", True),
        ("[V:1]|:c2|\n", "[V:1]c6|\n", False),
        ("[V:1]c6||\n", "[V:1][M:2/4]c4|\n", True),
    ],
)
def test_of_two_short_bars_the_second_completes_the_first(
    first: str, second: str, is_sound: bool
) -> None:
    fault = fault_of(second, HEADER, "[V:1]c8|\n", first)
    assert (fault is None) == is_sound


def test_after_two_bars_that_fill_the_metre_the_next_may_be_short_anew() -> None:
    filled = ("[V:1]c6:|\n", "[V:1]c2|\n")
    assert fault_of("[V:1]c3||\n", HEADER, *filled) is None
    assert fault_of("[V:1]c3||\n", HEADER, filled[0]) is not None


@pytest.mark.parametrize(
    ("upbeat", "is_sound"), [("c", True), ("c4", True), ("c5", False), ("c6|", False)]
)
def test_the_first_bar_may_be_an_upbeat_of_half_the_metre(upbeat: str, is_sound: bool) -> None:
    rules = BarRules(HEADER)
    first = f"[V:1]{upbeat}|\n"
    assert (rules.find_fault(first, closed=True) is None) == is_sound
    assert rules.find_fault(first.rstrip("|\n"), closed=True) is None, "its barline may yet come"
    rules.accept(first)
    assert rules.find_fault("[V:1]c3|\n", closed=True) is not None
    assert rules.find_fault("[V:1]c8|\n", closed=True) is None


def test_a_bar_cut_in_two_at_a_fermata() -> None:
    cut = "[V:1]c4 !fermata!c2|[V:2]C4 !fermata!C2|\n"
    assert fault_of(cut) is None
    assert fault_of("[V:1]c2|[V:2]C2|\n", HEADER, "[V:1]c8|\n", cut) is None
    assert fault_of("[V:1]c8|\n", HEADER, "[V:1]c8|\n", cut) is None
    assert fault_of("[V:1]c3|\n", HEADER, "[V:1]c8|\n", cut) is not None


def test_the_metre_that_a_kept_line_brings_stays() -> None:
    new = "[V:1]c6|[V:2][M:3/4]C6|\n"
    assert fault_of("[V:1]d6|\n", HEADER, "[V:1]c8|\n", new) is None
    assert fault_of("[V:1]d8|\n", HEADER, "[V:1]c8|\n", new) is not None


@pytest.mark.parametrize("metre", ["M:none\n", ""])
def test_without_metre_voices_are_alike_and_nothing_more(metre: str) -> None:
    header = HEADER.replace("M:4/4\n", metre)
    assert fault_of("[V:1]c7|[V:2]C7|\n", header) is None
    assert fault_of("[V:1]c7|[V:2]C6|\n", header) is not None


def test_the_unit_note_length_is_that_of_the_header() -> None:
    header = HEADER.replace("L:1/8", "L:1/4")
    assert fault_of("[V:1]c4|[V:2]C4|\n", header) is None
    assert fault_of("[V:1]c8|[V:2]C8|\n", header) is not None
    assert BarRules(header).mended("[V:1]c\n") == "[V:1]z4|\n"


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("K:Eb", False), ("K:Cmin", False), ("K:bass", False), ("K:E", True), ("K:none", True),
        ("M:C", False), ("M:2/2", True), ("Q:1/4 = 96", False), ("Q:1/4=90", True),
    ],
)  # fmt: skip
def test_fixed_fields_stay(field: str, changes: bool) -> None:
    line = f"[V:1][{field}]c8|[V:2]C8|\n"
    assert fault_of(line) is None
    found = fault_of(line, fixed="KMQ")
    assert (found is not None) == changes
    assert found is None or found.what == f"V:1 has [{field}], wanted no change"
    assert fault_of(line, fixed="KMQ".replace(field[0], "")) is None


def test_a_transposing_voice_has_its_own_key() -> None:
    header = HEADER.replace("V:2 bass", "V:2 treble transpose=-2")
    assert fault_of("[V:1]c8|[V:2][K:F]C8|\n", header, fixed="K") is None
    assert fault_of("[V:1]c8|[V:2][K:Eb]C8|\n", header, fixed="K") is not None
    assert fault_of("[V:1][K:F]c8|[V:2]C8|\n", header, fixed="K") is not None


@pytest.mark.parametrize("period", range(1, LONGEST_PATTERN + 2))
def test_bars_over_and_over(period: int) -> None:
    rules = BarRules(HEADER, max_repeats=3)
    for number in range(3 * period + 5):
        rules.accept(f"[r:{number}/9][V:1]{'d' * number}|\n")  # in no relation to what follows
    lines = [f"[V:1]z{beat}c{8 - beat}|[V:2]C8|\n" for beat in range(1, 8)]
    lines += ["[V:1]z8|\n", "[V:1]c8|\n"]
    found = None
    for number in range(4 * period):
        assert found is None
        line = f"[r:{number}/99]{lines[number % period]}"
        found = rules.find_fault(line, closed=True)
        earlier = copy.copy(rules)
        rules.accept(line)
    if period > LONGEST_PATTERN:
        assert found is None
        return
    assert found is not None
    bars = "bar" if period == 1 else f"{period} bars"
    assert found == Fault(f"the same {bars} 4 times in a row", 0, loop=True)
    # the copy is where it was; any other bar is no loop; without a limit nothing is
    assert earlier.find_fault(line, closed=True) == found
    assert earlier.find_fault("[V:1]e8|\n", closed=True) is None
    assert BarRules(HEADER).find_fault(line, closed=True) is None


@pytest.mark.parametrize(
    ("line", "mended"),
    [
        ("[r:1/2][V:1]c8|[V:2]C6|\n", "[r:1/2][V:1]c8|\n"),
        ("[r:1/2][V:1]c9|[V:2]C8|\n", "[r:1/2][V:2]C8|\n"),
        ("[V:1]c9|[V:2]C9|", "[V:1]z8|\n"),
        ("[r:1/2]rubbish", "[r:1/2][V:1]z8|\n"),
        ("", "[V:1]z8|\n"),
        ("[V:1]c8|[V:1]d8|[V:7]c8|[V:2]C8|\n", "[V:1]c8|[V:2]C8|\n"),
    ],
)
def test_mended_lines(line: str, mended: str) -> None:
    rules = BarRules(HEADER)
    rules.accept("[V:1]c8|\n")
    assert rules.mended(line) == mended


MUSIC = st.text(st.sampled_from("cdC,'zx2348/ ()[]{}|:!<>-\"^_=&MK.\n"), max_size=24)
CELLS = st.sampled_from(
    ["c8|", "C8|", "(3cde c6|", "c4 c4|", "[ce]8|", "z8|", "c6|", "c6||", "|:c2|", "c6:|", "c9|",
     "[M:3/4]c6|", "[K:F]c8|", "{g}c8|", "c>d c6|", "!fermata!c4|", "c8", "c7 c,,,|", "[M:2/4] z4|"]
)  # fmt: skip
LINES = st.builds(
    lambda counter, cells: counter + "".join(f"[V:{v}]{cell}" for v, cell in cells) + "\n",
    st.sampled_from(["", "[r:0/3]", "[r:9/", "|"]),
    st.lists(st.tuples(st.sampled_from("1123"), CELLS | MUSIC), max_size=4),
)


@given(st.lists(LINES, max_size=4), LINES | MUSIC, st.sampled_from(["", "KMQ"]))
def test_what_is_mended_has_no_fault(before: list[str], line: str, fixed: str) -> None:
    rules = BarRules(HEADER, fixed=fixed)
    for earlier in before:
        rules.accept(earlier)
    mended = rules.mended(line)
    assert rules.find_fault(mended, closed=True) is None
    # a sound line stays as it is, but for a counter that was missing, and nothing is left to mend
    assert rules.mended(mended) == mended
    if line.endswith("\n") and rules.find_fault(line, closed=True) is None:
        counter = COUNTER.match(mended)
        added = counter[0] if counter and not COUNTER.match(line) else ""
        assert mended == added + line


@given(st.lists(LINES, min_size=1, max_size=6))
def test_sound_lines_make_a_tune_that_aligns_and_converts(lines: list[str]) -> None:
    rules = BarRules(HEADER)
    kept = []
    for line in lines:
        sound = rules.find_fault(line, closed=True) is None
        kept.append(line if sound else rules.mended(line))
        rules.accept(kept[-1])
    tune = finish(HEADER + "".join(kept), finished=True)
    found = check_validity(tune.abc)
    assert tune.repairs == ()
    assert (found.parses, found.aligned, found.n_bars) == (True, True, len(lines))
    abc_to_musicxml(tune.abc)
    assert abc_to_musicxml(tune.standard) == abc_to_musicxml(tune.abc)
