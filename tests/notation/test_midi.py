import io
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction

import mido
import music21
import pytest

from notagen.foundation.errors import ConversionError
from notagen.notation.midi import musicxml_to_midi


def note(step: str, octave: int = 4, duration: int = 2, staff: int = 1) -> str:
    return (
        f"<note><pitch><step>{step}</step><octave>{octave}</octave></pitch>"
        f"<duration>{duration}</duration><voice>{staff}</voice><staff>{staff}</staff></note>"
    )


def dynamic(sign: str) -> str:
    return f"<direction><direction-type><dynamics><{sign}/></dynamics></direction-type></direction>"


def wedge(kind: str) -> str:
    return f"<direction><direction-type><wedge type='{kind}'/></direction-type></direction>"


def score(*parts: tuple[str, ...]) -> str:
    """Return a score; a part is a name and its bars of 2/4, each of four divisions."""
    names = "".join(
        f"<score-part id='P{n}'><part-name>{name}</part-name></score-part>"
        for n, (name, *_) in enumerate(parts)
    )
    opening = (
        "<attributes><divisions>2</divisions>"
        "<time><beats>2</beats><beat-type>4</beat-type></time></attributes>"
    )
    bodies = "".join(
        f"<part id='P{n}'>"
        + "".join(
            f"<measure number='{number}'>{opening if number == 1 else ''}{bar}</measure>"
            for number, bar in enumerate(bars, start=1)
        )
        + "</part>"
        for n, (_, *bars) in enumerate(parts)
    )
    return f"<score-partwise><part-list>{names}</part-list>{bodies}</score-partwise>"


def read(musicxml: str) -> tuple[mido.MidiFile, list[mido.MidiTrack]]:
    midi = mido.MidiFile(file=io.BytesIO(musicxml_to_midi(musicxml)))
    return midi, midi.tracks[1:]


def notes(track: mido.MidiTrack, ticks_per_quarter: int) -> Iterator[tuple[Fraction, int, int]]:
    """Yield onset in quarters, key and velocity."""
    ticks = 0
    for message in track:
        ticks += message.time
        if message.type == "note_on" and message.velocity:
            yield Fraction(ticks, ticks_per_quarter), message.note, message.velocity


def velocities(musicxml: str, track: int = 0) -> list[int]:
    midi, tracks = read(musicxml)
    return [velocity for *_, velocity in notes(tracks[track], midi.ticks_per_beat)]


def instruments(*names: str) -> list[int | None]:
    """Return each part's program, or None for percussion."""
    _, tracks = read(score(*((name, note("C") * 2) for name in names)))
    programs = [[m.program for m in track if m.type == "program_change"] for track in tracks]
    return [program[0] if program else None for program in programs]


PLAIN = note("C") + note("D")


@pytest.mark.parametrize("piece", ["bach/bwv66.6", "schoenberg/opus19"])
def test_notes_are_those_that_music21_reads(piece: str) -> None:
    parsed = music21.corpus.parse(piece)
    parts = list(parsed.parts)
    for part in parts:
        part.removeByClass(music21.spanner.RepeatBracket)
        for bar in part.getElementsByClass("Measure"):
            for side in ("leftBarline", "rightBarline"):
                if isinstance(getattr(bar, side), music21.bar.Repeat):
                    setattr(bar, side, None)
        for grace in [n for n in part.recurse().notes if n.duration.isGrace]:
            grace.activeSite.remove(grace)
    musicxml = music21.musicxml.m21ToXml.GeneralObjectExporter(parsed).parse().decode()
    heard = music21.converter.parse(musicxml, format="musicxml").toSoundingPitch().stripTies()
    wanted = Counter(
        (round(float(element.getOffsetInHierarchy(heard)) * 24), pitch.midi)
        for element in heard.recurse().notes
        for pitch in element.pitches
    )
    midi, tracks = read(musicxml)
    found = Counter(
        (round(onset * 24), key)
        for track in tracks
        for onset, key, _ in notes(track, midi.ticks_per_beat)
    )
    assert found == wanted


def test_repeats_are_played() -> None:
    back = "<barline location='right'><repeat direction='backward'/></barline>"
    midi, (track,) = read(score(("Violin", PLAIN, note("E") + note("F") + back, PLAIN)))
    keys = [key for _, key, _ in notes(track, midi.ticks_per_beat)]
    assert keys == [60, 62, 64, 65, 60, 62, 64, 65, 60, 62]


def test_tempo_is_kept() -> None:
    midi, _ = read(score(("Violin", f"<sound tempo='72'/>{PLAIN}")))
    (tempo,) = [message.tempo for message in midi.tracks[0] if message.type == "set_tempo"]
    assert round(mido.tempo2bpm(tempo)) == 72


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("Violin I", 40),
        ("Vln. 2", 40),
        ("Violine", 40),
        ("Violon", 40),
        ("Bratsche", 41),
        ("Vc.", 42),
        ("Violoncello", 42),
        ("Kontrabass", 43),
        ("Flöte", 73),
        ("Alto Flute", 73),
        ("Db Piccolo", 72),
        ("Oboe d'amore", 68),
        ("Cor anglais", 69),
        ("B♭ Bass Clarinet", 71),
        ("Fagott", 70),
        ("Contrabassoon", 70),
        ("Corno 1", 60),
        ("Cor en fa", 60),
        ("Trompete in C", 56),
        ("Tromba", 56),
        ("Trombone", 57),
        ("Bassposaune", 57),
        ("Pauken", 47),
        ("Harp", 46),
        ("Harpsichord", 6),
        ("Cembalo", 6),
        ("Pianoforte", 0),
        ("Klavier", 0),
        ("[Fortepian]", 0),
        ("Orgel", 19),
        ("Chitarra", 24),
        ("Singstimme", 53),
        ("CANTVS.", 53),
        ("Soprano", 52),
        ("Ba\u017fso", 52),
        ("", 0),
        ("Nobody knows", 0),
        ("Drumset", None),
        ("Triangle", None),
    ],
)
def test_names_choose_programs(name: str, program: int | None) -> None:
    assert instruments(name) == [program]


def test_alto_and_bass_sing_or_play_by_their_company() -> None:
    assert instruments("Soprano", "Alto", "Tenor", "Bass") == [52, 52, 52, 52]
    assert instruments("Violon", "Alto", "Violoncelle", "Basse") == [40, 41, 42, 43]
    assert instruments("Violino", "Canto", "Alto") == [40, 53, 52]


def test_each_track_has_its_own_channel_and_percussion_the_tenth() -> None:
    _, tracks = read(score(("Violin", PLAIN), ("Snare Drum", PLAIN), ("Piano", PLAIN)))
    channels = [{m.channel for m in track if not m.is_meta} for track in tracks]
    assert channels == [{0}, {9}, {1}]


def test_many_tracks_share_channels_by_program() -> None:
    names = ["Flute", "Violin", "Piano", "Oboe"] * 5
    _, tracks = read(score(*((name, PLAIN) for name in names)))
    heard: dict[str, set[int]] = {}
    for name, track in zip(names, tracks, strict=True):
        heard.setdefault(name, set()).update(m.channel for m in track if not m.is_meta)
    assert sorted(map(sorted, heard.values())) == [[0], [1], [2], [3]]


def test_percussion_without_pitch_gets_its_key() -> None:
    hit = (
        "<note><unpitched><display-step>E</display-step><display-octave>4</display-octave>"
        "</unpitched><duration>4</duration></note>"
    )
    midi, tracks = read(score(("Becken", hit), ("Perc.", hit)))
    assert [next(notes(track, midi.ticks_per_beat))[1] for track in tracks] == [49, 38]


def test_levels_hold_from_their_onset_on_for_one_part() -> None:
    music = score(
        ("Violin", PLAIN, dynamic("p") + PLAIN, note("C") + dynamic("ff") + note("D"), PLAIN),
        ("Viola", PLAIN * 1, PLAIN, PLAIN, PLAIN),
    )
    assert velocities(music) == [80, 80, 50, 50, 50, 112, 112, 112]
    assert velocities(music, track=1) == [80] * 8


def test_accents_strike_once() -> None:
    music = score(("Violin", dynamic("p") + note("C") + dynamic("sfz") + note("D"), PLAIN))
    assert velocities(music) == [50, 74, 50, 50]
    assert velocities(score(("Violin", dynamic("fp") + PLAIN, PLAIN))) == [96, 50, 50, 50]


def test_hairpin_leads_to_the_next_level() -> None:
    rise = dynamic("p") + wedge("crescendo") + PLAIN
    music = score(("Violin", rise, PLAIN + wedge("stop"), dynamic("f") + PLAIN))
    assert velocities(music) == pytest.approx([50, 61.5, 73, 84.5, 96, 96], abs=1)


def test_hairpin_without_a_level_changes_a_little() -> None:
    music = score(("Violin", wedge("diminuendo") + PLAIN + wedge("stop"), PLAIN))
    assert velocities(music) == pytest.approx([80, 72, 64, 64], abs=1)


def test_written_crescendo_leads_to_the_next_level() -> None:
    words = "<direction><direction-type><words>cresc.</words></direction-type></direction>"
    music = score(("Violin", dynamic("p") + words + PLAIN, dynamic("f") + PLAIN))
    assert velocities(music) == pytest.approx([50, 73, 96, 96], abs=1)


def test_dynamics_are_taken_again_when_repeated() -> None:
    back = "<barline location='right'><repeat direction='backward'/></barline>"
    music = score(("Violin", dynamic("p") + PLAIN, dynamic("f") + PLAIN + back))
    assert velocities(music) == [50, 50, 96, 96, 50, 50, 96, 96]


def test_both_staves_of_a_piano_obey_one_sign() -> None:
    left = "<backup><duration>4</duration></backup>" + note("C", 3, 4, staff=2)
    music = score(("Piano", dynamic("pp") + PLAIN + left))
    music = music.replace("</time>", "</time><staves>2</staves>")
    assert velocities(music, track=0) == [36, 36]
    assert velocities(music, track=1) == [36]


def test_a_crash_of_the_player_is_survived() -> None:
    with pytest.raises(ConversionError, match="crashed"):
        musicxml_to_midi(score(("Violin", PLAIN)).replace("<beat-type>4", "<beat-type>0"))
    assert velocities(score(("Violin", PLAIN))) == [80, 80]


@pytest.mark.parametrize("text", ["", "CDEF|", "<score-partwise/>", score(("Violin", ""))])
def test_no_music_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConversionError) as caught:
        musicxml_to_midi(text)
    assert "\n" not in str(caught.value)
