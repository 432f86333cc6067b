import pytest

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


def test_state_follows_from_the_text_alone() -> None:
    whole = GrowingTune(TOKENIZER, HEADER + lines(0, 3))
    grown = written(PROMPT, "L:1/8\nK:C\n" + lines(0, 3))
    assert whole.patches == grown.patches
    assert whole.patches == TOKENIZER.encode(HEADER + lines(0, 3)).tolist()[:-1]
    for tune in (whole, grown):
        assert (tune.in_body, tune.at_line_start, tune.bars_done) == (True, True, 3)
    assert whole.context() == whole.patches


def test_an_unfinished_line_is_left_open() -> None:
    tune = GrowingTune(TOKENIZER, HEADER + "[r:0/9][V:1]c8|[V:2]C")
    assert (tune.in_body, tune.at_line_start, tune.bars_done) == (True, False, 0)
    assert TOKENIZER.decode([tune.open_patch]) == "|[V:2]C"
    closed = TOKENIZER.encode_lines("|[V:2]C8|\n")[0]
    assert tune.add(closed) == "8|\n"
    assert (tune.open_patch, tune.bars_done) == ([], 1)


@pytest.mark.parametrize("num_bars", range(9, 40))
def test_a_long_tune_shows_its_header_and_newest_whole_lines(num_bars: int) -> None:
    tune = written(HEADER, lines(0, num_bars) + f"[r:{num_bars}/9][V:1]c")
    rows = tune.context()
    assert rows[0] == TOKENIZER.bos_patch
    assert len(rows) <= 6 + 9
    text = TOKENIZER.decode(rows)
    shown = text.removeprefix(HEADER).count("\n")
    assert 2 <= shown <= 4
    assert text == HEADER + lines(num_bars - shown, num_bars) + f"[r:{num_bars}/9][V:1]c"


def test_an_endless_line_loses_its_front() -> None:
    tune = written(HEADER, lines(0, 1) + "[r:1/9][V:1]" + "c" * 500)
    rows = tune.context()
    assert TOKENIZER.decode(rows).startswith(HEADER + "c")
    assert rows[6:] == tune.patches[-9:]


def test_an_endless_header_gives_way_to_the_prompt() -> None:
    endless = "".join(f"V:{i} treble\n" for i in range(40))
    for more in (endless, endless + lines(0, 1)):
        text = TOKENIZER.decode(written(PROMPT, more).context())
        assert text.startswith(PROMPT + "V:")
        assert text.endswith(more[-20:])


def test_a_prompt_longer_than_the_context_is_cut() -> None:
    tune = GrowingTune(TOKENIZER, HEADER + lines(0, 30))
    assert TOKENIZER.decode(tune.context()).endswith(lines(27, 30))
    tune = GrowingTune(TOKENIZER, "".join(f"%line {i}\n" for i in range(90)))
    assert len(tune.context()) <= 13
