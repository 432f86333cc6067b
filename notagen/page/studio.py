"""Pieces written while somebody watches: models, running pieces, and what has been written."""

import dataclasses
import functools
import math
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from notagen.candidates import Score, load_score
from notagen.features.scoring import read_reference
from notagen.foundation.errors import InputError, ScoreError
from notagen.generation.engine import Generated, Generator
from notagen.generation.prompt_table import read_prompt_table
from notagen.generation.prompts import Prompt
from notagen.generation.recipe import Recipe
from notagen.model.notagen import NotaGen
from notagen.model.packed import Precision, parameter_type
from notagen.model.weights import load_model, needs_download, weights_sha256
from notagen.page.line import TICK, Line, Run, Waiting

_COUNTER = re.compile(r"^\[r:(\d+)/(\d+)\]", re.MULTILINE)
_TELL = 0.5
"""Seconds between two words of it."""
_KEPT_MODELS = 2


class Begun(NamedTuple):
    """A piece whose recipe is known."""

    recipe: Recipe


class Reading(NamedTuple):
    """A piece whose weights are not in memory yet."""

    weights: str
    is_download: bool
    """They are fetched first, as they are not on this machine."""


class Progress(NamedTuple):
    """How far a piece is."""

    text: str
    """As the model writes it, prompt and all."""
    bars_done: int
    bars_to_come: int | None
    """None where the model has not planned them yet."""
    rate: float
    """Characters a second."""
    variation: int
    """From 1."""
    seed: int


class Written(NamedTuple):
    """A piece that has ended."""

    piece: Generated
    recipe: Recipe
    score: float | None
    """Likeness to real pieces of its prompt, where pieces were to be ranked."""
    is_late: bool
    """Stopped because its time was up, by nobody."""


Event = Waiting | Begun | Reading | Progress | Written


class _Model(NamedTuple):
    model: NotaGen
    sha256: str


class Studio:
    """Writes pieces for many sessions; each call has a generator of its own.

    Args:
        score_weights: Rank variations, beside the reference.npz in their folder.
        device: Of all models.
        precision: Of the weights that write.
        max_seconds: A piece is stopped after so many, all its variations together.
        at_once: Calls that write at the same time; others wait in the order in which they came.
        most_waiting: More than so many are refused.
    """

    def __init__(
        self,
        score_weights: Path,
        *,
        device: torch.device,
        precision: Precision,
        max_seconds: float,
        at_once: int,
        most_waiting: int,
    ) -> None:
        self._score_weights = score_weights
        self._device = device
        self._precision: Precision = precision
        self._max_seconds = max_seconds
        self._line = Line(at_once, most_waiting)
        self._models: dict[str, _Model] = {}
        self._shelf = threading.Lock()
        """Of the models that are in memory, the one that was used last at the end."""
        self._loading = threading.Lock()
        self._score: Score | None = None
        self._scoring = threading.Lock()

    def known(self, weights: str) -> dict[Prompt, int]:
        """Return the pieces behind each prompt that weights have learned; empty if not known.

        Raises:
            InputError: If there are no such weights, or their table cannot be read.
        """
        return read_prompt_table(weights)

    def load(self, weights: str) -> str:
        """Load weights that will be needed; return their digest.

        Raises:
            InputError: If there are none, or they cannot be read.
        """
        return self._load(weights).sha256

    def write(
        self, session: str, make_recipe: Callable[[], Recipe], *, variations: int = 1
    ) -> Iterator[Event]:
        """Yield how far each variation is, then the pieces, the best first if there are several.

        Variation i has the seed of the recipe and i. What `stop` or the time ends is kept with the
        bars it has, if any; variations that have not begun are left out.

        Args:
            session: Who has it written, and may stop it.
            make_recipe: Called when its turn has come, for it may have a score to read. Its weights
                are loaded, and their digest and the precision put in.
            variations: Number of pieces.

        Raises:
            InputError: If too many wait already, the weights cannot be read, wishes contradict the
                prompt, or `make_recipe` says so; what is written by then comes first.
            ScoreError: If the text to begin with cannot be read.
        """
        # from here on it can be stopped, also while it waits and while anything is read
        with self._line.joined(session) as run:
            yield from self._line.wait(run)
            recipe = yield from run.unless_stopped(make_recipe, Waiting(0))
            if recipe is None:
                return
            yield Begun(recipe)
            reading = Reading(recipe.weights, needs_download(recipe.weights))
            if recipe.weights not in self._models:
                yield reading
            load = functools.partial(self._load, recipe.weights)
            model = yield from run.unless_stopped(load, reading)
            if model is None:
                return
            recipe = dataclasses.replace(
                recipe, weights_sha256=model.sha256, precision=self._precision
            )
            run.deadline = time.monotonic() + self._max_seconds
            written: list[Written] = []
            fault: Exception | None = None
            try:
                for variation in range(variations):
                    if run.stopped or run.is_late:
                        break
                    own = dataclasses.replace(recipe, seed=recipe.seed + variation)
                    for event in self._write_one(model.model, own, run, variation + 1):
                        if isinstance(event, Progress):
                            yield event
                        elif (ended := own.ending_as(event)).bars != 0:
                            late = event.reason == "stopped" and not run.stopped
                            score = self._score_of(event) if variations > 1 else None
                            written.append(Written(ended.cut(event), ended, score, late))
            except Exception as error:  # noqa: BLE001 -- raised again behind what is written
                fault = error
        yield from sorted(
            written, key=lambda one: -math.inf if one.score is None else one.score, reverse=True
        )
        if fault:
            raise fault

    def stop(self, session: str) -> bool:
        """End what a session is having written; return whether there was anything."""
        return self._line.stop(session)

    def _write_one(
        self, model: NotaGen, recipe: Recipe, run: Run, variation: int
    ) -> Iterator[Progress | Generated]:
        """Yield how far a piece is, now and then, and at last the piece."""
        generator = Generator(model, recipe.sampling, precision=recipe.precision)
        run.generator = generator
        events: queue.SimpleQueue[str | Generated | Exception | None] = queue.SimpleQueue()

        def work() -> None:
            try:
                pieces = generator.generate(
                    [recipe.request], seed=recipe.seed, on_text=lambda _, text: events.put(text)
                )
                for piece in pieces:
                    events.put(piece)
            except Exception as error:  # noqa: BLE001 -- raised again where it is waited for
                events.put(error)
            events.put(None)

        worker = threading.Thread(target=work, daemon=True)
        start = told = time.monotonic()
        text, given = "", None
        worker.start()
        try:
            while True:
                # also a stop that came before the run had this generator
                if run.stopped or run.is_late:
                    generator.stop()
                try:
                    event = events.get(timeout=TICK)
                except queue.Empty:
                    event = ""
                if event is None:
                    return
                if isinstance(event, Exception):
                    raise event
                if isinstance(event, Generated):
                    yield event
                    continue
                if event and given is None:
                    given = len(event)  # the prompt, which costs no time
                text += event
                if time.monotonic() - told >= _TELL:
                    told = time.monotonic()
                    rate = (len(text) - (given or 0)) / (told - start)
                    yield Progress(text, *_bars(text), rate, variation, recipe.seed)
        finally:
            # also where nobody waits any more
            generator.stop()

    def _load(self, weights: str) -> _Model:
        if known := self._known_model(weights):
            return known
        # a download takes long: meanwhile others may load what is here
        digest = weights_sha256(weights)
        with self._loading:
            if known := self._known_model(weights):
                return known
            loaded = load_model(weights, self._device, parameter_type(self._precision))
            with self._shelf:
                while len(self._models) >= _KEPT_MODELS:
                    self._models.pop(next(iter(self._models)))
                self._models[weights] = _Model(loaded, digest)
                return self._models[weights]

    def _known_model(self, weights: str) -> _Model | None:
        with self._shelf:
            if weights in self._models:
                self._models[weights] = self._models.pop(weights)
            return self._models.get(weights)

    def _score_of(self, piece: Generated) -> float | None:
        with self._scoring:
            try:
                if self._score is None:
                    reference = read_reference(self._score_weights / "reference.npz")
                    self._score = load_score(self._score_weights, reference, self._device)
                return self._score(piece)
            except (InputError, ScoreError, RuntimeError):  # RuntimeError: no memory is left
                return None


def _bars(text: str) -> tuple[int, int | None]:
    """Return the bars that are whole, and those that are to come."""
    counters = list(_COUNTER.finditer(text))
    if not counters:
        return 0, None
    done, to_come = int(counters[-1][1]), int(counters[-1][2])
    is_whole = text.endswith("\n")
    return done + is_whole, to_come + (not is_whole)
