"""A piece without a model: what it makes of patches that a test draws in the model's place."""

from collections.abc import Callable

import pytest

from notagen.foundation.errors import InputError
from notagen.generation import piece as piece_module
from notagen.generation.bars import BarRules
from notagen.generation.controls import NO_CONTROLS, Controls
from notagen.generation.generated import Generated
from notagen.generation.header import NO_WISHES, HeaderWishes
from notagen.generation.piece import MAX_CANDIDATES, Piece
from notagen.generation.requests import Request
from notagen.tokenizer.patches import PatchTokenizer
from notagen.tokenizer.vocabulary import BAR, BOS, EOS

TOKENIZER = PatchTokenizer(16, 64)
HEADER = "L:1/8\nM:4/4\nK:C\nV:1 treble\nV:2 bass\n"
VALID = Controls(valid_bars=True)
END = [BOS]


def begin(
    prompt: str | None = HEADER,
    controls: Controls = NO_CONTROLS,
    wishes: HeaderWishes = NO_WISHES,
    on_text: Callable[[int, str], None] | None = None,
) -> Piece:
    request = Request(prompt=prompt, controls=controls, wishes=wishes)
    return Piece(request, 0, 0, TOKENIZER, on_text)


def draw(piece: Piece, patch: list[int]) -> None:
    """Let the piece take a patch; before the first bar's, what shows that there is one."""
    if not piece.tune.in_body and not piece.given() and patch[0] == ord("["):
        piece.take([patch])
    given = piece.given()
    assert patch[: len(given)] == given
    piece.take([patch] * piece.num_candidates)


def write(piece: Piece, text: str) -> None:
    """Let the model draw this text and nothing else."""
    for patch in TOKENIZER.encode_lines(text):
        draw(piece, patch)


def so_far(piece: Piece) -> str:
    return TOKENIZER.decode(piece.tune.patches)


def end(piece: Piece) -> Generated:
    while not piece.ended():
        piece.take([END])
    return piece.result()


def bar(number: int, music: str = "c8", other: str = "C8") -> str:
    return f"[r:{number}/{9 - number}][V:1]{music}|[V:2]{other}|\n"


def test_what_the_model_writes_stays_where_nothing_is_asked() -> None:
    piece = begin("%Romantic\n")
    body = bar(0, "c8", "C3") + bar(1, "[c", "C3") * 20
    write(piece, HEADER + body)
    found = end(piece)
    assert found.text == "%Romantic\n" + HEADER + body
    assert (found.finished, found.reason, found.retries, found.mended) == (True, "eos", 0, ())
    assert found.patches == len(TOKENIZER.encode_lines(HEADER + body))


def test_a_faulty_patch_then_the_voice_then_the_bar_is_taken_back() -> None:
    piece = begin(controls=VALID)
    write(piece, bar(0))
    sound = so_far(piece)
    first, second = TOKENIZER.encode_lines("[r:1/8][V:1]c4d4e4f4g4|[V:2]C8|\n")[:2]
    # the first patch is sound as far as it goes
    expected = [sound + "[r:1/8][V:1]c4d4", sound, sound, sound]
    for number, left in enumerate(expected, start=1):
        if piece.tune.at_line_start:
            draw(piece, first)
        draw(piece, second)
        assert so_far(piece) == left, number
        assert piece.num_candidates == MAX_CANDIDATES
    write(piece, bar(1))
    found = end(piece)
    assert found.text == HEADER + bar(0) + bar(1)
    assert (found.retries, found.patches) == (4, 4)


def test_the_faulty_voice_is_written_again_behind_the_sound_one() -> None:
    piece = begin(controls=VALID)
    faulty = "[r:0/9][V:1]c8|[V:2]C4 D4 E4|\n"
    write(piece, "[r:0/9][V:1]c8")
    for _ in range(2):
        for patch in TOKENIZER.encode_lines(faulty)[1:]:
            draw(piece, patch)
    assert so_far(piece) == HEADER + "[r:0/9][V:1]c8"
    for patch in TOKENIZER.encode_lines(bar(0))[1:]:
        draw(piece, patch)
    assert end(piece).text == HEADER + bar(0)


@pytest.mark.parametrize(
    ("drawn", "kept", "is_full", "then"),
    [
        # too short, too long at once, and not as long as the voice before
        ("c4 (de)|[V:2]C4|", "c4 (de)", False, "fg|[V:2]C8|"),
        ("c4 (d4-e4)|", "c4 (d4-", True, "|[V:2]C8|"),
        ("c4 d3 e8|", "c4 d3", False, " e|[V:2]C8|"),
        ("c8|[V:2]C9|", "c8|[V:2]", False, "C8|"),
        ("c8|[V:2]C8 [CE]|", "c8|[V:2]C8|", True, ""),
        ("c2 d/4e/4|[V:2]C4|", "c2 d/4e/4", False, "f3/ g4|[V:2]C8|"),
    ],
)
def test_late_retries_keep_what_fits_of_a_voice_and_go_on_to_its_length(
    drawn: str, kept: str, is_full: bool, then: str
) -> None:
    piece = begin(controls=Controls(valid_bars=True, max_retries=1))
    write(piece, bar(0))
    start, before = len(piece.tune.patches), so_far(piece)
    for patch in TOKENIZER.encode_lines(f"[r:1/8][V:1]{drawn}\n"):
        draw(piece, patch)
        if piece.num_candidates > 1:
            break
    given = piece.given()
    assert so_far(piece) + TOKENIZER.decode([given]) == f"{before}[r:1/8][V:1]{kept}"
    assert piece.barred == (not is_full)
    assert (given[-1:] == [EOS] or given[-1:] == [BAR]) == is_full
    line = f"[r:1/8][V:1]{kept}{then}\n"
    for patch in TOKENIZER.encode_lines(line)[len(piece.tune.patches) - start :]:
        draw(piece, patch)
        assert not piece.barred
    found = end(piece)
    assert found.text == before + line
    assert (found.retries, found.mended) == (1, ())


def test_each_voice_has_late_retries_of_its_own() -> None:
    piece = begin(controls=Controls(valid_bars=True, max_retries=4))
    write(piece, bar(0))
    begun, short = "[r:1/8][V:1]", "|[V:2]C|\n"
    drawn = [begun + "c", short, short, begun + "cd", short, begun + "cde", short, begun + "cde6"]
    drawn += [short, "|[V:2]CD|\n", "|[V:2]CD6|\n", "|[V:2]CD6E|\n"]
    for text in drawn:
        ids = [*text.encode(), EOS][:16]
        draw(piece, ids + [0] * (16 - len(ids)))
    found = end(piece)
    assert found.text == HEADER + bar(0) + "[r:1/8][V:1]cde6|[V:2]CD6E|\n"
    assert (found.retries, found.mended) == (7, ())


def test_the_first_sound_candidate_is_taken() -> None:
    piece = begin(controls=VALID)
    write(piece, "[r:0/9][V:1]c8")
    bad, good, other = (TOKENIZER.encode_lines(f"|[V:2]{m}|\n")[0] for m in ("C4", "C8", "D8"))
    piece.take([bad])
    assert piece.num_candidates == MAX_CANDIDATES
    piece.take([bad, good, other, bad])
    assert so_far(piece) == HEADER + bar(0)
    assert piece.num_candidates == 1
    assert (piece.result().retries, piece.result().mended) == (1, ())


@pytest.mark.parametrize("max_retries", [0, 1, 5, 9])
def test_after_all_retries_the_faulty_voice_rests(max_retries: int) -> None:
    told: list[str] = []
    controls = Controls(valid_bars=True, max_retries=max_retries)
    piece = begin(controls=controls, on_text=lambda _, text: told.append(text))
    write(piece, bar(0))
    faulty = TOKENIZER.encode_lines(bar(1, "c8", "C4"))
    while piece.tune.bars_done < 2:
        draw(piece, faulty[0 if piece.tune.at_line_start else 1])
    write(piece, bar(2))
    found = end(piece)
    assert found.text == HEADER + bar(0) + "[r:1/8][V:1]c8|\n" + bar(2)
    assert (found.retries, found.mended) == (max_retries, (2,))
    assert "".join(told) == found.text
    assert found.patches == len(TOKENIZER.encode_lines(found.text.removeprefix(HEADER)))


def test_where_no_voice_is_sound_the_first_rests() -> None:
    piece = begin(controls=Controls(valid_bars=True, max_retries=0))
    write(piece, bar(0))
    write(piece, "[r:1/8][V:1]c6|[V:2]C4|\n")
    assert so_far(piece).endswith("|\n[r:1/8][V:1]z8|\n")
    assert end(piece).mended == (2,)


def test_only_what_stays_is_told() -> None:
    told: list[str] = []
    piece = begin(controls=VALID, on_text=lambda _, text: told.append(text))
    assert told == [HEADER]
    write(piece, "[r:0/9][V:1]c8|[V:2]C4|\n")
    assert told == [HEADER]
    piece.take([TOKENIZER.encode_lines("|[V:2]C8|\n")[0]] * MAX_CANDIDATES)
    assert told == [HEADER, bar(0)]
    write(piece, "[r:1/8][V:1]c8")
    assert told == [HEADER, bar(0)]
    piece.stop()
    assert (end(piece).reason, told[-1]) == ("stopped", "[r:1/8][V:1]c8")


def test_the_line_that_the_prompt_began_is_not_taken_back() -> None:
    prompt = HEADER + bar(0) + "[r:1/8][V:1]c3"
    piece = begin(prompt, VALID)
    assert piece.given() == list(b"[r:1/8][V:1]c3")
    write(piece, "[r:1/8][V:1]c3|[V:2]C8|\n")
    assert so_far(piece) == prompt + "|[V:2]C8|\n"
    write(piece, bar(2, "c8", "C4"))  # the next one is
    assert so_far(piece) == prompt + "|[V:2]C8|\n[r:2/7][V:1]c8"
    assert end(piece).retries == 1


def test_the_prompts_bars_count_for_metre_and_loops() -> None:
    prompt = HEADER + "[r:0/9][V:1][M:3/4]c6|[V:2]C6|\n"
    piece = begin(prompt, VALID)
    write(piece, bar(1, "c6", "C6"))
    assert piece.result().retries == 0
    piece = begin(HEADER + bar(0) * 3, Controls(max_repeats=3, max_retries=2))
    write(piece, bar(1))
    assert (piece.tune.bars_done, piece.result().retries) == (3, 1)


def test_a_loop_is_written_again_and_then_ends_the_piece() -> None:
    controls = Controls(max_repeats=2, max_retries=3)
    piece = begin(controls=controls)
    for number in range(2):
        write(piece, bar(number))
    for number in range(3):
        assert not piece.ended()
        write(piece, bar(2))
        assert (piece.tune.bars_done, piece.result().retries) == (2, number + 1)
    write(piece, bar(2))
    found = end(piece)
    assert (found.reason, found.finished, found.retries) == ("loop", False, 3)
    assert found.text.startswith(HEADER + bar(0) + bar(1))
    piece = begin(controls=controls)
    for number in range(2):
        write(piece, bar(number))
    write(piece, bar(2))
    write(piece, bar(2, "d8"))  # another way was found
    assert end(piece).text == HEADER + bar(0) + bar(1) + bar(2, "d8")


def test_mended_bars_are_no_endless_loop() -> None:
    controls = Controls(valid_bars=True, max_repeats=3, max_retries=1)
    piece = begin(HEADER, controls)
    for _ in range(20):
        if piece.ended():
            break
        write(piece, f"[r:{piece.tune.bars_done}/{9 - piece.tune.bars_done}][V:1]c3|\n")
    assert piece.result().reason == "loop"
    assert piece.tune.bars_done <= 5


def test_a_first_bar_in_one_patch_counts_once() -> None:
    upbeat = "[r:0/9][V:1]c2|\n"
    assert len(TOKENIZER.encode_lines(upbeat)) == 1
    piece = begin(HEADER, Controls(valid_bars=True, max_repeats=2))
    write(piece, upbeat)
    write(piece, "[r:1/8][V:1]c8|\n[r:2/7][V:1]c8|\n")
    assert (piece.tune.bars_done, piece.result().retries) == (3, 0)
    write(piece, "[r:3/6][V:1]c8|\n")
    assert (piece.tune.bars_done, piece.result().retries) == (3, 1)


def test_a_loop_cannot_keep_a_piece_from_its_length() -> None:
    piece = begin(controls=Controls(num_bars=6, max_repeats=2, max_retries=1))
    while not piece.ended():
        write(piece, f"[r:{piece.tune.bars_done}/{5 - piece.tune.bars_done}][V:1]c8|[V:2]C8|\n")
    found = piece.result()
    assert (found.finished, found.text.count("\n[r:")) == (True, 6)


@pytest.mark.parametrize(
    ("controls", "reason", "text"),
    [
        (Controls(max_bars=2), "max_bars", bar(0) + bar(1)),
        (Controls(max_patches=3), "max_patches", bar(0) + "[r:1/8][V:1]c8"),
        (Controls(max_characters=25), "max_characters", bar(0) + "[r:1/8][V:1]c8"),
        (Controls(max_characters=24), "max_characters", bar(0)),
        (Controls(max_seconds=1e-9), "max_seconds", ""),
    ],
)
def test_a_limit_ends_a_piece_with_what_it_has(controls: Controls, reason: str, text: str) -> None:
    piece = begin(controls=controls)
    for patch in TOKENIZER.encode_lines(bar(0) + bar(1) + bar(2)):
        if piece.ended():
            break
        draw(piece, patch)
    found = piece.result()
    assert (found.text, found.reason, found.finished) == (HEADER + text, reason, False)
    assert len(bar(0)) == 24


def test_a_header_without_end_is_no_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piece_module, "_HEADER_PATCHES", 40)
    piece = begin(None)
    for number in range(40):
        assert not piece.ended()
        write(piece, f"V:{number}\n")
    assert piece.ended()
    assert (piece.result().reason, piece.result().finished) == ("no_body", False)


def test_the_first_reason_stays() -> None:
    piece = begin()
    piece.take([END])
    piece.stop()
    assert (end(piece).reason, piece.result().finished) == ("eos", True)


def test_the_end_may_come_after_a_whole_bar_only() -> None:
    piece = begin(None)
    assert not piece.may_end
    write(piece, HEADER)
    assert not piece.may_end
    write(piece, "[r:0/9][V:1]c8")
    assert not piece.may_end
    write(piece, "|[V:2]C8|\n")
    assert piece.may_end
    piece = begin(HEADER + bar(0), Controls(num_bars=2))
    assert not piece.may_end


def test_counters_are_given_where_they_are_known() -> None:
    piece = begin()
    assert piece.given() == []
    piece.take(TOKENIZER.encode_lines("[V:1]c8"))  # the body begins: its counter is due
    assert so_far(piece) == HEADER
    assert piece.given() == list(b"[r:0/")
    write(piece, bar(0))
    assert piece.given() == []
    piece = begin(HEADER + bar(0), Controls(num_bars=12))
    assert piece.given() == list(b"[r:1/10]")
    write(piece, "[r:1/10][V:1]c8|\n")
    assert piece.given() == list(b"[r:2/9]")
    piece = begin(HEADER + bar(0), VALID)  # and keeps to what it plans
    assert piece.given() == list(b"[r:1/8]")
    assert not piece.may_end


def test_a_counter_is_given_again_after_the_bar_was_taken_back() -> None:
    controls = Controls(num_bars=12, valid_bars=True)
    piece = begin(HEADER + bar(0), controls)
    for _ in range(4):
        assert piece.given() == list(b"[r:1/10]")
        piece.take([TOKENIZER.encode_lines("[r:1/10][V:9]c8|\n")[0]] * piece.num_candidates)
        assert so_far(piece) == HEADER + bar(0)
    assert piece.result().retries == 4


def test_wishes_stand_where_the_model_writes_something_else() -> None:
    wishes = HeaderWishes(key="Eb", metre="3/4", tempo=96, instruments=("Violin", "Cello"))
    piece = begin("%Romantic\n", wishes=wishes)
    for line in ("%end\n", "%%score 1\n", "L:1/4\n", "K:C\n", "V:7 bass\n", "V:8 bass\n"):
        write(piece, line)
    assert piece.given() == list(b"[r:0/")  # where the second voice would have been
    write(piece, "[r:0/9][V:1]c6|[V:2]C6|\n")
    text = end(piece).text
    for line in ("M:3/4\n", "K:Eb\n", "Q:1/4=96\n", "L:1/8\n", 'nm="Violin"', 'nm="Violoncello"'):
        assert text.count(line) == 1
    for line in ("K:C\n", "L:1/4\n", "V:7", "V:8"):
        assert line not in text
    assert text.startswith("%Romantic\n%end\n")


def test_a_fixed_key_stays_in_the_bars_too() -> None:
    piece = begin(HEADER, VALID, HeaderWishes(key="C"))
    write(piece, "[r:0/9][V:1][K:G]c8")
    assert piece.result().retries == 1
    piece = begin(HEADER, VALID)
    write(piece, "[r:0/9][V:1][K:G]c8")
    assert piece.result().retries == 0


@pytest.mark.parametrize("prompt", [HEADER + bar(0), HEADER, HEADER + "[r:0/", HEADER[:-3]])
def test_wishes_that_the_prompt_contradicts_are_an_error(prompt: str) -> None:
    with pytest.raises(InputError, match="key: found K:C"):
        begin(prompt, wishes=HeaderWishes(key="Eb"))
    assert so_far(begin(prompt, wishes=HeaderWishes(key="C")))


def test_what_is_fixed_and_missing_is_put_into_the_prompt() -> None:
    piece = begin(HEADER + bar(0), wishes=HeaderWishes(tempo=96))
    assert end(piece).text == HEADER.replace("M:", "Q:1/4=96\nM:") + bar(0)


def test_what_is_read_again_is_what_changed() -> None:
    piece = begin(HEADER, VALID)
    kept, new = piece.unread()
    assert (kept, len(new)) == (0, 6)
    write(piece, bar(0)[:14])
    kept, new = piece.unread()
    assert (kept, TOKENIZER.decode(new)) == (6, "[r:0/9][V:1]c8")
    write(piece, "|[V:2]C4|\n")  # taken back: the patch before is read again, for its state
    kept, new = piece.unread()
    assert (kept, TOKENIZER.decode(new)) == (6, "[r:0/9][V:1]c8")
    write(piece, "|[V:2]C8|\n")
    kept, new = piece.unread()
    assert (kept, TOKENIZER.decode(new)) == (7, "|[V:2]C8|\n")


def test_a_line_longer_than_the_window_is_taken_back() -> None:
    piece = begin(HEADER + bar(0), Controls(max_repeats=1, max_retries=9))
    text = "[r:1/8][V:1]" + "c" * 1000
    for patch in TOKENIZER.encode_lines(text)[:-1]:
        draw(piece, patch)
        kept, new = piece.unread()
        assert 0 < kept + len(new) <= 64
    piece._take_back(piece.tune.line_from(0))
    assert so_far(piece) == HEADER + bar(0)
    kept, new = piece.unread()
    assert (kept, TOKENIZER.decode(new)) == (0, HEADER + bar(0))


def test_all_kept_bars_are_sound_whatever_is_drawn() -> None:
    controls = Controls(valid_bars=True, max_retries=6, num_bars=30, max_repeats=2)
    piece = begin(HEADER, controls)
    music = ["c8", "c4", "[c", "z", "c16", "c4d4", "C8|[V:1]c8", "c3", "|", "e'8", "[V:3]c"]
    turn = 0
    while not piece.ended():
        given = bytes(piece.given()).decode()
        candidates = []
        for _ in range(piece.num_candidates):
            turn = (turn * 7 + 5) % 1009
            voice = "|[V:2]" if not piece.tune.at_line_start else "[V:1]"
            ending = "|\n" if turn % 3 else ""
            chunk = given + voice + music[turn % len(music)] + ending
            candidates.append([*chunk.encode()[:15], 2])
            if "\n" in chunk[:15]:
                candidates[-1] = TOKENIZER.encode_prompt(chunk)[1] + [2]
            candidates[-1] = (candidates[-1] + [0] * 16)[:16]
        piece.take(candidates)
    found = piece.result()
    rules = BarRules(HEADER)
    body = found.text.removeprefix(HEADER).splitlines(keepends=True)
    assert len(body) == 30
    for number, line in enumerate(body):
        assert line.startswith(f"[r:{number}/{29 - number}]")
        assert rules.find_fault(line, closed=True) is None
        rules.accept(line)
    assert found.mended
    assert found.retries > 30
