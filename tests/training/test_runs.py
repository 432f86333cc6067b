import json
from pathlib import Path
from typing import Never

import pytest
import torch
from accelerate import Accelerator

from notagen.foundation.errors import InputError
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.model.weights import load_model
from notagen.training.runs import Progress, RunFolder, Scalar
from notagen.training.schedule import make_optimizer, make_schedule

SETTINGS = {"seed": 1, "model.hidden_size": 64, "epochs": 2, "precision": "no"}
FREE = frozenset({"epochs"})


@pytest.fixture
def model(tiny: ModelConfig) -> NotaGen:
    return NotaGen(tiny)


@pytest.fixture
def run(tmp_path: Path, accelerator: Accelerator, model: NotaGen) -> RunFolder:
    optimizer = make_optimizer(model, peak_learning_rate=0.1, weight_decay=0.0)
    schedule = make_schedule(optimizer, "constant", warmup_steps=0, total_steps=9)
    accelerator.prepare(model, optimizer, schedule)
    return RunFolder(tmp_path / "run", accelerator, keep_checkpoints=2)


def begin(run: RunFolder, *, fresh: bool = False, **changes: Scalar) -> Progress:
    return run.begin(SETTINGS | changes, free=FREE, fresh=fresh)


def steps_logged(run: RunFolder) -> list[int]:
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["step"] for line in lines]


def save_steps(run: RunFolder, *steps: int) -> None:
    for step in steps:
        run.log(step, {"loss": 1.0, "gradient_norm": None})
        run.save_checkpoint(Progress(step=step, epoch=1, step_in_epoch=step, best_loss=0.5))


def checkpoints(run: RunFolder) -> list[str]:
    return sorted(path.name for path in (run.folder / "checkpoints").iterdir())


def test_new_run_begins_at_nought(run: RunFolder) -> None:
    assert begin(run) == Progress()
    assert json.loads((run.folder / "config.json").read_text()) == SETTINGS


def test_newest_checkpoint_is_loaded_and_metrics_cut_there(run: RunFolder, model: NotaGen) -> None:
    begin(run)
    save_steps(run, 1, 2)
    saved = model.char_decoder.table.detach().clone()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    save_steps(run, 3)
    with torch.no_grad():
        model.char_decoder.table.add_(1)
    run.log(4, {"loss": 2.0})
    with (run.folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')  # killed in the middle of a line
    torch.manual_seed(6)
    assert begin(run) == Progress(step=3, epoch=1, step_in_epoch=3, best_loss=0.5)
    assert steps_logged(run) == [1, 2, 3]
    assert torch.equal(model.char_decoder.table, saved)
    assert torch.equal(torch.get_rng_state(), state)


def test_micro_steps_are_counted_anew(run: RunFolder) -> None:
    begin(run)
    run.accelerator.step = 3
    save_steps(run, 3)
    begin(run)
    assert run.accelerator.step == 0


def test_last_checkpoints_are_kept(run: RunFolder) -> None:
    begin(run)
    save_steps(run, 5, 10, 15)
    assert checkpoints(run) == ["step-00000010", "step-00000015"]


def test_kill_while_saving_leaves_the_checkpoint_before(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(run)
    save_steps(run, 1)

    def die(folder: str) -> Never:
        (run.folder / "checkpoints" / ".step-00000002.part" / "model.safetensors").write_text("x")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run.accelerator, "save_state", die)
        with pytest.raises(KeyboardInterrupt):
            save_steps(run, 2)
    assert begin(run).step == 1
    assert checkpoints(run) == ["step-00000001"]
    save_steps(run, 2)
    assert begin(run).step == 2


@pytest.mark.parametrize(
    ("name", "value"), [("seed", 2), ("model.hidden_size", 128), ("precision", "bf16")]
)
def test_other_settings_are_refused_by_name(run: RunFolder, name: str, value: Scalar) -> None:
    begin(run)
    save_steps(run, 1)
    with pytest.raises(InputError) as caught:
        begin(run, **{name: value})
    message = str(caught.value)
    assert f"{name} = {SETTINGS[name]!r}, now it is {value!r}" in message
    assert "\n" not in message
    assert checkpoints(run) == ["step-00000001"]


def test_free_settings_may_differ(run: RunFolder) -> None:
    begin(run)
    save_steps(run, 1)
    assert begin(run, epochs=5).step == 1
    assert json.loads((run.folder / "config.json").read_text())["epochs"] == 5


def test_settings_may_differ_before_the_first_checkpoint(run: RunFolder) -> None:
    begin(run)
    run.log(1, {"loss": 1.0})
    assert begin(run, seed=2) == Progress()
    assert not (run.folder / "metrics.jsonl").exists()


def test_fresh_deletes_the_run_and_nothing_else(run: RunFolder, model: NotaGen) -> None:
    begin(run)
    save_steps(run, 1)
    run.save_weights(model, "best")
    (run.folder / "notes.txt").write_text("mine")
    assert begin(run, fresh=True, seed=2) == Progress()
    assert sorted(path.name for path in run.folder.iterdir()) == ["config.json", "notes.txt"]


def test_weights_are_replaced_and_load(run: RunFolder, model: NotaGen) -> None:
    begin(run)
    run.save_weights(model, "last")
    with torch.no_grad():
        model.char_decoder.table.add_(1)
    run.save_weights(model, "last")
    loaded = load_model(run.folder / "last")
    assert torch.equal(loaded.char_decoder.table, model.char_decoder.table)
    assert loaded.config == model.config
    assert not list(run.folder.glob(".*"))
