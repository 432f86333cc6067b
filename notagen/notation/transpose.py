"""Move a tune to other written keys: every pitch exact, every word untouched.

A tune is read once for all keys. Whatever moves (a note's pitch, a key, a chord symbol) becomes a
symbol; a key's text is the tune with each symbol written anew, and a piece has a few hundred
different ones. A written accidental stays written, any other is implied as before, so a symbol
looks the same wherever it stands. There are two exceptions: a note that would get a triple
accidental is respelled, and so is a key of more than seven accidentals, which then moves by another
interval than the voice's other keys. Such a voice is written note by note.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from notagen.foundation.errors import NotationError
from notagen.notation.accidentals import (
    BARLINE,
    EVENT,
    SIGN_OF,
    TIE,
    TIE_ALL,
    Accidentals,
    format_place,
    read_pitch,
)
from notagen.notation.interleave import is_interleaved
from notagen.notation.keys import (
    CHORD_SYMBOL,
    Key,
    Move,
    Place,
    key_fifths,
    parse_key,
)
from notagen.notation.lexer import FIELD, tokens

_FIELD_LINE = re.compile(r"[A-Za-z]:")

_LONGEST_SYMBOL = 40
"""Characters of a chord symbol; what is longer are words, and no pattern is tried on them."""

# what else happens in a voice; notes are their symbol's number, from 0 on
_GRACE, _GRACE_END = EVENT - 1, EVENT - 2


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
        NotationError: If `key` is not one of the 15 or a key of the tune cannot be read.
    """
    return transpose_to_keys(abc, [key])[key]


def transpose_to_keys(abc: str, keys: Iterable[str]) -> dict[str, str]:
    """Return the tune in each of the keys; many keys cost little more than one.

    Args:
        abc: As for `transpose`, which says what moves and how. `K:none` counts as C.
        keys: Names of keys, each one of `notation.keys.KEYS`.

    Raises:
        NotationError: If one of `keys` is not one of the 15 or a key of the tune cannot be read.
    """
    header_key = _header_key(abc)
    shifts = {key: key_fifths(key) - header_key.fifths for key in keys}
    if not any(shifts.values()):
        return dict.fromkeys(shifts, abc)
    template = _Reader(abc, header_key).template()
    return {key: template.moved(shift) if shift else abc for key, shift in shifts.items()}


class _Note(NamedTuple):
    """A note as it sounds, its length aside."""

    signed: bool
    """Whether its accidental is written."""
    place: Place
    alteration: int
    key: int
    """Signature over it, in fifths."""


class _Name(NamedTuple):
    """A key or a chord symbol."""

    is_chord: bool
    text: str
    key: int
    """Signature over a chord symbol, in fifths; of a key, its own."""


class _Voice:
    """One voice while it is read, and what must be known to write it note by note."""

    def __init__(self, key: int) -> None:
        self.key = key
        self.page = Accidentals()
        self.happenings: list[int] = []
        """Notes and what else is between them, in order."""
        self.texts: list[int] = []
        """Where the template has each note."""
        self.keys = {key}
        """All its signatures."""

    def happens(self, what: int) -> None:
        self.happenings.append(what)
        if what >= EVENT:
            self.page.happens(what)

    def set_key(self, fifths: int) -> None:
        self.key = fifths
        self.keys.add(fifths)
        self.happens(BARLINE)


class _Template:
    """A tune whose moving parts are cut out."""

    def __init__(self, header_key: Key) -> None:
        self.header_key = header_key
        self.texts: list[str] = []
        """What stays at even places; at the odd places between, symbols are to be written."""
        self.slots: list[int] = []
        """Number of the symbol at each odd place."""
        self.symbols: dict[_Note | _Name, int] = {}
        self.voices: dict[str, _Voice] = {}

    def moved(self, shift: int) -> str:
        """Return the tune moved along the line of fifths; `shift` is the header key's move."""
        symbols = list(self.symbols)
        keys = {symbol.key for symbol in symbols}.union(*(v.keys for v in self.voices.values()))
        moves = {key: Move(key, shift) for key in keys}
        written = [self._written(symbol, moves[symbol.key]) for symbol in symbols]
        texts = self.texts.copy()
        texts[1::2] = map(written.__getitem__, self.slots)
        respelled = {
            number
            for number, symbol in enumerate(symbols)
            if isinstance(symbol, _Note)
            and moves[symbol.key].respells(symbol.place, symbol.alteration)
        }
        for voice in self.voices.values():
            if not _moves_as_one(voice, moves, respelled):
                for place, text in self._note_by_note(voice, symbols, moves):
                    texts[place] = text
        return "".join(texts)

    def _written(self, symbol: _Note | _Name, move: Move) -> str:
        if isinstance(symbol, _Note):
            place, alteration = move.pitch(symbol.place, symbol.alteration)
            return (SIGN_OF[alteration] if symbol.signed else "") + format_place(place)
        if symbol.is_chord:
            return move.chord_symbol(symbol.text)
        key = parse_key(symbol.text) or self.header_key
        return key._replace(fifths=move.key).text

    def _note_by_note(
        self, voice: _Voice, symbols: list[_Note | _Name], moves: dict[int, Move]
    ) -> Iterator[tuple[int, str]]:
        """Yield each note of a voice: its place among the texts, and how it is written there."""
        page, in_grace, texts = Accidentals(), False, iter(voice.texts)
        for what in voice.happenings:
            if EVENT <= what < 0:
                page.happens(what)
            elif what < 0:
                in_grace = what == _GRACE
            elif isinstance(note := symbols[what], _Note):
                move = moves[note.key]
                place, alteration = move.pitch(note.place, note.alteration)
                signed = note.signed or alteration != page.implied(place, move.key, grace=in_grace)
                page.note(place, alteration, signed=signed, tieable=not in_grace)
                yield next(texts), (SIGN_OF[alteration] if signed else "") + format_place(place)


def _moves_as_one(voice: _Voice, moves: dict[int, Move], respelled: set[int]) -> bool:
    """Tell whether every sign of a voice stays: its keys move alike, and no note is respelled."""
    alike = len({moves[key].shift for key in voice.keys}) == 1
    return alike and respelled.isdisjoint(voice.happenings)


class _Reader:
    """Reads a tune into a template."""

    def __init__(self, abc: str, header_key: Key) -> None:
        self._abc = abc
        self._template = _Template(header_key)
        self._copied = 0
        """Characters of the tune that the template has."""
        self._voice = "1"
        self._unpitched: set[str] = set()
        self._tying: set[str] = set()
        """Voices with a tie in the bar being read, or in the one before."""

    def template(self) -> _Template:
        """Read the tune."""
        key_seen, start, is_bar_by_bar = False, 0, is_interleaved(self._abc)
        for line in self._abc.split("\n"):
            if line.startswith("V:"):
                words = re.sub(r'"[^"]*"', "", line[2:]).split()  # names are in quotes
                self._voice = words[0] if words else "1"
                if "perc" in words or "clef=perc" in words:
                    self._unpitched.add(self._voice)
            elif line.startswith("K:") and not key_seen:
                key_seen = True
                key = parse_key(line[2:]) or self._template.header_key
                self._add(_Name(False, line[2:], key.fifths), start + 2, start + len(line))
            elif line.startswith("K:"):
                self._key_field(line[2:], start + 2)
            elif line and line[0] != "%" and not _FIELD_LINE.match(line):
                voices = self._music(line, start)
                if is_bar_by_bar:
                    self._rest_in_others(voices)
            start += len(line) + 1
        self._template.texts.append(self._abc[self._copied :])
        return self._template

    def _rest_in_others(self, voices: set[str]) -> None:
        """A voice that is missing from a bar rests there: no tie reaches over it."""
        for name in self._tying - voices:
            self._template.voices[name].happens(EVENT)
        self._tying &= voices

    def _music(self, line: str, start: int) -> set[str]:
        """Read a line of music; return the voices in it."""
        in_chord = in_grace = False
        voice = self._open_voice()
        voices = {self._voice} if not line.startswith("[") else set()
        end = start
        for kind, text in tokens(line):
            start, end = end, end + len(text)
            if kind == "field":
                match = FIELD.fullmatch(text)
                if match and match["name"] == "V":
                    words = match["value"].split()
                    self._voice = words[0] if words else self._voice
                    voice, in_chord, in_grace = self._open_voice(), False, False
                    voices.add(self._voice)
                elif match and match["name"] == "K":
                    self._key_field(match["value"], start + 3)
            elif self._voice in self._unpitched:
                continue
            elif kind == "note":
                if not (in_chord or in_grace):
                    voice.happens(EVENT)
                self._note(text, start, voice, in_grace)
            elif kind == "chord_close":
                in_chord = False
            elif kind == "barline":
                voice.happens(BARLINE)
            elif kind == "chord_open" or (kind == "rest" and not in_chord):
                in_chord = kind == "chord_open"
                if not in_grace:
                    voice.happens(EVENT)
            elif kind in ("grace_open", "grace_close"):
                in_grace = kind == "grace_open"
                voice.happens(_GRACE if in_grace else _GRACE_END)
            elif kind == "tie" and not in_grace:
                voice.happens(TIE if in_chord else TIE_ALL)
                self._tying.add(self._voice)
            elif (
                kind == "string"
                and len(text) <= _LONGEST_SYMBOL
                and CHORD_SYMBOL.fullmatch(text[1:-1])
            ):
                self._add(_Name(True, text[1:-1], voice.key), start + 1, end - 1)
        return voices

    def _note(self, text: str, start: int, voice: _Voice, grace: bool) -> None:
        sign, place, length = read_pitch(text)
        alteration = voice.page.implied(place, voice.key, grace=grace) if sign is None else sign
        voice.page.note(place, alteration, signed=sign is not None, tieable=not grace)
        voice.texts.append(len(self._template.texts) + 1)
        note = _Note(sign is not None, place, alteration, voice.key)
        voice.happenings.append(self._add(note, start, start + length))

    def _key_field(self, value: str, start: int) -> None:
        """Read a `K:` field that counts for one voice; one that only names a clef moves nothing."""
        if self._voice in self._unpitched:
            return
        voice = self._open_voice()
        no_key = value.strip().startswith("none")
        key = Key(0, "", "") if no_key else parse_key(value)
        if key is not None:
            voice.set_key(key.fifths)
            self._add(_Name(False, "C" if no_key else value, key.fifths), start, start + len(value))

    def _open_voice(self) -> _Voice:
        voice = self._template.voices.get(self._voice)
        if voice is None:
            voice = self._template.voices[self._voice] = _Voice(self._template.header_key.fifths)
        return voice

    def _add(self, symbol: _Note | _Name, start: int, end: int) -> int:
        """Add what stands before the symbol, and the symbol; return its number."""
        template = self._template
        template.texts += (self._abc[self._copied : start], "")
        self._copied = end
        number = template.symbols.setdefault(symbol, len(template.symbols))
        template.slots.append(number)
        return number


def _header_key(abc: str) -> Key:
    match = re.search(r"^K:(.*)$", abc, flags=re.MULTILINE)
    if match is None:
        raise NotationError("found no K: line, wanted the tune's key")
    return parse_key(match[1].split("%")[0]) or Key(0, "", "")
