"""Every form of a piece, folders of sessions, and texts that mean harm."""

import io
import json
import os
import time
import wave
import zipfile
from pathlib import Path

import mido
import music21
import pypdf
import pytest

from notagen.foundation.errors import InputError, ScoreError
from notagen.page.takes import MOST_CHARACTERS, Sessions, downloads, keep_edited
from notagen.page.views import show

TUNE = (
    'X:1\nT:A tune\n%%score { 1 | 2 }\nL:1/8\nM:4/4\nK:C\nV:1 treble nm="Piano"\nV:2 bass\n'
    "[V:1]c4 d4|[V:2]C8|\n[V:1]e4 f4|[V:2]C8|\n"
)


def test_an_edited_text_is_there_in_every_form(tmp_path: Path) -> None:
    take = keep_edited(TUNE, tmp_path, 1, None)
    assert take.error is None
    forms = {Path(path).name.split(".", 1)[1] for path in downloads(take)}
    assert forms == {"pdf", "musicxml", "mid", "wav", "abc", "interleaved.abc", "zip"}
    assert len(pypdf.PdfReader(take.files["pdf"]).pages) == 1
    score = music21.converter.parse(take.files["musicxml"])
    notes = [note.nameWithOctave for note in score.parts[0].flatten().notes]
    assert notes == ["C5", "D5", "E5", "F5"]
    length = mido.MidiFile(take.files["mid"]).length
    with wave.open(str(take.files["wav"])) as sound:
        assert sound.getnframes() / sound.getframerate() == pytest.approx(length, abs=3.1)
    assert take.files["png"].read_bytes().startswith(b"\x89PNG")
    with zipfile.ZipFile(take.files["zip"]) as archive:
        assert {name.split(".", 1)[1] for name in archive.namelist()} == forms - {"zip"}
    assert "[V:1]c4 d4|" in take.abc


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "found"),
        ("no music at all", "found"),
        (TUNE.replace("c4 d4", "c4 d3"), "bar 1: V:2 lasts 1, V:1 lasts 7/8"),
        (TUNE.replace("e4 f4", "[e4 f4"), "bar 2"),
        (TUNE.replace("e4 f4", "e4 Q9 f4"), "bar 2, V:1: found '9' in 'e4 Q9 f4', wanted notes"),
        ("X" * (MOST_CHARACTERS + 1), "wanted 400,000 at most"),
    ],
)
def test_a_text_with_a_fault_is_refused_and_leaves_nothing(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises((InputError, ScoreError)) as caught:
        keep_edited(text, tmp_path, 1, None)
    assert said in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_words_reach_the_page_as_text(tmp_path: Path) -> None:
    harm = "<img src=x onerror=alert(1)>"
    text = TUNE.replace("A tune", harm).replace('"Piano"', f'"{harm}"')
    text = text.replace("[V:1]c4", '[V:1]"^<script>alert(2)</script>"c4')
    take = keep_edited(text, tmp_path, 1, None)
    shown = show(take)
    assert "&lt;script&gt;alert(2)" in shown
    assert "&lt;img src=x" in shown
    for tag in ("<img", "<script", "<a ", "<style", "<foreignObject", 'href="http', "javascript:"):
        assert tag not in shown
    times = shown.split('data-times="')[1].split('"')[0].replace("&quot;", '"')
    assert [seconds for seconds, _ in json.loads(times)] == [0.0, 2.0]
    assert shown.count('class="measure"') == 2


def test_nobody_can_guess_the_folder_of_a_session(tmp_path: Path) -> None:
    first, second = (Sessions(tmp_path, keep_hours=1) for _ in "ab")
    assert first.folder("x") == first.folder("x")
    assert len({first.folder("x"), first.folder("y"), second.folder("x")}) == 3
    for name in ("../../etc", "/etc", "", "a\0b"):
        assert first.folder(name).parent == tmp_path.resolve() / "sessions"
    # nor list them
    for folder in (first.folders, first.served):
        assert folder.stat().st_mode & 0o077 == 0


def test_old_pieces_are_removed(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, keep_hours=1)
    old, used = (sessions.folder(name) for name in ("old", "used"))
    pieces = [old / "001", used / "001", used / "002"]
    for folder in pieces:
        folder.mkdir()
    before = time.time() - 3700
    for path in pieces[:2]:
        os.utime(path, (before, before))
    served = [sessions.served / name for name in ("long ago", "today")]
    for folder in served:
        folder.mkdir()
        (folder / "score.pdf").touch()
    for path in (served[0], served[0] / "score.pdf"):
        os.utime(path, (before, before))
    assert sessions.remove_old() == 3
    assert [folder.exists() for folder in served] == [False, True]
    assert [folder.exists() for folder in pieces] == [False, False, True]
    assert not old.exists()
    sessions.served.rename(tmp_path / "gone")
    assert sessions.remove_old() == 0


def test_a_text_that_is_edited_again_has_its_prompt_once(tmp_path: Path) -> None:
    prompt = "%Romantic\n%Schubert, Franz\n%Art Song\n%end\n"
    for number, abc in enumerate((prompt + TUNE, prompt.replace("%end\n", "") + TUNE)):
        take = keep_edited(abc, tmp_path, number, None)
        again = keep_edited(take.abc, tmp_path, number + 10, None)
        assert take.abc.startswith(prompt + "X:1\n%%score")
        assert again.abc == take.abc


def test_an_archive_holds_files_of_its_own_folder_alone(tmp_path: Path) -> None:
    take = keep_edited(TUNE, tmp_path, 1, None)
    content = io.BytesIO(take.files["zip"].read_bytes())
    for name in zipfile.ZipFile(content).namelist():
        assert "/" not in name
        assert ".." not in name


def test_each_session_has_pieces_of_its_own(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, keep_hours=1)
    assert [sessions.number(name) for name in ("a", "a", "b")] == [1, 2, 1]
    take = keep_edited(TUNE, sessions.folder("a"), 1, None)
    sessions.add("a", take)
    assert sessions.takes("a") == [take]
    assert sessions.takes("b") == []
    before = time.time() - 3700
    for path in (take.folder, *take.folder.glob("*")):
        os.utime(path, (before, before))
    assert sessions.remove_old() == 1
    assert sessions.takes("a") == []
