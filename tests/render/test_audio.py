import io
from pathlib import Path

import mido
import music21
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from notagen.foundation.errors import ConversionError, InputError, MissingInputError
from notagen.notation.midi import musicxml_to_midi
from notagen.render.audio import LOUDNESS, SAMPLE_RATE, audio, loudness


def melody(*beats: float, program: int = 0, velocity: int = 80, wait: int = 0) -> bytes:
    """Return notes of so many half seconds each, after a rest."""
    track = mido.MidiTrack([mido.Message("program_change", program=program)])
    for number, length in enumerate(beats):
        note = 60 + number % 12
        track.append(mido.Message("note_on", note=note, velocity=velocity, time=wait))
        track.append(mido.Message("note_off", note=note, time=int(480 * length)))
        wait = 0
    output = io.BytesIO()
    mido.MidiFile(tracks=[track]).save(file=output)
    return output.getvalue()


def heard(sound: bytes) -> NDArray[np.float64]:
    samples, rate = soundfile.read(io.BytesIO(sound))
    assert rate == SAMPLE_RATE
    assert samples.ndim == 1
    return samples


def tone(seconds: float, level: float = 1.0) -> NDArray[np.float32]:
    """Return a sine of 997 Hz, at which the filters of the loudness measure are calibrated."""
    turns = 997 * np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (level * np.sin(2 * np.pi * turns)).astype(np.float32)


def test_loudness_of_the_standards_reference_tone() -> None:
    # ITU-R BS.1770-4: a sine of 997 Hz at full scale in one channel reads -3.01
    assert loudness(tone(2)) == pytest.approx(-3.01, abs=0.005)


@settings(max_examples=15)
@given(st.floats(0.001, 1.0))
def test_loudness_follows_the_level(level: float) -> None:
    assert loudness(tone(1, level)) == pytest.approx(-3.01 + 20 * np.log10(level), abs=0.01)


def test_silence_does_not_count() -> None:
    silence = np.zeros(3 * SAMPLE_RATE, dtype=np.float32)
    assert loudness(silence) == -np.inf
    # blocks that hold the end of the tone weigh a little less
    assert loudness(np.append(tone(4), silence)) == pytest.approx(-3.01, abs=0.3)
    assert loudness(tone(0.1)) == pytest.approx(-3.01 - 10 * np.log10(4), abs=0.05)


@pytest.mark.parametrize("form", ["mp3", "wav"])
def test_sound_lasts_as_long_as_its_notes_and_the_last_one_rings(form: str) -> None:
    samples = heard(audio(melody(1, 1, 2), form=form))  # type: ignore[arg-type]
    assert 2 < len(samples) / SAMPLE_RATE < 2.5
    second = [samples[start : start + SAMPLE_RATE] for start in (0, SAMPLE_RATE)]
    assert min(np.std(part) for part in second) > 0.01


def test_loud_and_soft_pieces_of_any_instrument_come_out_equally_loud() -> None:
    pieces = [melody(1, 1, 1, 1, velocity=velocity) for velocity in (30, 120)]
    pieces += [melody(4, 4, program=program) for program in (43, 73)]
    levels = [loudness(heard(audio(piece, form="wav")).astype(np.float32)) for piece in pieces]
    assert levels == pytest.approx([LOUDNESS] * 4, abs=0.02)
    assert loudness(heard(audio(pieces[2]))) == pytest.approx(LOUDNESS, abs=0.5)


def test_long_pieces_are_faded_out() -> None:
    samples = heard(audio(melody(*[1] * 40), form="wav", max_seconds=5))
    assert len(samples) == 5 * SAMPLE_RATE
    parts = [np.std(samples[second * SAMPLE_RATE :][:SAMPLE_RATE]) for second in (1, 3, 4)]
    assert parts[0] > 1.2 * parts[1] > 2 * parts[2]
    assert abs(samples[-1]) < 1e-3


def test_days_of_music_are_not_computed() -> None:
    samples = heard(audio(melody(1, 500_000, 1), form="wav", max_seconds=2))
    assert len(samples) <= 2 * SAMPLE_RATE


def test_same_piece_gives_same_bytes() -> None:
    assert audio(melody(1, 2)) == audio(melody(1, 2))


def test_a_quartet_sounds() -> None:
    score = music21.corpus.parse("bach/bwv66.6")
    document = music21.musicxml.m21ToXml.GeneralObjectExporter(score).parse().decode()
    sound = audio(musicxml_to_midi(document), max_seconds=6)
    assert len(heard(sound)) == 6 * SAMPLE_RATE
    assert len(sound) < 60_000


@pytest.mark.parametrize(
    ("midi", "reason"),
    [
        (b"", "midi"),
        (b"no MIDI at all" * 9, "MThd"),
        (melody(1)[:-9], "midi|EOF|end"),
        (melody(), "found no note"),
        (melody(1, wait=48_000), "found no note in the first 10 s"),
    ],
)
def test_what_does_not_sound_is_refused(midi: bytes, reason: str) -> None:
    with pytest.raises(ConversionError, match=f"(?i){reason}") as caught:
        audio(midi, max_seconds=10)
    assert "\n" not in str(caught.value)


def test_settings_out_of_range_are_refused(tmp_path: Path) -> None:
    for seconds in (0.0, -1.0, 1e9, float("nan")):
        with pytest.raises(InputError, match="max_seconds"):
            audio(melody(1), max_seconds=seconds)
    with pytest.raises(MissingInputError, match=r"none\.sf2"):
        audio(melody(1), soundfont=tmp_path / "none.sf2")
    broken = tmp_path / "broken.sf2"
    broken.write_bytes(b"RIFF")
    with pytest.raises(ConversionError):
        audio(melody(1), soundfont=broken)
