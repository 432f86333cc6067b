"""Uploads that mean harm, or are none: each gets one clear line, and nothing leaves its folder."""

from pathlib import Path

import pytest

from notagen.foundation.errors import InputError, ScoreError
from notagen.page.orders import Order
from tests.page.hostile import HOSTILE


@pytest.mark.parametrize("name", HOSTILE)
def test_each_gets_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, elsewhere = tmp_path / "session", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    file = folder / name
    file.write_bytes(HOSTILE[name])
    with pytest.raises((InputError, ScoreError)) as caught:
        Order(model="mini", opening=file, bars=4, seed="1").recipe(max_bars=64)
    said = " ".join(str(caught.value).split())
    assert len(said) < 500
    assert "root:" not in said
    assert "Traceback" not in said
    assert [path.name for path in folder.iterdir()] == [name]
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("name", ["empty.mid", "endless.mid"])
def test_what_is_no_midi_is_told_as_such(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(HOSTILE[name])
    with pytest.raises(ScoreError, match=f"{name}: found no midi that music21 can read: "):
        Order(model="mini", opening=file, bars=4, seed="1").recipe(max_bars=64)
