"""Scores as the page shows them: HTML that holds nothing but shapes and words."""

import html
import json
import secrets
from collections.abc import Sequence
from urllib.parse import quote

from notagen.foundation.errors import ScoreError
from notagen.generation.finish import finish
from notagen.notation.musicxml import abc_to_musicxml
from notagen.page.takes import Take
from notagen.render.drawings import Drawings
from notagen.render.engrave import count_bars, engrave_open, engrave_played


def show(take: Take) -> str:
    """Return the score as HTML with its sound above it; titles and words are text alone.

    The times of its bars stand in an attribute, from which the page's script knows which of them
    to light up.
    """
    musicxml = take.files.get("musicxml")
    if musicxml is None:
        return f'<p class="fault">{html.escape(take.error or "nothing was written")}</p>'
    try:
        played = engrave_played(musicxml.read_text(encoding="utf-8"))
    except ScoreError as error:
        return f'<p class="fault">{html.escape(str(error))}</p>'
    sound = take.files.get("wav")
    player = (
        f'<audio controls preload="metadata" src="/gradio_api/file={quote(str(sound))}"></audio>'
        '<label><input type="checkbox" class="loop"> loop</label>'
        if sound
        else ""
    )
    return (
        f'<section class="take" data-times="{html.escape(json.dumps(played.times))}">'
        f'<div class="player">{player}</div>{draw(played.pages, take.title)}</section>'
    )


def draw(pages: Sequence[str], title: str, first: int = 1) -> str:
    """Return engraved pages, the first of which has that number."""
    drawings = Drawings(f"g{secrets.token_hex(4)}-", played=True)
    drawn = "".join(
        drawings.add(page, f"{title}, page {number}") for number, page in enumerate(pages, first)
    )
    glyphs = f'<svg class="glyphs" aria-hidden="true"><defs>{drawings.glyphs()}</defs></svg>'
    return f'<div class="score">{glyphs}{drawn}</div>'


class Growing:
    """A score that is being written. A page that is full is engraved once, not again and again."""

    def __init__(self) -> None:
        self._full: list[str] = []
        self._bars = 0
        """On the full pages."""

    def draw(self, text: str) -> str | None:
        """Return the score so far; None where it cannot be engraved yet.

        Args:
            text: As the model writes it: that of the last call and more.
        """
        try:
            musicxml = abc_to_musicxml(finish(text, finished=False).abc)
            pages = engrave_open(musicxml, self._bars)
        except ScoreError:
            return None
        title = "being written"
        for page in pages[:-1]:
            self._full.append(draw([page], title, len(self._full) + 1))
            self._bars += count_bars(page)
        return "".join([*self._full, draw(pages[-1:], title, len(self._full) + 1)])
