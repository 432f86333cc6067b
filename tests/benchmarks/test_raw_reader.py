import io
import zipfile
from fractions import Fraction
from pathlib import Path

import pytest

from benchmarks.compare import compare
from benchmarks.raw_reader import Record, document_of, fold, read_document

HEAD = (
    "<attributes><divisions>4</divisions><key><fifths>-1</fifths></key>"
    "<time><beats>2</beats><beat-type>4</beat-type></time><staves>2</staves></attributes>"
)


def note(step: str = "C", duration: int = 4, inside: str = "", **facts: int) -> str:
    grace, chord = "grace" in facts, "chord" in facts
    alter, octave = facts.get("alter", 0), facts.get("octave", 4)
    return (
        f"<note>{'<grace/>' if grace else ''}{'<chord/>' if chord else ''}"
        f"<pitch><step>{step}</step><alter>{alter}</alter><octave>{octave}</octave></pitch>"
        f"{'' if grace else f'<duration>{duration}</duration>'}"
        f"<staff>{facts.get('staff', 1)}</staff>{inside}</note>"
    )


def score(*bars: str) -> str:
    measures = "".join(f"<measure>{bar}</measure>" for bar in bars)
    return f"<score-partwise><part id='P1'>{measures}</part></score-partwise>"


def places(record: Record, kind: str) -> list[tuple[int, Fraction, str]]:
    return [(mark.bar, mark.onset, mark.name) for mark in record.marks[kind]]


def test_notes_stand_at_their_onset_with_pitch_and_staff() -> None:
    bar = (
        HEAD
        + note("F", 2, alter=1)
        + note("A", 2, chord=True)
        + note("G", 6)
        + "<backup><duration>8</duration></backup><forward><duration>1</duration></forward>"
        + note("C", 7, octave=3, staff=2)
    )
    notes = read_document(score(bar)).notes
    assert [(n.onset, n.duration, n.midi, n.staff) for n in notes] == [
        (0, Fraction(1, 2), 66, 1),
        (0, Fraction(1, 2), 69, 1),
        (Fraction(1, 2), Fraction(3, 2), 67, 1),
        (Fraction(1, 4), Fraction(7, 4), 48, 2),
    ]


def test_graces_take_no_time_and_are_no_notes() -> None:
    record = read_document(score(HEAD + note("D", grace=True) + note("C", 8)))
    assert [n.midi for n in record.notes] == [60]
    assert places(record, "graces") == [(0, 0, "62")]


def test_unpitched_notes_count_by_their_place_on_the_staff() -> None:
    unpitched = "<unpitched><display-step>E</display-step><display-octave>4</display-octave>"
    bar = f"{HEAD}<note>{unpitched}</unpitched><duration>8</duration></note>"
    assert [(n.midi, n.pitched) for n in read_document(score(bar)).notes] == [(64, False)]


def test_a_tie_written_once_or_twice_is_one_tie() -> None:
    both = "<tie type='start'/><notations><tied type='start'/></notations>"
    bar = HEAD + note("C", 4, both) + note("C", 4, "<tie type='stop'/><tie type='start'/>")
    record = read_document(score(bar, note("C", 8, "<tie type='stop'/>")))
    assert places(record, "ties") == [(0, 0, "60"), (0, 1, "60")]


def test_a_slur_without_its_end_is_no_whole_slur() -> None:
    start = "<notations><slur type='start' number='{}'/></notations>"
    stop = "<notations><slur type='stop' number='{}'/></notations>"
    bar = HEAD + note("C", 4, start.format(1)) + note("D", 4, start.format(2))
    record = read_document(score(bar, note("E", 8, stop.format(1))))
    assert len(record.marks["slurs"]) == 2
    assert places(record, "whole slurs") == [(0, 0, "to bar 2")]


def test_directions_stand_at_the_cursor_moved_by_their_offset() -> None:
    direction = (
        "<direction><direction-type><dynamics><sfz/><other-dynamics>piu “f”</other-dynamics>"
        "</dynamics></direction-type><offset>-2</offset></direction>"
    )
    words = "<direction><direction-type><words>più  mosso</words></direction-type></direction>"
    wedge = "<direction><direction-type><wedge type='stop'/></direction-type></direction>"
    record = read_document(score(HEAD + words + note("C", 4) + direction + note("C", 4) + wedge))
    half = Fraction(1, 2)
    assert places(record, "dynamics") == [(0, half, "sfz"), (0, half, "piu 'f'")]
    assert places(record, "words") == [(0, 0, "piu"), (0, 0, "mosso")]
    assert places(record, "wedges") == [(0, 2, "stop")]


def test_signatures_count_when_they_change_and_hold_from_the_next_bar_at_the_end_of_one() -> None:
    bass = "<attributes><clef number='2'><sign>F</sign><line>4</line></clef></attributes>"
    again = "<attributes><key><fifths>-1</fifths></key></attributes>"
    record = read_document(score(HEAD + note("C", 8) + bass, again + note("C", 8)))
    assert places(record, "keys") == [(0, 0, "staff 1: -1"), (0, 0, "staff 2: -1")]
    assert places(record, "times") == [(0, 0, "staff 1: 2/4")]
    assert places(record, "clefs") == [(1, 0, "staff 2: F4 0")]


def test_barlines_are_told_by_the_bars_before_them() -> None:
    end = (
        "<barline location='right'><bar-style>light-heavy</bar-style>"
        "<ending number='1, 2' type='stop'/><repeat direction='backward' times='3'/></barline>"
    )
    double = "<barline><bar-style>light-light</bar-style></barline>"
    forward = "<barline location='left'><repeat direction='forward'/></barline>"
    record = read_document(
        score(HEAD + note("C", 8) + double, forward + note("C", 8), note("C", 8) + end)
    )
    assert places(record, "barlines") == [
        (1, 0, "light-light"),
        (1, 0, "repeat forward"),
        (3, 0, "ending end 1,2"),
        (3, 0, "played 3 times"),
        (3, 0, "repeat backward"),
    ]


def test_a_mark_on_every_note_of_a_chord_is_one_mark() -> None:
    roll = "<notations><arpeggiate/><articulations><accent/></articulations></notations>"
    bar = HEAD + note("C", 8, roll) + note("E", 8, roll, chord=True)
    record = read_document(score(bar))
    assert places(record, "arpeggios") == [(0, 0, "arpeggiate")]
    assert places(record, "articulations") == [(0, 0, "accent")]


def test_a_score_is_taken_out_of_its_archive_by_the_container(tmp_path: Path) -> None:
    path = tmp_path / "song.mxl"
    with zipfile.ZipFile(path, "w") as archive:
        container = "<container><rootfiles><rootfile full-path='a/b.musicxml'/></rootfiles>"
        archive.writestr("META-INF/container.xml", f"{container}</container>")
        archive.writestr("other.xml", "<no/>")
        archive.writestr("a/b.musicxml", score(HEAD + note()))
    assert zipfile.is_zipfile(io.BytesIO(path.read_bytes()))
    assert len(read_document(document_of(path)).notes) == 1


def test_text_is_folded_as_abc_holds_it() -> None:
    assert fold(' „Più"\n mosso ') == "'Piu' mosso"


def test_a_record_agrees_with_itself() -> None:
    record = read_document(score(HEAD + note("C", 4) + note("E", 4, chord=True) + note("D", 4)))
    comparison = compare(record, record)
    assert comparison.perfect
    assert comparison.differences == []


@pytest.mark.parametrize(
    ("changed", "agreeing"),
    [
        (note("C", 4) + note("D", 4), 2),
        (note("C", 4) + note("D", 3), 1),  # shorter
        (note("D", 4) + note("C", 4), 0),  # elsewhere
        (note("C", 4) + note("D", 4, alter=1), 1),  # another pitch
        (note("C", 4) + note("D", 4) + note("D", 4, chord=True), 2),  # one too many
        (note("C", 4), 1),  # one too few
    ],
)
def test_wrong_notes_are_found(changed: str, agreeing: int) -> None:
    wanted = read_document(score(HEAD + note("C", 4) + note("D", 4)))
    comparison = compare(wanted, read_document(score(HEAD + changed)))
    assert comparison.notes[2] == agreeing
    assert comparison.perfect is (changed == note("C", 4) + note("D", 4))


def test_rounded_tuplets_agree_within_the_tolerance_and_not_beyond() -> None:
    def tune(divisions: int, *durations: int) -> Record:
        head = f"<attributes><divisions>{divisions}</divisions></attributes>"
        return read_document(score(head + "".join(note("C", d) for d in durations)))

    exact = tune(3, 1, 1, 1)
    assert compare(exact, tune(480, 161, 159, 160)).perfect
    assert not compare(exact, tune(8, 3, 3, 2)).perfect


def test_a_mark_elsewhere_in_its_bar_is_kept_loosely() -> None:
    sign = "<direction><direction-type><dynamics><p/></dynamics></direction-type></direction>"
    wanted = read_document(score(HEAD + sign + note("C", 4) + note("C", 4)))
    found = read_document(score(HEAD + note("C", 4) + sign + note("C", 4)))
    assert compare(wanted, found).marks["dynamics"] == (1, 1, 1, 0)
