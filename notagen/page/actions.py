"""What the buttons of the page do, for any session."""

import html
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from notagen.foundation.errors import InputError, ScoreError
from notagen.generation.prompts import Prompt
from notagen.model.published import PUBLISHED_MODELS
from notagen.model.weights import needs_download
from notagen.page.orders import Order, whole
from notagen.page.studio import Progress, Reading, Studio, Waiting
from notagen.page.takes import Sessions, Take, downloads, keep_edited, keep_written
from notagen.page.views import Growing, show
from notagen.stages.page import PageConfig

PUBLISHED = tuple(name for name, model in PUBLISHED_MODELS.items() if model.prompted)
"""Names of published weights that take a prompt."""
_LOOK_EVERY = 1.0
"""Seconds at least between engravings of a piece that is being written."""
_NO_CHANGE = gr.skip()

Shown = tuple[Any, ...]
"""Values of status, score, files, text, history, chosen, left and right."""


class Actions:
    """What the buttons do, for any session.

    Args:
        config: Of the page.
        studio: Writes the pieces.
        sessions: Keeps them.
    """

    def __init__(self, config: PageConfig, studio: Studio, sessions: Sessions) -> None:
        self._config = config
        self._studio = studio
        self._sessions = sessions

    def compose(
        self,
        model: str,
        period: str,
        composer: str,
        instrumentation: str,
        key: str,
        metre: str,
        tempo: str,
        bars: float | None,
        instruments: str,
        seed: str,
        temperature: float,
        top_p: float,
        top_k: float,
        variations: float,
        request: gr.Request,
    ) -> Iterator[Shown]:
        """Write a new piece, or several variations of it, the best first."""
        order = Order(
            model=model,
            period=period or "",
            composer=composer or "",
            instrumentation=instrumentation or "",
            key=key or "",
            metre=metre or "",
            tempo=str(tempo or ""),
            bars=bars,
            instruments=instruments or "",
            seed=seed,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
        )
        yield from self._write(order, variations, request)

    def continue_score(
        self,
        score: str | None,
        bars: float | None,
        first_bars: float | None,
        model: str,
        period: str,
        composer: str,
        instrumentation: str,
        seed: str,
        temperature: float,
        top_p: float,
        top_k: float,
        request: gr.Request,
    ) -> Iterator[Shown]:
        """Write on behind an uploaded score, or behind the first bars of it."""
        if not score:
            yield self._said("Upload a score first: MusicXML, MIDI or ABC.")
            return
        order = Order(
            model=model,
            period=period or "",
            composer=composer or "",
            instrumentation=instrumentation or "",
            bars=bars,
            seed=seed,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            opening=Path(score),
            first_bars=first_bars,
        )
        yield from self._write(order, 1, request)

    def write_on(
        self,
        first_bars: float | None,
        bars: float | None,
        model: str,
        seed: str,
        temperature: float,
        top_p: float,
        top_k: float,
        chosen: str | None,
        request: gr.Request,
    ) -> Iterator[Shown]:
        """Keep the first bars of a piece and write it anew from there."""
        take = _find(self._takes(request), chosen)
        if take is None or "interleaved.abc" not in take.files:
            yield self._said("There is no piece yet to write on from.")
            return
        order = Order(
            model=model,
            bars=bars,
            seed=seed,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            opening=take.files["interleaved.abc"],
            first_bars=first_bars,
        )
        yield from self._write(order, 1, request)

    def engrave_text(self, abc: str, request: gr.Request) -> Shown:
        """Engrave a text that somebody changed; it becomes a piece of its own."""
        session = _session(request)
        try:
            take = keep_edited(
                abc or "",
                self._sessions.folder(session),
                self._sessions.number(session),
                self._config.soundfont,
            )
        except (InputError, ScoreError) as error:
            return self._said(str(error))
        self._sessions.add(session, take)
        return self._shown(take.title, take, self._takes(request))

    def stop(self, request: gr.Request) -> str:
        """End the piece that is being written; it keeps the bars it has."""
        stopped = self._studio.stop(_session(request))
        return _plain("Stopping." if stopped else "Nothing is being written.")

    def choose(self, chosen: str, request: gr.Request) -> Shown:
        """Show a piece of the history."""
        takes = self._takes(request)
        take = _find(takes, chosen)
        if take is None:
            return self._said(f"There is no piece {chosen!r}.")
        try:
            return self._shown(_describe(take), take, takes)
        except OSError:
            return self._said(f"{take.title}: its files have been removed.")

    def pick(self, place: int, request: gr.Request) -> Shown:
        """Show a piece by its place among the pictures."""
        pictured = [take for take in self._takes(request) if "png" in take.files]
        chosen = pictured[place].title if 0 <= place < len(pictured) else ""
        return self.choose(chosen, request)

    def compare(self, left: str, right: str, request: gr.Request) -> str:
        """Return two pieces side by side."""
        takes = self._takes(request)
        found = [take for name in (left, right) if (take := _find(takes, name))]
        if len(found) < 2:
            return _plain("Choose two pieces of this session.")
        try:
            sections = [
                f"<section><h3>{html.escape(take.title)}</h3>{show(take)}</section>"
                for take in found
            ]
        except OSError:
            return _plain("The files of a piece have been removed.")
        return f'<div class="two">{"".join(sections)}</div>'

    def known(self, model: str) -> dict[Prompt, int]:
        """Return the prompts of a model, none where they are not known; nothing is downloaded."""
        try:
            self._check_model(model)
            return {} if needs_download(model) else self._studio.known(model)
        except InputError:
            return {}

    def _write(self, order: Order, variations: float, request: gr.Request) -> Iterator[Shown]:
        session, config = _session(request), self._config
        best: Take | None = None
        try:
            self._check_model(order.model)
            count = whole("variations", variations or 1, 1, config.max_variations)
            recipe = order.recipe(max_bars=config.max_bars)
            warning = order.warning(self.known(order.model))
            yield self._said(f"{warning} Seed {recipe.seed}: the model begins.".strip())
            looked, variation, growing = 0.0, 0, Growing()
            for event in self._studio.write(session, recipe, variations=count):
                if isinstance(event, Waiting | Reading):
                    yield self._said(f"{warning} {_describe_wait(event)}".strip())
                    continue
                if isinstance(event, Progress):
                    score: Any = _NO_CHANGE
                    if event.variation != variation:
                        variation, growing = event.variation, Growing()
                    if event.bars_done and time.monotonic() - looked > _LOOK_EVERY:
                        score = growing.draw(event.text) or _NO_CHANGE
                        looked = time.monotonic()
                    said = _describe_progress(event, recipe.seed, count)
                    yield self._line(_plain(f"{warning} {said}"), score)
                    continue
                take = keep_written(
                    event,
                    self._sessions.folder(session),
                    self._sessions.number(session),
                    config.soundfont,
                )
                self._sessions.add(session, take)
                best = best or take
            if best is None:
                yield self._said("Stopped before a bar was written.")
                return
            said = f"{warning} {_describe(best)}".strip()
            yield self._shown(said, best, self._takes(request))
        except (InputError, ScoreError) as error:
            message = str(error)
            if order.opening:
                # where it lies here is nobody's business
                message = message.replace(str(order.opening), order.opening.name)
            yield self._said(message)

    def _takes(self, request: gr.Request) -> list[Take]:
        return self._sessions.takes(_session(request))

    def _check_model(self, model: str) -> None:
        own = (str(self._config.weights), *PUBLISHED)
        if not self._config.is_local and model not in own:
            raise InputError("model: wanted one of the list; paths are for a page of one's own")

    def _said(self, message: str) -> Shown:
        """Return values that change nothing but the status."""
        return self._line(_plain(message), _NO_CHANGE)

    def _line(self, status: str, score: Any) -> Shown:  # noqa: ANN401 -- HTML, or no change
        return (status, score, *[_NO_CHANGE] * 6)

    def _shown(self, message: str, take: Take, takes: list[Take]) -> Shown:
        titles = [one.title for one in takes]
        pictures = [(str(one.files["png"]), one.title) for one in takes if "png" in one.files]
        other = titles[-2] if len(titles) > 1 else titles[-1]
        return (
            _plain(message),
            show(take),
            list(downloads(take)),
            take.abc,
            pictures,
            gr.update(choices=titles, value=take.title),
            gr.update(choices=titles, value=other),
            gr.update(choices=titles, value=titles[-1]),
        )


def _session(request: gr.Request) -> str:
    return str(request.session_hash or "")


def _find(takes: list[Take], title: str | None) -> Take | None:
    return next((take for take in takes if take.title == title), None)


def _describe_wait(event: Waiting | Reading) -> str:
    if isinstance(event, Waiting):
        pieces = "piece is" if event.before == 1 else "pieces are"
        return f"{event.before} {pieces} before this one, which begins by itself."
    if event.is_download:
        return f"{event.weights} is not on this machine yet: it is being downloaded, once."
    return f"The weights of {Path(event.weights).name} are being read."


def _describe_progress(progress: Progress, seed: int, variations: int) -> str:
    which = f"variation {progress.variation} of {variations}, " if variations > 1 else ""
    to_come = "" if progress.bars_to_come is None else f", {progress.bars_to_come} to come"
    return (
        f"{which}{progress.bars_done} bars done{to_come}, {progress.rate:.0f} characters a second; "
        f"seed {seed}"
    )


def _describe(take: Take) -> str:
    record = take.record
    said = [f"{take.title}: {record['n_bars']} bars"]
    if "seed" in record:
        said[0] += f", seed {record['seed']}"
        if record["reason"] == "stopped":
            said.append("stopped")
        elif not record["finished"]:
            said.append(f"cut off by {record['reason']}")
        if record["mended"]:
            said.append(f"voices rest in bars {', '.join(map(str, record['mended']))}")
    if take.error:
        said.append(take.error)
    return "; ".join(said)


def _plain(message: str) -> str:
    """Return a message as HTML that shows it as it is."""
    return f"<p>{html.escape(' '.join(message.split()))}</p>"
