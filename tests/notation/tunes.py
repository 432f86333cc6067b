"""Random tunes for the property tests: several voices, equal bars, everything ABC offers."""

from fractions import Fraction

from hypothesis import strategies as st

from notagen.notation.durations import format_length
from notagen.notation.keys import KEYS

ACCIDENTALS = ["", "", "", "", "^", "_", "=", "^^", "__"]
BARLINES = ["|", "|", "|", "|", "||", ":|", "|:", "::", "|]", ".|", "|1", ":|2", "|1,3", ":|]"]
WORDS = [
    *('"^dolce!"', '"_cresc. [poco]"', '"C#m7/G#"', '"^50% |: x"', '"^(r:0/1)"', '"Am"'),
    *('"@sffz"', '"<pizz. (3"', '">{a} [K:G]"', '"^say \\"b\\" |"', '"^;\\nA;"'),
]
MARKS = [
    "!fermata!",
    "!<(!",
    "!<)!",
    "!>(!",
    "!>)!",
    "!ff!",
    "!8va(!",
    "!3!",
    "!//-!",
    ".",
    "~",
    "T",
]
END_MARKS = ["!fermata!", "!p!", "!x3!", "!<)!", "!D.C.!", '"^Fine | !"']
CLEFS = ["treble", "bass", "alto", "treble-8", "treble+8", "bass-15", "alto1"]
TUPLETS = [(3, 2), (5, 4), (7, 4), (13, 8), (6, 4), (2, 3), (10, 8)]
KEY_CHANGES = [*KEYS, "bass", "treble-8", "none", "Eb clef=bass"]
OTHER_FIELDS = ["[M:3/4]", "[M:C|]", "[Q:3/8=80]", "[I:staff +1]", "[I:staff -1]"]


@st.composite
def pitches(draw: st.DrawFn) -> str:
    letter = draw(st.sampled_from("CDEFGABcdefgab"))
    octave = draw(st.sampled_from(["", "", "", "'" if letter.islower() else ","]))
    return draw(st.sampled_from(ACCIDENTALS)) + letter + octave


@st.composite
def chords(draw: st.DrawFn, length: Fraction) -> str:
    """A chord; its length stands outside, or inside with each note, or half of it in both."""
    notes = draw(st.lists(pitches(), min_size=1, max_size=4))
    inner = draw(st.sampled_from([Fraction(1), Fraction(1), length, Fraction(2)]))
    ties = [draw(st.sampled_from(["", "", "", "-"])) for _ in notes]
    inside = "".join(
        note + format_length(inner) + tie for note, tie in zip(notes, ties, strict=True)
    )
    return f"[{inside}]{format_length(length / inner)}"


@st.composite
def graces(draw: st.DrawFn) -> str:
    notes = draw(st.lists(pitches(), min_size=1, max_size=3))
    slash = draw(st.sampled_from(["", "/"]))
    if draw(st.integers(0, 5)) == 0:
        return f"{{{slash}[{''.join(notes)}]/}}"
    return f"{{{slash}{''.join(notes)}}}"


@st.composite
def tuplets(draw: st.DrawFn, length: Fraction, *, nested: bool = False) -> str:
    """A tuplet that lasts `length`, perhaps with another one as its last note."""
    p, q = draw(st.sampled_from(TUPLETS))
    each = length / q
    notes = [draw(pitches()) + format_length(each) for _ in range(p)]
    if nested:
        inner_p, inner_q = draw(st.sampled_from(TUPLETS))
        notes.pop()
        notes += [draw(pitches()) + format_length(each / inner_q) for _ in range(inner_p)]
        notes[p - 1] = f"({inner_p}:{inner_q}:{inner_p}{notes[p - 1]}"
        return f"({p}:{q}:{len(notes)}{''.join(notes)}"
    plain = (p, q) in ((3, 2), (2, 3)) and draw(st.booleans())
    return (f"({p}" if plain else f"({p}:{q}:{p}") + "".join(notes)


@st.composite
def events(draw: st.DrawFn, length: Fraction) -> str:
    """One note, chord, rest or tuplet that lasts `length` unit lengths."""
    kinds = ["note", "note", "note", "chord", "rest", "tuplet", "nested", "graced", "broken"]
    kind = draw(st.sampled_from(kinds))
    size = format_length(length)
    # most ties are left dangling: the next note is another, or a rest, or the bar's last
    tie = draw(st.sampled_from(["", "", "", "-", ".-"]))
    if kind == "note":
        return draw(pitches()) + size + tie
    if kind == "chord":
        return draw(chords(length)) + tie
    if kind == "rest":
        return draw(st.sampled_from("zx")) + size
    if kind in ("tuplet", "nested"):
        return draw(tuplets(length, nested=kind == "nested"))
    if kind == "broken":
        each = format_length(length / 2)
        return draw(pitches()) + each + draw(st.sampled_from("<>")) + draw(pitches()) + each
    return draw(graces()) + draw(pitches()) + size + tie


@st.composite
def tied_pairs(draw: st.DrawFn, length: Fraction) -> str:
    """A note or chord that is tied to the next one of its pitch, perhaps over a grace."""
    note = draw(pitches())
    bare = note.lstrip("^_=")
    size = format_length(length / 2)
    between = draw(st.sampled_from(["", "", " ", "{" + draw(pitches()) + "}"]))
    again = draw(st.sampled_from([bare, bare, note]))
    if draw(st.booleans()):
        return f"[{note}{draw(pitches())}]{size}-{between}[{again}{draw(pitches())}]{size}"
    return f"{note}{size}-{between}{again}{size}"


@st.composite
def bars(draw: st.DrawFn, units: int) -> str:
    """The music of one voice's bar of so many unit lengths."""
    if draw(st.integers(0, 3)) == 0:
        rest = format_length(Fraction(units))
        return draw(st.sampled_from(["z", "z", "z", "x", '"^tacet"z', "!fermata!z"])) + rest
    parts, left = [], Fraction(units)
    while left:
        length = min(
            left,
            Fraction(draw(st.sampled_from([1, 1, 2, 2, 3, 4])), draw(st.sampled_from([1, 1, 2]))),
        )
        before = draw(st.sampled_from(["", "", "", *MARKS, *WORDS]))
        if draw(st.integers(0, 9)) == 0:
            key = f"[K:{draw(st.sampled_from(KEY_CHANGES))}]"
            before = draw(st.sampled_from([key, *OTHER_FIELDS])) + before
        kind = tied_pairs if draw(st.integers(0, 4)) == 0 else events
        parts.append(before + draw(kind(length)))
        left -= length
    end = draw(st.sampled_from(["", "", "", *END_MARKS]))
    return draw(st.sampled_from(["", " "])).join(parts) + end


@st.composite
def interleaved_tunes(draw: st.DrawFn) -> str:
    """An interleaved tune with every voice written."""
    n_voices = draw(st.integers(1, 4))
    key = draw(st.sampled_from([*KEYS, "F#min", "Ddor", "Bbmix", "none"]))
    units = draw(st.sampled_from([4, 6, 8, 9]))
    score = draw(
        st.sampled_from(["{ 1 | 2 }", "( 1 2 ) 3", "[ 1 2 3 4 ]", "{ ( 1 2 ) | ( 3 4 ) }"])
    )
    lines = [f"%%score {score}", "L:1/8", f"M:{units}/8", f"K:{key}"]
    clefs = [draw(st.sampled_from(CLEFS)) for _ in range(n_voices)]
    lines += [f'V:{v} {clef} nm="Voice [{v}]"' for v, clef in enumerate(clefs, start=1)]
    n_bars = draw(st.integers(1, 5))
    # voices of transposing instruments have keys of their own
    own_keys = draw(st.booleans())
    opening = draw(st.sampled_from(["", "", "|:"]))
    for number in range(n_bars):
        barline = draw(st.sampled_from(BARLINES)) if number < n_bars - 1 else "|]"
        length = draw(st.integers(1, units)) if number == 0 else units
        silent = draw(st.integers(0, 5)) == 0
        cells = []
        for _ in range(n_voices):
            music = f"z{format_length(Fraction(length))}" if silent else draw(bars(length))
            if number == 0 and own_keys:
                music = f"[K:{draw(st.sampled_from(KEYS))}]{opening}{music}"
            elif number == 0:
                music = opening + music
            cells.append(music + barline)
        lines.append("".join(f"[V:{v}]{cell}" for v, cell in enumerate(cells, start=1)))
    return "\n".join(lines) + "\n"
