"""The ruler itself: real pieces in a model's place are like real ones, spoilt copies are not.

Each damage moves what it should, the right way, and nothing else.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from notagen.evaluation.distances import distance_figures, featured
from notagen.evaluation.likelihood import CACHED, FLOOR, Row, floor_rows, read_texts
from notagen.evaluation.pieces import Measured, Parts, find_pieces, measure_pieces
from notagen.evaluation.scores import validity_figures
from notagen.metrics import relative
from notagen.metrics.figures import Figure, mean_figure
from notagen.metrics.frechet import measure_frechet
from notagen.metrics.relative import compare
from notagen.metrics.similarity import copying
from tests.evaluation import damage
from tests.evaluation.damage import Damage
from tests.evaluation.written import (
    BACH,
    MONTEVERDI,
    as_model_writes,
    write_generations,
    write_index,
)

COPIES = 40
SHARES = (
    *("parses", "aligned", "converts", "same_notes", "sound_header", "in_range", "no_loop"),
    *("finished", "valid"),
)
STEPS = {"pitch_class_transitions", "pitch_interval"}
PITCHES = {"pitch_count", "pitch_class_histogram", "pitch_range"} | STEPS
TIMES = {"inter_onset_interval", "note_length_histogram", "note_length_transitions"}
COUNTS = {"note_count", "note_count_per_bar", "pitch_count_per_bar"}
FRECHET, COPIED = "frechet", "copied"
RISES = {"bar_alignment_error", "notes_out_of_range", FRECHET}


def measure(where: Path, parts: Parts = "soundness") -> list[Measured]:
    return measure_pieces(find_pieces(where), parts=parts, workers=1, said="piece")


@pytest.fixture(scope="module", autouse=True)
def _few_resamples() -> Iterator[None]:
    # values are judged here, and of intervals only whether they hold them
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relative, "RESAMPLES", 20)
        yield


@pytest.fixture(scope="module")
def halves(chorales: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Two sets of 180 chorales."""
    names = list(chorales)
    first, second = ({name: chorales[name] for name in names[start::2]} for start in (0, 1))
    assert len(first) == len(second) == 180
    return first, second


@pytest.fixture(scope="module")
def generated(
    halves: tuple[dict[str, str], dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> list[Measured]:
    """The first half, passed off as a model's."""
    texts = {name: as_model_writes(text, BACH) for name, text in halves[0].items()}
    return measure(write_generations(tmp_path_factory.mktemp("generated"), texts))


@pytest.fixture(scope="module")
def reference(
    halves: tuple[dict[str, str], dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> list[Measured]:
    """The other half, as training texts of an index."""
    index = write_index(tmp_path_factory.mktemp("reference"), halves[1])
    return measure(index, "statistics")


def overlaps(ours: Sequence[Measured], theirs: Sequence[Measured]) -> dict[str, Figure]:
    sets = [[one.statistics for one in pieces if one.statistics] for pieces in (ours, theirs)]
    return {name: found.overlap for name, found in compare(*sets, seed=0).items()}


def distances(
    ours: Sequence[Measured], theirs: Sequence[Measured], learned: Sequence[Measured]
) -> dict[str, Any]:
    return distance_figures(
        featured(ours, None), featured(theirs, None), featured(learned, None), seed=0
    )


@pytest.fixture(scope="module")
def of_real(generated: list[Measured], reference: list[Measured]) -> dict[str, float]:
    """What is found of the pieces that are spoilt in other tests."""
    return values(generated[:COPIES], reference, generated)


def values(
    ours: Sequence[Measured], theirs: Sequence[Measured], learned: Sequence[Measured]
) -> dict[str, float]:
    """Return all that a damage may move."""
    validity = validity_figures(ours, seed=0)
    del validity["same_notes"]  # not asked for
    found = validity | overlaps(ours, theirs)
    vectors, real, known = (featured(pieces, None).matrix for pieces in (ours, theirs, learned))
    centre = real.mean(axis=0)
    found |= {
        FRECHET: measure_frechet(vectors, real, seed=0).infinity,
        COPIED: copying(vectors - centre, known - centre, seed=0).copied,
    }
    return {name: figure.value for name, figure in found.items()}


def test_real_pieces_are_like_real_ones(
    generated: list[Measured], reference: list[Measured]
) -> None:
    found = validity_figures(generated, seed=0)
    for name in set(SHARES) - {"same_notes"}:
        assert found[name][0::3] == (1, 180), name
        assert 0.97 < found[name].low < 1
    assert found["bar_alignment_error"].value == found["notes_out_of_range"].value == 0
    for name, overlap in overlaps(generated, reference).items():
        assert overlap.value >= 0.9, name
        assert overlap.low <= overlap.value <= overlap.high
    features = distances(generated, reference, reference)
    infinity = features["frechet"]["mle"]["infinity"]
    assert infinity.low < 0 < infinity.high
    # of these samples it is not 0, which is why it is extrapolated
    assert features["frechet"]["mle"]["distance"].low > infinity.high
    near = features["copying"]
    assert near["generations"]["copied"].value < 0.05
    assert near["generations"]["mean"].value < 0.9
    assert near["reference"]["mean"].value == pytest.approx(1)
    # round the centre of all, two pieces are as unlike as two directions drawn by lot
    assert features["diversity"]["generations"].value == pytest.approx(1, abs=0.02)
    assert features["diversity"]["reference"].value == pytest.approx(1, abs=0.02)


def test_music21_reads_the_same_notes_of_real_pieces(
    chorales: dict[str, str], madrigals: dict[str, str], tmp_path: Path
) -> None:
    kinds = {BACH: list(chorales.items())[::18], MONTEVERDI: list(madrigals.items())[::8]}
    for prompt, texts in kinds.items():
        written = {name: as_model_writes(text, prompt) for name, text in texts}
        write_generations(tmp_path, written, prompt, add=True)
    found = validity_figures(measure(tmp_path, "all"), seed=0)
    assert {name: found[name].value for name in SHARES} == dict.fromkeys(SHARES, 1)
    assert found["same_notes"].n == len(kinds[BACH]) + len(kinds[MONTEVERDI]) == 24


# for each damage: shares of all pieces that fall to 0; what moves, and nothing else does; what
# stays to the last digit
@pytest.mark.parametrize(
    ("spoil", "lost", "moved", "untouched"),
    [
        (damage.shuffle_bars, set(), {"pitch_interval", COPIED}, {"pitch_count", "pitch_range"}),
        (
            damage.lengthen_bar,
            {"aligned", "valid"},
            {"bar_alignment_error"},
            {"pitch_count", "pitch_range"},
        ),
        (damage.lose_voice_line, {"sound_header"}, set(), PITCHES | TIMES | COUNTS | {FRECHET}),
        (
            damage.shuffle_voices,
            set(),
            {"aligned", "valid", "bar_alignment_error", "pitch_interval", COPIED, "distinct_bars"},
            {"pitch_range"},
        ),
        (
            damage.jitter,
            set(),
            PITCHES | {FRECHET, COPIED, "distinct_bars"},
            TIMES | {"note_count"},
        ),
        (damage.repeat_bar, {"no_loop"}, {"distinct_bars", COPIED}, set()),
        (
            damage.raise_voice,
            {"in_range"},
            {"notes_out_of_range", "pitch_count", "pitch_range", FRECHET, COPIED},
            TIMES | STEPS | {"pitch_class_histogram", "note_count", "note_count_per_bar"},
        ),
        (
            damage.silence,
            set(),
            PITCHES | COUNTS | {"note_length_histogram", "distinct_bars", FRECHET, COPIED},
            set(),
        ),
        (damage.slow_down, set(), TIMES | {FRECHET, COPIED}, PITCHES | COUNTS),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_damage_moves_what_it_should(
    spoil: Damage,
    lost: set[str],
    moved: set[str],
    untouched: set[str],
    halves: tuple[dict[str, str], dict[str, str]],
    generated: list[Measured],
    reference: list[Measured],
    of_real: dict[str, float],
    tmp_path: Path,
) -> None:
    copies = {
        name: as_model_writes(spoil(text, random.Random(name)), BACH)
        for name, text in list(halves[0].items())[:COPIES]
    }
    found = values(measure(write_generations(tmp_path, copies)), reference, generated)
    assert found.keys() == of_real.keys()
    for name, value in found.items():
        before = of_real[name]
        if name in lost:
            assert (before, value) == (1, 0), name
        elif name in moved:
            worse = value - before if name in RISES else before - value
            # a voice less makes bars alike; other music in the place of the same makes them differ
            assert (abs(worse) if name == "distinct_bars" else worse) > 0.05, name
        elif name in untouched or name in SHARES:
            assert value == pytest.approx(before, abs=1e-9), name
        else:
            assert abs(value - before) < 0.07, name


def test_a_piece_cut_off_in_a_bar(
    halves: tuple[dict[str, str], dict[str, str]],
    reference: list[Measured],
    generated: list[Measured],
    of_real: dict[str, float],
    tmp_path: Path,
) -> None:
    copies = {
        name: damage.cut(as_model_writes(text, BACH), random.Random(name))
        for name, text in list(halves[0].items())[:COPIES]
    }
    # a model that ran out of patches: the begun bar is dropped, and the rest is as sound as it was
    folder = write_generations(tmp_path / "stopped", copies, finished=False)
    stopped = values(measure(folder), reference, generated)
    assert stopped["finished"] == 0
    for name in {"parses", "aligned", "converts", "sound_header", "in_range", "no_loop"}:
        assert stopped[name] == 1, name
    # a model that thought it was done
    ended = values(measure(write_generations(tmp_path / "ended", copies)), reference, generated)
    assert ended["finished"] == 1
    assert ended["aligned"] == 0
    assert ended["bar_alignment_error"] > 0.1
    for found in (stopped, ended):
        assert found["note_count"] < of_real["note_count"] - 0.5
        assert found[FRECHET] > of_real[FRECHET] + 0.5


def test_one_piece_again_and_again(generated: list[Measured], reference: list[Measured]) -> None:
    same = generated[:1] * 40
    for name, overlap in overlaps(same, reference).items():
        assert overlap.value < 0.2, name
    features = distances(same, reference, generated)
    assert features["diversity"]["generations"].value == pytest.approx(0, abs=1e-6)
    assert features["frechet"]["mle"]["distance"].low > 1
    assert features["copying"]["generations"]["copied"].value == 1


def test_a_style_that_was_not_asked_for(
    generated: list[Measured],
    reference: list[Measured],
    madrigals: dict[str, str],
    tmp_path: Path,
) -> None:
    names = list(madrigals)
    theirs = {name: as_model_writes(madrigals[name], MONTEVERDI) for name in names[::2]}
    others = measure(
        write_index(tmp_path, {n: madrigals[n] for n in names[1::2]}, MONTEVERDI), "statistics"
    )

    def agreement(asked: Any) -> Figure:  # noqa: ANN401
        folder = write_generations(tmp_path / asked.period, theirs, asked)
        ours = [*generated[:20], *measure(folder, "statistics")]
        probes = distances(ours, [*reference[:40], *others], [])["probes"]
        assert probes["composer"]["accuracy"].value > 0.9
        found: Figure = probes["composer"]["agreement"]
        assert found.n == len(ours)
        return found

    assert agreement(MONTEVERDI).value > 0.95
    # chorales that were asked for and madrigals that were not
    assert agreement(BACH).value == pytest.approx(20 / (20 + len(theirs)), abs=0.1)


def test_the_floor_tells_spoilt_pieces(
    halves: tuple[dict[str, str], dict[str, str]], tmp_path: Path
) -> None:
    texts, learned = halves
    known, _ = read_texts(find_pieces(write_index(tmp_path / "learned", learned)))
    works = {name: name for name in known}

    def costs(title: str, pieces: Mapping[str, str]) -> dict[str, Row]:
        found, _ = read_texts(find_pieces(write_index(tmp_path / title, pieces)))
        return floor_rows(found, {name: name for name in found}, known, works, seed=0)

    def spoilt(spoil: Damage) -> dict[str, Row]:
        copies = {name: spoil(text, random.Random(name)) for name, text in texts.items()}
        return costs(spoil.__name__, copies)

    original = costs("original", texts)
    assert original[CACHED]["bits_per_character"].value > 0.5
    assert original[CACHED]["bits_per_character"].high < original[FLOOR]["bits_per_character"].low

    def dearer(rows: dict[str, Row], title: str) -> Figure:
        before, after = original[title]["pieces"], rows[title]["pieces"]
        return mean_figure([after[name][0] - before[name][0] for name in before], seed=0)

    wrong_notes, wrong_order, apart = map(
        spoilt, (damage.jitter, damage.shuffle_bars, damage.shuffle_voices)
    )
    for title in (FLOOR, CACHED):
        assert dearer(wrong_notes, title).low > 500
        # eight characters see little beyond a bar, yet enough
        assert dearer(wrong_order, title).low > 0
        assert dearer(apart, title).low > dearer(wrong_order, title).value
    assert dearer(wrong_order, CACHED).low > dearer(wrong_order, FLOOR).high
