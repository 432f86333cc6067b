"""Pieces written while somebody watches: models, running pieces, and what has been written."""

import dataclasses
import math
import queue
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
from notagen.model.packed import Precision
from notagen.model.weights import load_model, needs_download, weights_sha256

_COUNTER = re.compile(r"^\[r:(\d+)/(\d+)\]", re.MULTILINE)
_TICK = 0.25
"""Seconds between looks at what has been written."""
_KEPT_MODELS = 2


class Waiting(NamedTuple):
    """A piece that has not begun, as others are being written."""

    before: int
    """Pieces that are written or wait before it, 1 or more."""


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


class Written(NamedTuple):
    """A piece that has ended."""

    piece: Generated
    recipe: Recipe
    score: float | None
    """Likeness to real pieces of its prompt, where pieces were to be ranked."""


class _Model(NamedTuple):
    model: NotaGen
    sha256: str


class _Run:
    """What a session is having written, which can be stopped at any time, also while it waits."""

    def __init__(self, session: str) -> None:
        self.session = session
        self.stopped = False
        self.generator: Generator | None = None

    def stop(self) -> None:
        self.stopped = True
        if self.generator is not None:
            self.generator.stop()


class Studio:
    """Writes pieces for many sessions; each call has a generator of its own.

    Args:
        score_weights: Rank variations, beside the reference.npz in their folder.
        device: Of all models.
        precision: Of the weights that write.
        max_seconds: A piece is stopped after so many.
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
        self._at_once = at_once
        self._most_waiting = most_waiting
        self._models: dict[str, _Model] = {}
        self._loading = threading.Lock()
        self._score: Score | None = None
        self._scoring = threading.Lock()
        self._line: list[_Run] = []
        """As they came; the first `at_once` of them write."""
        self._lining_up = threading.Lock()

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
        self, session: str, recipe: Recipe, *, variations: int = 1
    ) -> Iterator[Waiting | Reading | Progress | Written]:
        """Yield how far each variation is, then the pieces, the best first if there are several.

        Variation i has the seed of the recipe and i. What `stop` ends is kept with the bars it has;
        variations that have not begun are left out.

        Raises:
            InputError: If too many wait already, the weights cannot be read, or wishes contradict
                the prompt.
            ScoreError: If the text to begin with cannot be read.
        """
        written: list[Written] = []
        # from here on it can be stopped, also while it waits and while weights are read
        with self._lined_up(session) as run:
            while (before := self._before(run)) and not run.stopped:
                yield Waiting(before)
                time.sleep(_TICK)
            if run.stopped:
                return
            if recipe.weights not in self._models:
                yield Reading(recipe.weights, needs_download(recipe.weights))
            model = self._load(recipe.weights)
            recipe = dataclasses.replace(
                recipe, weights_sha256=model.sha256, precision=self._precision
            )
            for variation in range(variations):
                if run.stopped:
                    break
                own = dataclasses.replace(recipe, seed=recipe.seed + variation)
                for event in self._write_one(model.model, own, run, variation + 1):
                    if isinstance(event, Progress):
                        yield event
                    else:
                        score = self._score_of(event) if variations > 1 else None
                        own = own.ending_as(event)
                        written.append(Written(own.cut(event), own, score))
        yield from sorted(
            written, key=lambda one: -math.inf if one.score is None else one.score, reverse=True
        )

    def stop(self, session: str) -> bool:
        """End what a session is having written; return whether there was anything."""
        with self._lining_up:
            runs = [run for run in self._line if run.session == session]
        for run in runs:
            run.stop()
        return bool(runs)

    def _write_one(
        self, model: NotaGen, recipe: Recipe, run: _Run, variation: int
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
                # again and again: one that comes before it begins is forgotten by then
                if run.stopped or time.monotonic() - start > self._max_seconds:
                    generator.stop()
                try:
                    event = events.get(timeout=_TICK)
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
                if time.monotonic() - told >= _TICK:
                    told = time.monotonic()
                    rate = (len(text) - (given or 0)) / (told - start)
                    yield Progress(text, *_bars(text), rate, variation)
        finally:
            # also where nobody waits any more
            generator.stop()

    def _load(self, weights: str) -> _Model:
        if loaded := self._models.get(weights):
            return loaded
        # a download takes long: meanwhile others may load what is here
        digest = weights_sha256(weights)
        with self._loading:
            if weights not in self._models:
                dtype = {"fp32": torch.float32, "fp16": torch.float16}.get(
                    self._precision, torch.bfloat16
                )
                model = load_model(weights, self._device, dtype)
                while len(self._models) >= _KEPT_MODELS:
                    self._models.pop(next(iter(self._models)))
                self._models[weights] = _Model(model, digest)
            return self._models[weights]

    def _score_of(self, piece: Generated) -> float | None:
        with self._scoring:
            if self._score is None:
                reference = read_reference(self._score_weights / "reference.npz")
                self._score = load_score(self._score_weights, reference, self._device)
            try:
                return self._score(piece)
            except (InputError, ScoreError):
                return None

    @contextmanager
    def _lined_up(self, session: str) -> Iterator[_Run]:
        run = _Run(session)
        with self._lining_up:
            waiting = len(self._line) - self._at_once
            if waiting >= self._most_waiting:
                raise InputError(f"{waiting} pieces wait already: try again in a few minutes")
            self._line.append(run)
        try:
            yield run
        finally:
            with self._lining_up:
                self._line.remove(run)

    def _before(self, run: _Run) -> int:
        """Return how many are written or wait before one that must wait; 0 where it may begin."""
        with self._lining_up:
            place = self._line.index(run)
        return place if place >= self._at_once else 0


def _bars(text: str) -> tuple[int, int | None]:
    """Return the bars that are whole, and those that are to come."""
    counters = list(_COUNTER.finditer(text))
    if not counters:
        return 0, None
    done, to_come = int(counters[-1][1]), int(counters[-1][2])
    is_whole = text.endswith("\n")
    return done + is_whole, to_come + (not is_whole)
