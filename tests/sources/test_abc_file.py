from pathlib import Path

from notagen.sources.abc_file import count_tunes, read_abc, split_tunes

BOOK = """A book of tunes.
%%scale 0.8
L:1/8

X:1
T:One
K:C

K is set, this is free text

X:22
T:Two
L:1/4

K:G
V:1
gg|
V:2
GG|
X:3
K:D
d|"""


def test_tunes_are_split_and_share_the_fields_above_them() -> None:
    assert count_tunes(BOOK) == 3
    assert split_tunes(BOOK) == [
        "X:1\n%%scale 0.8\nL:1/8\nT:One\nK:C\n",
        "X:22\n%%scale 0.8\nL:1/8\nT:Two\nL:1/4\n\nK:G\nV:1\ngg|\nV:2\nGG|\n",
        "X:3\n%%scale 0.8\nL:1/8\nK:D\nd|\n",
    ]


def test_one_tune_stays_as_it_is() -> None:
    for text in ("K:C\nc|\n", "%Romantic\nX:1\nK:C\nc|\n\nd|", ""):
        assert count_tunes(text) == 1
        assert split_tunes(text) == [text]


def test_old_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.abc"
    path.write_bytes("X:1\r\nT:Fête\rK:C\n".encode("latin-1"))
    assert read_abc(path) == "X:1\nT:Fête\nK:C\n"
    path.write_bytes("\ufeffX:1\nT:Fête\n".encode())
    assert read_abc(path) == "X:1\nT:Fête\n"
