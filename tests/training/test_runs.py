import json
import shutil
from pathlib import Path
from typing import Never

import pytest
import torch
from accelerate import Accelerator

from notagen.foundation.errors import InputError
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.model.weights import load_model, save_model
from notagen.training.ema import Ema
from notagen.training.runs import Progress, RunFolder, Scalar
from notagen.training.schedule import make_optimizer, make_schedule

SETTINGS = {
    "run_folder": "runs/mine",
    "seed": 1,
    "model.hidden_size": 64,
    "epochs": 2,
    "precision": "no",
}
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


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files}


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
    run.save_weights(model, "best", save_model)
    (run.folder / "notes.txt").write_text("mine")
    assert begin(run, fresh=True, seed=2) == Progress()
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "checkpoints",
        "config.json",
        "notes.txt",
    ]
    assert not list((run.folder / "checkpoints").glob("step-*"))


def test_results_without_checkpoints_are_kept(run: RunFolder, model: NotaGen) -> None:
    begin(run)
    save_steps(run, 1)
    run.save_weights(model, "best", save_model)
    shutil.rmtree(run.folder / "checkpoints")
    before = contents(run.folder)
    with pytest.raises(InputError, match=r"holds best, metrics\.jsonl of a run.*--fresh") as caught:
        begin(run)
    assert "\n" not in str(caught.value)
    assert contents(run.folder) == before
    assert begin(run, fresh=True) == Progress()
    assert not (run.folder / "best").exists()


@pytest.mark.parametrize("saved", [1, 0])
def test_deleted_steps_alone_are_no_new_run(run: RunFolder, saved: int) -> None:
    begin(run)
    save_steps(run, *range(1, saved + 1))
    run.log(9, {"loss": 1.0})
    for step in (run.folder / "checkpoints").glob("step-*"):
        shutil.rmtree(step)
    if saved:
        with pytest.raises(InputError, match="no checkpoint to go on from"):
            begin(run)
    else:
        assert begin(run) == Progress()


def test_kill_between_first_weights_and_first_checkpoint(
    run: RunFolder, model: NotaGen, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(run)
    run.log(1, {"loss": 1.0})
    run.save_weights(model, "last", save_model)

    def die(folder: str) -> Never:
        (Path(folder) / "model.safetensors").write_text("x")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run.accelerator, "save_state", die)
        with pytest.raises(KeyboardInterrupt):
            save_steps(run, 1)
    assert begin(run) == Progress()
    assert not (run.folder / "last").exists()
    save_steps(run, 1)
    assert checkpoints(run) == ["step-00000001"]
    assert begin(run).step == 1


def test_kill_while_deleting_leaves_no_half_checkpoint(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(run)
    save_steps(run, 1, 2)

    def die(folder: Path, **_: object) -> Never:
        next(folder.rglob("progress.json")).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("notagen.training.runs.shutil.rmtree", die)
        with pytest.raises(KeyboardInterrupt):
            begin(run, fresh=True)
    assert begin(run) == Progress()
    assert not list(run.folder.glob(".*"))


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize(
    "names",
    [
        ("config.json", "model.safetensors"),
        ("best/model.safetensors",),
        ("checkpoints/step-100/optimizer.pt",),
        ("metrics.jsonl",),
    ],
)
def test_other_folders_are_left_alone(run: RunFolder, names: tuple[str, ...], fresh: bool) -> None:
    for name in names:
        (run.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (run.folder / name).write_text("{}")
    before = contents(run.folder)
    with pytest.raises(InputError, match="not of a training run; choose another run_folder"):
        begin(run, fresh=fresh)
    assert contents(run.folder) == before


@pytest.mark.parametrize("file", ["config.json", "checkpoints/step-00000001/progress.json"])
@pytest.mark.parametrize("content", [None, "", "[]", '{"step": 1', "\udcff"])
def test_missing_or_damaged_files_are_one_line(
    run: RunFolder, file: str, content: str | None
) -> None:
    begin(run)
    save_steps(run, 1)
    if content is None:
        (run.folder / file).unlink()
    else:
        (run.folder / file).write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=Path(file).name) as caught:
        begin(run)
    assert "\n" not in str(caught.value)
    if file == "config.json":
        assert begin(run, fresh=True) == Progress()


def test_progress_of_other_values_is_refused(run: RunFolder) -> None:
    begin(run)
    save_steps(run, 1)
    file = run.folder / "checkpoints/step-00000001/progress.json"
    for change in ({"step": "1"}, {"metrics_bytes": None}, {"steps": 2}, {"spikes": {"a": 1}}):
        good = file.read_text()
        file.write_text(json.dumps(json.loads(good) | change))
        with pytest.raises(InputError, match=r"progress\.json: found no progress of a run"):
            begin(run)
        file.write_text(good)


def test_settings_are_spelled_as_the_user_knows_them(run: RunFolder) -> None:
    begin(run)
    save_steps(run, 1)
    with pytest.raises(InputError, match="was begun with the dice = 1, now it is 2"):
        run.begin(SETTINGS | {"seed": 2}, free=FREE, fresh=False, spelled={"seed": "the dice"})


def test_weights_are_replaced_and_load(run: RunFolder, model: NotaGen) -> None:
    begin(run)
    run.save_weights(model, "last", save_model)
    with torch.no_grad():
        model.char_decoder.table.add_(1)
    run.save_weights(model, "last", save_model)
    loaded = load_model(run.folder / "last")
    assert torch.equal(loaded.char_decoder.table, model.char_decoder.table)
    assert loaded.config == model.config
    assert not list(run.folder.glob(".*"))


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.bin", "scheduler.bin", "ema.pt"])
@pytest.mark.parametrize("damage", ["cut", "overwritten", "gone"])
def test_damaged_checkpoints_are_one_line(
    run: RunFolder, model: NotaGen, file: str, damage: str
) -> None:
    ema = Ema(model, 0.9)
    begin(run)
    run.save_checkpoint(Progress(step=1, epoch=1), ema=ema)
    path = run.folder / "checkpoints/step-00000001" / file
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "overwritten":
        path.write_bytes(bytes(path.stat().st_size))
    else:
        path.unlink()
    with pytest.raises(InputError, match=rf"{file} is not as it was written") as caught:
        run.begin(SETTINGS, free=FREE, fresh=False, ema=ema)
    assert "\n" not in str(caught.value)
    assert "to go on from an older checkpoint" in str(caught.value)


def test_averages_go_on_with_the_weights(run: RunFolder, model: NotaGen) -> None:
    ema = Ema(model, 0.9)
    begin(run)
    with torch.no_grad():
        model.char_decoder.table.add_(1)
    ema.update()
    saved = {name: tensor.clone() for name, tensor in ema.state_dict().items()}
    run.save_checkpoint(Progress(step=1, epoch=1), ema=ema)
    ema.update()
    run.begin(SETTINGS, free=FREE, fresh=False, ema=ema)
    assert all(torch.equal(tensor, saved[name]) for name, tensor in ema.state_dict().items())
