import base64
import hashlib
import io
import json
import random
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from notagen.foundation.errors import InputError, MissingInputError
from notagen.render.sheet import Answer, Pair, Skipped, read_answers, write_sheet

HOSTILE = "<img src=x onerror=alert(1)>"


def score(word: str, *, bars: int = 2, step: str = "C", names: str = "Anna Writer") -> str:
    """Return a piece with a direction, and names wherever MusicXML has a place for them."""
    word, names = word.replace("<", "&lt;"), names.replace("<", "&lt;")
    direction = f"<direction><direction-type><words>{word}</words></direction-type></direction>"
    note = (
        f"<note><pitch><step>{step}</step><octave>4</octave></pitch><duration>4</duration>"
        f"<type>whole</type><lyric><syllabic>single</syllabic><text>{names}</text></lyric></note>"
    )
    attributes = (
        "<attributes><divisions>1</divisions><time><beats>4</beats><beat-type>4</beat-type></time>"
        "<clef><sign>G</sign><line>2</line></clef></attributes>"
    )
    body = "".join(
        f"<measure number='{bar}'>{attributes + direction if bar == 1 else ''}{note}</measure>"
        for bar in range(1, bars + 1)
    )
    return (
        f"<score-partwise><work><work-title>{names}</work-title></work>"
        f"<movement-title>{names}</movement-title><identification>"
        f"<creator type='composer'>{names}</creator><rights>{names}</rights></identification>"
        f"<credit page='1'><credit-words>{names}</credit-words></credit>"
        f"<part-list><score-part id='P1'><part-name>Flute</part-name></score-part></part-list>"
        f"<part id='P1'>{body}</part></score-partwise>"
    )


def pairs(count: int) -> list[Pair]:
    return [
        Pair(f"made-{n}", score(f"ours {n}"), f"real-{n}", score(f"theirs {n}", step="E"))
        for n in range(count)
    ]


class Page(HTMLParser):
    """All tags with their attributes, all text, and whether every tag was closed in its turn."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.words: dict[str, list[str]] = {}
        """Words in the scores by pair and side."""
        self._open: list[str] = []
        self._pair = self._side = ""
        self.feed(self.source)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "input", "br"):
            self._open.append(tag)
        if tag == "section":
            self._pair = dict(attrs)["data-pair"] or ""

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self._open[-1:] == ["h3"]:
            self._side = data
        if self._open[-1:] == ["tspan"]:
            self.words.setdefault(f"{self._pair} {self._side}", []).append(data)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("sheet")
    assert write_sheet(folder / "page.html", pairs(4), seed=3, title="Blind") == []
    assert sorted(path.name for path in folder.iterdir()) == ["page-key.jsonl", "page.html"]
    return Page(folder / "page.html"), lines(folder / "page-key.jsonl")


def test_page_has_every_pair_with_scores_and_sounds(
    written: tuple[Page, list[dict[str, Any]]],
) -> None:
    page, key = written
    sections = [attributes["data-pair"] for tag, attributes in page.tags if tag == "section"]
    assert sections == [line["pair"] for line in key]
    assert len(set(sections)) == 4
    drawings = [attributes for tag, attributes in page.tags if attributes.get("class") == "page"]
    assert len(drawings) == 8
    sounds = [attributes["src"] or "" for tag, attributes in page.tags if tag == "audio"]
    assert len(sounds) == 8
    for sound in sounds:
        content = base64.b64decode(sound.removeprefix("data:audio/mpeg;base64,"))
        samples, rate = soundfile.read(io.BytesIO(content))
        # two bars of four quarters
        assert len(samples) / rate == pytest.approx(4, abs=0.5)
        assert samples.std() > 0.01


def test_key_tells_the_sides_and_the_page_does_not(
    written: tuple[Page, list[dict[str, Any]]],
) -> None:
    page, key = written
    for line in key:
        other = {"A": "B", "B": "A"}[line["generated"]]
        number = line["generated_name"].removeprefix("made-")
        assert line["reference_name"] == f"real-{number}"
        assert f"ours {number}" in page.words[f"{line['pair']} {line['generated']}"]
        assert f"theirs {number}" in page.words[f"{line['pair']} {other}"]
    assert sorted(line["generated"] for line in key) == ["A", "A", "B", "B"]
    assert [line["generated_name"] for line in key] != [f"made-{n}" for n in range(4)]
    for secret in ("made-", "real-", "generated", "reference_", "Anna", "Writer"):
        assert secret not in page.source


def test_nothing_is_fetched_and_only_our_script_may_run(
    written: tuple[Page, list[dict[str, Any]]],
) -> None:
    page, _ = written
    links = {
        value or ""
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "action", "data", "srcset")
    }
    assert all(link.startswith(("#g", "data:audio/mpeg")) for link in links)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link for link in links if link.startswith("#")} <= {f"#{name}" for name in ids}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert not any("style" in attributes for _, attributes in page.tags)
    policy = next(
        attributes["content"] or ""
        for _, attributes in page.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for kind in ("style", "script"):
        (content,) = re.findall(f"<{kind}>(.*?)</{kind}>", page.source, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_every_control_has_a_label(written: tuple[Page, list[dict[str, Any]]]) -> None:
    page, _ = written
    controls = re.findall("<(?:input|select|textarea)[ >]", page.source)
    labels = re.findall(
        "<label>(?:(?!</label>).)*<(?:input|select|textarea)", page.source, re.DOTALL
    )
    assert len(controls) == len(labels) == 11


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    hostile = score(HOSTILE, names=HOSTILE)
    path = tmp_path / "page.html"
    write_sheet(path, [Pair(HOSTILE, hostile, HOSTILE, hostile)], seed=0, title=HOSTILE + "%PAIRS%")
    page = Page(path)
    assert not any(tag == "img" for tag, _ in page.tags)
    assert HOSTILE in "".join(page.words[next(iter(page.words))])
    assert page.text.count(HOSTILE + "%PAIRS%") == 2
    assert lines(tmp_path / "page-key.jsonl")[0]["generated_name"] == HOSTILE


def test_same_seed_gives_same_bytes_and_another_seed_other_lots(tmp_path: Path) -> None:
    keys, contents = [], []
    for number, seed in enumerate((5, 5, 6)):
        path = tmp_path / f"{number}.html"
        write_sheet(path, pairs(3), seed=seed, title="Blind")
        contents.append(path.read_bytes())
        keys.append((tmp_path / f"{number}-key.jsonl").read_text())
    assert contents[0] == contents[1] != contents[2]
    assert keys[0] == keys[1] != keys[2]


def test_pieces_that_cannot_be_shown_are_named_and_the_others_stand(tmp_path: Path) -> None:
    whole, broken = pairs(1)[0], Pair("torn", "<score-part", "fine", score("x"))
    silent = Pair("fine", score("x"), "silent", re.sub("<note>.*?</note>", "", score("x")))
    path = tmp_path / "page.html"
    skipped = write_sheet(path, [broken, whole, silent], seed=1, title="Blind")
    assert skipped == [
        Skipped(
            "fine", "silent", "silent: MusicXML: found no <note> in any bar, wanted at least one"
        ),
        Skipped("torn", "fine", skipped[1].reason),
    ]
    assert skipped[1].reason.startswith("torn: MusicXML: not well-formed")
    assert [line["generated_name"] for line in lines(tmp_path / "page-key.jsonl")] == ["made-0"]
    assert "Pair 1 of 1" in Page(path).text
    path.unlink()
    for none in ([], [broken]):
        with pytest.raises(InputError, match="found no pair"):
            write_sheet(path, none, seed=1, title="Blind")
        assert not path.exists()


def test_long_pieces_are_cut_to_pages_and_seconds(tmp_path: Path) -> None:
    long = score("long", bars=400)
    path = tmp_path / "page.html"
    write_sheet(
        path, [Pair("a", long, "b", score("short"))], seed=1, title="", max_pages=1, max_seconds=3
    )
    page = Page(path)
    assert sum(attributes.get("class") == "page" for _, attributes in page.tags) == 2
    assert page.text.count("The piece goes on.") == 1


KEY = [
    {"sheet": "s", "pair": "p1", "generated": "A", "generated_name": "g", "reference_name": "r"},
    {"sheet": "s", "pair": "p2", "generated": "B", "generated_name": "g", "reference_name": "r"},
]


def said(pair: str, **answers: object) -> dict[str, object]:
    line: dict[str, object] = {"sheet": "s", "pair": pair, "listener": "l1", "name": "Zoë"}
    line |= {"experience": "amateur", "preference": None, "person": None, "comment": ""}
    return line | {"seconds": 30, "time": 100} | answers


def save(path: Path, content: Sequence[object]) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in content))
    return path


def test_answers_are_turned_toward_the_generated_piece(tmp_path: Path) -> None:
    key = save(tmp_path / "key.jsonl", KEY)
    first = [
        said("p1", preference="A much", person="B", comment="warm"),
        said("p2", preference="A much", person="B"),
    ]
    second = [
        said("p1", listener="l2", preference="none", person="unknown"),
        said("p2", listener="l2", preference="B", seconds=4.5),
    ]
    files = [save(tmp_path / "1.jsonl", first), save(tmp_path / "2.jsonl", second)]
    expected = [
        Answer("l1", "p1", 2, 1.0, 30, "amateur", "warm"),
        Answer("l2", "p1", 0, 0.5, 30, "amateur", ""),
        Answer("l1", "p2", -2, 0.0, 30, "amateur", ""),
        Answer("l2", "p2", 1, None, 4.5, "amateur", ""),
    ]
    assert read_answers(files, key) == expected
    assert read_answers(files[::-1], key) == expected


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.randoms())
def test_of_two_answers_of_a_listener_the_later_counts(
    tmp_path_factory: pytest.TempPathFactory, times: list[int], order: random.Random
) -> None:
    folder = tmp_path_factory.mktemp("answers")
    key = save(folder / "key.jsonl", KEY)
    given_answers = [said("p1", time=time, seconds=time) for time in times]
    order.shuffle(given_answers)
    (answer,) = read_answers([save(folder / "a.jsonl", given_answers)], key)
    assert answer.seconds == max(times)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ([], "no JSON object"),
        (said("p3"), "pair 'p3'"),
        (said("p1", sheet="t"), "sheet 't'"),
        (said("p1", preference="C"), "preference: found 'C', wanted one of \"A much\""),
        (said("p1", preference=[]), "preference"),
        (said("p1", person=1), "person"),
        (said("p1", seconds=-1), "seconds"),
        (said("p1", seconds=True), "seconds"),
        (said("p1", seconds=[3]), "seconds"),
        (said("p1", time="now"), "time"),
        (said("p1", listener=None), "listener"),
        ({"sheet": "s"}, "pair"),
    ],
)
def test_a_line_that_is_no_answer_is_named(tmp_path: Path, line: object, reason: str) -> None:
    key = save(tmp_path / "key.jsonl", KEY)
    answers = save(tmp_path / "a.jsonl", [said("p1"), line])
    with pytest.raises(InputError, match=re.escape(reason)) as caught:
        read_answers([answers], key)
    assert f"{answers}:2: " in str(caught.value)


def test_faulty_or_missing_files_are_named(tmp_path: Path) -> None:
    key = save(tmp_path / "key.jsonl", [KEY[0] | {"generated": "C"}])
    with pytest.raises(InputError, match=r"key\.jsonl:1: generated"):
        read_answers([], key)
    with pytest.raises(MissingInputError, match=r"none\.jsonl"):
        read_answers([tmp_path / "none.jsonl"], save(tmp_path / "key.jsonl", KEY))
