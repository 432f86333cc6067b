import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from notagen.features import extract
from notagen.features.clamp import Clamp, ClampConfig
from notagen.features.encoder import average
from notagen.features.extract import Extractor
from notagen.features.form import MAX_CHARACTERS, prepare
from notagen.features.m3 import M3
from notagen.features.packed import attend, attend_padded, pack_encoder
from notagen.features.patches import MusicTokenizer, Patches
from notagen.features.weights import load_clamp, save_m3
from notagen.foundation.errors import InputError, NotationError, ScoreError
from notagen.model.packed import Precision
from notagen.notation.interleave import deinterleave
from tests.features.conftest import GOLDEN

HEADER = "%%score { 1 | 2 }\nL:1/8\nM:4/4\nK:C\nV:1 treble\nV:2 bass\n"
FULL = f"{HEADER}[V:1]c8|[V:2]C8|\n[V:1]d8|[V:2]z8|\n[V:1]e8|][V:2]E8|]\n"
REDUCED = f"{HEADER}[V:1]c8|[V:2]C8|\n[V:1]d8|\n[V:1]e8|][V:2]E8|]\n"
PROMPT = "%Romantic\n%Schubert, Franz\n%Art Song\n"
COUNTED = f"{HEADER}[r:0/2][V:1]c8|[V:2]C8|\n[r:1/1][V:1]d8|\n[r:2/0][V:1]e8|][V:2]E8|]\n"


def long_piece(bars: int) -> str:
    notes = [
        f"[V:1]{'CDEFGAB'[bar % 7]}{bar % 5 + 1}|[V:2]C,{bar % 3 + 1}|\n" for bar in range(bars)
    ]
    return HEADER + "".join(notes)


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    with np.load(GOLDEN / "clamp2_features.npz") as arrays:
        return dict(arrays)


def test_music_is_where_the_published_model_puts_it(
    published_clamp: Path, clamp_texts: dict[str, Any], figures: dict[str, Any]
) -> None:
    extractor = Extractor(published_clamp)
    for name, piece in clamp_texts["music"].items():
        found = extractor.features(piece["text"])
        assert (found.dtype, found.shape) == (np.float32, (96,))
        np.testing.assert_allclose(found, figures[f"music_{name}"], atol=5e-6, rtol=0)
    together = list(extractor.many(piece["text"] for piece in clamp_texts["music"].values()))
    for name, one in zip(clamp_texts["music"], together, strict=True):
        np.testing.assert_allclose(one, figures[f"music_{name}"], atol=5e-6, rtol=0)


def test_words_are_where_the_published_model_puts_them(
    published_clamp: Path,
    clamp_texts: dict[str, Any],
    figures: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from transformers import AutoModel, XLMRobertaConfig

    shape = json.loads((GOLDEN / "clamp2_tiny_config.json").read_text())["text_config"]
    shape.pop("class")
    AutoModel.from_config(XLMRobertaConfig(**shape)).save_pretrained(tmp_path / "words")
    model = load_clamp(published_clamp, text=True, text_model=tmp_path / "words")

    def tokenize(text: str, **_: object) -> dict[str, list[int]]:
        return {"input_ids": [0, *(4 + ord(char) * 7 % 590 for char in text), 2]}

    monkeypatch.setattr(extract, "load_clamp", lambda *_, **__: model)
    monkeypatch.setattr(extract, "load_tokenizer_of", lambda _: tokenize)
    extractor = Extractor(published_clamp)
    for name, text in clamp_texts["text"].items():
        found = extractor.text_features(text)
        np.testing.assert_allclose(found, figures[f"text_{name}"], atol=1e-6, rtol=0)
    assert len(clamp_texts["text"]["long"]) > 2 * 128
    with pytest.raises(InputError, match="found no word"):
        extractor.text_features(" \n")


def test_words_of_our_weights_have_features(small_clamp: Path) -> None:
    extractor = Extractor(small_clamp)
    one, other = extractor.text_features("a slow song"), extractor.text_features("Bach, Choral")
    assert one.shape == other.shape == extractor.features(FULL).shape == (32,)
    assert not np.array_equal(one, other)


def test_weights_without_their_words(small_clamp: Path, tmp_path: Path) -> None:
    for name in ("model.safetensors", "config.json"):
        shutil.copy(small_clamp / name, tmp_path / name)
    extractor = Extractor(tmp_path)
    for _ in range(2):
        with pytest.raises(InputError, match="found no tokenizer"):
            extractor.text_features("a song")
    assert extractor.features(FULL).shape == (32,)


def test_scoring_music_needs_no_transformers(published_clamp: Path) -> None:
    code = (
        "import sys; from notagen.features.extract import Extractor; "
        f"Extractor({str(published_clamp)!r}).features({FULL!r}); "
        "sys.exit('transformers' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_extractor_says_what_it_is(small_clamp: Path, published_clamp: Path) -> None:
    of_folder, of_file = Extractor(small_clamp), Extractor(small_clamp / "model.safetensors")
    assert of_folder.name == of_file.name == "clamp"
    assert of_folder.weights_sha256 == of_file.weights_sha256
    assert Extractor(published_clamp).name == "clamp2_tiny"


def test_m3_has_the_mean_vector_of_all_patches(small_m3: M3, tmp_path: Path) -> None:
    save_m3(small_m3, tmp_path / "m3")
    extractor = Extractor(tmp_path / "m3")
    tokenizer = MusicTokenizer(patch_length=64)
    text = long_piece(43)
    patches = tokenizer.encode_whole(text)
    assert len(patches) == 94  # 64, and 30 of the last 64
    expected = torch.zeros(64)
    with torch.no_grad():
        for part, share in ((patches[:64], 64 / 94), (patches[-64:], 30 / 94)):
            size = torch.tensor([64])
            vectors = small_m3.encoder(torch.from_numpy(part.copy())[None], size)
            expected += share * average(vectors, size)[0]
    np.testing.assert_allclose(extractor.features(text), expected, atol=1e-5, rtol=0)
    assert not extractor.reads_text
    with pytest.raises(InputError, match="found M3, which reads no text"):
        extractor.text_features("a song")


def test_many_pieces_are_as_each_alone(small_clamp: Path) -> None:
    texts = [long_piece(bars) for bars in (3, 40, 12, 90, 1, 3)]
    texts[2:2] = ["", "c\x01|", FULL]
    alone = Extractor(small_clamp, patches_per_batch=1)
    for room in (None, 70):
        found = list(Extractor(small_clamp, patches_per_batch=room).many(iter(texts)))
        assert len(found) == len(texts)
        for text, one in zip(texts, found, strict=True):
            if isinstance(one, ScoreError):
                with pytest.raises(type(one), match=re.escape(str(one))):
                    alone.features(text)
            else:
                np.testing.assert_allclose(one, alone.features(text), atol=1e-5, rtol=0)
        assert [number for number, one in enumerate(found) if isinstance(one, ScoreError)] == [2, 3]


@pytest.mark.parametrize("text", [FULL, REDUCED, COUNTED, PROMPT + COUNTED, deinterleave(FULL)])
def test_all_forms_of_a_piece_become_one(text: str) -> None:
    assert prepare(text, "omitted") == REDUCED
    assert prepare(text, "written") == FULL


def test_other_abc_is_brought_into_the_form() -> None:
    tune = "X:1\nT:Song\nM:4/4\nL:1/4\nK:G\nG A B c | d2 B2 |]\nw: la la\n"
    assert "[V:1]G2 A2 B2 c2|\n[V:1]d4 B4|]\n" in prepare(tune, "omitted")
    header = prepare(tune, "omitted").split("[V:1]", 1)[0]
    assert "L:1/8\n" in header
    assert "Song" not in header


def test_a_text_whose_voices_are_written_stays_as_it_is() -> None:
    counted = FULL.replace("[V:1]c", "[r:0/2][V:1]c").replace("[V:1]d8|", "[r:1/1][V:1] d8 |")
    plain = FULL.replace("[V:1]d8|", "[V:1] d8 |")
    assert prepare(f"{PROMPT}{counted}", "written") == prepare(plain, "written") == plain
    mtf = "ticks_per_beat 480\nnote_on 0 0 60 64\n"
    assert prepare(mtf, "omitted") == prepare(mtf, "written") == mtf


@pytest.mark.parametrize("rests", ["omitted", "written"])
def test_a_broken_piece_is_still_a_score(rests: Literal["omitted", "written"]) -> None:
    broken = f"{HEADER}[V:1]c8|[V:1]d8|\nnonsense |\n"
    assert prepare(broken, rests) == broken
    counted = broken.replace("[V:1]c8", "[r:0/1][V:1]c8").replace("nonsense", "[r:1/0]nonsense")
    assert prepare(f"{PROMPT}{counted}", rests) == broken
    for empty in ("", "\n", PROMPT, HEADER, "no music at all"):
        with pytest.raises(NotationError, match="found no bar"):
            prepare(empty, rests)
    with pytest.raises(NotationError, match="8,000,001 characters"):
        prepare("|" * (MAX_CHARACTERS + 1), rests)


def test_signs_beyond_ascii_are_folded(small_clamp: Path) -> None:
    extractor = Extractor(small_clamp)
    accented, plain = (FULL.replace("c8", f'"{word}"c8') for word in ("^Più", "^Piu"))
    assert np.array_equal(extractor.features(accented), extractor.features(plain))


@pytest.fixture(scope="module")
def encoder_and_pieces() -> tuple[Clamp, list[Patches]]:
    torch.manual_seed(0)
    model = Clamp(ClampConfig(patch_layers=3, hidden_size=128)).eval()
    for parameter in model.music.parameters():
        # biases of nothing and norms of one would hide what is left out
        parameter.data += 0.05 * torch.randn_like(parameter)
    tokenizer = MusicTokenizer()
    return model, [tokenizer.encode_whole(long_piece(bars)) for bars in (2, 40, 17)]


@pytest.mark.parametrize(
    ("precision", "least"),
    [("fp32", 1 - 1e-6), ("bf16", 0.9999), ("fp16", 0.9999), ("int8", 0.999)],
)
def test_few_bits_change_little(
    encoder_and_pieces: tuple[Clamp, list[Patches]], precision: Precision, least: float
) -> None:
    model, pieces = encoder_and_pieces
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = pack_encoder(model.music, precision).averages(pieces)
    assert found.dtype == torch.float32
    for row, piece in zip(found, pieces, strict=True):
        size = torch.tensor([len(piece)])
        with torch.no_grad():
            vectors = model.music(torch.from_numpy(piece.copy())[None], size)
        expected = average(vectors, size)[0]
        assert torch.cosine_similarity(row, expected, dim=0) >= least
        if precision == "fp32":
            torch.testing.assert_close(row, expected, atol=1e-5, rtol=0)
        else:
            assert not torch.equal(row, expected)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_padding_is_never_attended_to() -> None:
    torch.manual_seed(0)
    qkv, lengths = torch.randn(60, 3 * 128), [7, 1, 40, 12]
    apart = attend(qkv, lengths, torch.float32)
    torch.testing.assert_close(attend_padded(qkv, lengths), apart)
    # in 16 bits a segment's keys are padded to whole blocks
    in_16_bits = attend(qkv, lengths, torch.bfloat16)
    assert in_16_bits.dtype == torch.bfloat16
    torch.testing.assert_close(in_16_bits.float(), apart, atol=0.02, rtol=0.02)


@pytest.mark.gpu
def test_a_gpu_finds_the_same(small_clamp: Path) -> None:
    texts = [long_piece(bars) for bars in (3, 40, 90)]
    expected = list(Extractor(small_clamp).many(texts))
    for precision, tolerance in (("fp32", 1e-3), (None, 3e-2)):
        found = Extractor(small_clamp, device="cuda", precision=precision).many(texts)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=tolerance, rtol=0)
