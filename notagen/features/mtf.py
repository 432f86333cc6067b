"""MIDI text form (MTF): a MIDI file as a line a message, which M3 reads beside ABC.

Source: CLaMP 2, arXiv:2410.13267, section 3.1.
"""

import io
from pathlib import Path

import mido

from notagen.features.patches import MTF
from notagen.foundation.errors import ConversionError
from notagen.foundation.limits import limited

_MAX_BYTES = 2_000_000
_MAX_MESSAGES = 500_000
"""An opera act has a fifth of them."""
_SECONDS = 30.0
_LEFT_OUT = {
    *("text", "copyright", "track_name", "instrument_name", "lyrics", "marker", "cue_marker"),
    *("device_name", "sequencer_specific", "sysex"),
}
"""Messages that hold words, or bytes of one maker's devices."""


def midi_to_mtf(source: bytes | Path) -> str:
    """Return a MIDI file in text form, all tracks merged in time; words in it are left out.

    First the ticks of a quarter note, then a line a message: its name and values as mido orders
    them, for notes the ticks since the message before, channel, pitch and velocity:
    `ticks_per_beat 480`, `set_tempo 500000 0`, `note_on 0 0 60 80`. No line end after the last one.

    Args:
        source: The file's content, or where it lies.

    Raises:
        ConversionError: If it is no MIDI file, cannot be played as one piece (its tracks are
            independent, format 2), or is larger than any piece.
        OSError: If it cannot be read.
    """
    if isinstance(source, Path):
        with source.open("rb") as file:
            source = file.read(_MAX_BYTES + 1)
    if len(source) > _MAX_BYTES:
        raise ConversionError(f"found a MIDI file of more than {_MAX_BYTES} bytes, wanted less")
    return write_mtf(source)


@limited(seconds=_SECONDS)
def write_mtf(midi: bytes) -> str:
    """Return the text form of a MIDI file; done apart, for a number in it may go on and on.

    Raises:
        ConversionError: If it ends too early or holds too many messages; if mido trips over it.
    """
    try:
        file = mido.MidiFile(file=io.BytesIO(midi))
    except EOFError as error:
        raise ConversionError("found the end in the middle, wanted a whole MIDI file") from error
    count = sum(map(len, file.tracks))
    if count > _MAX_MESSAGES:
        raise ConversionError(f"found {count} messages, wanted at most {_MAX_MESSAGES}")
    lines = [f"{MTF} {file.ticks_per_beat}"]
    for message in file.merged_track:
        if message.type not in _LEFT_OUT:
            values = " ".join(map(str, message.dict().values()))
            lines.append(values.encode("unicode_escape").decode())
    return "\n".join(lines)
