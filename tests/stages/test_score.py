"""clamp_features/4_score.py on small features, with a stand-in for what makes them."""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from notagen.features.similarity import average_score, score_of_averages
from notagen.foundation.features import read_features, write_feature, write_features_info
from tests.stages.launching import ROOT

STAGE = ROOT / "clamp_features"
ABC = "X:1\nL:1/4\nM:4/4\nK:C\nV:1\nCDEF|\n"
PROMPTS = (("Romantic", "Schubert, Franz", "Art Song"), ("Baroque", "Bach, Johann", "Choral"))
Score = Callable[..., None]


class StandIn:
    """Knows a direction for every text."""

    name, weights_sha256, reads_text = "m3", "ab", True

    def __init__(self, weights: Path, *, device: object) -> None:
        assert (weights.name, str(device)) == ("clamp-mini", "cpu")

    def chunk(self, texts: list[str]) -> list[np.ndarray]:
        assert all("V:1\nC" in text for text in texts)
        return [np.array([0, 1, 0], dtype=np.float32) for _ in texts]

    def text_features(self, text: str) -> np.ndarray:
        assert text == "a slow song"
        return np.array([0, 0, 2], dtype=np.float32)


def write_set(folder: Path, weights_sha256: str = "ab", **vectors: list[float]) -> None:
    write_features_info(folder, extractor="m3", weights_sha256=weights_sha256)
    for name, vector in vectors.items():
        write_feature(folder, f"interleaved/{name}", vector)


@pytest.fixture
def score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Score:
    """Two sets of features, what is known of the pieces, and the script."""
    write_set(tmp_path / "real", a=[4, 0, 0], b=[3, 1, 0], c=[0, 2, 1], d=[0, 0, 3])
    write_set(tmp_path / "ours", p=[1, 0, 0], q=[1, 1, 1], r=[0, 0, 1])
    names = ("period", "composer", "instrumentation")
    known = zip("abcd", (PROMPTS[0], PROMPTS[0], PROMPTS[1], PROMPTS[1]), strict=True)
    lines = [
        {"path": f"interleaved/{path}", **dict(zip(names, prompt, strict=True))}
        for path, prompt in known
    ]
    write_lines(tmp_path / "index.jsonl", lines)
    asked = {"p": "".join(f"%{line}\n" for line in PROMPTS[0]), "q": "", "r": ""}
    lines = [
        {"name": name, "prompt": prompt, "finished": True, "mended": []}
        | {"files": [f"original/{name}.abc"]}
        for name, prompt in asked.items()
    ]
    write_lines(tmp_path / "written" / "generations.jsonl", lines)
    (tmp_path / "tune.abc").write_text(ABC)
    (tmp_path / "words.txt").write_text("a slow song")
    monkeypatch.setattr("notagen.features.extract.Extractor", StandIn)
    script = runpy.run_path(str(STAGE / "4_score.py"))

    def run(*flags: str) -> None:
        paths = [
            *("--generation-features", str(tmp_path / "ours")),
            *("--reference-features", str(tmp_path / "real")),
            *("--reference-index", str(tmp_path / "index.jsonl")),
            *("--generations", str(tmp_path / "written"), "--out", str(tmp_path / "out")),
            *("--device", "cpu"),
        ]
        monkeypatch.setattr(sys, "argv", ["4_score.py", *paths, *flags])
        script["run_stage"](script["main"], STAGE / "config.py", "SCORE")

    return run


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def test_scores_of_a_folder(
    score: Score, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score()
    said = capsys.readouterr()
    sets = [read_features(tmp_path / name).matrix for name in ("ours", "real")]
    assert f"average score {average_score(*sets):.4f} " in said.out
    assert f"score of averages {score_of_averages(*sets):.4f} " in said.out
    assert "extractor m3 (weights ab)" in said.out
    assert "2 of Romantic / Schubert, Franz / Art Song" in said.out
    assert "2 of 3 pieces: no prompt known" in said.err
    text = (tmp_path / "out" / "scores.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["name"] for line in lines] == [f"interleaved/{name}" for name in "pqr"]
    assert np.mean([line["score"] for line in lines]) == pytest.approx(average_score(*sets))
    # a song, by songs; the others by all
    assert lines[0]["prompt_score"] > lines[0]["score"]
    assert (lines[0]["group"], lines[0]["group_size"]) == (" / ".join(PROMPTS[0]), 2)
    assert (lines[1]["group"], lines[1]["group_size"]) == ("all", 4)
    assert (tmp_path / "out" / "scores.png").stat().st_size > 1000


def test_a_file_of_means_gives_the_same_figures(
    score: Score, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # one prompt has three pieces, the other one
    write_set(tmp_path / "real", d=[2, 2, 2])
    lines = (tmp_path / "index.jsonl").read_text().splitlines()
    lines[2] = json.dumps(json.loads(lines[0]) | {"path": "interleaved/c"})
    (tmp_path / "index.jsonl").write_text("\n".join(lines))
    means = str(tmp_path / "reference.npz")
    score("--means", means)
    capsys.readouterr()
    said = []
    for flags in ((), ("--reference-features", means)):
        score(*flags)
        said.append(capsys.readouterr().out)
    of_folder, of_means = ([line for line in one.splitlines() if "score" in line] for one in said)
    assert of_folder[:2] == of_means[:2]
    assert of_folder[0].startswith("average score 0.")
    prompts = [one.split("asked for\n")[1].split("\n\n")[0] for one in said]
    assert prompts[0] == prompts[1]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("a slow song", ["d", "c", "a", "b"]),
        ("{}/tune.abc", ["c", "b", "a", "d"]),
        ("{}/words.txt", ["d", "c", "a", "b"]),
        ("interleaved/a", ["b", "c", "d"]),
        ("a", ["b", "c", "d"]),
    ],
)
def test_a_search_finds_the_nearest(
    query: str,
    found: list[str],
    score: Score,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    score("--query", query.format(tmp_path), "--num-found", str(len(found)))
    said = capsys.readouterr()
    kind = "words" if " " in query else "file" if "." in query else "piece"
    assert f" pieces beside the {kind} " in said.err
    lines = [line.split() for line in said.out.splitlines()]
    similarities = [float(similarity) for similarity, _ in lines]
    assert similarities == sorted(similarities, reverse=True)
    assert similarities[0] > 0.8
    names = [name.removeprefix("interleaved/") for _, name in lines]
    # those that are equally far stand in any order
    assert names[:2] == found[:2]
    assert sorted(names) == sorted(found)
    score("--query", query.format(tmp_path), "--num-found", "1")
    assert capsys.readouterr().out.split()[-1] == f"interleaved/{found[0]}"


def test_a_whole_name_goes_before_a_shortened_one_and_a_doubtful_one_is_refused(
    score: Score, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "x/a", "x/b", "y/b"):
        write_feature(tmp_path / "names", name, np.eye(3)[len(name) % 3])
    write_features_info(tmp_path / "names", extractor="m3", weights_sha256="ab")
    flags = ("--folder", str(tmp_path / "names"), "--query")
    score(*flags, "a")
    assert "beside the piece a, " in capsys.readouterr().err
    with pytest.raises(SystemExit, match="'b' is the name of x/b and y/b; wanted one of these"):
        score(*flags, "b")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--generation-features", "{}/other"), "found features of m3 (weights cd, width 3)"),
        (("--query", "words", "--folder", "{}/other"), "found features of m3 (weights cd), wan"),
        (("--query", "absent.mxl"), "absent.mxl is no file; wanted a file, words, or a piece"),
        (("--query", "{}/empty.abc"), "{}/empty.abc: found"),
        (("--query", "{}/real"), "{}/real is no file; wanted a file, words, or a piece"),
        (("--query", "{}/index.jsonl"), "{}/index.jsonl: wanted a file that ends with .abc"),
        (("--query", "a", "--folder", "{}/means.npz"), "{}/means.npz holds means; wanted a fol"),
        (("--reference-index", "absent.jsonl"), "absent.jsonl is not there; data/ writes it"),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    flags: tuple[str, ...], said: str, score: Score, tmp_path: Path
) -> None:
    write_set(tmp_path / "other", weights_sha256="cd", a=[1, 0, 0])
    (tmp_path / "empty.abc").write_bytes(b" " * 9_000_000)
    with pytest.raises(SystemExit) as caught:
        score(*(flag.format(tmp_path) for flag in flags))
    assert str(caught.value.code).startswith(f"error: {said.format(tmp_path)}")
    assert "\n" not in str(caught.value.code)
