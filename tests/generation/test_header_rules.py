import pytest

from notagen.generation.header_rules import find_header_fault, missing_lines

ABOVE = "%%score { 1 | 2 }\nL:1/8\n"


@pytest.mark.parametrize(
    "line",
    [
        "Q:1/4=96",
        'Q:"Allegro" 1/4=120',
        "M:3/4",
        "M:2+3/8",
        "K:Ebmin",
        'V:1 treble nm="Piano" snm="Pno."',
        'V:3 treble-8 transpose=-12 nm="Tenor"',
    ],
)
def test_lines_of_real_headers_are_sound(line: str) -> None:
    assert find_header_fault(ABOVE, f"{line}\n") is None


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("K:E#min", "8 accidentals"),
        ("M:x", "metre"),
        ("Q:1/0=96", "tempo"),
        ("Q:1/4=0", "tempo"),
        ("Q:1/4=99999999", "tempo"),
        ("L:1/8", "second L"),
        ("V:2 ta!G2|[V:4]1G2 F2|", "its clef"),
        ("%Choral", "comment"),
        ("X:1", "wanted a field"),
        ("c4 d4|", "wanted a field"),
    ],
)
def test_what_makes_a_line_faulty(line: str, fault: str) -> None:
    assert fault in (find_header_fault(ABOVE, f"{line}\n") or "no fault")


def test_no_voice_stands_twice() -> None:
    assert "twice" in (find_header_fault(f"{ABOVE}V:1 treble\n", "V:1 bass\n") or "")


def test_a_prompt_may_be_written_before_all_else() -> None:
    above = ""
    for line in ("%Romantic\n", "%Schubert, Franz\n", "%Art Song\n", "%end\n"):
        assert find_header_fault(above, line) is None
        above += line
    assert find_header_fault(above, "%more\n") == "found a comment"


def test_missing_lines_make_a_header_whole() -> None:
    assert missing_lines("") == "L:1/8\nM:4/4\nK:C\nV:1 treble\n"
    assert missing_lines(f"{ABOVE}M:3/4\nK:C\nV:2 bass\n") == "V:1 treble\n"
    assert missing_lines("L:1/8\nM:3/4\nK:C\nV:1 treble\n") == ""
