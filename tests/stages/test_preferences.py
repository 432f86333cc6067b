"""rl/1_preferences.py on small features and real texts."""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from notagen.foundation.features import write_feature, write_features_info
from tests.stages.launching import ROOT

STAGE = ROOT / "rl"
SONG = ("Romantic", "Schubert, Franz", "Art Song")
CHORAL = ("Baroque", "Bach, Johann Sebastian", "Choral")
HEADER = "%%score { 1 | 2 }\nL:1/8\nM:4/4\nK:C\nV:1 treble\nV:2 bass\n"
NUM_SONGS = 20
Run = Callable[..., None]


def text(prompt: tuple[str, str, str], bars: list[str]) -> str:
    counted = (f"[r:{i}/{len(bars) - i - 1}]{bar}\n" for i, bar in enumerate(bars))
    return "".join(f"%{line}\n" for line in prompt) + HEADER + "".join(counted)


def tune(prompt: tuple[str, str, str], place: int) -> str:
    pitches = "cdefgab"[place % 7 :] + "CDEFGAB"
    return text(prompt, [f"[V:1]{pitch}8|[V:2]C4 {pitch},4|" for pitch in pitches])


def write_set(folder: Path, vectors: dict[str, Any], weights_sha256: str = "ab") -> None:
    write_features_info(folder, extractor="m3", weights_sha256=weights_sha256)
    for name, vector in vectors.items():
        write_feature(folder, name, vector)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Songs from like real music to unlike it, two chorals, and one piece without a text."""
    texts = {f"song {place:02}": tune(SONG, place) for place in range(NUM_SONGS)}
    texts["song 01"] = text(SONG, ["[V:1]c8|[V:2]C8|"] * 4)
    texts["song 02"] = text(SONG, ["[V:1]c8|[V:2]C8|", "[V:1]d8|[V:2]C6|", "[V:1]e8|[V:2]D8|"])
    texts |= {f"choral {place}": tune(CHORAL, place) for place in range(2)}
    written = tmp_path / "written"
    (written / "original").mkdir(parents=True)
    lines = []
    for name, abc in texts.items():
        (written / "original" / f"{name}.abc").write_text(abc)
        prompt = abc[: abc.index("%%")]
        lines.append({"name": name, "prompt": prompt, "files": [f"original/{name}.abc"]})
    lines.append({"name": "lost", "prompt": "", "files": []})
    lines = [line | {"finished": True, "mended": []} for line in lines]
    (written / "generations.jsonl").write_text("".join(f"{json.dumps(x)}\n" for x in lines))
    angles = {f"song {place:02}": 0.4 + place / 20 for place in range(NUM_SONGS)}
    angles |= {"song 00": 0.1, "choral 0": 1.0}
    features = {f"interleaved/{n}": [np.cos(a), np.sin(a), 0] for n, a in angles.items()}
    features["interleaved/choral 1"] = [0.6, 0, 0.8]
    write_set(tmp_path / "ours", features)
    write_set(tmp_path / "real", {"a": [2, 0, 0], "b": [3, 0, 1]})
    script = runpy.run_path(str(STAGE / "1_preferences.py"))

    def start(*flags: str) -> None:
        paths = [
            *("--generations", str(written), "--generation-features", str(tmp_path / "ours")),
            *(
                "--reference-features",
                str(tmp_path / "real"),
                "--out",
                str(tmp_path / "rl" / "out"),
            ),
            *("--workers", "1"),
        ]
        monkeypatch.setattr(sys, "argv", ["1_preferences.py", *paths, *flags])
        script["run_stage"](script["main"], STAGE / "config.py", "PREFERENCES")

    return start


def read(folder: Path) -> tuple[dict[str, list[str]], dict[str, dict[str, Any]]]:
    sides = json.loads((folder / "preferences.json").read_text())
    lines = (folder / "preferences.jsonl").read_text().splitlines()
    return sides, {line["name"]: line for line in map(json.loads, lines)}


def test_the_best_and_the_worst_of_each_prompt(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run()
    sides, lines = read(tmp_path / "rl" / "out")
    stems = {side: [Path(path).stem for path in paths] for side, paths in sides.items()}
    # songs 0, 1 and 2 are the best, but a copy, all one bar, and not aligned
    assert stems["chosen"] == ["song 03", "song 04", "choral 1"]
    assert stems["rejected"] == ["song 19", "song 18", "choral 0"]
    for path in (*sides["chosen"], *sides["rejected"]):
        assert (tmp_path / "rl" / "out" / path).is_file()
    rules = {name: [x["rule"] for x in line["excluded"]] for name, line in lines.items()}
    assert {name: found for name, found in rules.items() if found} == {
        "song 00": ["copy"],
        "song 01": ["repeats"],
        "song 02": ["alignment"],
    }
    assert lines["song 00"]["excluded"][0]["reason"] == "similarity 0.995 to a"
    assert lines["song 03"]["choice"] == "chosen"
    assert lines["song 10"]["choice"] is None
    assert tuple(lines["choral 0"]["prompt"]) == CHORAL
    rewards = [line["reward"] for line in lines.values()]
    assert rewards == sorted(rewards, reverse=True)
    listed = (tmp_path / "rl" / "out" / "kept.jsonl").read_text().splitlines()
    kept = [json.loads(line) for line in listed]
    # half of the songs and of the chorals, but the three
    assert [Path(line["path"]).stem for line in kept] == [
        *(f"song {place:02}" for place in range(3, 13)),
        "choral 1",
    ]
    assert kept[0] == {
        **dict(zip(("period", "composer", "instrumentation"), SONG, strict=True)),
        "path": "standard/song 03.abc",
        "work": "song 03",
    }
    said = capsys.readouterr().out
    assert "22 pieces of 2 prompts; not to be chosen: 1 alignment, 1 copy, 1 repeats" in said
    assert "3 chosen, mean reward 0." in said
    assert "1 more pieces have no text or no feature" in said


def test_copies_of_more_pieces_than_the_reference_are_known(run: Run, tmp_path: Path) -> None:
    angle = 0.4 + 3 / 20
    write_set(tmp_path / "learned", {"c": [np.cos(angle), np.sin(angle), 0]})
    run("--training-features", str(tmp_path / "learned"), "--portion", "0.05")
    sides, lines = read(tmp_path / "rl" / "out")
    assert [x["rule"] for x in lines["song 03"]["excluded"]] == ["copy"]
    assert lines["song 03"]["excluded"][0]["reason"].endswith(" to c")
    chosen = Path(sides["chosen"][0]).stem
    assert chosen > "song 08"  # those near it are copies too


def test_other_rewards(run: Run, tmp_path: Path) -> None:
    human = tmp_path / "human.jsonl"
    names = [f"song {place:02}" for place in range(NUM_SONGS)] + ["choral 0", "choral 1"]
    ranked = [{"name": name, "reward": place} for place, name in enumerate(names)]
    human.write_text("".join(f"{json.dumps(line)}\n" for line in ranked))
    run("--reward", str(human))
    sides, lines = read(tmp_path / "rl" / "out")
    assert [Path(path).stem for path in sides["chosen"]] == ["song 19", "song 18", "choral 1"]
    assert lines["song 19"]["reward"] == 19
    run("--reward", "variety", "--portion", "0.05")
    sides, lines = read(tmp_path / "rl" / "out")
    assert lines["song 01"]["reward"] == 0.25
    assert Path(sides["rejected"][0]).stem == "song 01"


def test_too_few_pieces_end_with_one_line_and_the_reasons_stay(run: Run, tmp_path: Path) -> None:
    write_set(tmp_path / "learned", {"c": [1, 1, 0], "d": [1, 0.3, 0], "e": [0.3, 1, 0]})
    with pytest.raises(SystemExit, match=r"Art Song: found \d of 20 .* wanted 10 \(\d+ missing\)"):
        run("--portion", "0.5", "--training-features", str(tmp_path / "learned"))
    lines = (tmp_path / "rl" / "out" / "preferences.jsonl").read_text().splitlines()
    assert len(lines) == NUM_SONGS + 2
    assert not (tmp_path / "rl" / "out" / "preferences.json").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--reward", "best"], "reward must be clamp, variety or a .jsonl file, got 'best'"),
        (["--portion", "0"], "portion must be > 0 and at most 0.5, got 0.0"),
        (["--shrinkage", "-1"], "shrinkage must be >= 0 and finite, got -1.0"),
        (["--workers", "0"], "workers must be >= 1, or -1 for one a core, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(
    run: Run, flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(*flags)
    # in a frame of its own, broken into lines
    assert said in " ".join(capsys.readouterr().err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--reward", "{}/none.jsonl"], "none.jsonl: found no file"),
        (["--reward", "{}/short.jsonl"], "found no reward of song 01 (21 pieces have none)"),
        (["--reward", "{}/twice.jsonl"], "twice.jsonl:2: found song 00 a second time"),
        (["--reward", "{}/wrong.jsonl"], "wrong.jsonl:1: found name 'song 00' and reward 'x'"),
        (["--reward", "{}/endless.jsonl"], "endless.jsonl:1: found name 'song 00' and reward nan"),
        (["--reference-features", "{}/none"], "none"),
        (["--training-features", "{}/other"], "wanted them of one extractor"),
    ],
)
def test_bad_input_is_one_line(run: Run, tmp_path: Path, flags: list[str], said: str) -> None:
    line = '{"name": "song 00", "reward": 1}\n'
    (tmp_path / "short.jsonl").write_text(line)
    (tmp_path / "twice.jsonl").write_text(line * 2)
    (tmp_path / "endless.jsonl").write_text(line.replace("1}", "NaN}"))
    (tmp_path / "wrong.jsonl").write_text(line.replace("1}", '"x"}'))
    write_set(tmp_path / "other", {"c": [1, 1, 0]}, weights_sha256="cd")
    with pytest.raises(SystemExit) as ended:
        run(*(flag.format(tmp_path) for flag in flags))
    message = str(ended.value)
    assert said in message
    assert "\n" not in message.strip()
