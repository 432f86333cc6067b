"""Lists of the page that follow one another."""

from notagen.generation.prompts import Prompt
from notagen.page.layout import choices_for, nearest_style

KNOWN = {
    Prompt("Romantic", "Schubert, Franz", "Art Song"): 90,
    Prompt("Romantic", "Schubert, Franz", "Chamber"): 2,
    Prompt("Romantic", "Chopin, Frederic", "Keyboard"): 140,
    Prompt("Baroque", "Bach, Johann Sebastian", "Choral"): 300,
    Prompt("Baroque", "Bach, Johann Sebastian", "Keyboard"): 40,
}


def style(period: str, composer: str, instrumentation: str) -> dict[str, str]:
    return vars(Prompt(period, composer, instrumentation))


def test_what_goes_together_stays() -> None:
    for prompt in KNOWN:
        assert nearest_style(KNOWN, vars(prompt)) == vars(prompt)


def test_the_rest_follows_what_was_changed() -> None:
    moved = style("Baroque", "Schubert, Franz", "Art Song")
    assert nearest_style(KNOWN, moved) == style("Baroque", "Bach, Johann Sebastian", "Choral")
    # what goes with the new composer too is kept
    moved = style("Baroque", "Chopin, Frederic", "Keyboard")
    assert nearest_style(KNOWN, moved) == style("Baroque", "Bach, Johann Sebastian", "Keyboard")


def test_somebodys_own_words_stay() -> None:
    own = style("Romantic", "Walker, Jo", "Keyboard")
    assert nearest_style(KNOWN, own) == own
    _, _, instrumentations = choices_for(KNOWN, own)
    assert [value for _, value in instrumentations] == ["Art Song", "Chamber", "Keyboard"]
    assert nearest_style({}, own) == own


def test_each_list_has_the_pieces_behind_it() -> None:
    periods, composers, instrumentations = choices_for(
        KNOWN, style("Romantic", "Schubert, Franz", "Art Song")
    )
    assert periods == [("Baroque (340)", "Baroque"), ("Romantic (232)", "Romantic")]
    assert composers == [
        ("Chopin, Frederic (140)", "Chopin, Frederic"),
        ("Schubert, Franz (92)", "Schubert, Franz"),
    ]
    assert instrumentations == [("Art Song (90)", "Art Song"), ("Chamber (2)", "Chamber")]
