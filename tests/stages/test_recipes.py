"""The commands of docs/recipes.md: each names a script that is there, and settings that it has."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import tyro

from notagen.foundation.config import load_config
from tests.stages.launching import ROOT

PAGE = ROOT / "docs" / "recipes.md"
NAMES = {"1_preferences.py": "PREFERENCES", "run_rounds.py": "ROUNDS", "3_extract.py": "EXTRACT"}


def commands() -> list[tuple[Path, list[str]]]:
    """Return each command that runs a script of a stage: the script, and what it is given."""
    folder, found = ROOT, []
    blocks = re.findall(r"(?:^    .*\n)+", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    for line in "".join(blocks).replace("\\\n", " ").splitlines():
        words = shlex.split(line)
        scripts = [place for place, word in enumerate(words) if word.endswith(".py")]
        if words[0] == "cd":
            # the first block begins in the project's folder
            folder = (folder / words[1]).resolve()
        elif scripts:
            found.append((folder / words[scripts[0]], words[scripts[0] + 1 :]))
    return found


@pytest.mark.parametrize(
    ("script", "flags"), commands(), ids=[f"{s.parent.name}/{s.name}" for s, _ in commands()]
)
def test_each_command_is_understood(script: Path, flags: list[str]) -> None:
    assert script.is_file()
    config = load_config(script.with_name("config.py"), NAMES.get(script.name, "CONFIG"))
    given = tyro.cli(type(config), default=config, args=flags)
    assert given != config


def test_each_command_reads_what_an_earlier_one_writes() -> None:
    written: set[Path] = set()
    for script, flags in commands():
        given = dict(pairwise(flags))
        # published weights aside, all come from these runs
        if (name := given.get("--weights")) is not None:
            source = (script.parent / name).resolve()
            parents = {source, *source.parents}
            assert parents & written, f"{script.name} --weights {name}"
        for flag in ("--run-folder", "--out"):
            if flag in given:
                folder = (script.parent / given[flag]).resolve()
                # the scripts of data/ share a folder, as they are one after the other
                assert folder not in written or script.parent.name == "data", folder
                written.add(folder)


def test_all_steps_are_there() -> None:
    scripts = [f"{script.parent.name}/{script.name}" for script, _ in commands()]
    assert scripts.count("finetune/train-gen.py") == 4
    assert {"pretrain/train-gen.py", "rl/run_rounds.py", "data/0_fetch.py"} <= set(scripts)
