import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notagen.foundation.errors import InputError
from notagen.generation.bars import BarRules
from notagen.generation.header import NO_WISHES, HeaderGuide, HeaderWishes
from notagen.notation.keys import KEYS, Key, key_fifths, parse_key
from notagen.notation.musicxml import abc_to_musicxml, document_to_abc
from notagen.notation.musicxml.abc_signs import read_tempo

MODEL = ["%%score { 1 | 2 }", "L:1/8", "Q:1/4=70", "M:4/4", "K:G", "V:1 treble", "V:2 bass"]


def written(wishes: HeaderWishes, drawn: list[str], *, header: str = "") -> list[str]:
    """Return the header lines that stand above the first bar, for a model that draws these."""
    guide = HeaderGuide(wishes)
    for line in [*drawn, *["[V:1]"] * 9]:
        instead = guide.instead_of(header, line[:16])
        if instead == "[" or (instead is None and line.startswith("[")):
            return header.splitlines()
        assert instead is None or instead.endswith("\n")
        header += f"{line}\n" if instead is None else instead
    raise AssertionError(f"no bar begins after {header}")


def lines(wishes: HeaderWishes, name: str) -> list[str]:
    return list(wishes.lines()[name])


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("Eb", "K:Eb"),
        ("C minor", "K:Cmin"),
        ("f# minor", "K:F#min"),
        ("c sharp minor", "K:C#min"),
        ("B-flat major", "K:Bb"),
        ("bb", "K:Bb"),
        ("Abm", "K:Abmin"),
        ("C# MAJOR", "K:C#"),
    ],
)
def test_keys_are_read_in_words_and_in_short(key: str, line: str) -> None:
    assert lines(HeaderWishes(key=key), "K") == [line]


@pytest.mark.parametrize("signature", KEYS)
def test_every_signature_can_be_asked_for_in_both_modes(signature: str) -> None:
    fifths = key_fifths(signature)
    minor = next(
        f"{letter}{sign} minor"
        for letter in "ABCDEFG"
        for sign in ("", "#", "b")
        if sounds(f"{letter}{sign}min") == fifths
    )
    for wish in (signature, minor):
        (line,) = lines(HeaderWishes(key=wish), "K")
        assert sounds(line[2:]) == fifths
        assert line.endswith("min") == wish.endswith("minor")


def sounds(key: str) -> int | None:
    try:
        found = parse_key(key)
    except ValueError:
        return None
    return found.fifths if found else None


@pytest.mark.parametrize(
    ("tempo", "metre", "line"),
    [
        (96, None, "Q:1/4=96"),
        ("96", "6/8", "Q:3/8=96"),
        (60, "C|", "Q:1/2=60"),
        (60, "3/8", "Q:1/8=60"),
        ("3/8 = 60", "4/4", "Q:3/8=60"),
    ],
)
def test_a_tempo_counts_the_beats_of_the_metre(
    tempo: str | int, metre: str | None, line: str
) -> None:
    assert lines(HeaderWishes(tempo=tempo, metre=metre), "Q") == [line]
    found = read_tempo(line[2:])
    assert found is not None
    assert "<metronome>" in found.content


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"key": "H"}, "key: K:H: found no key, wanted one such as Eb or F#min"),
        ({"key": "d dorian"}, "key: found 'd dorian', wanted a major or minor key"),
        ({"key": "G# major"}, "key: K:G# major: found 8 accidentals, wanted at most 7"),
        ({"key": "CM"}, "key: found 'CM', wanted"),
        ({"key": "C minorx"}, "key: found 'C minorx', wanted"),
        ({"metre": "3/7"}, "metre: found '3/7', wanted one such as 3/4"),
        ({"metre": "none"}, "metre: found 'none', wanted"),
        ({"metre": "99/1"}, "metre: found '99/1', wanted"),
        ({"tempo": 19}, "tempo: found '19', wanted 20 to 400 beats a minute"),
        ({"tempo": "1/4=401"}, "tempo: found '1/4=401', wanted"),
        ({"tempo": "5/8=60"}, "tempo: found '5/8=60', wanted"),
        ({"tempo": "1/0=60"}, "tempo: found '1/0=60', wanted"),
        ({"tempo": "fast"}, "tempo: found 'fast', wanted"),
        ({"instruments": ("vilin",)}, "instruments: found 'vilin', wanted Violin or Viola"),
        ({"instruments": ("Piano,",)}, "instruments: found an empty name"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(wish: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        HeaderWishes(**wish)  # type: ignore[arg-type]


QUARTET = HeaderWishes(instruments=("violin I, Violin II", "viola", "Cello"))


def test_instruments_become_the_lines_of_a_score() -> None:
    assert lines(QUARTET, "%%score") == ["%%score [ 1 | 2 | 3 | 4 ]"]
    assert lines(QUARTET, "V") == [
        'V:1 treble nm="Violin 1" snm="Vln. 1"',
        'V:2 treble nm="Violin 2" snm="Vln. 2"',
        'V:3 alto nm="Viola" snm="Vla."',
        'V:4 bass nm="Violoncello" snm="Vc."',
    ]
    song = HeaderWishes(instruments=("Clarinet in A, voice, piano",))
    assert lines(song, "%%score") == ["%%score 1 2 { 3 | 4 }"]
    assert lines(song, "V") == [
        'V:1 treble transpose=-3 nm="A Clarinet" snm="A Cl."',
        'V:2 treble nm="Voice" snm="Vo."',
        'V:3 treble nm="Piano" snm="Pno."',
        "V:4 bass",
    ]
    twins = HeaderWishes(instruments=("flute", "flute"))
    assert [line.split('"')[1] for line in lines(twins, "V")] == ["Flute 1", "Flute 2"]


@pytest.mark.parametrize(
    "instruments",
    [
        ("Soprano", "Alto", "Tenor", "Bass", "Organ"),
        ("Flute", "Oboe", "Clarinet", "Bassoon", "Horn", "Trumpet", "Timpani", "Harp"),
        ("Piccolo", "Contrabassoon", "Guitar", "Violin", "Double bass"),
    ],
)
def test_a_score_for_instruments_comes_back_from_musicxml_as_it_was(
    instruments: tuple[str, ...],
) -> None:
    header = written(HeaderWishes(instruments=instruments, key="G", metre="3/4", tempo=80), [])
    abc = "\n".join([*header, "[V:1]G6|", ""])
    again = document_to_abc(abc_to_musicxml(abc).encode()).splitlines()
    assert again[1 : len(header) + 1] == header


def test_a_fixed_field_stands_where_the_models_own_would() -> None:
    wishes = HeaderWishes(key="Eb", metre="3/4", tempo=96)
    wanted = [MODEL[0], "L:1/8", "Q:1/4=96", "M:3/4", "K:Eb", *MODEL[5:]]
    assert written(wishes, MODEL) == wanted
    assert written(wishes, [line for line in MODEL if line[0] not in "QMK"])[:5] == wanted[:5]


def test_nothing_fixed_leaves_the_model_alone() -> None:
    assert written(NO_WISHES, MODEL) == MODEL
    assert HeaderGuide(NO_WISHES).fixed == ""


def test_the_fields_that_bars_must_keep_to_are_told() -> None:
    assert HeaderGuide(HeaderWishes(key="Eb", metre="3/4")).fixed == "MK"
    assert HeaderGuide(QUARTET).fixed == ""


def test_after_the_voices_asked_for_the_bars_begin() -> None:
    header = written(QUARTET, MODEL)
    assert header == [*lines(QUARTET, "%%score"), *MODEL[1:5], *lines(QUARTET, "V")]
    assert HeaderGuide(QUARTET).instead_of("\n".join(header) + "\n", "V:5 treble nm=") == "["


def test_a_score_of_one_voice_has_no_line_of_groups() -> None:
    # in place of the line stands the unit
    header = written(HeaderWishes(instruments=("flute",)), [MODEL[0], *MODEL[2:]])
    assert header == [*MODEL[1:5], 'V:1 treble nm="Flute" snm="Fl."']


@given(
    st.lists(
        st.sampled_from([*MODEL, "K:Ab", "M:none", "%end", "w:la", "", "abc", "V:3 alto"]),
        max_size=14,
    ),
    st.booleans(),
    st.sampled_from([None, "Ebmin", "G"]),
    st.sampled_from([None, "6/8"]),
    st.sampled_from([None, 72]),
    st.sampled_from([(), ("flute",), ("voice", "piano")]),
    st.sampled_from(["", "%Romantic\n%Wolf, Hugo\n%Art Song\n"]),
)
def test_whatever_a_model_draws_each_wish_stands_once(
    drawn: list[str],
    tells_voices: bool,
    key: str | None,
    metre: str | None,
    tempo: int | None,
    instruments: tuple[str, ...],
    prompt: str,
) -> None:
    wishes = HeaderWishes(key=key, metre=metre, tempo=tempo, instruments=instruments)
    header = written(wishes, [*drawn, *(MODEL[5:] if tells_voices else [])], header=prompt)
    for name, wanted in wishes.lines().items():
        assert [line for line in header if line.startswith(name)] == list(wanted)
    wishes.check_against("\n".join([*header, "[V:1]z|", ""]))


@pytest.mark.parametrize(
    ("wishes", "header", "message"),
    [
        (HeaderWishes(key="Eb"), "K:Cmin\n", "key: found K:Cmin in the text to begin with, wanted"),
        (HeaderWishes(key="Eb"), "K:Ddor\n", "key: found K:Ddor"),
        (HeaderWishes(metre="3/4"), "M:C\n", "metre: found M:C in the text"),
        (HeaderWishes(tempo=90), "Q:1/4=80\n", "tempo: found Q:1/4=80 in the text"),
        (QUARTET, 'V:1 treble nm="Violin"\nV:2 bass\n', "instruments: found V:1 treble"),
        (QUARTET, 'V:1 treble nm="Geige"\n', "wanted violin I, Violin II, viola, Cello"),
    ],
)
def test_a_text_to_begin_with_that_says_otherwise_is_refused(
    wishes: HeaderWishes, header: str, message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        wishes.check_against(f"%a\n%b\n%c\n{header}[V:1]c8|\n")


def test_a_text_to_begin_with_that_says_the_same_is_kept() -> None:
    wishes = HeaderWishes(key="C minor", metre="C", tempo=90, instruments=("Violin", "Cello"))
    header = (
        'M:4/4\nQ:1/4=90\nK:Cm\nV:1 treble nm="violin 1"\nV:2 bass nm="Violoncello"\nV:3 bass\n'
    )
    wishes.check_against(header)
    # only what is missing is written
    assert written(wishes, ["[V:1]"], header=header) == [*header.splitlines(), "L:1/8"]


def test_a_text_with_bars_is_completed() -> None:
    text = "%a\n%b\n%c\n%end\nL:1/8\nM:4/4\nK:C\nV:1 treble\n[V:1]c8|\n"
    wishes = HeaderWishes(tempo=90, metre="4/4")
    assert wishes.complete(text) == text.replace("M:4/4\n", "Q:1/4=90\nM:4/4\n")
    assert wishes.complete("%a\n") == "%a\n"
    with pytest.raises(InputError, match="key: found K:C in"):
        HeaderWishes(key="D").complete(text)


@pytest.mark.parametrize(
    ("bar", "wanted"),
    [
        ("[r:0/3][V:1]c8|", "[r:0/3][V:1]c8|[V:2][K:Dmin]z8|[V:3][K:Gmin]z8|"),
        ("[V:3]c3/2z/|[V:1]z2|", "[V:1]z2|[V:2][K:Dmin]z2|[V:3][K:Gmin]c3/2z/|"),
        ("[V:2]|:[K:Dmin]c8|", "[V:2]|:[K:Dmin]c8|[V:3]|:[K:Gmin]z8|"),
        ("[V:2]c4 [K:Dmin]c4|[V:3][K:alto]c8|",
         "[V:2][K:Dmin]c4 [K:Dmin]c4|[V:3][K:Gmin][K:alto]c8|"),
    ],
)  # fmt: skip
def test_transposing_voices_begin_with_the_key_they_are_written_in(bar: str, wanted: str) -> None:
    wishes = HeaderWishes(key="C minor", instruments=("Contrabass, Bb Clarinet, F Horn",))
    header = "".join(f"{line}\n" for lines in wishes.lines().values() for line in lines)
    guide = HeaderGuide(wishes)
    keyed = guide.first_bar(header, f"{bar}\n")
    assert keyed == f"{wanted}\n"
    assert guide.first_bar(header, keyed) == keyed
    assert BarRules(header, fixed=guide.fixed).find_fault(keyed, closed=True) is None
    free = HeaderGuide(HeaderWishes(instruments=wishes.instruments))
    assert free.first_bar(header, f"{bar}\n") == f"{bar}\n"


@pytest.mark.parametrize("fifths", range(-7, 8))
@pytest.mark.parametrize("semitones", [-21, -14, -9, -7, -3, -2, 1, 3, 6])
def test_a_written_key_sounds_as_the_one_asked_for(fifths: int, semitones: int) -> None:
    key = Key(fifths, "min", "").text
    guide = HeaderGuide(HeaderWishes(key=key))
    keyed = guide.first_bar(f"V:1 treble transpose={semitones}\n", "[V:1]c8|\n")
    written = parse_key(keyed.removeprefix("[V:1][K:"))
    assert written is not None
    assert (written.fifths + 7 * semitones - fifths) % 12 == 0
    assert abs(written.fifths) <= 6
    assert written.mode == "min"


@pytest.mark.parametrize("drawn", ["|[V:2]z [Gdf]", " c2", "d2 c z:|", "V\x02"])
def test_music_in_place_of_a_header_line_begins_the_bars(drawn: str) -> None:
    guide = HeaderGuide(HeaderWishes(metre="3/4"))
    assert guide.instead_of("L:1/8\nM:3/4\nK:C\nV:1 treble\n", drawn) == "["
    assert guide.instead_of("L:1/8\nM:3/4\nK:C\n", drawn) == "V:1 treble\n"
    assert guide.instead_of("L:1/8\n", drawn) == "M:3/4\n"
