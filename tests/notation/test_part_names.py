import pytest
from hypothesis import given
from hypothesis import strategies as st

from notagen.notation.part_names import INSTRUMENTS, read_part_names


@pytest.mark.parametrize(
    ("name", "instruments"),
    [
        ("Violin I", ("violin",)),
        ("1st Violin", ("violin",)),
        ("Violino Primo.", ("violin",)),
        ("Vla.", ("viola",)),
        ("Viola d'amore", ("viola d'amore",)),
        ("Viola da gamba", ("viola da gamba",)),
        ("Cb.", ("contrabass",)),
        ("Double Bass", ("contrabass",)),
        ("Kontrabassposaune", ("trombone",)),
        ("Contrabass Clarinet", ("contrabass clarinet",)),
        ("Contra-Fagott", ("contrabassoon",)),
        ("Piccolo Flute", ("piccolo",)),
        ("Petite Flûte", ("piccolo",)),
        ("Alto Flute", ("alto flute",)),
        ("Große Flöte", ("flute",)),
        ("Hautbois d'amour", ("oboe d'amore",)),
        ("Oboe da caccia", ("English horn",)),
        ("Cor anglais", ("English horn",)),
        ("Corno di bassetto", ("basset horn",)),
        ("B♭ Bass Clarinet", ("bass clarinet",)),
        ("Baßklarinette", ("bass clarinet",)),
        ("Clar. in B.", ("clarinet",)),
        ("Clarinetti in La", ("clarinet",)),
        ("Bb (basso) Horn 1", ("horn",)),
        ("Clarino 1mo in C", ("trumpet",)),
        ("Tympano in C G", ("timpani",)),
        ("Gran Cassa", ("bass drum",)),
        ("Basso Continuo", ("continuo",)),
        ("Mezzo-soprano", ("mezzo-soprano",)),
        ("CANTVS.", ("voice",)),
        ("Śpiew", ("voice",)),
        # several instruments, in the order of the table
        ("Fl. 2 / Picc.", ("piccolo", "flute")),
        ("Violone e Organo", ("contrabass", "organ")),
        ("Soprano Oboe 1 Violin1", ("violin", "oboe", "soprano")),
        # nothing
        ("", ()),
        ("in B.", ()),
        ("Mignon", ()),
        ("Contratenor", ()),
    ],
)
def test_what_a_name_says(name: str, instruments: tuple[str, ...]) -> None:
    assert read_part_names([name]) == [instruments]


@pytest.mark.parametrize(
    ("names", "alto_and_bass"),
    [
        (["Alto", "Bass"], ["alto", "bass"]),
        (["Alto", "Bass", "Violin"], ["viola", "contrabass"]),
        (["Alto", "Bass", "Violin", "Soprano"], ["alto", "bass"]),
        (["A.", "B.", "Horn"], ["alto", "bass"]),
        (["Alto Viola", "Basso", "Vn. 1"], ["viola", "contrabass"]),
    ],
)
def test_alto_and_bass_by_their_company(names: list[str], alto_and_bass: list[str]) -> None:
    assert [instruments[0] for instruments in read_part_names(names)[:2]] == alto_and_bass


@given(st.lists(st.text(max_size=30), max_size=5))
def test_any_name_can_be_read(names: list[str]) -> None:
    found = read_part_names(names)
    assert len(found) == len(names)
    assert {one for instruments in found for one in instruments} <= set(INSTRUMENTS)
