import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from notagen.foundation.errors import InputError, MissingInputError, ScoreError
from notagen.generation.controls import NO_CONTROLS, Controls
from notagen.generation.header import HeaderWishes
from notagen.generation.prompts import Prompt
from notagen.generation.requests import Beginning, Request, make_request, read_requests

SCHUBERT = {"period": "Romantic", "composer": "Schubert, Franz", "instrumentation": "Art Song"}
STYLE = Beginning(**SCHUBERT)
HEADER = "L:1/8\nM:4/4\nK:C\nV:1 treble\nV:2 bass\n"
TUNE = f"{HEADER}[V:1]c8|[V:2]C8|\n[V:1]d8|[V:2]D8|\n[V:1]e8|[V:2]E8|]\n"
DEFAULTS = (Beginning(), Controls(), HeaderWishes())


def write(folder: Path, *lines: dict[str, Any]) -> Path:
    path = folder / "prompts.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


@pytest.fixture
def tune(tmp_path: Path) -> Path:
    path = tmp_path / "tunes" / "tune.abc"
    path.parent.mkdir()
    path.write_text(TUNE)
    return path


def test_a_style_is_a_prompt() -> None:
    assert make_request(STYLE) == Request(prompt=Prompt(*SCHUBERT.values()), controls=NO_CONTROLS)
    assert make_request(Beginning()) == Request(controls=NO_CONTROLS)


def test_an_opening_is_followed_by_so_many_bars(tune: Path) -> None:
    beginning = Beginning(opening=tune, bars=4, **SCHUBERT)
    request = make_request(beginning, Controls(valid_bars=True), name="mine")
    assert request.controls == Controls(valid_bars=True, num_bars=7)
    assert request.name == "mine"
    assert isinstance(request.prompt, str)
    style, _, text = request.prompt.partition("%end\n")
    assert style == "%Romantic\n%Schubert, Franz\n%Art Song\n"
    body = [line for line in text.splitlines() if line.startswith("[")]
    assert body == ["[r:0/6][V:1]c8|[V:2]C8|", "[r:1/5][V:1]d8|[V:2]D8|", "[r:2/4][V:1]e8|[V:2]E8|"]
    first = make_request(Beginning(opening=tune, first_bars=1), Controls(num_bars=8))
    assert isinstance(first.prompt, str)
    assert first.prompt.endswith("[r:0/7][V:1]c8|[V:2]C8|\n")
    assert first.controls.num_bars == 8


def test_text_is_gone_on_from_where_it_ends() -> None:
    text = f"{HEADER}[V:1]c8|[V:2]C8|\n[V:1]d4"
    assert make_request(Beginning(text=text)).prompt == text
    request = make_request(Beginning(text=text, bars=2))
    assert request.controls.num_bars == 3
    assert request.prompt == f"{HEADER}[r:0/2][V:1]c8|[V:2]C8|\n[r:1/1][V:1]d4"
    # counters that it has itself stay
    assert make_request(Beginning(text=f"{HEADER}[r:0/"), Controls(num_bars=5)).prompt == (
        f"{HEADER}[r:0/"
    )
    styled = make_request(Beginning(text="K:Eb\n", **SCHUBERT)).prompt
    assert styled == "%Romantic\n%Schubert, Franz\n%Art Song\n%end\nK:Eb\n"


@pytest.mark.parametrize(
    ("given", "controls", "message"),
    [
        ({"text": "K:C\n", "bars": 4}, {"num_bars": 8}, "both bars 4 .* num_bars 8"),
        ({"bars": 4}, {}, "bars 4, .* no opening; wanted num_bars, or an opening"),
        ({"text": TUNE}, {"num_bars": 3}, "found 3 bars .* fewer than num_bars 3"),
        ({"opening": "tune"}, {}, "no length, wanted bars"),
    ],
)
def test_contradictions_are_named(
    tune: Path, given: dict[str, Any], controls: dict[str, Any], message: str
) -> None:
    if "opening" in given:
        given = {"opening": tune}
    with pytest.raises(InputError, match=message):
        make_request(Beginning(**given), Controls(**controls))


def test_wishes_and_beginning_must_agree() -> None:
    with pytest.raises(InputError, match=r"key: found K:C .*wanted K:Eb"):
        make_request(Beginning(text=TUNE), wishes=HeaderWishes(key="Eb"))


def test_text_that_no_tune_holds_is_refused() -> None:
    with pytest.raises(ScoreError):
        make_request(Beginning(text="K:C\x01\n"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"period": "Romantic"}, "give period, composer and instrumentation, or none"),
        ({"bars": 0}, "bars must be >= 1, got 0"),
        ({"first_bars": -1}, "first_bars must be >= 1, got -1"),
        ({"text": "K:C\n", "opening": Path("a.abc")}, r"not both; got a\.abc beside text"),
    ],
)
def test_a_beginning_is_checked(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Beginning(**given)


def test_lines_take_what_they_lack_from_the_arguments(tmp_path: Path, tune: Path) -> None:
    file = write(
        tmp_path,
        {},
        {"id": "second", "composer": "Wolf, Hugo", "num_bars": 9, "key": "Eb", "valid_bars": False},
        {"opening": "tunes/tune.abc", "bars": 2, "instruments": []},
        {"text": "K:C\n", "metre": "3/4", "instruments": ["Violin", "Cello"]},
    )
    wishes = HeaderWishes(tempo=96)
    controls = Controls(valid_bars=True, num_bars=12)
    plain, second, opened, begun = read_requests(file, STYLE, controls, wishes)
    assert plain == make_request(STYLE, controls, wishes)
    assert second == Request(
        prompt=Prompt("Romantic", "Wolf, Hugo", "Art Song"),
        controls=Controls(num_bars=9),
        wishes=HeaderWishes(tempo=96, key="Eb"),
        name="second",
    )
    assert opened == make_request(
        Beginning(opening=tune, bars=2, **SCHUBERT), Controls(valid_bars=True), wishes
    )
    assert begun.wishes.instruments == ("Violin", "Cello")
    (listed,) = read_requests(write(tmp_path, {"instruments": "Violin, Cello"}), *DEFAULTS)
    assert listed.wishes.instruments == ("Violin, Cello",)
    # a line's own text takes the place of an opening for all
    (text,) = read_requests(
        write(tmp_path, {"text": "K:C\n"}), Beginning(opening=tune, first_bars=2), *DEFAULTS[1:]
    )
    assert text == Request(prompt="K:C\n", controls=NO_CONTROLS)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"tempoo": 3}, "found the field 'tempoo', wanted id, period, composer, .*num_bars.*key"),
        ({"num_bars": "8"}, r"num_bars must be int \| None, got '8'"),
        ({"num_bars": 0}, "num_bars must be >= 1, got 0"),
        ({"id": 7}, "found id 7, wanted text"),
        ({"key": "H"}, "key"),
        ({"composer": "Wolf"}, "give period, composer and instrumentation, or none"),
        ({"opening": "none.mxl", "bars": 3}, r"none\.mxl"),
        ({"opening": 3}, "opening must be .*Path"),
        ({"instruments": 3}, "instruments must be"),
    ],
)
def test_a_line_at_fault_is_named(tmp_path: Path, line: dict[str, Any], message: str) -> None:
    file = write(tmp_path, {}, line)
    with pytest.raises(InputError, match=rf"prompts\.jsonl:2: .*{message}") as caught:
        read_requests(file, *DEFAULTS)
    assert "\n" not in str(caught.value)


def test_a_file_without_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"prompts\.jsonl is not there"):
        read_requests(tmp_path / "prompts.jsonl", *DEFAULTS)
    with pytest.raises(InputError, match="found no line"):
        read_requests(write(tmp_path), *DEFAULTS)
    (tmp_path / "prompts.jsonl").write_text("rubbish\n")
    with pytest.raises(InputError, match=r"prompts\.jsonl:1: found no JSON object"):
        read_requests(tmp_path / "prompts.jsonl", *DEFAULTS)


def test_standard_input_is_read(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path\n"
        "from notagen.generation.requests import Beginning, read_requests\n"
        "print([r.name for r in read_requests(Path('-'), Beginning())])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input='{"id": "a"}\n{"id": "b"}\n',
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert done.stdout == "['a', 'b']\n"


def test_values_say_what_was_asked_for() -> None:
    request = make_request(
        STYLE, Controls(num_bars=4), HeaderWishes(instruments=("Violin",)), "mine"
    )
    values = json.loads(json.dumps(request.values()))
    assert values["id"] == "mine"
    assert values["prompt"] == "%Romantic\n%Schubert, Franz\n%Art Song\n"
    assert values["controls"]["num_bars"] == 4
    assert values["wishes"]["instruments"] == ["Violin"]
