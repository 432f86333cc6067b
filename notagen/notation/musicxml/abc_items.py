"""What stands in a voice, bar by bar, between the ABC that was read and the MusicXML to write."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Generic, NamedTuple, TypeVar

from notagen.notation.keys import Place
from notagen.notation.musicxml.abc_signs import Clef, KeySign, Metre

T = TypeVar("T")

Written = tuple[Place, str | None, Fraction]
"""A note as it is written: place, sign, length in whole notes."""


@dataclass(slots=True)
class Note:
    """One note of an event."""

    place: Place
    octave: int
    """As MusicXML counts them: 4 from middle C upward."""
    alter: int
    sign: str | None
    """The accidental that is written."""
    marks: list[str] = field(default_factory=list)
    """Paths below `<notations>`, see `marks.NOTE_MARKS`; with `=text` if there is text inside."""
    ties: bool = False
    ends_tie: bool = False
    tie_met: bool = False
    """Whether the note it is tied to has been found."""


@dataclass(slots=True)
class Item:
    """Something at a moment of a bar, in one voice."""

    bar: int
    at: Fraction
    """Time since the bar began, in whole notes."""
    voice: int
    """Number of the voice in its part, from 1."""
    serial: int
    """Greater than that of all before it in the voice."""
    staff: int


@dataclass(slots=True)
class Event(Item):
    """A note, chord or rest; a grace note or chord."""

    length: Fraction
    """Time it takes, in whole notes; 0 for graces."""
    written: Fraction
    """Length as it is drawn, outside of tuplets."""
    notes: list[Note]
    """None of them: a rest."""
    pitched: bool = True
    hidden: bool = False
    fills_bar: bool = False
    """Written `Z` or `X`."""
    grace: str = ""
    """Its `<grace>` element."""
    joined: bool = False
    """No space stands between it and the note before: one beam may hold both."""
    actual: int = 1
    """So many notes in the time of `normal`."""
    normal: int = 1
    marks: list[str] = field(default_factory=list)
    """As those of a note."""
    notations: list[str] = field(default_factory=list)
    """Further elements of `<notations>`, written out."""
    beams: str = ""


@dataclass(slots=True)
class Direction(Item):
    """A direction or chord symbol."""

    content: str
    """The `<direction-type>` elements, or the inside of a `<harmony>`."""
    placement: str = ""
    sound: str = ""
    words: str = ""
    """What it says, if it is words."""
    harmony: bool = False


@dataclass(slots=True)
class SpanEnd(Item):
    """An end of a hairpin, a pedal or an octave shift."""

    kind: int
    """Place in `marks.SPANS`."""
    opens: bool
    number: int = 0
    """Shared by both ends; an end that has none is not written."""


@dataclass(slots=True)
class Change(Item):
    """A new clef, key or metre."""

    clef: Clef | None = None
    key: KeySign | None = None
    metre: Metre | None = None
    xml: str = ""
    """Inside of its `<attributes>`; empty if another voice has said it."""


@dataclass(slots=True)
class VoiceBar:
    """One voice's bar."""

    items: list[Item] = field(default_factory=list)
    length: Fraction = Fraction(0)
    grain: int = 1
    """Every length in it is a multiple of 1/grain."""
    n_events: int = 0
    """Notes, chords and rests, without graces."""
    left: str = ""
    """Barlines that stand before the music."""
    right: str = ""
    """Barlines after it."""
    fermata: bool = False
    """Over the barline."""
    times: int = 0
    """How often the section that ends here is played, if that is said."""


class End(NamedTuple, Generic[T]):
    """One end of a slur (of an event) or of a span."""

    opens: bool
    item: T
    dotted: bool = False


@dataclass(slots=True)
class VoiceMusic:
    """All of a voice."""

    bars: list[VoiceBar] = field(default_factory=list)
    slurs: list[End[Event]] = field(default_factory=list)
    """In the order they are written."""
    spans: list[End[SpanEnd]] = field(default_factory=list)
    """Likewise."""
    ties: list[tuple[Note, Event]] = field(default_factory=list)
    """Notes that a tie leaves."""
