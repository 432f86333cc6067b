"""Sound: MIDI to MP3 or WAV, every piece equally loud."""

import importlib.util
import io
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import symusic
from numpy.typing import NDArray
from scipy.signal import sosfilt

from notagen.foundation.errors import ConversionError, InputError, MissingInputError
from notagen.foundation.limits import limited

SAMPLE_RATE = 48_000
"""Samples a second; the filters of the loudness measure hold for this rate."""
LOUDNESS = -23.0
"""LUFS of every sound; low enough that plucked and struck notes seldom reach full scale."""
LONGEST = 600.0
"""Seconds; more would not fit into the memory of a small machine."""
_RELEASE = 3.0
"""Seconds that the last note may ring on; also those of a fade-out."""
_SILENCE = 1e-4
"""Share of the peak under which the end of a sound is cut off (-80 dB)."""

# ITU-R BS.1770-4, tables 1 and 2: the shelf of a head and the high-pass, b0 b1 b2 a0 a1 a2
_SHELF = (1.53512485958697, -2.69169618940638, 1.19839281085285)
_SHELF_BACK = (1, -1.69065929318241, 0.73248077421585)
_HIGH_PASS = (1, -2, 1, 1, -1.99004745483398, 0.99007225036621)
_HEARING = np.array([(*_SHELF, *_SHELF_BACK), _HIGH_PASS])
_BLOCK, _STEP = int(0.4 * SAMPLE_RATE), int(0.1 * SAMPLE_RATE)


def audio(
    midi: bytes,
    *,
    form: Literal["mp3", "wav"] = "mp3",
    max_seconds: float = LONGEST,
    soundfont: Path | None = None,
) -> bytes:
    """Return a MIDI file as sound: mono, 48 kHz, `LOUDNESS` loud, no silence after the last note.

    Computed on this machine alone; the same file gives the same bytes in every run.

    Args:
        midi: A standard MIDI file.
        form: MP3 of variable bit rate, or WAV of 16 bits a sample (5.8 MB a minute).
        max_seconds: A longer piece is faded out there; at most `LONGEST`.
        soundfont: An `.sf2` or `.sf3` file; None takes the one that comes with pretty_midi.

    Raises:
        ConversionError: If the file is no MIDI, nothing in it sounds, or it could not be played in
            two minutes.
        InputError: If `max_seconds` is out of range.
        MissingInputError: If there is no such soundfont.
    """
    if not 0 < max_seconds <= LONGEST:
        raise InputError(f"max_seconds: found {max_seconds:g}, wanted more than 0, to {LONGEST:g}")
    font = _packaged_soundfont() if soundfont is None else soundfont
    if not font.is_file():
        raise MissingInputError(f"soundfont: found no file {font}, wanted an .sf2 or .sf3 file")
    return _play(midi, form, max_seconds, str(font))


def loudness(samples: NDArray[np.float32]) -> float:
    """Return the loudness of a mono sound of 48 kHz, (n,), in LUFS; minus infinity for silence.

    Source: ITU-R BS.1770-4, annex 1: weighted as a head hears it, in blocks of 0.4 s of which the
    silent ones and those 10 LU under the others' mean do not count.
    """
    heard = sosfilt(_HEARING, np.pad(samples, (0, max(0, _BLOCK - len(samples)))))
    blocks = np.lib.stride_tricks.sliding_window_view(heard, _BLOCK)[::_STEP]
    # block by block: squares of all of them at once would take four times the sound's memory
    power = np.array([np.mean(block**2) for block in blocks])
    power = power[power > _power(-70.0)]
    if not len(power):
        return -np.inf
    power = power[power > np.mean(power) / 10]
    return float(10 * np.log10(np.mean(power)) - 0.691)


@limited(120)
def _play(midi: bytes, form: str, seconds: float, soundfont: str) -> bytes:
    score = symusic.Score.from_midi(midi).to("second").clip(0.0, seconds)
    end = 0.0
    for track in score.tracks:
        for note in track.notes:
            note.duration = min(note.duration, seconds - note.time)
            end = max(end, note.end)
    if end == 0:
        raise ConversionError(
            f"MIDI: found no note in the first {seconds:g} s, wanted at least one"
        )
    # the synthesizer stops at the last note's end; a silent note behind it lets that one ring
    ringing = symusic.Note(end + _RELEASE, 0.001, 60, 0, ttype="second")
    next(track for track in score.tracks if track.notes).notes.append(ringing)
    # one voice, as headphones must not tell pieces apart by their width
    samples = symusic.Synthesizer(soundfont, SAMPLE_RATE, 0).render(score, stereo=True).mean(axis=0)
    samples = _ended(samples, int(seconds * SAMPLE_RATE))
    level = loudness(samples)
    if level == -np.inf:
        raise ConversionError("MIDI: found only notes that the soundfont leaves silent")
    samples = np.clip(samples * 10 ** ((LOUDNESS - level) / 20), -1.0, 1.0)
    output = io.BytesIO()
    # 0.8 of 1: a third less than the default, and still more than a synthesizer's sound needs
    kinds = {"mp3": {"subtype": "MPEG_LAYER_III", "compression_level": 0.8}, "wav": {}}
    soundfile.write(output, samples, SAMPLE_RATE, format=form.upper(), **kinds[form])
    return output.getvalue()


def _ended(samples: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """Return the samples without silence at their end, faded out where there are too many."""
    sounding = np.flatnonzero(np.abs(samples) > _SILENCE * np.abs(samples).max())
    samples = samples[: sounding[-1] + 1 if len(sounding) else 0]
    if len(samples) > most:
        samples = samples[:most].copy()
        fade = min(most, int(_RELEASE * SAMPLE_RATE))
        samples[most - fade :] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return samples


def _power(lufs: float) -> float:
    return float(10 ** ((lufs + 0.691) / 10))


def _packaged_soundfont() -> Path:
    # only looked up: importing pretty_midi takes a second, and warns
    spec = importlib.util.find_spec("pretty_midi")
    if spec is None or spec.origin is None:
        raise MissingInputError(
            "soundfont: pretty_midi is not installed, whose font is the default"
        )
    return Path(spec.origin).with_name("TimGM6mb.sf2")
