import pytest
from hypothesis import given
from hypothesis import strategies as st

from notagen.generation.context import GrowingTune
from notagen.tokenizer.patches import PatchTokenizer

PROMPT = "%Romantic\n%Schubert, Franz\n"
HEADER = PROMPT + "L:1/8\nK:C\n"
TOKENIZER = PatchTokenizer(16, 24)


def lines(first: int, last: int) -> str:
    return "".join(f"[r:{i}/9][V:1]c8|[V:2]C8|\n" for i in range(first, last))


def written(text: str, more: str) -> GrowingTune:
    tune = GrowingTune(TOKENIZER, text)
    for patch in TOKENIZER.encode_lines(more):
        tune.add(patch)
    return tune


def shown(tune: GrowingTune) -> list[list[int]]:
    """Return the patches that a model reads."""
    head, start = tune.context()
    return tune.patches[:head] + tune.patches[start:]


def state(tune: GrowingTune) -> tuple[object, ...]:
    at_start = tune.at_line_start
    return (
        *(list(tune.patches), tune.in_body, at_start, tune.bars_done, tune.header),
        *(tune.whole_lines(), tune.context(), "" if at_start else tune.last_line),
    )


def test_state_follows_from_the_text_alone() -> None:
    whole = GrowingTune(TOKENIZER, HEADER + lines(0, 3))
    grown = written(PROMPT, "L:1/8\nK:C\n" + lines(0, 3))
    assert whole.patches == grown.patches
    assert whole.patches == TOKENIZER.encode(HEADER + lines(0, 3)).tolist()[:-1]
    for tune in (whole, grown):
        assert (tune.in_body, tune.at_line_start, tune.bars_done) == (True, True, 3)
        assert (tune.header, "".join(tune.whole_lines())) == (HEADER, lines(0, 3))
        assert tune.last_line == lines(2, 3)
    assert shown(whole) == whole.patches
    assert (whole.began_last_line, grown.began_last_line) == (False, True)


def test_an_unfinished_line_is_left_open() -> None:
    tune = GrowingTune(TOKENIZER, HEADER + "[r:0/9][V:1]c8|[V:2]C")
    assert (tune.in_body, tune.at_line_start, tune.bars_done) == (True, False, 0)
    assert TOKENIZER.decode([tune.open_patch]) == "|[V:2]C"
    closed = TOKENIZER.encode_lines("|[V:2]C8|\n")[0]
    assert tune.add(closed) == "8|\n"
    assert (tune.open_patch, tune.bars_done) == ([], 1)
    assert not tune.began_last_line


@pytest.mark.parametrize("num_bars", range(9, 40))
def test_a_long_tune_shows_its_header_and_newest_whole_lines(num_bars: int) -> None:
    tune = written(HEADER, lines(0, num_bars) + f"[r:{num_bars}/9][V:1]c")
    rows = shown(tune)
    assert rows[0] == TOKENIZER.bos_patch
    assert len(rows) <= 6 + 9
    text = TOKENIZER.decode(rows)
    num_shown = text.removeprefix(HEADER).count("\n")
    assert 2 <= num_shown <= 4
    assert text == HEADER + lines(num_bars - num_shown, num_bars) + f"[r:{num_bars}/9][V:1]c"


def test_an_endless_line_loses_its_front() -> None:
    tune = written(HEADER, lines(0, 1) + "[r:1/9][V:1]" + "c" * 500)
    rows = shown(tune)
    assert TOKENIZER.decode(rows).startswith(HEADER + "c")
    assert rows[6:] == tune.patches[-9:]


def test_an_endless_header_gives_way_to_the_prompt() -> None:
    endless = "".join(f"V:{i} treble\n" for i in range(40))
    for more in (endless, endless + lines(0, 1)):
        text = TOKENIZER.decode(shown(written(PROMPT, more)))
        assert text.startswith(PROMPT + "V:")
        assert text.endswith(more[-20:])


def test_a_prompt_longer_than_the_context_is_cut() -> None:
    tune = GrowingTune(TOKENIZER, HEADER + lines(0, 30))
    assert TOKENIZER.decode(shown(tune)).endswith(lines(27, 30))
    tune = GrowingTune(TOKENIZER, "".join(f"%line {i}\n" for i in range(90)))
    assert len(shown(tune)) <= 13


@given(st.integers(0, 14), st.integers(1, 6), st.booleans())
def test_a_line_taken_back_was_never_there(num_bars: int, num_cut: int, to_its_end: bool) -> None:
    given_text = HEADER + lines(0, num_bars)
    tune = GrowingTune(TOKENIZER, given_text)
    states = [state(tune)]
    line = f"[r:{num_bars}/9][V:1]c4 d4|[V:2]C8 D8 E8 F8 G8 A8|[V:3]c8|" + "\n" * to_its_end
    patches = TOKENIZER.encode_lines(line)
    for patch in patches:
        tune.add(patch)
        states.append(state(tune))
    for length in (len(patches) - min(num_cut, len(patches)), 0):
        while len(tune.patches) > len(states[0][0]) + length:  # type: ignore[arg-type]
            tune.cut(len(states[0][0]) + length)  # type: ignore[arg-type]
    if num_bars:  # of the first bar, that there is a body stays known
        assert state(tune) == states[0]
    assert (tune.at_line_start, tune.bars_done) == (True, num_bars)
    for patch, wanted in zip(patches, states[1:], strict=True):
        tune.add(patch)
        assert state(tune) == wanted


def test_each_character_of_the_last_line_has_its_patch() -> None:
    line = "[r:3/9][V:1]c4 d4 e4 f4|[V:2]C8|[V:3]c8 d8 e8 f8 g8|\n"
    tune = written(HEADER + lines(0, 3), line)
    first = len(tune.patches) - len(TOKENIZER.encode_lines(line))
    for offset in range(len(line)):
        index = tune.line_from(offset)
        before = TOKENIZER.decode(tune.patches[first:index])
        assert len(before) <= offset < len(before + TOKENIZER.decode([tune.patches[index]]))
    assert tune.line_from(len(line) + 5) == len(tune.patches) - 1


def test_where_the_body_begins_is_seen_as_it_is_written() -> None:
    tune = written(PROMPT, "L:1/8\n")
    assert (tune.in_body, tune.header, tune.whole_lines()) == (False, PROMPT + "L:1/8\n", [])
    tune.add(TOKENIZER.encode_lines("[r:0/")[0])
    assert (tune.in_body, tune.header, tune.last_line) == (True, PROMPT + "L:1/8\n", "[r:0/")
    assert tune.began_last_line
