import copy
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from notagen.foundation.errors import ConversionError
from notagen.generation.prompts import Prompt, prompt_text
from notagen.metrics.validity import check_validity
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.training import samples
from notagen.training.samples import write_sample

PROMPT = Prompt("Romantic", "Schubert, Franz", "Art Song")


def test_a_piece_becomes_text_and_a_page(trained_model: NotaGen, tmp_path: Path) -> None:
    told = write_sample(trained_model, tmp_path / "samples", 1500, prompt=PROMPT, seed=4)
    text = (tmp_path / "samples" / "step-00001500.abc").read_text()
    assert text.startswith("%Romantic\n%Schubert, Franz\n%Art Song\n")
    validity = check_validity(text)
    unaligned = 0 if validity.aligned else len(validity.problems)
    assert told == f"{validity.n_bars} bars, {unaligned} unaligned"
    assert validity.n_bars > 0
    assert "<svg" in (tmp_path / "samples" / "step-00001500.svg").read_text()


def test_a_sample_depends_on_weights_prompt_and_seed_alone(
    trained_model: NotaGen, tmp_path: Path
) -> None:
    def text(name: str, seed: int) -> bytes:
        write_sample(trained_model, tmp_path / name, 1, prompt=None, seed=seed)
        return (tmp_path / name / "step-00000001.abc").read_bytes()

    first = text("one", 0)
    torch.manual_seed(9)
    trained_model.train()
    assert text("again", 0) == first
    assert text("other", 1) != first


def test_training_goes_on_as_if_there_had_been_no_sample(
    trained_model: NotaGen, tmp_path: Path
) -> None:
    """Also where both run under autocast, which keeps the weights that it has cast."""
    model = copy.deepcopy(trained_model).train()
    model.char_decoder.eval()  # the mode of each part comes back, not that of the whole
    batch = torch.randint(40, 120, (2, 9, 16), dtype=torch.uint8), torch.ones(2, 9)

    def gradient(*, sampled: bool) -> torch.Tensor:
        torch.manual_seed(5)
        random.seed(5)
        np.random.seed(5)
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            if sampled:
                write_sample(model, tmp_path, 1, prompt=None, seed=0)
            loss = model(*batch) * random.random() * np.random.random()
        loss.backward()
        gathered = model.patch_decoder.table.grad
        assert gathered is not None
        return gathered.clone()

    assert torch.equal(gradient(sampled=False), gradient(sampled=True))
    assert model.patch_decoder.training
    assert not model.char_decoder.training


def test_weights_in_half_width_write_too(trained_model: NotaGen, tmp_path: Path) -> None:
    told = write_sample(trained_model.bfloat16(), tmp_path, 1, prompt=None, seed=0)
    assert "bars" in told


@pytest.mark.parametrize("seed", range(6))
def test_a_hopeless_model_stops_nothing(tiny: ModelConfig, tmp_path: Path, seed: int) -> None:
    torch.manual_seed(seed)
    model = NotaGen(tiny).train()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.05 * 4**seed)
    told = write_sample(model, tmp_path, seed, prompt=PROMPT, seed=seed, max_patches=40)
    assert told
    assert len(told.splitlines()) == 1
    assert (tmp_path / f"step-{seed:08d}.abc").read_text().startswith("%Romantic\n")


def test_a_model_without_numbers_is_told(tiny: ModelConfig, tmp_path: Path) -> None:
    model = NotaGen(tiny).train()
    torch.nn.init.constant_(model.char_decoder.table, torch.nan)
    assert write_sample(model, tmp_path, 3, prompt=None, seed=0).startswith("no piece: ")
    assert model.training
    assert not list(tmp_path.iterdir())


def test_a_piece_that_is_cut_off_is_told(trained_model: NotaGen, tmp_path: Path) -> None:
    whole = write_sample(trained_model, tmp_path, 1, prompt=PROMPT, seed=4)
    cut = write_sample(trained_model, tmp_path, 2, prompt=PROMPT, seed=4, max_patches=30)
    assert "cut off" not in whole
    assert cut.endswith(", cut off by max_patches")
    late = write_sample(trained_model, tmp_path, 3, prompt=PROMPT, seed=4, max_seconds=1e-9)
    assert late.startswith("no tune: ")
    assert (tmp_path / "step-00000003.abc").read_text() == prompt_text(PROMPT)


def test_music_that_cannot_be_engraved_has_no_page(
    trained_model: NotaGen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_musicxml: str) -> list[str]:
        raise ConversionError("engrave: not done\nafter 120 s")

    (tmp_path / "step-00000001.svg").write_text("an older run's")
    monkeypatch.setattr(samples, "engrave", refuse)
    told = write_sample(trained_model, tmp_path, 1, prompt=PROMPT, seed=4)
    assert told.endswith("unaligned, no page: engrave: not done after 120 s")
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001.abc"]
