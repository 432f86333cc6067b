import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from notagen.foundation.config import check_fields, parse_config, run_stage
from notagen.foundation.errors import InputError, MissingInputError, NotationError
from notagen.stages import DataConfig


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One field of each form that the stages use."""

    out: Path = Path("out")
    """A folder."""
    count: int = 3
    share: float = 0.5
    source: Literal["corpus", "folder"] = "corpus"
    pieces: tuple[str, ...] = ()
    limit: int | None = None
    folder: Path | None = None
    show: bool = True
    pair: tuple[int, str] = (1, "a")

    def __post_init__(self) -> None:
        check_fields(self)
        if self.count < 1:
            raise ValueError(f"count must be >= 1, got {self.count}")


@pytest.mark.parametrize(
    ("field", "value", "wanted", "found"),
    [
        ("out", "out", "Path", "'out' (str)"),
        ("count", True, "int", "True (bool)"),
        ("count", 3.0, "int", "3.0 (float)"),
        ("count", "3", "int", "'3' (str)"),
        ("share", "0.5", "float", "'0.5' (str)"),
        ("share", True, "float", "True (bool)"),
        ("source", "web", "'corpus' | 'folder'", "'web' (str)"),
        ("pieces", ["bach"], "tuple[str, ...]", "['bach'] (list)"),
        ("pieces", "bach", "tuple[str, ...]", "'bach' (str)"),
        ("pieces", ("bach", 3), "tuple[str, ...]", "('bach', 3) (tuple)"),
        ("limit", "3", "int | None", "'3' (str)"),
        ("limit", False, "int | None", "False (bool)"),
        ("folder", "x", "Path | None", "'x' (str)"),
        ("show", 1, "bool", "1 (int)"),
        ("pair", (1,), "tuple[int, str]", "(1,) (tuple)"),
        ("pair", ("a", 1), "tuple[int, str]", "('a', 1) (tuple)"),
    ],
)
def test_wrong_type_is_named(field: str, value: object, wanted: str, found: str) -> None:
    values: dict[str, Any] = {field: value}
    with pytest.raises(TypeError) as caught:
        Settings(**values)
    assert str(caught.value) == f"Settings.{field} must be {wanted}, got {found}"


def test_right_types_pass() -> None:
    settings = Settings(
        out=Path("x"), share=1, limit=4, folder=Path("y"), pieces=("a", "b"), pair=(2, "b")
    )
    assert settings.share == 1
    assert Settings(limit=None, folder=None).limit is None


def parse(monkeypatch: pytest.MonkeyPatch, *flags: str) -> Settings:
    monkeypatch.setattr(sys, "argv", ["stage.py", *flags])
    return parse_config(Settings(count=7))


def test_flags_override_the_values_of_the_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse(monkeypatch) == Settings(count=7)
    flags = ("--limit", "2", "--pieces", "a-", "b-", "--no-show", "--source", "folder")
    assert parse(monkeypatch, *flags) == Settings(
        count=7, limit=2, pieces=("a-", "b-"), show=False, source="folder"
    )


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--speed", "3"), "--speed"),
        (("--count", "many"), "--count"),
        (("--source", "web"), "--source"),
        (("--count", "0"), "count must be >= 1, got 0"),
    ],
)
def test_bad_flags_end_with_code_2_and_one_message(
    flags: tuple[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(monkeypatch, *flags)
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert said in printed.err + printed.out
    assert "Traceback" not in printed.err + printed.out


def test_help_lists_every_field(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(monkeypatch, "--help")
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert all(f"--{name}" in text for name in ("out", "count", "pieces", "limit", "folder"))
    assert "A folder." in text


@pytest.fixture
def config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stage's config.py, and a command line without flags."""
    monkeypatch.setattr(sys, "argv", ["stage.py"])
    file = tmp_path / "config.py"
    file.write_text(
        "from pathlib import Path\n"
        "from notagen.stages import DataConfig\n"
        "CONFIG = DataConfig(out=Path('out'))\n"
    )
    return file


@pytest.mark.parametrize(
    "error",
    [
        InputError("x.jsonl:3: found no path"),
        MissingInputError("x.jsonl is not there; data/0_fetch.py writes it"),
        NotationError("bar 3: found nothing"),
        FileExistsError(17, "File exists", "out"),
    ],
)
def test_what_a_user_can_mend_is_one_line(error: Exception, config_file: Path) -> None:
    def main(_: DataConfig) -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        run_stage(main, config_file)
    # a text as exit code: Python prints it as a line on standard error and exits with 1
    assert caught.value.code == f"error: {error}"


def test_stopping_says_how_to_go_on(config_file: Path) -> None:
    def main(_: DataConfig) -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as caught:
        run_stage(main, config_file)
    assert caught.value.code == "stopped; run the same command again to go on"


@pytest.mark.parametrize("kind", [ValueError, ZeroDivisionError])
def test_a_fault_of_ours_keeps_its_traceback(kind: type[Exception], config_file: Path) -> None:
    def main(_: DataConfig) -> None:
        raise kind("ours")

    with pytest.raises(kind, match="ours"):
        run_stage(main, config_file)


def test_main_gets_the_values_and_the_flags(
    config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["stage.py", "--limit", "9"])
    seen: list[DataConfig] = []
    run_stage(seen.append, config_file)
    assert [(settings.out, settings.limit) for settings in seen] == [(Path("out"), 9)]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("limit='5'", "config.py:3: DataConfig.limit must be int | None, got '5' (str)"),
        ("limit=0", "config.py:3: limit must be >= 1, got 0"),
    ],
)
def test_a_slip_in_the_file_is_one_line(value: str, said: str, config_file: Path) -> None:
    config_file.write_text(config_file.read_text().replace("'out')", f"'out'), {value}"))
    with pytest.raises(SystemExit) as caught:
        run_stage(lambda _: None, config_file)
    assert str(caught.value.code).endswith(said)


def test_scripts_of_one_stage_have_values_of_their_own(config_file: Path) -> None:
    config_file.write_text(config_file.read_text() + "FETCH = DataConfig(out=Path('other'))\n")
    seen: list[DataConfig] = []
    for name in ("CONFIG", "FETCH"):
        run_stage(seen.append, config_file, name)
    assert [settings.out for settings in seen] == [Path("out"), Path("other")]
    with pytest.raises(SystemExit) as caught:
        run_stage(seen.append, config_file, "SCORE")
    said = f"error: {config_file}: found no SCORE, wanted the settings of this script"
    assert caught.value.code == said


def test_a_slip_in_the_values_of_another_script_is_one_line(config_file: Path) -> None:
    config_file.write_text(config_file.read_text() + "FETCH = DataConfig(out='other')\n")
    with pytest.raises(SystemExit) as caught:
        run_stage(lambda _: None, config_file)
    said = "config.py:4: DataConfig.out must be Path, got 'other' (str)"
    assert str(caught.value.code).endswith(said)
