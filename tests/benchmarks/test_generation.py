import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmarks import generation, written
from benchmarks.generation_sides import Ours, Side, spread, weight_bytes, written_lengths
from benchmarks.original import original_filter, original_patch
from notagen.generation.engine import Generated
from notagen.generation.settings import Sampling
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.tokenizer.patches import PatchTokenizer
from notagen.tokenizer.vocabulary import EOS

Arrays = Callable[[str], dict[str, NDArray[np.generic]]]
GREEDY = Sampling(top_k=1, top_p=1.0, temperature=1.0)
TUNE = "L:1/8\nM:4/4\nK:C\nV:1 treble\nV:2 bass\n[V:1]c4 d4|[V:2]C8|\n[V:1]c8|[V:2]C8|]\n"


def test_the_original_way_writes_the_original_patches(
    trained_model: NotaGen, golden_arrays: Arrays
) -> None:
    arrays = golden_arrays("greedy_tiny_trained")
    patches = torch.from_numpy(arrays["prompt_patches"])[None]
    random = np.random.default_rng(0)
    for raw, read in zip(
        arrays["generated_raw"], arrays["generated_after_eos_zeroed"], strict=True
    ):
        assert original_patch(trained_model, patches, GREEDY, random) == raw.tolist()
        patches = torch.cat([patches, torch.from_numpy(read)[None, None]], dim=1)


@pytest.mark.parametrize(
    ("top_k", "top_p", "temperature"),
    [(9, 0.9, 1.2), (0, 1.0, 1.0), (5, 1.0, 0.7), (0, 0.8, 1.0), (40, 0.95, 2.0)],
)
def test_the_original_way_draws_from_the_original_probabilities(
    golden_arrays: Arrays, top_k: int, top_p: float, temperature: float
) -> None:
    arrays = golden_arrays("sampling_filter")
    sampling = Sampling(top_k=top_k, top_p=top_p, temperature=temperature)
    found = [original_filter(probs, sampling) for probs in arrays["probs_in"]]
    wanted = arrays[f"k{top_k}_p{top_p:g}_t{temperature:g}"]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)


def test_patches_are_as_long_as_what_is_drawn_of_them() -> None:
    patches = PatchTokenizer().encode(TUNE)
    drawn = [len(PatchTokenizer().decode([patch])) for patch in patches]
    # an eos is drawn where a line goes on behind its patch, and none where it ends or is full
    ends = [10 not in patch and EOS in patch for patch in patches]
    assert (
        written_lengths(patches).tolist()[1:-1]
        == [length + ended for length, ended in zip(drawn, ends, strict=True)][1:-1]
    )


@pytest.mark.parametrize("count", [8, 64])
def test_lengths_are_spread_like_those_of_the_text(count: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 17, 5000)
    lengths[:2800] = 16
    chosen = lengths[spread(lengths, count)]
    assert len(chosen) == count
    assert chosen.mean() == pytest.approx(lengths.mean(), abs=0.4)
    assert (chosen == 16).mean() == pytest.approx((lengths == 16).mean(), abs=1 / count)


@pytest.mark.parametrize("full", [False, True])
def test_our_side_writes_patches_of_real_lengths(
    monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    model = NotaGen(ModelConfig(patch_length=40, patch_layers=1, char_layers=1, hidden_size=64))
    patches = PatchTokenizer().encode(TUNE)[1:-1]
    ours = Ours(model.eval(), Side("fp32", 3, full), patches)
    steps: list[int] = []
    read: list[list[int]] = []
    next_logits, step = ours._cached.next_logits, ours._cached.step

    def count_logits(inputs: torch.Tensor, place: int) -> torch.Tensor:
        steps.append(place)
        return next_logits(inputs, place)

    def note_read(patches: torch.Tensor) -> torch.Tensor:
        read.extend(patches.tolist())
        return step(patches)

    monkeypatch.setattr(ours._cached, "next_logits", count_logits)
    monkeypatch.setattr(ours._cached, "step", note_read)
    assert ours.seconds(20) > 0
    assert ours._cached.lengths == [19 + 3] * 3  # three turns of three patches
    real = patches.tolist()
    assert all(patch in real for patch in read[3:])  # the first three are random
    assert (steps.count(15) == steps.count(0) == 3) if full else steps.count(0) == 3


def test_bytes_are_those_of_the_models_weights() -> None:
    config = ModelConfig(patch_layers=3, char_layers=2, hidden_size=128)
    model = NotaGen(config)
    matrices = {
        name: sum(
            weight.numel()
            for key, weight in decoder.named_parameters()
            if "blocks" in key and weight.dim() == 2
        )
        for name, decoder in (("patch", model.patch_decoder), ("char", model.char_decoder))
    }
    inside = matrices["char"] + model.char_decoder.table.numel()
    held, read = weight_bytes(config, Side("bf16", 1), 10)
    assert held == 2 * (matrices["patch"] + inside)
    assert read == 2 * (matrices["patch"] + 10 * inside)
    assert (
        weight_bytes(config, Side("int8", 1, full=True), 10)[1] == matrices["patch"] + 16 * inside
    )


def test_a_ratio_is_that_of_the_same_round() -> None:
    assert generation.median_ratio([10, 20, 60], [1, 4, 6]) == 10


def test_lower_precisions_are_measured_against_the_whole_model(trained_model: NotaGen) -> None:
    rows = _rows(written.parity(trained_model, [TUNE], ["fp32", "bf16", "int8"], batch=3))
    assert [row[0] for row in rows[1:]] == ["fp32, batch 3", "bf16, batch 3", "int8, batch 3"]
    exact, half, eighth = (
        [float(row[place].split()[0]) for place in (1, 2, 4, 5)] for row in rows[1:]
    )
    assert max(exact) < 1e-9
    assert exact[2] < half[2] < eighth[2] < 0.1
    assert rows[1][3] == rows[1][6] == "100.00%"
    characters, first = (int(number) for number in re.findall(r"\d+", rows[0][0]))
    patches = PatchTokenizer().encode(TUNE)
    assert (characters, first) == ((patches[1:] != 0).sum(), len(patches) - 1)


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        (TUNE, ["tunes", "parse", "align", "convert", "same notes in music21"]),
        (TUNE.replace("C8|]", "C4|]"), ["tunes", "parse", "convert", "same notes in music21"]),
        (TUNE.replace("c4 d4", "c4 d4]"), ["tunes", "align", "convert", "same notes in music21"]),
        (TUNE[: TUNE.index("[V:1]")], []),
    ],
)
def test_pieces_are_judged_by_what_they_hold(text: str, sound: list[str]) -> None:
    piece = Generated(
        index=0, prompt="", seed=0, text=text, finished=True, reason="eos", patches=9,
        retries=2, mended=(1,), seconds=1.0,
    )  # fmt: skip
    found = written.judge(piece)
    counted = {"patches": 9, "finished": 1, "taken back": 2, "mended": 1}
    assert {name: found.pop(name) for name in counted} == counted
    assert [name for name, is_so in found.items() if is_so] == sound


def test_pieces_are_written_with_valid_bars_and_without(trained_model: NotaGen) -> None:
    text = written.soundness(trained_model, 2, "fp32", batch=2, max_patches=30, prompt=None)
    rows = _rows(text)
    assert [row[:2] for row in rows[1:]] == [["valid bars on", "2"], ["valid bars off", "2"]]
    assert rows[2][rows[0].index("lines taken back")] == "0"
    assert "Valid bars cost" in text


def test_a_quick_run_prints_what_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    generation.main(["--quick", "--precisions", "fp32"])
    rows = _rows(capsys.readouterr().out)
    by_head = {row[0]: row for row in rows}
    assert {"patches/s", "times the original", "at context 8", "times as fast as"} <= set(by_head)
    rates, ratios = ([float(cell) for cell in rows[place][1:3]] for place in (2, 6))
    assert rates[0] > float(rows[1][1])
    assert ratios[0] > 1


def _rows(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("| ").split(" | ")]
        for line in text.splitlines()
        if line.startswith("|") and not line.startswith("| ---")
    ]
