"""The converters: exact against music21 as an independent reader, and closed to bad input."""

import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import pytest
from music21 import converter

from notagen.foundation.errors import ConversionError, NotationError, ScoreError
from notagen.notation.clean import clean
from notagen.notation.interleave import interleave
from notagen.notation.musicxml import abc_to_musicxml, document, musicxml_to_abc
from notagen.notation.rests import omit_rests
from notagen.notation.transpose import transpose
from notagen.sources.music21_corpus import corpus_folder

Notes = Counter[tuple[int, int, Fraction, int]]

SCORE = """<?xml version="1.0" encoding="UTF-8"?>
<score-partwise version="4.0">
  <part-list><score-part id="P1"><part-name>Flöte</part-name></score-part></part-list>
  <part id="P1"><measure number="1">
    <attributes><divisions>1</divisions><key><fifths>-3</fifths></key>
      <time><beats>4</beats><beat-type>4</beat-type></time></attributes>
    <note><pitch><step>E</step><alter>-1</alter><octave>4</octave></pitch>
      <duration>4</duration><type>whole</type></note>
  </measure></part>
</score-partwise>
"""
CONTAINER = (
    '<?xml version="1.0"?><container><rootfiles><rootfile full-path="{}"/></rootfiles></container>'
)
TUNE = "X:1\nL:1/8\nM:4/4\nK:Eb\nE8|]\n"


def notes_of(score: object) -> Notes:
    """Count (part, bar, offset in the bar, MIDI pitch) of all notes but graces.

    Bars are counted, not read off: ABC has no bar numbers, so an upbeat is bar 1 there.
    """
    found: Notes = Counter()
    for part_number, part in enumerate(score.parts):  # type: ignore[attr-defined]
        for bar_number, bar in enumerate(part.getElementsByClass("Measure")):
            for note in bar.recurse().notes:
                if not note.duration.isGrace:
                    offset = Fraction(note.getOffsetInHierarchy(bar)).limit_denominator(960)
                    for pitch in note.pitches:
                        found[part_number, bar_number, offset, pitch.midi] += 1
    return found


def moved(notes: Notes, semitones: int) -> Notes:
    return Counter({(*where, pitch + semitones): n for (*where, pitch), n in notes.items()})  # type: ignore[misc]


@pytest.mark.parametrize(
    ("piece", "n_notes", "moves"),
    [
        # F sharp minor: A major's signature
        ("bach/bwv66.6.mxl", 165, {"A": 0, "Cb": 2, "F#": -3, "C": 3}),
        # A major
        ("mozart/k155/movement2.mxl", 922, {"A": 0, "Cb": 2, "Eb": -6}),
    ],
)
def test_every_note_comes_back_where_it_was(
    piece: str, n_notes: int, moves: dict[str, int]
) -> None:
    source = corpus_folder() / piece
    wanted = notes_of(converter.parse(source, forceSource=True, storePickle=False))
    assert wanted.total() == n_notes
    interleaved = interleave(clean(musicxml_to_abc(source)))
    reduced = omit_rests(interleaved)
    assert len(reduced) <= len(interleaved)
    for number, (key, semitones) in enumerate(moves.items()):
        # one key in both forms, the others in turn
        for form in [interleaved, reduced] if number == 1 else [(interleaved, reduced)[number % 2]]:
            written_back = abc_to_musicxml(transpose(form, key))
            read = notes_of(converter.parseData(written_back, format="musicxml"))
            assert read == moved(wanted, semitones), key


def archive(path: Path, **members: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as files:
        for name, content in members.items():
            files.writestr(name.replace("__", "/"), content)
    return path


def refusal(path: Path) -> str:
    """Return what the message says after the path; it is one line that begins with the path."""
    with pytest.raises(ConversionError) as caught:
        musicxml_to_abc(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def written(tmp_path: Path, content: str | bytes, name: str = "score.musicxml") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_plain_compressed_and_utf16_give_the_same_abc(tmp_path: Path) -> None:
    plain = musicxml_to_abc(written(tmp_path, SCORE))
    assert "K:Eb\n" in plain
    assert "E8" in plain
    assert 'nm="Flöte"' in plain
    utf16 = SCORE.replace("UTF-8", "UTF-16").encode("utf-16")
    assert musicxml_to_abc(written(tmp_path, utf16, "utf16.xml")) == plain
    container = CONTAINER.format("inner/my score.xml")
    packed = tmp_path / "packed.mxl"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as files:
        files.writestr("META-INF/container.xml", container)
        files.writestr("inner/my score.xml", SCORE)
    assert musicxml_to_abc(packed) == plain
    assert musicxml_to_abc(str(packed)) == plain


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "found no well-formed XML: no element found"),
        ("hello", "found no well-formed XML: syntax error"),
        (SCORE[: len(SCORE) // 2], "found no well-formed XML: "),
        (SCORE + "<more/>", "found no well-formed XML: junk after document element"),
        (b"\x00\x01\x02\xff" * 50, "found no well-formed XML: "),
        ("<html><body/></html>", "found a document of <html>, wanted MusicXML <score-partwise>"),
        (
            SCORE.replace("score-partwise", "score-timewise"),
            "found a score-timewise document, wanted score-partwise",
        ),
        (
            SCORE.replace('encoding="UTF-8"', 'encoding="klingon"'),
            "found text in an unreadable encoding: unknown encoding: klingon",
        ),
        (
            "<score-partwise>" + "<a>" * 70 + "</a>" * 70 + "</score-partwise>",
            "found elements nested deeper than 64",
        ),
        ("<score-partwise/>", "found no bar in the score, wanted at least one"),
    ],
)
def test_documents_that_are_no_score(tmp_path: Path, content: str | bytes, said: str) -> None:
    assert refusal(written(tmp_path, content)).startswith(said)


@pytest.mark.parametrize(
    "declaration",
    [
        '<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">',
        '<!ENTITY c SYSTEM "file:///etc/passwd">',
        '<!ENTITY % c SYSTEM "http://127.0.0.1/x">',
    ],
)
def test_entities_are_refused(tmp_path: Path, declaration: str) -> None:
    text = SCORE.replace("<score-p", f"<!DOCTYPE score-partwise [{declaration}]><score-p", 1)
    path = written(tmp_path, text.replace("Flöte", "&c;"))
    assert refusal(path).startswith("found an entity declaration (")
    packed = archive(tmp_path / "a.mxl", **{"META-INF__container.xml": text})
    assert refusal(packed).startswith("found an entity declaration (")


def test_archives_that_hold_no_score(tmp_path: Path) -> None:
    path = tmp_path / "a.mxl"
    whole = archive(
        path, **{"META-INF__container.xml": CONTAINER.format("s.xml"), "s.xml": SCORE}
    ).read_bytes()
    assert "E8" in musicxml_to_abc(path)
    path.write_bytes(whole[: len(whole) // 2])
    assert refusal(path).startswith("damaged .mxl archive: ")
    # the score's bytes damaged, the directory sound
    place = whole.index(b"s.xml") + 40
    path.write_bytes(whole[:place] + bytes(60) + whole[place + 60 :])
    assert refusal(path).startswith("damaged .mxl archive: ")
    archive(path, **{"s.xml": SCORE})
    assert refusal(path) == "found no META-INF/container.xml in the .mxl archive, wanted one"
    for name in ("other.xml", "../s.xml", "/etc/passwd"):
        archive(path, **{"META-INF__container.xml": CONTAINER.format(name), "s.xml": SCORE})
        assert refusal(path) == f"found no {name} in the .mxl archive, wanted one"
    archive(path, **{"META-INF__container.xml": "<container/>", "s.xml": SCORE})
    assert refusal(path) == "container.xml names no score"
    archive(path, **{"META-INF__container.xml": "<container>", "s.xml": SCORE})
    assert refusal(path).startswith("found no well-formed XML")
    archive(path, **{"META-INF__container.xml": CONTAINER.format("s.xml"), "s.xml": "<html/>"})
    assert refusal(path).startswith("found a document of <html>")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_anywhere_in_an_archive_is_a_refusal(tmp_path: Path, method: int) -> None:
    path = tmp_path / "a.mxl"
    with zipfile.ZipFile(path, "w", method) as files:
        files.writestr("META-INF/container.xml", CONTAINER.format("s.xml"))
        files.writestr("s.xml", SCORE)
    whole = path.read_bytes()
    if method != zipfile.ZIP_DEFLATED:
        assert "packed in another way than deflate" in refusal(path)
    refused = 0
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            document.read_musicxml(path)
        except ConversionError:
            refused += 1
    assert refused > 50


def test_archives_that_unpack_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_BYTES", 100_000)
    bomb = archive(
        tmp_path / "bomb.mxl",
        **{"META-INF__container.xml": CONTAINER.format("s.xml"), "s.xml": SCORE + " " * 10**6},
    )
    assert bomb.stat().st_size < 5000
    assert refusal(bomb) == (
        f"s.xml unpacks to {len(SCORE.encode()) + 10**6} bytes, wanted <= 100000"
    )
    # a directory that lies about the size
    content = bomb.read_bytes()
    size = (len(SCORE.encode()) + 10**6).to_bytes(4, "little")
    bomb.write_bytes(content.replace(size, (10).to_bytes(4, "little")))
    assert refusal(bomb).startswith("damaged .mxl archive: Bad CRC-32")
    large = written(tmp_path, SCORE + " " * 100_000)
    assert refusal(large).startswith(f"found {len(SCORE.encode()) + 100_000} bytes, wanted at most")


def test_folders_and_missing_files(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "found a folder, wanted a MusicXML file"
    with pytest.raises(FileNotFoundError, match="no such"):
        musicxml_to_abc(tmp_path / "no such.mxl")


METRES = ("M:{}\n", " M:{}\n", "[M:{}]", "[ M:{}]", "[M :{}]", "[I:M:{}]")


def metre_code(trap: Path) -> str:
    """A metre that makes a folder where it is run; it holds no `/` but the last."""
    return f"__import__('os').mkdir('{trap}'.replace('~',chr(47)))/4".replace("/", "~")[:-2] + "/4"


@pytest.mark.parametrize("metre", METRES)
def test_a_metre_is_never_run(tmp_path: Path, metre: str) -> None:
    trap = tmp_path / "trap"
    code = metre_code(trap)
    exec_ = compile(code.removesuffix("/4"), "metre", "eval")
    eval(exec_)  # noqa: S307 -- shows that the trap is a trap
    trap.rmdir()
    with suppress(NotationError):
        abc_to_musicxml(TUNE.replace("E8", metre.format(code) + "E8 Z"))
    with pytest.raises(NotationError, match="found metre"):
        abc_to_musicxml(TUNE.replace("M:4/4", f"M:{code}"))
    assert not trap.exists()


def test_sums_of_beats_are_metres() -> None:
    score = abc_to_musicxml("X:1\nL:1/8\nM:2+3/8\nK:C\nZ|\n")
    assert "<beats>2+3</beats>" in score
    assert "<divisions>2</divisions>" in score
    assert "<duration>5</duration>" in score


def test_a_metre_may_have_a_comment() -> None:
    assert "<beats>3</beats>" in abc_to_musicxml("X:1\nL:1/8\nM:3/4 % a waltz\nK:C\nc6|\n")


@pytest.mark.parametrize("line", ["%%abc-include {}", "I:abc-include {}", "%% abc-include {}"])
def test_no_file_is_included(tmp_path: Path, line: str) -> None:
    other = tmp_path / "other.abc"
    other.write_text("^d'8|\n")
    text = TUNE.replace("K:Eb\n", f"K:Eb\n{line.format(other)}\n")
    assert "<octave>6</octave>" in abc_to_musicxml(TUNE.replace("E8|]\n", other.read_text()))
    assert "<octave>6</octave>" not in abc_to_musicxml(text)


@pytest.mark.parametrize(
    ("abc", "error", "said"),
    [
        ("", NotationError, "found no music, wanted at least one bar of notes"),
        ("hello", NotationError, "found no K: line"),
        ("X:1\nK:C\n", NotationError, "found no music, wanted at least one bar of notes"),
        ("K:C\n[V:1]c8|\nhello\n", NotationError, "line 3: found 'hello'"),
        ("K:C\n" + "c" * 2_000_001, ConversionError, "found 2000005 characters, wanted at most"),
    ],
)
def test_bad_tunes(abc: str, error: type[ScoreError], said: str) -> None:
    with pytest.raises(error) as caught:
        abc_to_musicxml(abc)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_every_form_of_a_tune_is_taken() -> None:
    header = "L:1/8\nM:4/4\nK:Eb\nV:1 treble\nV:2 bass\n"
    standard = f"X:1\n{header}V:1\nE8|F8|\nV:2\nz8|E,8|\n"
    interleaved = interleave(standard)
    reduced = omit_rests(interleaved)
    assert "z" not in reduced.split("V:2 bass")[1]
    prompted = f"%Baroque\n%Bach, J. S.\n%Choral\n{reduced}".replace("[V:1]E", "[r:0/1][V:1]E")
    documents = {abc_to_musicxml(form) for form in (standard, interleaved, reduced, prompted)}
    assert len(documents) == 1
    assert documents.pop().count("<pitch>") == 3


def test_words_with_percent_signs_do_not_cut_the_line() -> None:
    assert abc_to_musicxml(TUNE.replace("E8", '"^50%" E4 F4')).count("<pitch>") == 2


def test_calls_from_four_threads_do_not_mix(tmp_path: Path) -> None:
    steps = "CDEFGAB"
    files = [
        written(
            tmp_path, SCORE.replace("<alter>-1</alter>", "").replace(">E<", f">{s}<"), f"{s}.xml"
        )
        for s in steps
    ]

    def there_and_back(file: Path) -> str:
        return abc_to_musicxml(musicxml_to_abc(file))

    with ThreadPoolExecutor(4) as threads:
        documents = list(threads.map(there_and_back, files * 2))
    assert [d.split("<step>")[1][0] for d in documents] == list(steps) * 2
    assert all(d.count("<step>") == 1 for d in documents)
