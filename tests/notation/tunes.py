"""Random tunes for the property tests: several voices, equal bars, everything ABC offers."""

from fractions import Fraction

from hypothesis import strategies as st

from notagen.notation.durations import format_length
from notagen.notation.keys import KEYS

ACCIDENTALS = ["", "", "", "", "^", "_", "=", "^^", "__"]
BARLINES = ["|", "|", "|", "|", "||", ":|", "|:", "::", "|1", ":|2", "|]"]
WORDS = ['"^dolce!"', '"_cresc. [poco]"', '"C#m7/G#"', '"^50% |: x"', '"^(r:0/1)"', '"Am"']


@st.composite
def pitches(draw: st.DrawFn) -> str:
    letter = draw(st.sampled_from("CDEFGABcdefgab"))
    octave = draw(st.sampled_from(["", "", "", "'" if letter.islower() else ",", ",,"[:1]]))
    return (
        draw(st.sampled_from(ACCIDENTALS))
        + letter
        + (octave if letter.islower() or octave != "'" else "")
    )


@st.composite
def events(draw: st.DrawFn, length: Fraction) -> str:
    """One note, chord, rest or tuplet that lasts `length` unit lengths."""
    kind = draw(
        st.sampled_from(["note", "note", "note", "chord", "rest", "tuplet", "graced", "broken"])
    )
    size = format_length(length)
    tie = draw(st.sampled_from(["", "", "", "-"]))
    if kind == "note":
        return draw(pitches()) + size + tie
    if kind == "chord":
        notes = "".join(draw(st.lists(pitches(), min_size=2, max_size=4)))
        return f"[{notes}]{size}{tie}"
    if kind == "rest":
        return draw(st.sampled_from("zx")) + size
    if kind == "tuplet":
        each = format_length(length / 2)
        return "(3:2:3" + "".join(draw(pitches()) + each for _ in range(3))
    if kind == "broken":
        each = format_length(length / 2)
        sign = draw(st.sampled_from("<>"))
        return draw(pitches()) + each + sign + draw(pitches()) + each
    return "{" + draw(pitches()) + draw(pitches()) + "}" + draw(pitches()) + size + tie


@st.composite
def bars(draw: st.DrawFn, units: int) -> str:
    """The music of one voice's bar of so many unit lengths."""
    if draw(st.integers(0, 3)) == 0:
        rest = format_length(Fraction(units))
        return draw(st.sampled_from(["z", "z", "x", '"^tacet"z'])) + rest
    parts, left = [], Fraction(units)
    while left:
        length = min(
            left,
            Fraction(draw(st.sampled_from([1, 1, 2, 2, 3, 4])), draw(st.sampled_from([1, 1, 2]))),
        )
        before = draw(st.sampled_from(["", "", "", "", "!fermata!", "!<(!", ".", "~", "T", *WORDS]))
        parts.append(before + draw(events(length)))
        left -= length
    return draw(st.sampled_from(["", " "])).join(parts)


@st.composite
def interleaved_tunes(draw: st.DrawFn) -> str:
    """An interleaved tune with every voice written."""
    n_voices = draw(st.integers(1, 4))
    key = draw(st.sampled_from([*KEYS, "F#min", "Ddor", "Bbmix"]))
    units = draw(st.sampled_from([4, 6, 8, 9]))
    score = draw(st.sampled_from(["{ 1 | 2 }", "( 1 2 ) 3", "[ 1 2 3 4 ]"]))
    lines = [f"%%score {score}", "L:1/8", f"M:{units}/8", f"K:{key}"]
    lines += [f'V:{v} treble nm="Voice [{v}]"' for v in range(1, n_voices + 1)]
    n_bars = draw(st.integers(1, 5))
    for number in range(n_bars):
        barline = draw(st.sampled_from(BARLINES)) if number < n_bars - 1 else "|]"
        pickup = draw(st.integers(1, units)) if number == 0 else units
        field = draw(
            st.sampled_from(["", "", "", f"[K:{draw(st.sampled_from(KEYS))}]", "[K:bass]"])
        )
        cells = (field + draw(bars(pickup)) + barline for _ in range(n_voices))
        lines.append("".join(f"[V:{v}]{cell}" for v, cell in enumerate(cells, start=1)))
    return "\n".join(lines) + "\n"
