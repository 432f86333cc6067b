"""Move a tune to another written key: every pitch exact, every word untouched."""

import re

from notagen.foundation.errors import NotationError
from notagen.notation.keys import (
    Key,
    fifths_of,
    key_fifths,
    parse_key,
    signature_alteration,
    spell,
    spelled,
)
from notagen.notation.lexer import FIELD, NOTE, tokens

_SIGNS = {"^^": 2, "^": 1, "=": 0, "_": -1, "__": -2}
_SIGN_OF = {alteration: sign for sign, alteration in _SIGNS.items()}
_SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_CHORD_SYMBOL = re.compile(
    r"(?P<root>[A-G])(?P<sign>#|b)?"
    r"(?P<kind>(?:maj|min|dim|aug|sus|add|alt|omit|no|[mMo0+()^,]|[#b-]?\d+)*)"
    r"(?:/(?P<bass>[A-G])(?P<bass_sign>#|b)?)?"
)

_Place = tuple[str, int]
"""A letter and an octave (the octave of middle C is 0); accidentals act on it within a bar."""


def transpose(abc: str, key: str) -> str:
    """Return the tune in another of the 15 written keys.

    Notes, key signatures (in the header, in the music, of single voices) and chord symbols move by
    the interval between the signatures, up or down, whichever is nearer. An accidental that was
    written stays written. Names, directions, rests and percussion voices stay as they are.
    `K:G` with `[V:1]^FGA|` becomes, in `Eb`, `K:Eb` with `[V:1]=DEF|`.

    Args:
        abc: Standard, interleaved or reduced ABC, prompt lines allowed.
        key: Name of the major key whose signature is wanted, one of `notation.keys.KEYS`.

    Raises:
        NotationError: If `key` is not one of the 15 or the tune's own key cannot be read.
    """
    wanted = key_fifths(key)
    header_key = _header_key(abc)
    shift = wanted - header_key.fifths
    if shift == 0:
        return abc
    voices: dict[str, _Voice] = {}
    unpitched: set[str] = set()
    voice, key_seen, lines = "1", False, []
    for line in abc.split("\n"):
        if line.startswith("V:"):
            words = line[2:].split()
            voice = words[0] if words else "1"
            if "perc" in words or "clef=perc" in words:
                unpitched.add(voice)
        if not key_seen and line.startswith("K:"):
            lines.append(f"K:{_moved_key(parse_key(line[2:]) or header_key, shift).text}")
            key_seen = True
            continue
        if line.startswith("K:") and voice not in unpitched:
            state = voices.setdefault(voice, _Voice(header_key, shift))
            lines.append(f"K:{_moved_field(line[2:], shift, state)}")
        elif not line or line[0] == "%" or re.match(r"[A-Za-z]:", line):
            lines.append(line)
        else:
            text, voice = _transpose_line(line, voice, voices, unpitched, header_key, shift)
            lines.append(text)
    return "\n".join(lines)


class _Alterations:
    """Accidentals in force in one voice."""

    def __init__(self) -> None:
        self.in_bar: dict[_Place, int] = {}
        self.tied: dict[_Place, int] = {}
        """Reaching the event being read from the one before."""
        self.tying: dict[_Place, int] = {}
        """Reaching out from the event being read to the next."""

    def implied(self, place: _Place, key: int, *, grace: bool) -> int:
        """Return the alteration of a note without a sign; graces are never at the end of a tie.

        A note at the end of a tie sounds as it did before, and leaves no accidental in the bar.
        """
        if place in self.tied and not grace:
            return self.tied[place]
        return self.in_bar.get(place, signature_alteration(key, place[0]))


class _Voice:
    """What accidentals mean at a place in one voice, before and after the move."""

    def __init__(self, key: Key, shift: int) -> None:
        self.semitones = _semitones(shift)
        self.source = _Alterations()
        self.target = _Alterations()
        self.chord: list[tuple[_Place, int, _Place, int]] = []
        self.set_key(key, shift)

    def set_key(self, key: Key, shift: int) -> None:
        moved = _moved_key(key, shift)
        self.key, self.new_key = key.fifths, moved.fifths
        self.shift = moved.fifths - key.fifths
        self.end_bar()

    def end_bar(self) -> None:
        self.source.in_bar.clear()
        self.target.in_bar.clear()

    def begin_event(self) -> None:
        """A note, chord or rest begins: what the one before tied reaches it, and no further."""
        self.chord = []
        for side in (self.source, self.target):
            side.tied, side.tying = side.tying, {}

    def tie(self, *, last_only: bool) -> None:
        """Tie the notes of this event, or just the last one, to the next event."""
        for place, alteration, new_place, new_alteration in self.chord[-1 if last_only else 0 :]:
            self.source.tying[place] = alteration
            self.target.tying[new_place] = new_alteration

    def note(self, text: str, *, grace: bool) -> str:
        """Return a note moved."""
        match = NOTE.fullmatch(text)
        if match is None:
            raise NotationError(f"found {text!r}, wanted a note")
        letter = match["letter"].upper()
        octave = match["octave"].count("'") - match["octave"].count(",")
        octave += match["letter"].islower()
        place, sign = (letter, octave), match["accidental"]
        if sign is not None:
            alteration = self.source.in_bar[place] = _SIGNS[sign]
        else:
            alteration = self.source.implied(place, self.key, grace=grace)
        new_place, new_alteration = self._moved(letter, alteration, octave)
        new_sign = ""
        if sign is not None or new_alteration != self.target.implied(
            new_place, self.new_key, grace=grace
        ):
            new_sign = _SIGN_OF[new_alteration]
            self.target.in_bar[new_place] = new_alteration
        if not grace:
            self.chord.append((place, alteration, new_place, new_alteration))
        return new_sign + _format_place(new_place) + match["length"]

    def _moved(self, letter: str, alteration: int, octave: int) -> tuple[_Place, int]:
        pitch = 12 * octave + _SEMITONES[letter] + alteration + self.semitones
        fifths = fifths_of(letter, alteration) + self.shift
        new_letter, new_alteration = spelled(fifths)
        while abs(new_alteration) > 2:  # a triple accidental cannot be written: respell it
            fifths -= 12 if new_alteration > 0 else -12
            new_letter, new_alteration = spelled(fifths)
        new_octave = (pitch - _SEMITONES[new_letter] - new_alteration) // 12
        return (new_letter, new_octave), new_alteration


def _transpose_line(
    line: str,
    voice: str,
    voices: dict[str, _Voice],
    unpitched: set[str],
    header_key: Key,
    shift: int,
) -> tuple[str, str]:
    """Return a line of music moved, and the voice it ends in."""
    out: list[str] = []
    in_chord = in_grace = False
    for kind, text in tokens(line):
        state = voices.setdefault(voice, _Voice(header_key, shift))
        if kind == "field":
            match = FIELD.fullmatch(text)
            if match and match["name"] == "V":
                voice = match["value"].split()[0] if match["value"].split() else voice
            elif match and match["name"] == "K" and voice not in unpitched:
                text = f"[K:{_moved_field(match['value'], shift, state)}]"
        elif voice in unpitched:
            pass
        elif kind == "note":
            if not (in_chord or in_grace):
                state.begin_event()
            text = state.note(text, grace=in_grace)
        elif kind == "rest" and not in_chord:
            state.begin_event()
        elif kind == "chord_open":
            in_chord = True
            state.begin_event()
        elif kind == "chord_close":
            in_chord = False
        elif kind in ("grace_open", "grace_close"):
            in_grace = kind == "grace_open"
        elif kind == "tie" and not in_grace:
            state.tie(last_only=in_chord)
        elif kind == "barline":
            state.end_bar()
        elif kind == "string":
            text = _moved_chord_symbol(text, state.shift)
        out.append(text)
    return "".join(out), voice


def _header_key(abc: str) -> Key:
    match = re.search(r"^K:(.*)$", abc, flags=re.MULTILINE)
    if match is None:
        raise NotationError("found no K: line, wanted the tune's key")
    return parse_key(match[1].split("%")[0]) or Key(0, "", "")


def _semitones(shift: int) -> int:
    """Return how far a move along the line of fifths goes up, in semitones, -6 to 6.

    To the nearest octave; a tritone goes up with sharps and down with flats, so that the way back
    undoes it. Keys that are respelled on the way move just as far.
    """
    nearest = (7 * shift + 6) % 12 - 6
    return 6 if nearest == -6 and shift > 0 else nearest


def _moved_key(key: Key, shift: int) -> Key:
    fifths = key.fifths + shift
    while not -7 <= fifths <= 7:
        fifths += 12 if fifths < 0 else -12
    return key._replace(fifths=fifths)


def _moved_field(value: str, shift: int, state: _Voice) -> str:
    """Return a `K:` field's value moved, and put the voice under that key."""
    key = Key(0, "", "") if value.strip().startswith("none") else parse_key(value)
    if key is None:  # a clef, as a rule: it changes no pitch
        return value
    state.set_key(key, shift)
    return _moved_key(key, shift).text


def _format_place(place: _Place) -> str:
    letter, octave = place
    return letter.lower() + "'" * (octave - 1) if octave > 0 else letter + "," * -octave


def _moved_chord_symbol(text: str, shift: int) -> str:
    match = _CHORD_SYMBOL.fullmatch(text[1:-1])
    if match is None:
        return text
    symbol = _moved_name(match["root"], match["sign"], shift) + match["kind"]
    if match["bass"]:
        symbol += "/" + _moved_name(match["bass"], match["bass_sign"], shift)
    return f'"{symbol}"'


def _moved_name(letter: str, sign: str | None, shift: int) -> str:
    fifths = fifths_of(letter, {"#": 1, "b": -1, None: 0}[sign]) + shift
    while not -8 <= fifths <= 12:  # Fb to E#: names that readers know
        fifths += 12 if fifths < 0 else -12
    return spell(fifths)
