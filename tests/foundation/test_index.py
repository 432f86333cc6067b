import dataclasses
import json
import os
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notagen.foundation.errors import InputError, MissingInputError
from notagen.foundation.index import (
    IndexEntry,
    read_entry,
    read_index,
    scan_index,
    write_index,
)

NAMES = {field.name for field in dataclasses.fields(IndexEntry)}
TEXTS = st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
NUMBERS = st.none() | st.integers(0, 10**9)
STEPS = st.text("abcXYZ019 -_.é", min_size=1, max_size=8).filter(lambda s: s.strip(".") != "")
JSON = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers())


@st.composite
def entries(draw: st.DrawFn) -> IndexEntry:
    values: dict[str, object] = {
        field.name: draw(NUMBERS if field.name.startswith("n_") else TEXTS)
        for field in dataclasses.fields(IndexEntry)
        if field.name not in ("path", "extra")
    }
    extra = draw(
        st.dictionaries(st.text(min_size=1, max_size=6).filter(lambda n: n not in NAMES), JSON)
    )
    path = "/".join(draw(st.lists(STEPS, min_size=1, max_size=3)))
    return IndexEntry(path=path, extra=extra, **values)  # type: ignore[arg-type]


def index(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "pieces.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@given(written=st.lists(entries(), max_size=4))
def test_reading_undoes_writing(
    written: list[IndexEntry], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "round.jsonl"
    write_index(path, written)
    assert list(read_index(path, made_by="a test")) == written


@given(written=st.lists(entries(), max_size=4))
def test_entries_are_found_again_by_their_place(
    written: list[IndexEntry], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "places.jsonl"
    write_index(path, written)
    stamp, lines = scan_index(path, made_by="a test")
    scanned = list(lines)
    assert [read_entry(path, offset, stamp) for offset, _ in scanned] == written
    for (_, part), whole in zip(scanned, written, strict=True):
        for name in ("path", "key", "prompt", "n_patches"):
            assert getattr(part, name) == getattr(whole, name)


def test_line_ends_and_byte_order_marks_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "pieces.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"path": "a"}\r\n{"path": "b"}\r\n{"path": "c"}')
    assert [entry.path for entry in read_index(path, made_by="a test")] == ["a", "b", "c"]
    stamp, lines = scan_index(path, made_by="a test")
    assert [read_entry(path, offset, stamp).path for offset, _ in lines] == ["a", "b", "c"]


@pytest.mark.parametrize("change", ["rewritten", "lengthened", "gone"])
def test_changed_index_gives_no_other_entry(tmp_path: Path, change: str) -> None:
    path = index(tmp_path, '{"path": "a"}', '{"path": "b"}')
    stamp, lines = scan_index(path, made_by="a test")
    _, (offset, _) = lines
    if change == "rewritten":
        path.write_text('{"path": "c"}\n{"path": "d"}\n')
        os.utime(path, ns=(0, stamp[1] + 1000))
    elif change == "lengthened":
        path.write_text(path.read_text() + '{"path": "c"}\n')
    else:
        path.unlink()
    with pytest.raises(InputError, match=r"pieces\.jsonl (has changed since|cannot be read: No)"):
        read_entry(path, offset, stamp)


def test_unknown_fields_are_kept_and_empty_ones_left_out(tmp_path: Path) -> None:
    path = index(tmp_path, '{"path": "a/b", "key": "Eb", "mood": ["calm", 3], "title": null}')
    (entry,) = read_index(path, made_by="a test")
    assert entry.extra == {"mood": ["calm", 3]}
    write_index(tmp_path / "again.jsonl", [entry])
    again = (tmp_path / "again.jsonl").read_text(encoding="utf-8")
    assert json.loads(again) == {"path": "a/b", "key": "Eb", "mood": ["calm", 3]}
    assert again.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"key": "C"}', "found no field `path`, wanted the piece's path"),
        ('{"path": ""}', "found no field `path`, wanted the piece's path"),
        ('{"path": "a"', "found no JSON object, wanted one"),
        ("", "found no JSON object, wanted one"),
        ('["a"]', "found no JSON object, wanted one"),
        ('"a"', "found no JSON object, wanted one"),
        ('{"path": "a"}, {"path": "b"}', "found no JSON object, wanted one"),
        ("[" * 9999, "found no JSON object, wanted one"),
        ("null", "found no JSON object, wanted one"),
        ('{"path": 3}', "found path = 3, wanted str"),
        ('{"path": ["a"]}', "found path = ['a'], wanted str"),
        ('{"path": "a", "n_bars": "12"}', "found n_bars = '12', wanted int"),
        ('{"path": "a", "n_bars": true}', "found n_bars = True, wanted int"),
        ('{"path": "a", "n_bars": 1.5}', "found n_bars = 1.5, wanted int"),
        ('{"path": "a", "key": 1}', "found key = 1, wanted str"),
    ],
)
def test_bad_lines_are_named_by_file_and_number(tmp_path: Path, line: str, said: str) -> None:
    path = index(tmp_path, '{"path": "fine"}', line, '{"path": "fine"}')
    with pytest.raises(InputError) as caught:
        list(read_index(path, made_by="a test"))
    assert str(caught.value) == f"{path}:2: {said}"


@pytest.mark.parametrize("outside", ["../x", "a/../../x", "/etc/passwd", "a/..", "/", ".."])
def test_paths_never_leave_the_folder(tmp_path: Path, outside: str) -> None:
    path = index(tmp_path, '{"path": "fine"}', json.dumps({"path": outside}))
    with pytest.raises(InputError, match="leads out of") as caught:
        list(read_index(path, made_by="a test"))
    assert str(caught.value).startswith(f"{path}:2: {outside!r}")


def test_bytes_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pieces.jsonl"
    path.write_bytes(b'{"path": "\xff"}\n')
    with pytest.raises(InputError, match=r"pieces\.jsonl:1: found no JSON object"):
        list(read_index(path, made_by="a test"))


def test_missing_file_names_its_maker(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError) as caught:
        list(read_index(tmp_path / "no.jsonl", made_by="data/0_fetch.py"))
    assert str(caught.value) == f"{tmp_path / 'no.jsonl'} is not there; data/0_fetch.py writes it"


def test_lines_are_read_one_at_a_time(tmp_path: Path) -> None:
    path = index(tmp_path, '{"path": "a"}', '{"path": "b"}', "broken")
    reader = read_index(path, made_by="a test")
    assert [entry.path for entry in islice(reader, 2)] == ["a", "b"]
    with pytest.raises(InputError):
        next(reader)


def test_keyed_path() -> None:
    assert IndexEntry(path="out/abc/song").keyed_path("Eb") == "out/abc/Eb/song_Eb.abc"
    assert IndexEntry(path="song.1").keyed_path("C#") == "C#/song.1_C#.abc"


def test_prompt_needs_all_three() -> None:
    entry = IndexEntry(path="a", period="Baroque", composer="Bach, J. S.")
    assert entry.prompt is None
    entry.instrumentation = "Choral"
    assert entry.prompt == ("Baroque", "Bach, J. S.", "Choral")


def test_failed_write_leaves_the_old_index(tmp_path: Path) -> None:
    path = index(tmp_path, '{"path": "old"}')
    with pytest.raises(TypeError):
        write_index(path, [IndexEntry(path="new"), IndexEntry(path="x", extra={"y": object()})])
    assert path.read_text(encoding="utf-8") == '{"path": "old"}\n'
