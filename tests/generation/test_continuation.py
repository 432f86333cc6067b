import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.compare import differing_notes
from benchmarks.raw_reader import Note, read_document
from notagen.foundation.errors import ConversionError, InputError, MissingInputError, NotationError
from notagen.generation.continuation import opening, opening_of_abc, with_counters
from notagen.generation.finish import finish
from notagen.generation.prompts import Prompt
from notagen.notation.foreign import foreign_to_musicxml
from notagen.notation.interleave import deinterleave
from notagen.notation.midi import musicxml_to_midi
from notagen.notation.musicxml import abc_to_musicxml
from notagen.notation.musicxml.document import read_musicxml
from notagen.notation.rests import restore_rests
from notagen.tokenizer.windows import split_header
from tests.notation.tunes import interleaved_tunes


def count_bars(text: str) -> int:
    return len(split_header(text)[1])


CORPUS = pytest.importorskip("music21.corpus")
PROMPT = Prompt("Romantic", "Wolf, Hugo", "Art Song")
SONG = """%%score 1 { 2 | 3 }
L:1/8
M:2/4
K:Eb
V:1 treble nm="Voice"
V:2 treble nm="Piano"
V:3 bass
[V:2][EG]2 B2|[V:3]E,4|
[V:1]B2 e2|[V:2][EG]2 B2|
[V:1]e4|]
"""


def notes(document: str | bytes, n_bars: int) -> list[Note]:
    content = document if isinstance(document, bytes) else document.encode()
    return [note for note in read_document(content).notes if note.bar < n_bars]


def played_on(opening: str) -> str:
    """Return the document of what a model would hand back if it were stopped after the opening."""
    begun = with_counters(opening, 8) + f"[r:{count_bars(opening)}/7][V:1]c"
    return abc_to_musicxml(finish(begun, finished=False).abc)


def corpus_file(name: str) -> Path:
    return Path(str(CORPUS.getWork(name)))


@pytest.mark.parametrize(
    ("name", "first_bars"),
    [
        ("bach/bwv66.6", 4),
        ("bach/bwv846", 8),
        ("schoenberg/opus19/movement2", None),
        ("schumann_clara/opus17/movement3", 12),
        ("mozart/k155/movement2", 16),
    ],
)
def test_an_opening_comes_back_note_for_note(name: str, first_bars: int | None) -> None:
    source = corpus_file(name)
    text = opening(source, first_bars=first_bars)
    n_bars = count_bars(text)
    assert first_bars in (None, n_bars)
    wanted = notes(read_musicxml(source), n_bars)
    assert len(wanted) > 20
    assert not differing_notes(wanted, notes(played_on(text), n_bars))


def test_an_opening_of_midi_has_the_notes_that_music21_reads(tmp_path: Path) -> None:
    source = tmp_path / "song.mid"
    source.write_bytes(musicxml_to_midi(abc_to_musicxml(SONG)))
    text = opening(source, first_bars=2)
    found = notes(played_on(text), 2)
    assert not differing_notes(notes(foreign_to_musicxml(source), 2), found)
    played = notes(abc_to_musicxml(SONG), 2)
    assert sorted(note.midi for note in found) == sorted(note.midi for note in played)


def test_a_text_in_the_models_own_form_stays_as_it_is() -> None:
    assert opening_of_abc(SONG) == SONG.replace("|]", "|")
    counted = "%Romantic\n%Wolf, Hugo\n%Art Song\n%end\nX:1\n" + with_counters(SONG, 0)
    with_prompt = "%Romantic\n%Wolf, Hugo\n%Art Song\n%end\n" + SONG.replace("|]", "|")
    assert opening_of_abc(counted) == with_prompt
    assert opening_of_abc(SONG, prompt=PROMPT) == with_prompt
    assert opening_of_abc(restore_rests(SONG)) == SONG.replace("|]", "|")


LATE = """%%score { 1 | 2 }
L:1/8
M:4/8
K:C#
V:1 treble nm="One"
V:2 treble nm="Two"
[V:1]z|[V:2]z|
[V:1]z4|[V:2]z4|
[V:1]z4|[V:2]"^tacet"z4|
"""


@example(LATE, 3)  # no line has two voices once the rests are gone
@given(interleaved_tunes(), st.integers(1, 4))
def test_openings_end_with_whole_bars_and_an_open_end(tune: str, first_bars: int) -> None:
    text = opening_of_abc(tune, first_bars=first_bars)
    whole = opening_of_abc(tune)
    assert whole.startswith(text[: text.rfind("\n", 0, -1) + 1])
    assert count_bars(text) == min(first_bars, count_bars(whole))
    assert text.endswith("|\n") or re.search(r"[:|0-9]\n$", text)
    assert "]\n" not in text[-2:]
    assert may_be_voices(text) or opening_of_abc(text) == text


def may_be_voices(text: str) -> bool:
    """Whether it could be voices one after the other, each in as many lines of a bar."""
    lines = [line for line in text.splitlines() if line.startswith("[V:")]
    counts = Counter(line[: line.index("]")] for line in lines)
    is_single = all(line.count("[V:") == 1 for line in lines)
    return is_single and len(counts) > 1 and len(set(counts.values())) == 1


def test_standard_abc_of_others_is_brought_into_the_form_of_training_text(tmp_path: Path) -> None:
    book = tmp_path / "book.abc"
    book.write_text("X:1\nT:One\nM:C|\nL:1/4\nK:Ddor\nD>E FG|A4|]\nw:la\n\nX:2\nK:C\nc4|\n")
    one = "M:2/2\nK:Ddor\nV:1 treble\n[V:1]D3 E F2 G2|\n[V:1]A8|\n"
    assert opening(book) == "L:1/8\n" + one
    interleaved = "M:2/2\nL:1/4\nK:Ddor\nV:1 treble\n[V:1]D>E FG|\n[V:1]A4|]\n"
    assert opening_of_abc(interleaved) == "L:1/8\n" + one
    voices = tmp_path / "voices.abc"
    voices.write_text(
        "%Romantic\n%Wolf, Hugo\n%Art Song\nX:1\n" + deinterleave(restore_rests(SONG))
    )
    text = opening(voices, first_bars=2)
    assert text.startswith("%Romantic\n%Wolf, Hugo\n%Art Song\n%end\n%%score 1 { 2 | 3 }\n")
    assert not differing_notes(notes(abc_to_musicxml(SONG), 2), notes(played_on(text), 2))


def test_a_bar_that_was_cut_off_is_left_out() -> None:
    begun = SONG.replace("[V:1]e4|]\n", "[V:1]e4|[V:2]c")
    assert count_bars(opening_of_abc(begun)) == 2
    assert count_bars(opening_of_abc(SONG.rstrip())) == 3


def test_counters_count_what_is_still_to_come() -> None:
    lines = with_counters(opening_of_abc(SONG), 2).splitlines()[7:]
    assert [line.split("[V:")[0] for line in lines] == ["[r:0/4]", "[r:1/3]", "[r:2/2]"]


def test_a_style_stands_before_the_opening_as_in_training_text() -> None:
    text = opening(corpus_file("bach/bwv66.6"), first_bars=1, prompt=PROMPT)
    assert text.startswith("%Romantic\n%Wolf, Hugo\n%Art Song\n%end\n%%score")


def test_what_cannot_be_gone_on_from_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"no\.mxl: found no such file"):
        opening(tmp_path / "no.mxl")
    with pytest.raises(InputError, match=r"a\.pdf: found no score by its name, wanted \.mxl"):
        opening(tmp_path / "a.pdf")
    empty = tmp_path / "empty.abc"
    empty.write_text("X:1\nK:C\n")
    with pytest.raises(NotationError, match=r"empty\.abc: found no music"):
        opening(empty)
    broken = tmp_path / "broken.mid"
    broken.write_bytes(b"MThd")
    with pytest.raises(ConversionError, match=r"broken\.mid: ") as caught:
        opening(broken)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="first_bars must be >= 1, got 0"):
        opening_of_abc(SONG, first_bars=0)
    copy = tmp_path / "copy.mxl"
    shutil.copy(broken, copy)
    with pytest.raises(ConversionError) as caught:
        opening(copy)
    assert str(caught.value).count("copy.mxl") == 1


VOICES = ("[V:1]c4 d4|e4 f4|", "[V:2]C,8|D,8|")


@pytest.mark.parametrize(
    "body",
    [
        "\n".join(VOICES),
        "[V:1]c4 d4|\n[V:2]C,8|\n[V:1]e4 f4|\n[V:2]D,8|",
        "V:1\nc4 d4|e4 f4|\nV:2\nC,8|D,8|",
        "[V:1]c4 d4|[V:2]C,8|\n[V:1]e4 f4|[V:2]D,8|",
    ],
)
def test_voices_sound_together_however_they_are_written(body: str) -> None:
    tune = f"X:1\nL:1/8\nM:4/4\nK:C\nV:1 treble\nV:2 bass\n{body}\n"
    lines = split_header(opening_of_abc(tune))[1]
    assert [line.strip() for line in lines] == [
        "[V:1]c4 d4|[V:2]C,8|",
        "[V:1]e4 f4|[V:2]D,8|",
    ]
