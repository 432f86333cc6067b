import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from notagen.model.notagen import NotaGen
from notagen.model.weights import load_model
from notagen.preference.pairs import Candidate, Preferences
from notagen.training.preference import (
    LearnerConfig,
    PreferenceExamples,
    PreferenceLearner,
    ReferencedTune,
    reference_log_probs,
    reference_tunes,
)

PROMPTS = [("Romantic", "Schubert, Franz", "Art Song"), None]
NUM_PAIRS = 7


def random_tune(length: int) -> ReferencedTune:
    rng = np.random.default_rng(length)
    tune = rng.integers(3, 128, (length, 16)).astype(np.uint8)
    for patch in tune[1:]:
        end = rng.integers(1, 16)
        patch[end], patch[end + 1 :] = 2, 0
    predicted = np.arange(length) != 1
    return ReferencedTune(tune, predicted, rng.random(length) < 0.5)


@pytest.fixture
def examples(full_model: NotaGen) -> PreferenceExamples:
    """Pairs of tunes of 4 to 40 patches, of two prompts, with their figures under the model."""
    sides: list[list[Candidate]] = [[], []]
    tunes = {}
    for place in range(NUM_PAIRS):
        for side, name in zip(sides, (f"chosen {place}", f"rejected {place}"), strict=True):
            side.append(Candidate(name, PROMPTS[place % 2], 0.0))
            tunes[name] = random_tune(4 + 3 * place + 10 * name.startswith("r"))
    log_probs = reference_log_probs(Accelerator(cpu=True), full_model, tunes, patches_per_batch=90)
    assert log_probs.keys() == tunes.keys()
    tunes = {name: tune._replace(log_prob=log_probs[name]) for name, tune in tunes.items()}
    return PreferenceExamples(Path("index"), Preferences(*sides), tunes, 3, 120, seed=0)


def learner(model: NotaGen, *, beta: float = 0.1, penalty: float = 10.0) -> PreferenceLearner:
    config = replace(model.config, dropout=0.5)
    policy = NotaGen(config)
    policy.load_state_dict(model.state_dict())
    return PreferenceLearner(LearnerConfig(config, beta, penalty), policy).train()


def test_before_the_first_step_the_loss_is_the_logarithm_of_two(
    full_model: NotaGen, examples: PreferenceExamples
) -> None:
    model = learner(full_model)
    for pieces in ([0], [1, 4], list(range(NUM_PAIRS))):
        batch = examples.collate([examples.read((piece, 3)) for piece in pieces])
        patches, mask, silent, reference = batch.tensors
        # in a batch of other lengths a sum is rounded otherwise
        loss = model(*batch.tensors, reduction="sum").item() / batch.num_targets
        assert loss == pytest.approx(math.log(2), abs=1e-5)
        reference = full_model.log_probs(patches, mask, silent, dtype=torch.float64)
        loss = model(patches, mask, silent, reference).item() / batch.num_targets
        assert loss == pytest.approx(math.log(2), abs=1e-9)


def test_pairs_together_lose_what_each_loses_alone(
    full_model: NotaGen,
    golden_weights: Callable[[str], Path],
    examples: PreferenceExamples,
) -> None:
    model = learner(load_model(golden_weights("notagen_tiny_policy_model_only")))
    pairs = [examples.read((piece, 0)) for piece in range(NUM_PAIRS)]
    alone = [model(*examples.collate([pair]).tensors).item() for pair in pairs]
    together = model(*examples.collate(pairs).tensors)
    assert together.item() == pytest.approx(sum(alone), rel=1e-5)
    assert min(alone) < math.log(2) < max(alone)
    together.backward()
    assert all(weight.grad is not None for weight in model.parameters() if weight.requires_grad)


def test_checkpointed_activations_change_nothing(
    golden_weights: Callable[[str], Path], examples: PreferenceExamples
) -> None:
    batch = examples.collate([examples.read((0, 0)), examples.read((1, 0))])
    gradients = []
    for checkpointed in (False, True):
        model = learner(load_model(golden_weights("notagen_tiny_policy_model_only")))
        if checkpointed:
            model.policy.checkpoint_activations()
        model(*batch.tensors).backward()
        gradients.append([weight.grad for weight in model.parameters()])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again)


def test_no_pairs_are_a_batch_that_counts_nothing(
    full_model: NotaGen, examples: PreferenceExamples
) -> None:
    batch = examples.collate([])
    assert (batch.weight, batch.num_targets, batch.num_patches) == (0, 0, 0)
    assert learner(full_model)(*batch.tensors).isfinite()


def test_each_epoch_draws_other_partners_of_the_same_prompt(examples: PreferenceExamples) -> None:
    prompts = {piece.name: piece.prompt for side in examples.preferences for piece in side}
    names = {tune.patches.tobytes(): name for name, tune in examples.tunes.items()}
    drawn = set()
    for epoch in (None, 0, 1, 2, 3):
        pairs = [examples.read((piece, epoch)) for piece in range(NUM_PAIRS)]
        chosen, rejected = (
            [names[tune.patches.tobytes()] for tune in side] for side in zip(*pairs, strict=True)
        )
        assert chosen == [piece.name for piece in examples.preferences.chosen]
        assert [prompts[name] for name in chosen] == [prompts[name] for name in rejected]
        assert len(set(rejected)) == NUM_PAIRS
        drawn.add(tuple(rejected))
    assert len(drawn) > 2


@pytest.mark.parametrize("num_processes", [1, 2, 3])
def test_steps_are_dealt_within_the_room(examples: PreferenceExamples, num_processes: int) -> None:
    assert examples.num_steps == len(examples.plan(0)) == 2
    for step in (*examples.plan(1), range(NUM_PAIRS)):
        dealt = examples.deal(step, num_processes)
        assert len({len(runs) for runs in dealt}) == 1
        assert sorted(piece for runs in dealt for run in runs for piece in run) == sorted(step)
        for runs in dealt:
            for run in runs:
                batch = examples.collate([examples.read((piece, 0)) for piece in run])
                padded = batch.tensors[0].shape[0] * batch.tensors[0].shape[1]
                assert padded <= examples.patches_per_batch or len(run) <= 1
    assert examples.deal_eval(num_processes) == examples.deal(range(NUM_PAIRS), num_processes)


def test_what_counts_is_what_comes_after_the_prompt(full_model: NotaGen, tmp_path: Path) -> None:
    """The characters of the prompt are read and not predicted; figures are made once."""
    prompt, tune = "%Romantic\n%Schubert, Franz\n", "K:C\n[r:0/0][V:1]c8|\n"

    def read(origin: str = "ab", *, silent_share: float = 0.5) -> dict[str, ReferencedTune]:
        return reference_tunes(
            Accelerator(cpu=True),
            full_model,
            {"with": prompt + tune, "without": tune},
            tmp_path / "reference.json",
            patches_per_batch=64,
            silent_share=silent_share,
            origin=origin,
        )

    found = read()
    with_prompt, without = found["with"], found["without"]
    assert with_prompt.predicted.tolist() == [True, False, False, False, True, True, True]
    assert without.predicted.all()
    for one in (with_prompt, without):
        log_probs = full_model.log_probs(
            torch.from_numpy(one.patches)[None], torch.from_numpy(one.predicted)[None]
        )
        assert one.log_prob == pytest.approx(log_probs.item(), rel=1e-6)
    made = (tmp_path / "reference.json").stat().st_mtime_ns
    assert read()["with"].log_prob == with_prompt.log_prob
    assert (tmp_path / "reference.json").stat().st_mtime_ns == made
    for change in (read("cd"), read(silent_share=0.9)):
        assert change["with"].log_prob == pytest.approx(with_prompt.log_prob)
    assert (tmp_path / "reference.json").stat().st_mtime_ns != made
    (tmp_path / "reference.json").write_text("[]")
    assert read()["with"].log_prob == pytest.approx(with_prompt.log_prob)
    assert with_prompt.silent.tolist() == read()["with"].silent.tolist()
