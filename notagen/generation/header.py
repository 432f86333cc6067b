"""Wishes for a header: what the user fixed stands there, the rest is left to the model."""

import dataclasses
import re
from collections.abc import Callable
from fractions import Fraction

from notagen.foundation.config import check_fields
from notagen.foundation.errors import InputError, NotationError
from notagen.generation.instruments import find_instrument, score_lines
from notagen.notation.barlines import parse_bar
from notagen.notation.durations import bar_duration, format_length, parse_metre
from notagen.notation.keys import parse_key
from notagen.notation.lexer import VOICE_MARK, tokens
from notagen.notation.musicxml.abc_layout import read_voice_lines
from notagen.notation.tune import voice_order
from notagen.tokenizer.windows import split_header

_ORDER = ("%", "%%score", "L", "Q", "M", "K", "V", "[")
"""In which the lines of a header stand, from the prompt to the first bar."""
_SLOWEST, _FASTEST = 20, 400
_LONGEST_BAR = 8
_MODES = {"": "", "maj": "", "major": "", "m": "min", "min": "min", "minor": "min"}
_COMMON_TIME = {"C": "4/4", "C|": "2/2"}
_TEMPO = re.compile(
    r"(?:\"[^\"]*\"\s*)?(?:(\d{1,2})/([1-9]\d?)\s*=\s*)?(\d{1,4})(?:\s*\"[^\"]*\")?"
)
_SHARP, _FLAT = (re.compile(rf"[- ]?{word}\b", re.IGNORECASE) for word in ("sharp", "flat"))
_PART_NAME = re.compile(r'\bnm="([^"]*)"')


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeaderWishes:
    """What stands in the header whatever the model would write; None leaves it to the model.

    That it holds for the whole piece is seen to where bars are checked (`Controls.valid_bars`).
    """

    key: str | None = None
    """Major or minor, up to seven sharps or flats: `Eb`, `C minor`, `F#min`. The signature holds
    for the whole piece."""
    metre: str | None = None
    """Such as `3/4`, `C|` or `2+3/8`; it holds for the whole piece."""
    tempo: str | int | None = None
    """Beats a minute, 20 to 400, of the beat that is named (`3/8=60`), else of the beat of the
    metre that is asked for, else of a quarter."""
    instruments: tuple[str, ...] = ()
    """From top to bottom, such as `Violin 1, Violin 2, Viola, Cello` or `Voice, Piano`. Piano,
    organ, harp and their like have two staves."""

    def __post_init__(self) -> None:
        """Check types, and that each wish can be read."""
        check_fields(self)
        self.lines()

    def lines(self) -> dict[str, tuple[str, ...]]:
        """Return the lines of each field that is fixed, in the order of a header.

        `key="C minor"` gives `{"L": ("L:1/8",), "K": ("K:Cmin",)}`; the unit is the one of all
        training text. No lines for `%%score` mean that none may stand.

        Raises:
            InputError: If a wish cannot be read; names field, what was found and what was wanted.
        """
        fields: dict[str, tuple[str, ...]] = {}
        if self.instruments:
            score, voices = score_lines(_names(self.instruments))
            fields["%%score"] = (score,) if score else ()
        if (self.key, self.metre, self.tempo, self.instruments) != (None, None, None, ()):
            fields["L"] = ("L:1/8",)
        if self.tempo is not None:
            fields["Q"] = (f"Q:{_tempo(str(self.tempo), self.metre)}",)
        if self.metre is not None:
            fields["M"] = (f"M:{_metre(self.metre)}",)
        if self.key is not None:
            fields["K"] = (f"K:{_key(self.key)}",)
        if self.instruments:
            fields["V"] = voices
        return fields

    def check_against(self, text: str) -> None:
        """Check that a text to begin with, prompt or opening, does not say otherwise.

        Raises:
            InputError: If its header has another key, metre or tempo, or other instruments; names
                both.
        """
        header = [line.strip() for line in split_header(text)[0]]
        voices = [line for line in header if _field(line) == "V"]
        if voices and self.instruments and not _plays(voices, _names(self.instruments)):
            raise InputError(
                f"instruments: found {'; '.join(voices)} in the text to begin with, wanted "
                f"{', '.join(_names(self.instruments))}"
            )
        wanted = self.lines()
        for name, (wish, read) in _FIELDS.items():
            for line in header:
                if name in wanted and _field(line) == name:
                    try:
                        same = wanted[name] == (f"{name}:{read(line[2:])}",)
                    except InputError:  # such as a church mode
                        same = False
                    if not same:
                        raise InputError(
                            f"{wish}: found {line} in the text to begin with, wanted "
                            f"{wanted[name][0]}"
                        )

    def complete(self, text: str) -> str:
        """Return a text to begin with, with what is fixed and missing in its header put there.

        A text without bars is returned as it is: a `HeaderGuide` sees to the rest of its header.

        Raises:
            InputError: As `check_against`.
        """
        self.check_against(text)
        header, body = split_header(text)
        if not body:
            return text
        for name in _FIELDS:
            if not any(_field(line) == name for line in header):
                later = _ORDER[_ORDER.index(name) + 1 :]
                at = next((i for i, s in enumerate(header) if _field(s) in later), len(header))
                header[at:at] = [f"{line}\n" for line in self.lines().get(name, ())]
        return "".join([*header, *body])


NO_WISHES = HeaderWishes()


class HeaderGuide:
    """Puts what is fixed into a header while a model writes it, each line where the model's come.

    A fixed line stands instead of the model's own one, or before the first line that belongs after
    it, and is never written twice. Once the voices that were asked for stand, the bars begin.
    """

    def __init__(self, wishes: HeaderWishes) -> None:
        self._lines = wishes.lines()
        self.fixed = "".join(name for name in _FIELDS if name in self._lines)
        """Letters of the fields that are fixed: of `K`, `M` and `Q`."""

    def instead_of(self, header: str, drawn: str) -> str | None:
        """Return what stands in place of a line that the model begins.

        Args:
            header: The whole lines above it.
            drawn: The first characters that the model wrote, at the start of a header line or of
                the first bar (`[`).

        Returns:
            None to keep what was drawn; or whole lines, after which the model goes on; or `[`,
            where the bars must begin now.
        """
        if not self._lines:
            return None
        name = _field(drawn)
        standing = {_field(line) for line in header.splitlines()}
        missing = {
            field: "".join(f"{line}\n" for line in lines)
            for field, lines in self._lines.items()
            if lines and field not in standing and not (field == "%%score" and "V" in standing)
        }
        place = _ORDER.index(name) if name else -1
        due = "".join(lines for field, lines in missing.items() if _ORDER.index(field) <= place)
        if due:
            return due
        is_over = "V" in self._lines and "V" in standing
        is_stray = name in standing or name in ("", "%")
        is_music = not name and drawn[1:2] != ":"  # as weak models write without a bar's start
        if name not in self._lines and not is_music and not (is_over and is_stray):
            return None
        # a line of this field stands already, or none may stand: go on with what comes next
        if missing:
            return next(iter(missing.values()))
        return "[" if "V" in standing else "V:1 treble\n"

    def first_bar(self, header: str, line: str) -> str:
        r"""Return the first bar with the key that is fixed, as transposing voices write it.

        With `K:Eb` and `V:2 treble transpose=-2`, the line `[V:1]c8|` becomes
        `[V:1]c8|[V:2][K:F]z8|`: a voice that rests is written out for it.

        Args:
            header: All lines above.
            line: A sound bar, its counter and `\n` with it.
        """
        if "K" not in self.fixed:
            return line
        counter, *parts = VOICE_MARK.split(line.removesuffix("\n"))
        cells = dict(zip(parts[::2], map(parse_bar, parts[1::2]), strict=True))
        first = next(iter(cells.values()))
        length = bar_duration(first.music, unit=Fraction(1)) or Fraction(1)
        rest = first._replace(music=f"z{format_length(length)}")
        for voice, described in read_voice_lines(header.splitlines()).items():
            key = _written_key(self._lines["K"][0][2:], described.transpose)
            bar = cells.get(voice, rest)
            if key and not _begins_with_key(bar.music):
                cells[voice] = bar._replace(music=f"[K:{key}]{bar.music}")
        music = "".join(f"[V:{voice}]{cells[voice].text}" for voice in voice_order(list(cells)))
        return f"{counter}{music}\n"


def _field(line: str) -> str:
    """Return which line of a header this is, or begins: one of `_ORDER`, or empty for others."""
    if line.startswith(("%%sc", "%%st")) or line in ("%%", "%%s"):
        return "%%score"
    if line.startswith("%"):
        return "%"
    if line.startswith("["):
        return "["
    return line[0] if line[:1] in "LQMKV" and line[1:2] == ":" else ""


def _names(instruments: tuple[str, ...]) -> list[str]:
    """Return the names one by one; several may stand in one text, between commas."""
    names = [name.strip() for text in instruments for name in text.split(",")]
    if not all(names):
        raise InputError(f"instruments: found an empty name in {', '.join(instruments)!r:.80}")
    return names


def _plays(voices: list[str], names: list[str]) -> bool:
    """Tell whether the `V:` lines of a header are those of these instruments."""
    named = (_PART_NAME.search(line) for line in voices)
    try:
        found = [find_instrument(match[1])[0] for match in named if match]
    except InputError:
        return False
    return found == [find_instrument(name)[0] for name in names]


def _key(wish: str) -> str:
    """Return the value of a `K:` field: `c sharp minor` gives `C#min`."""
    text = _FLAT.sub("b", _SHARP.sub("#", wish.strip()))
    try:
        key = parse_key(text)
    except NotationError as error:
        raise InputError(f"key: {error}") from error
    mode = _MODES.get(key.mode if key.mode == "M" else key.mode.lower()) if key else None
    if key is None or mode is None or key.rest.strip():
        raise InputError(
            f"key: found {wish!r:.40}, wanted a major or minor key such as Eb or F#min"
        )
    return key._replace(mode=mode, rest="").text


def _written_key(key: str, semitones: int) -> str:
    """Return the key in which a part is written that sounds higher by so many semitones.

    `Eb` at -2 gives `F`; empty where it is the same key, an octave away.
    """
    sounding = parse_key(key)
    if sounding is None or semitones % 12 == 0:
        return ""
    # a semitone is seven fifths; of two spellings the one with fewer sharps or flats
    fifths = (sounding.fifths - 7 * semitones + 6) % 12 - 6
    return sounding._replace(fifths=6 if fifths == -6 and sounding.fifths > 0 else fifths).text


def _begins_with_key(music: str) -> bool:
    """Tell whether a key, not only a clef, stands before the notes of a bar."""
    for kind, text in tokens(music):
        if kind in ("note", "rest", "chord_open"):
            return False
        if kind == "field" and text.startswith("[K:") and parse_key(text[3:-1]):
            return True
    return False


def _metre(wish: str) -> str:
    """Return the value of an `M:` field: `C|` gives `2/2`."""
    length = parse_metre(wish)
    value = _COMMON_TIME.get(wish.strip(), wish.strip())
    if not length or length > _LONGEST_BAR or not _is_note(Fraction(1, int(value.split("/")[1]))):
        raise InputError(f"metre: found {wish!r:.40}, wanted one such as 3/4, C| or 2+3/8")
    return value


def _tempo(wish: str, metre: str | None) -> str:
    """Return the value of a `Q:` field: `96` gives `1/4=96`, or `3/8=96` where that is the beat."""
    match = _TEMPO.fullmatch(wish.strip())
    beat = _beat(metre)
    if match and match[1]:
        beat = Fraction(int(match[1]), int(match[2]))
    if match is None or not (_is_note(beat) and _SLOWEST <= int(match[3]) <= _FASTEST):
        raise InputError(
            f"tempo: found {wish!r:.40}, wanted {_SLOWEST} to {_FASTEST} beats a minute, a whole "
            f"number, such as 96 or 3/8=60"
        )
    return f"{beat.numerator}/{beat.denominator}={int(match[3])}"


def _beat(metre: str | None) -> Fraction:
    """Return the beat of a metre: three of its units in 6/8, 9/8, 12/8 and their like."""
    if metre is None:
        return Fraction(1, 4)
    count, unit = _metre(metre).split("/")
    return Fraction(3 if count in ("6", "9", "12") else 1, int(unit))


def _is_note(length: Fraction) -> bool:
    """Tell whether a length is that of a note, plain or dotted, from a 64th on."""
    bottom = length.denominator
    return length.numerator in (1, 3) and bottom <= 64 and bottom & (bottom - 1) == 0


_FIELDS: dict[str, tuple[str, Callable[[str], str]]] = {
    "Q": ("tempo", lambda value: _tempo(value, None)),
    "M": ("metre", _metre),
    "K": ("key", _key),
}
"""Of the fields with one line: the wish of it, and what reads its value."""
