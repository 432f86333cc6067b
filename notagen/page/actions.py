"""What the buttons of the page do, for any session."""

import functools
import html
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from notagen.foundation.errors import InputError, ScoreError
from notagen.generation.prompts import Prompt
from notagen.model.published import PUBLISHED_MODELS
from notagen.model.weights import needs_download
from notagen.page.line import Waiting
from notagen.page.orders import Order, whole
from notagen.page.studio import Begun, Progress, Reading, Studio, Written
from notagen.page.takes import Sessions, Take, downloads, keep_edited, keep_written
from notagen.page.views import Growing, show
from notagen.stages.page import PageConfig

PUBLISHED = tuple(name for name, model in PUBLISHED_MODELS.items() if model.prompted)
"""Names of published weights that take a prompt."""
_LOOK_EVERY = 1.0
"""Seconds at least between engravings of a piece that is being written."""
_LONGEST_PATH = 1000
_NO_CHANGE = gr.skip()

Shown = tuple[Any, ...]
"""Values of status, score, files, text, history, chosen, left, right and PDF."""


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
        yield from self._write(
            request,
            variations,
            model=model or "",
            period=period or "",
            composer=composer or "",
            instrumentation=instrumentation or "",
            key=key or "",
            metre=metre or "",
            tempo=tempo or "",
            bars=bars,
            instruments=instruments or "",
            seed=seed or "",
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
        )

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
        yield from self._write(
            request,
            source=Path(score).name,
            model=model or "",
            period=period or "",
            composer=composer or "",
            instrumentation=instrumentation or "",
            bars=bars,
            seed=seed or "",
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            opening=Path(score),
            first_bars=first_bars,
        )

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
        yield from self._write(
            request,
            source=f"piece {take.title.split(':')[0]}",
            model=model or "",
            bars=bars,
            seed=seed or "",
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            opening=take.files["interleaved.abc"],
            first_bars=first_bars,
        )

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
            self._sessions.add(session, take)
            return self._shown([_describe(take)], take, self._takes(request))
        except (InputError, ScoreError) as error:
            return self._said(str(error))

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
            return self._shown([_describe(take)], take, takes, is_new=False)
        except OSError:
            return self._said(f"{take.title}: its files have been removed.")

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

    def _write(
        self,
        request: gr.Request,
        variations: float = 1,
        source: str = "",
        **fields: Any,  # noqa: ANN401 -- of an order, which checks them
    ) -> Iterator[Shown]:
        session = _session(request)
        best: Take | None = None
        warning, notes = "", []
        try:
            order = Order(**fields)
            self._check_model(order.model)
            count = whole("variations", variations or 1, 1, self._config.max_variations)
            warning = order.warning(self.known(order.model))
            begins = f"{order.opening.name} is being read." if order.opening else "It begins."
            yield self._said(begins, warning)
            looked, variation, growing = 0.0, 0, Growing()
            make = functools.partial(order.recipe, max_bars=self._config.max_bars)
            for event in self._studio.write(session, make, variations=count):
                score: Any = _NO_CHANGE
                if isinstance(event, Written):
                    yield self._said("The files are being made.", warning)
                    try:
                        take = self._keep(session, event, source)
                    except OSError as error:  # such as a full disk: the others may still go
                        notes.append(f"a piece could not be written: {error.strerror}")
                        continue
                    best = best or take
                    notes += ["The time was up."] if event.is_late else []
                    continue
                if isinstance(event, Progress):
                    if event.variation != variation:
                        variation, growing = event.variation, Growing()
                    if event.bars_done and time.monotonic() - looked > _LOOK_EVERY:
                        score = growing.draw(event.text) or _NO_CHANGE
                        looked = time.monotonic()
                yield self._line(_plain(_describe_event(event, count), warning), score)
        except (InputError, ScoreError, RuntimeError) as error:
            opening = fields.get("opening")
            # where it lies here is nobody's business
            notes.append(str(error).replace(str(opening), opening.name) if opening else str(error))
        if best:
            yield self._shown([_describe(best), *notes, warning], best, self._takes(request))
        else:
            yield self._said(*notes or ["Stopped before the first bar was whole."])

    def _keep(self, session: str, written: Written, source: str) -> Take:
        take = keep_written(
            written,
            self._sessions.folder(session),
            self._sessions.number(session),
            self._config.soundfont,
            source=source,
        )
        self._sessions.add(session, take)
        return take

    def _takes(self, request: gr.Request) -> list[Take]:
        return self._sessions.takes(_session(request))

    def _check_model(self, model: str) -> None:
        own = (str(self._config.weights), *PUBLISHED)
        if len(model) > _LONGEST_PATH or not model.isprintable():
            raise InputError("model: found no name, wanted one of the list or a path")
        if not self._config.is_local and model not in own:
            raise InputError("model: wanted one of the list; paths are for a page of one's own")

    def _said(self, *messages: str) -> Shown:
        """Return values that change nothing but the status."""
        return self._line(_plain(*messages), _NO_CHANGE)

    def _line(self, status: str, score: Any) -> Shown:  # noqa: ANN401 -- HTML, or no change
        return (status, score, *[_NO_CHANGE] * 7)

    def _shown(
        self, messages: Sequence[str], take: Take, takes: list[Take], *, is_new: bool = True
    ) -> Shown:
        titles = [one.title for one in takes]
        pictures = [(str(one.files["png"]), one.title) for one in takes if "png" in one.files]
        # to be compared: the piece and the one behind it, or else before it
        place = max(0, min(titles.index(take.title), len(titles) - 2))
        left, right = (titles[place:] * 2)[:2]
        return (
            _plain(*messages),
            show(take),
            list(downloads(take)),
            take.abc,
            pictures,
            gr.update(choices=titles, value=take.title),
            gr.update(choices=titles, value=left) if is_new else _NO_CHANGE,
            gr.update(choices=titles, value=right) if is_new else _NO_CHANGE,
            gr.update(value=take.files.get("pdf"), interactive="pdf" in take.files),
        )


def _session(request: gr.Request) -> str:
    return str(request.session_hash or "")


def _find(takes: list[Take], title: str | None) -> Take | None:
    return next((take for take in takes if take.title == title), None)


def _describe_event(event: Waiting | Begun | Reading | Progress, variations: int) -> str:
    if isinstance(event, Begun):
        return f"Seed {event.recipe.seed}: the model begins."
    if isinstance(event, Progress):
        which = f"variation {event.variation} of {variations}, " if variations > 1 else ""
        bars = "1 bar" if event.bars_done == 1 else f"{event.bars_done} bars"
        to_come = "" if event.bars_to_come is None else f", {event.bars_to_come} to come"
        return (
            f"{which}{bars} done{to_come}, {event.rate:.0f} characters a second; seed {event.seed}"
        )
    if isinstance(event, Reading):
        if event.is_download:
            return f"{event.weights} is not on this machine yet: it is being downloaded, once."
        return f"The weights of {Path(event.weights).name} are being read."
    if event.before == 0:
        return "Its turn has come."
    pieces = "piece is" if event.before == 1 else "pieces are"
    return f"{event.before} {pieces} before this one, which begins by itself."


def _describe(take: Take) -> str:
    record = take.record
    said = [take.title]
    if record.get("reason") == "stopped":
        said.append("stopped")
    elif not record.get("finished", True):
        said.append(f"cut off by {record['reason']}")
    if record.get("mended"):
        said.append(f"voices rest in bars {', '.join(map(str, record['mended']))}")
    if take.error:
        said.append(take.error)
    return "; ".join(said)


def _plain(*messages: str) -> str:
    """Return messages as HTML that shows them as they are, each in a paragraph of its own."""
    lines = [" ".join(message.split()) for message in messages]
    return "".join(f"<p>{html.escape(line)}</p>" for line in lines if line)
