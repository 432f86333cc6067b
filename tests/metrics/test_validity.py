import pytest

from notagen.metrics.validity import Validity, check_validity

HEADER = "L:1/8\nM:4/4\nK:C\nV:1\nV:2\n"


@pytest.mark.parametrize(
    "body",
    ["[V:1]c8|[V:2]C8|", "[V:1]c8|", "[r:0/0][V:1]c8|", '[V:1]"^(["c8|[V:2](3C4D4E4|'],
)
def test_sound(body: str) -> None:
    assert check_validity(HEADER + body + "\n") == Validity(True, True, 1, ())
    assert check_validity("%Baroque\n%Bach\n%Choral\n" + HEADER + body).parses


def test_unaligned_but_readable() -> None:
    found = check_validity(HEADER + "[V:1]c8|[V:2]C8|\n[V:1]c8|[V:2]C6|\n")
    assert found == Validity(True, False, 2, ("bar 2: V:2 lasts 3/4, V:1 lasts 1",))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "found no bar `[V:1]...`, wanted at least one"),
        (HEADER, "found no bar `[V:1]...`, wanted at least one"),
        ("M:4/4\nK:C\n[V:1]c8|\n", "found no L: line in the header"),
        ("L:1/8\nK:C\n[V:1]c8|\n", "found no M: line in the header"),
        ("L:1/8\nM:4/4\n[V:1]c8|\n", "found no K: line in the header"),
        ("L:1/8\nM:4/4\nK:Q\n[V:1]c8|\n", "K:Q: found no key, wanted one such as Eb or F#min"),
        (HEADER + "[V:1]c8|\n[V:1]c8|[V:2][CE|\n", "bar 2, V:2: '[CE': found `[` without `]`"),
        (
            HEADER + "[V:1]c0|\n",
            "bar 1, V:1: found length '0', wanted a positive number of usual size",
        ),
        (HEADER + "[V:1]c8|\nrubbish\n", "line 7: found 'rubbish', wanted a bar `[V:1]...`"),
        (HEADER + "[V:1]c8|[V:1]c8|\n", "line 6: found voice V:1 twice, wanted it once"),
    ],
)
def test_what_does_not_parse(text: str, problem: str) -> None:
    found = check_validity(text)
    is_tune = not problem.startswith(("line ", "found no bar"))
    n_bars = text.count("\n[V:1]") if is_tune else 0
    assert found == Validity(False, False, n_bars, (problem,))
