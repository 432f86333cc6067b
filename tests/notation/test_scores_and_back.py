"""Tunes written as MusicXML and read again: what a reader of its own finds in both scores."""

from collections import Counter

from hypothesis import given

from benchmarks.raw_reader import Note, Record, read_document
from notagen.notation.musicxml import abc_to_musicxml, document_to_abc
from tests.notation.tunes import interleaved_tunes


@given(interleaved_tunes())
def test_a_score_says_the_same_after_a_way_through_abc(tune: str) -> None:
    score = abc_to_musicxml(tune)
    again = abc_to_musicxml(document_to_abc(score.encode()))
    before, after = read_document(score.encode()), read_document(again.encode())
    assert Counter(map(place, after.notes)) == Counter(map(place, before.notes))
    for kind in ("graces", "ties", "dynamics", "fermatas"):
        assert names(after, kind) == names(before, kind), kind


def place(note: Note) -> tuple[object, ...]:
    return note.part, note.bar, note.onset, note.midi, note.duration


def names(record: Record, kind: str) -> Counter[tuple[int, int, str]]:
    """Count part, bar and name of the marks."""
    return Counter((m.part, m.bar, m.name) for m in record.marks[kind])
