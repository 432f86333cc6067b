"""Pieces written while somebody watches: progress, stops, variations, and the same again."""

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch

from notagen.exports import GenerationFolder
from notagen.foundation.errors import InputError
from notagen.generation.engine import Generated, Generator
from notagen.generation.recipe import Recipe, read_recipe, write_recipe
from notagen.generation.requests import Request
from notagen.model.weights import load_model
from notagen.page.line import Waiting
from notagen.page.orders import Order
from notagen.page.studio import Begun, Event, Progress, Reading, Studio, Written
from notagen.page.takes import keep_written
from tests.stages.launching import ROOT

WEIGHTS = ROOT / "weights"
OnText = Callable[[int, str], None]
MINI = str(WEIGHTS / "notagen-mini")


@pytest.fixture(scope="module")
def studio() -> Studio:
    return open_studio(at_once=2, most_waiting=2)


def open_studio(*, at_once: int, most_waiting: int, max_seconds: float = 120) -> Studio:
    return Studio(
        WEIGHTS / "clamp-mini",
        device=torch.device("cpu"),
        precision="fp32",
        max_seconds=max_seconds,
        at_once=at_once,
        most_waiting=most_waiting,
    )


def order(**fields: object) -> Order:
    known = {
        "model": MINI,
        "period": "Romantic",
        "composer": "Schubert, Franz",
        "instrumentation": "Art Song",
        "bars": 4,
        "seed": "3",
    }
    return Order(**known | fields)  # type: ignore[arg-type]


def write(studio: Studio, session: str, recipe: Recipe, variations: int = 1) -> Iterator[Event]:
    return studio.write(session, lambda: recipe, variations=variations)


def test_a_piece_is_watched_kept_and_made_again(studio: Studio, tmp_path: Path) -> None:
    events = list(write(studio, "me", order().recipe(max_bars=64)))
    *progress, written = [event for event in events if not isinstance(event, Begun | Reading)]
    assert isinstance(written, Written)
    assert written.piece.finished
    # what was seen on the way is what became of it
    assert progress
    for event in progress:
        assert isinstance(event, Progress)
        assert written.piece.text.startswith(event.text)
        assert 0 <= event.bars_done <= 4
        assert event.bars_to_come in (None, *range(5))
    take = keep_written(written, tmp_path, 1, None)
    assert take.error is None
    assert take.record["n_bars"] == 4
    # by the file alone, the same piece to the byte
    recipe = read_recipe(take.files["json"])
    assert recipe.run() == written.recipe.run()
    assert recipe.request.values() == written.recipe.request.values()
    generator = Generator(load_model(MINI), recipe.sampling, precision=recipe.precision)
    (again,) = generator.generate([recipe.request], seed=recipe.seed)
    assert again.text == written.piece.text
    folder = GenerationFolder(tmp_path / "again", [recipe.request], recipe.run())
    assert folder.add(again)["name"] == take.record["name"]


def test_a_stopped_piece_keeps_its_bars_and_can_be_made_again(
    studio: Studio, tmp_path: Path
) -> None:
    written = None
    for event in write(studio, "me", order(bars=60).recipe(max_bars=64), variations=3):
        if isinstance(event, Progress) and event.bars_done >= 2:
            assert studio.stop("me")
            assert not studio.stop("somebody else")
        elif isinstance(event, Written):
            assert written is None  # the other variations have not begun
            written = event
    assert written is not None
    assert written.piece.reason == "stopped"
    take = keep_written(written, tmp_path, 1, None)
    assert take.error is None
    assert 2 <= take.record["n_bars"] < 60
    recipe = read_recipe(take.files["json"])
    generator = Generator(load_model(MINI), recipe.sampling, precision=recipe.precision)
    (again,) = generator.generate([recipe.request], seed=recipe.seed)
    # written on to its end, and cut where it was stopped
    assert again.finished
    assert recipe.cut(again).text == written.piece.text
    assert written.piece.text.endswith("\n")
    assert not studio.stop("me")


def test_a_stop_before_the_first_bar_leaves_nothing(studio: Studio) -> None:
    for early in (Begun, Progress):
        kinds = []
        for event in write(studio, "early", order(bars=60).recipe(max_bars=64)):
            kinds.append(type(event))
            if isinstance(event, early) and getattr(event, "bars_done", 0) == 0:
                studio.stop("early")
        assert len(kinds) < 12
        assert Written not in kinds


def test_a_piece_whose_time_is_up_keeps_its_bars_and_says_so() -> None:
    studio = open_studio(at_once=1, most_waiting=1, max_seconds=4)
    recipe = order(bars=256).recipe(max_bars=256)
    written = [e for e in write(studio, "me", recipe, variations=3) if isinstance(e, Written)]
    (piece,) = written  # the time is that of all of them
    assert piece.is_late
    assert piece.piece.reason == "stopped"
    assert piece.recipe.bars


def test_what_is_written_is_kept_whatever_comes_after(monkeypatch: pytest.MonkeyPatch) -> None:
    studio = open_studio(at_once=1, most_waiting=1)
    generate = Generator.generate

    def fail_second(
        self: Generator, requests: Sequence[Request], *, seed: int, on_text: OnText
    ) -> Iterator[Generated]:
        if seed == 4:
            raise InputError("the second fails")
        return generate(self, requests, seed=seed, on_text=on_text)

    monkeypatch.setattr(Generator, "generate", fail_second)
    events = write(studio, "me", order().recipe(max_bars=64), variations=2)
    found = []
    with pytest.raises(InputError, match="the second fails"):
        found.extend(type(event) for event in events)
    assert found[-1] is Written


def test_what_is_read_before_can_be_left() -> None:
    studio = open_studio(at_once=1, most_waiting=1)
    left = threading.Event()
    threading.Timer(1, lambda: studio.stop("me")).start()

    def read_for_long() -> Recipe:
        left.wait(60)
        raise AssertionError

    before = time.monotonic()
    assert list(studio.write("me", read_for_long)) == []
    assert time.monotonic() - before < 10
    left.set()


def test_variations_come_the_best_first(studio: Studio) -> None:
    events = write(studio, "me", order().recipe(max_bars=64), variations=3)
    written = [event for event in events if isinstance(event, Written)]
    assert sorted(one.recipe.seed for one in written) == [3, 4, 5]
    scores = [one.score for one in written]
    assert None not in scores
    assert scores == sorted(scores, reverse=True)  # type: ignore[type-var]


def test_two_sessions_write_at_once_as_each_alone(studio: Studio) -> None:
    texts: dict[str, str] = {}

    def keep(seed: str) -> None:
        for event in write(studio, seed, order(seed=seed).recipe(max_bars=64)):
            if isinstance(event, Written):
                texts[seed] = event.piece.text

    keep("3")
    alone = texts.pop("3")
    threads = [threading.Thread(target=keep, args=(seed,)) for seed in ("3", "4")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts["3"] == alone
    assert texts["4"] != alone


def test_a_watcher_who_leaves_ends_the_piece(studio: Studio) -> None:
    before = threading.active_count()
    events = write(studio, "me", order(bars=60).recipe(max_bars=64))
    next(events)
    events.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 20
    while threading.active_count() > before:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not studio.stop("me")


def test_others_wait_in_line_and_can_leave_it() -> None:
    studio = open_studio(at_once=1, most_waiting=2)
    recipe = order().recipe(max_bars=64)
    first, second, third = (write(studio, name, recipe) for name in ("one", "two", "three"))
    assert next(first) == Begun(recipe)
    assert next(first) == Reading(MINI, is_download=False)
    assert next(second) == Waiting(1)
    assert next(third) == Waiting(2)
    with pytest.raises(InputError, match="2 pieces wait already"):
        next(write(studio, "four", recipe))
    assert studio.stop("two")
    assert list(second) == []
    assert next(third) == Waiting(1)
    assert [event for event in first if isinstance(event, Written)]
    assert [type(event) for event in third][-1] is Written


def test_the_line_goes_on_where_somebody_leaves() -> None:
    studio = open_studio(at_once=1, most_waiting=1)
    recipe = order().recipe(max_bars=64)
    first, second = (write(studio, name, recipe) for name in ("one", "two"))
    next(first)
    assert next(second) == Waiting(1)
    first.close()  # type: ignore[attr-defined]
    assert next(second) == Waiting(0)
    assert next(second) == Begun(recipe)
    second.close()  # type: ignore[attr-defined]


def test_weights_that_are_not_there_are_told(studio: Studio) -> None:
    recipe = dataclasses.replace(order().recipe(max_bars=64), weights="nowhere")
    with pytest.raises(InputError, match="nowhere"):
        list(write(studio, "me", recipe))


def test_a_file_that_is_no_recipe_is_refused(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "generation.json"
    for text in ("", "[]", "{}", '{"wishes": 3}'):
        path.write_text(text)
        with pytest.raises(InputError, match="found no recipe of a piece"):
            read_recipe(path)
    recipe = order().recipe(max_bars=64)
    write_recipe(recipe, path)
    path.write_text(path.read_text().replace('"top_k": 9', '"top_k": -9'))
    with pytest.raises(InputError, match="top_k must be >= 0"):
        read_recipe(path)
