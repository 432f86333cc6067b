import pytest

from notagen.notation.checks import check_alignment

HEADER = "L:1/8\nM:4/4\nK:C\nV:1\nV:2\n"


@pytest.mark.parametrize(
    "body",
    [
        "[V:1]c8|[V:2]C8|",
        "[V:1]c8|",
        "[V:1]c2|[V:2]C2|",
        "[V:1]Z|[V:2]C8|",
        "[V:1](3c4d4e4|[V:2]{g}C8|",
        "[V:1]c>d e6|[V:2][CE]8|",
        "[V:1](13:8:13cdefgabcdefga|[V:2](3:2:7C2E2(5:4:5C/D/E/F/G/ A2 B2|",
        "[V:1]c//d3/4e7!fermata!|[V:2][C2E4]4|",
    ],
)
def test_sound_bars(body: str) -> None:
    report = check_alignment(HEADER + body + "\n")
    assert report.ok
    assert (report.problems, report.n_bars) == ((), 1)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("[V:1]c8|[V:2]C8|\n[V:1]c4|[V:2]C5|", "bar 2: V:2 lasts 5/8, V:1 lasts 1/2"),
        ("[V:1]c4|[V:2]Z|", "bar 1: V:2 lasts 1, V:1 lasts 1/2"),
        ("[V:1]c8|\n[V:1]c8|\n[V:1][ce|", "bar 3: '[ce': found `[` without `]`"),
        ("[V:1]c8|[V:2]C8&E8|", "bar 1: 'C8&E8': found `&`, wanted one voice"),
        ('[V:1]c8|[V:2]"^x C8|', "bar 1: '\"^x C8': found a quote that is never closed"),
        ("[V:1]c8|[V:2]{C C8|", "bar 1: '{C C8': found `{` without `}`"),
        ("[V:1]c0|[V:2]C|", "bar 1: found length '0', wanted a positive number of usual size"),
    ],
)
def test_faulty_bars_are_named(body: str, problem: str) -> None:
    report = check_alignment(HEADER + body + "\n")
    assert not report.ok
    assert report.problems == (problem,)


def test_each_bar_at_fault_has_its_line() -> None:
    report = check_alignment(HEADER + "[V:1]c8|[V:2]C7|\n" * 3)
    assert [problem[:6] for problem in report.problems] == ["bar 1:", "bar 2:", "bar 3:"]
    assert report.n_bars == 3


def test_text_that_is_no_tune_is_a_problem() -> None:
    report = check_alignment("hello")
    assert report.problems == ("found no bar `[V:1]...`, wanted at least one",)
    assert report.n_bars == 0
