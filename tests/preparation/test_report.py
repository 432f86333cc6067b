import json
from pathlib import Path

from notagen.foundation.batch import Refusal, write_refusals
from notagen.foundation.index import IndexEntry
from notagen.preparation.filters import Examined
from notagen.preparation.report import format_report, make_report, write_report


def piece(number: int, patches: int) -> Examined:
    entry = IndexEntry(
        path=f"p{number}",
        key="C" if number % 3 else "Eb",
        n_bars=10,
        n_patches=patches,
        source="folder",
        period="Classical" if number else None,
        composer="Haydn, Joseph",
        instrumentation="Chamber",
    )
    names = ("Violin", "Cello") if number % 2 else ("Violin",)
    return Examined(
        path=f"p{number}", entry=entry, digest="", n_staves=2, metre="3/4", instruments=names
    )


def refuse(rejects: Path, stage: str, *reasons: str) -> None:
    write_refusals(rejects, stage, [Refusal(f"x{i}", stage, r) for i, r in enumerate(reasons)])


def test_figures(tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.jsonl"
    refuse(rejects, "3_abc2xml", "not on the road")
    refuse(rejects, "1_xml2abc", "/data/my songs/a b.mxl: damaged", "/data/c.mxl: damaged")
    refuse(rejects, "filter", "found 3 bars, wanted at least 8", "found 5 bars, wanted at least 8")
    pieces = [piece(i, patches) for i, patches in enumerate((100, 1024, 1025, 2049, 10))]
    report = make_report(pieces, rejects)
    assert report["pieces"] == {"in": 9, "kept": 5, "rejected": 4, "with a prompt": 4}
    assert report["rejected"] == {
        "1_xml2abc": {"damaged": 2},
        "filter": {"found ... bars, wanted at least ...": 2},
    }
    assert report["bars"] == 50
    assert report["patches"] == {
        "total": 4208,
        "median": 1024,
        "p90": 2049,
        "max": 2049,
        "pieces over 1024": 2,
        "pieces over 2048": 1,
    }
    assert report["keys"] == {"C": 3, "Eb": 2}
    assert report["metres"] == {"3/4": 5}
    assert report["instruments"] == {"Violin": 5, "Cello": 2}
    assert report["prompts"] == {"Classical / Haydn, Joseph / Chamber": 4}
    assert report["sources"] == {"folder": 5}
    assert report["licences"] == {"unknown": 5}
    assert make_report(pieces[::-1], rejects) == report

    write_report(report, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == report
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert text == format_report(report)
    assert "| Rejected by 1_xml2abc |        |\n" in text
    assert "| damaged               |      2 |\n" in text


def test_long_tables_are_cut(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").touch()
    report = make_report([], tmp_path / "r.jsonl")
    assert report["patches"]["max"] == report["pieces"]["in"] == 0
    report["instruments"] = {f"Flute {number}": 2 for number in range(20)}
    report["licences"] = {"a|" + 100 * "b": 1}
    text = format_report(report)
    assert "Flute 11 " in text
    assert "Flute 12 " not in text
    assert "| 8 others    |     16 |\n" in text
    assert f"| a\\|{67 * 'b'}... |" in text
