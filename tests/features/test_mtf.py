import io
from pathlib import Path

import mido
import pytest

from notagen.features import mtf
from notagen.features.mtf import midi_to_mtf
from notagen.features.patches import is_mtf
from notagen.foundation.errors import ConversionError
from notagen.notation.midi import musicxml_to_midi
from notagen.notation.musicxml import abc_to_musicxml

MESSAGES = [
    (mido.MetaMessage("track_name", name="Flöte"), None),
    (mido.MetaMessage("time_signature", numerator=3, denominator=4), "time_signature 3 4 24 8 0"),
    (mido.MetaMessage("set_tempo", tempo=500000), "set_tempo 500000 0"),
    (mido.MetaMessage("key_signature", key="Eb"), "key_signature Eb 0"),
    (mido.Message("program_change", channel=1, program=40), "program_change 0 1 40"),
    (mido.MetaMessage("lyrics", text="la", time=5), None),
    (mido.Message("sysex", data=(1, 2)), None),
    (mido.Message("control_change", control=7, value=100), "control_change 0 0 7 100"),
    (mido.Message("note_on", channel=1, note=60, velocity=80, time=3), "note_on 3 1 60 80"),
    (mido.Message("pitchwheel", pitch=-5, time=1), "pitchwheel 1 0 -5"),
    (mido.Message("note_off", channel=1, note=60, velocity=0, time=480), "note_off 480 1 60 0"),
    (mido.MetaMessage("end_of_track", time=2), "end_of_track 2"),
]


def saved(midi: mido.MidiFile) -> bytes:
    file = io.BytesIO()
    midi.save(file=file)
    return file.getvalue()


def one_track(*, kind: int = 0) -> mido.MidiFile:
    return mido.MidiFile(
        type=kind, ticks_per_beat=96, tracks=[mido.MidiTrack(message for message, _ in MESSAGES)]
    )


def test_a_line_a_message(tmp_path: Path) -> None:
    text = midi_to_mtf(saved(one_track()))
    assert text.split("\n") == ["ticks_per_beat 96", *(line for _, line in MESSAGES if line)]
    path = tmp_path / "x.mid"
    path.write_bytes(saved(one_track()))
    assert midi_to_mtf(path) == text


def test_tracks_are_merged() -> None:
    tracks = [
        mido.MidiTrack([mido.Message("note_on", note=note, time=time)])
        for note, time in ((60, 10), (62, 4))
    ]
    text = midi_to_mtf(saved(mido.MidiFile(type=1, tracks=tracks)))
    assert text.split("\n") == [
        "ticks_per_beat 480", "note_on 4 0 62 64", "note_on 6 0 60 64", "end_of_track 0",
    ]  # fmt: skip


def test_midi_of_our_own() -> None:
    abc = 'L:1/8\nQ:1/4=120\nM:4/4\nK:C\nV:1 treble nm="Violin"\n[V:1]c4 e4|]\n'
    midi = musicxml_to_midi(abc_to_musicxml(abc))
    lines = midi_to_mtf(midi).split("\n")
    assert is_mtf("\n".join(lines))
    assert "set_tempo 500000 0" in lines
    notes = [line.split() for line in lines if line.startswith("note_on") and line[-2:] != " 0"]
    assert [int(words[3]) for words in notes] == [72, 76]
    assert any(line.startswith("program_change 0 0 40") for line in lines)


@pytest.mark.parametrize(
    ("midi", "found"),
    [
        (b"", "found the end in the middle, wanted a whole MIDI file"),
        (b"no MIDI file at all", "MThd not found"),
        (saved(one_track())[:-9], "found the end in the middle"),
        (saved(one_track(kind=2)), "can't merge tracks in type 2"),
        (b"\0" * 2_000_001, "found a MIDI file of more than 2000000 bytes, wanted less"),
    ],
)
def test_bad_files(midi: bytes, found: str) -> None:
    with pytest.raises(ConversionError, match=found) as error:
        midi_to_mtf(midi)
    assert "\n" not in str(error.value)


def test_too_many_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mtf, "_MAX_MESSAGES", 11)
    with pytest.raises(ConversionError, match="found 12 messages, wanted at most 11"):
        mtf.write_mtf.__wrapped__(saved(one_track()))


@pytest.mark.slow
def test_a_number_that_goes_on_and_on() -> None:
    body = b"\xff" * 1_900_000
    midi = saved(one_track())[:14] + b"MTrk" + len(body).to_bytes(4, "big") + body
    with pytest.raises(ConversionError, match="not done after 30 s"):
        midi_to_mtf(midi)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ticks_per_beat 480\nset_tempo 500000 0", True),
        ("ticks_per_beat 480", True),
        ("ticks_per_beat\n", False),
        ("%%score 1\nticks_per_beat 480\n", False),
        ("", False),
    ],
)
def test_is_mtf(text: str, wanted: bool) -> None:
    assert is_mtf(text) is wanted
