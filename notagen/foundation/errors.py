"""The errors a user can meet; each message says where, what was found and what was wanted."""


class ScoreError(ValueError):
    """Refused music: one piece is at fault, the batch around it goes on."""


class NotationError(ScoreError):
    """ABC text that breaks the notation: bars, voices, keys or durations do not add up."""


class ConversionError(ScoreError):
    """A file that could not be converted from or to MusicXML, MIDI or SVG."""


class AlphabetError(ScoreError):
    """Text with a character that the 128-character vocabulary does not hold."""


class InputError(ValueError):
    """Input a stage cannot start from: an index, weights or settings that do not fit."""


class MissingInputError(InputError, FileNotFoundError):
    """A file or folder that an earlier stage writes is not there."""
