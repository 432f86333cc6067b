"""Marks that ABC and MusicXML both know, in one table read by both converters.

Names are those of the ABC standard 2.1, section 4.14, and of NotaGen's corpus, where they differ.
Of elements that share an ABC mark, such as three kinds of wedge, the last one
in the table is the one it becomes again.
"""

import re
from fractions import Fraction

NOTE_MARKS: tuple[tuple[str, str], ...] = (
    ("arpeggiate", "!arpeggio!"),
    ("articulations/accent", "!>!"),
    ("articulations/breath-mark", "!breath!"),
    ("articulations/caesura", "!caesura!"),
    ("articulations/detached-legato", "!tenuto!."),
    ("articulations/doit", "!doit!"),
    ("articulations/falloff", "!falloff!"),
    ("articulations/plop", "!plop!"),
    ("articulations/scoop", "!slide!"),
    ("articulations/soft-accent", "!<>!"),
    ("articulations/spiccato", "!wedge!"),
    ("articulations/staccatissimo", "!wedge!"),
    ("articulations/staccato", "."),
    ("articulations/stress", "!stress!"),
    ("articulations/strong-accent", "!^!"),
    ("articulations/tenuto", "!tenuto!"),
    ("articulations/unstress", "!unstress!"),
    ("fermata", "!fermata!"),
    ("ornaments/delayed-inverted-turn", "!invertedturn!"),
    ("ornaments/delayed-turn", "!turn!"),
    ("ornaments/inverted-mordent", "P"),
    ("ornaments/inverted-turn", "!invertedturn!"),
    ("ornaments/mordent", "M"),
    ("ornaments/schleifer", "!schleifer!"),
    ("ornaments/shake", "!shake!"),
    ("ornaments/trill-mark", "T"),
    ("ornaments/turn", "!turn!"),
    ("technical/down-bow", "v"),
    ("technical/open-string", "!open!"),
    ("technical/harmonic", "!open!"),
    ("technical/snap-pizzicato", "!snap!"),
    ("technical/stopped", "!plus!"),
    ("technical/thumb-position", "!thumb!"),
    ("technical/up-bow", "u"),
)
"""Path below a note's `<notations>`, and the text before its ABC note, in the order in which
several of them are written.

Not in the table: hidden notes, the line after a trill, fingerings `!1!`, tremolos `!///!` (between
two notes `!//-!`).
"""

HIDDEN_NOTE = "!invisible!"
"""Before a note or chord that sounds and is not printed, such as those of a trill written out."""

TRILL_LINE = {"start": "!trill(!", "stop": "!trill)!"}
"""Both ends of the wavy line after a trill: types of `<wavy-line>`, and their ABC."""

DYNAMICS = frozenset((
    "p", "pp", "ppp", "pppp", "ppppp", "pppppp", "f", "ff", "fff", "ffff", "fffff", "ffffff",
    "mp", "mf", "sf", "sfp", "sfpp", "fp", "rf", "rfz", "sfz", "sffz", "fz", "n", "pf", "sfzp",
))  # fmt: skip
"""Elements of MusicXML's `<dynamics>`; in ABC `!name!`."""

OTHER_DYNAMIC = re.compile(r"[mpfsrz]{1,6}")
"""A mark such as `fsf` that MusicXML has no element for: `<other-dynamics>`, in ABC `!fsf!`.

Other words in `<other-dynamics>` (`sempre`, `dolce`) are written `"@sempre"`: text without a fixed
place, which is used for nothing else.
"""

SPANS: tuple[tuple[str, str, str], ...] = (
    ("wedge crescendo", "!<(!", "!<)!"),
    ("wedge diminuendo", "!>(!", "!>)!"),
    ("pedal start", "!ped!", "!ped-up!"),
    ("octave-shift down", "!8va(!", "!8va)!"),
    ("octave-shift up", "!8vb(!", "!8vb)!"),
    ("octave-shift down 15", "!15ma(!", "!15ma)!"),
    ("octave-shift up 15", "!15mb(!", "!15mb)!"),
)
"""Directions that have a beginning and an end: element with type (and size), ABC of both ends."""

JUMPS: tuple[tuple[str, str], ...] = (
    ("segno", "S"),
    ("coda", "O"),
)
"""Direction elements without text, and their ABC."""

SOUNDS: tuple[tuple[str, str], ...] = (
    ("dacapo", "!D.C.!"),
    ("dalsegno", "!D.S.!"),
    ("tocoda", "!dacoda!"),
    ("fine", "!fine!"),
)
"""Attributes of `<sound>` that send the player elsewhere, and their ABC."""

CLEFS: tuple[tuple[str, int, str], ...] = (
    ("G", 2, "treble"),
    ("F", 4, "bass"),
    ("C", 3, "alto"),
    ("C", 4, "tenor"),
    ("percussion", 2, "perc"),
    ("TAB", 5, "tab"),
)
"""Sign, line and ABC name.

A clef on another line has it in its name (`alto1`, `bass3`, `treble1`); an octave change follows:
`treble-8`, `bass+8`, `treble-15`.
"""

HARMONIES: tuple[tuple[str, str], ...] = (
    ("major", ""),
    ("minor", "m"),
    ("augmented", "aug"),
    ("diminished", "dim"),
    ("dominant", "7"),
    ("major-seventh", "maj7"),
    ("minor-seventh", "m7"),
    ("diminished-seventh", "dim7"),
    ("augmented-seventh", "aug7"),
    ("half-diminished", "m7b5"),
    ("major-minor", "mMaj7"),
    ("major-sixth", "6"),
    ("minor-sixth", "m6"),
    ("dominant-ninth", "9"),
    ("major-ninth", "maj9"),
    ("minor-ninth", "m9"),
    ("dominant-11th", "11"),
    ("major-11th", "maj11"),
    ("minor-11th", "m11"),
    ("dominant-13th", "13"),
    ("major-13th", "maj13"),
    ("minor-13th", "m13"),
    ("suspended-second", "sus2"),
    ("suspended-fourth", "sus4"),
    ("power", "5"),
)
"""Kinds of `<harmony>`, and how a chord symbol names them."""

NOTE_TYPES = {
    name: Fraction(2) ** power
    for power, name in enumerate(
        [
            "1024th",
            "512th",
            "256th",
            "128th",
            "64th",
            "32nd",
            "16th",
            "eighth",
            "quarter",
            "half",
            "whole",
            "breve",
            "long",
            "maxima",
        ],
        start=-8,
    )
}
"""Lengths of MusicXML's note types in quarter notes."""
