"""Bits of pieces: against the model itself, patch by patch, and against what can be counted."""

import math
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from notagen.foundation.errors import InputError
from notagen.metrics.likelihood import PieceLikelihood, likelihoods
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen, count_targets
from notagen.tokenizer.patches import PatchTokenizer
from notagen.tokenizer.windows import add_counters, canonical, split_header

PROMPT = "%Baroque\n%Bach, Johann Sebastian\n%Choral\n%end\n"
HEADER = "%%score 1 2\nL:1/8\nM:4/4\nK:C\nV:1 treble\nV:2 bass\n"
LENGTH = 40


def body(num_bars: int) -> str:
    return "".join(
        f"[V:1]{'c2 d2 ' * (1 + bar % 3)}|[V:2]C{bar % 8 + 1}|\n" for bar in range(num_bars)
    )


SHORT, LONG = HEADER + body(3), HEADER + body(30)
ENDLESS_LINE = HEADER + body(1) + f"[V:1]{'e2 f2 ' * 300}|\n" + body(4)
TEXTS = [SHORT, LONG, HEADER + body(1), ENDLESS_LINE, SHORT, HEADER]


def new_model(patch_length: int = LENGTH, dropout: float = 0.0) -> NotaGen:
    """Return a model of random weights, drawn wider than usual so that context matters."""
    torch.manual_seed(0)
    config = ModelConfig(
        patch_length=patch_length, patch_layers=2, char_layers=1, hidden_size=64, dropout=dropout
    )
    model = NotaGen(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape)
    return model


@pytest.fixture
def model() -> NotaGen:
    return new_model()


def measure(
    model: NotaGen,
    texts: Sequence[str],
    prompts: Sequence[str] | None = None,
    patches_per_batch: int = 4096,
) -> list[PieceLikelihood]:
    outcomes = likelihoods(model, texts, prompts=prompts, patches_per_batch=patches_per_batch)
    return [outcome.result for outcome in outcomes if outcome.result is not None]


def whole(text: str) -> Tensor:
    """Return all patches of a text, (1, P, S), as the tokenizer gives them for training."""
    return torch.from_numpy(PatchTokenizer(patch_length=10**6).encode(text))[None]


def naive_bits(model: NotaGen, text: str, prompt: str = "") -> float:
    """Predict one patch after the other, each from a context that is put together here."""
    tokenizer, length = PatchTokenizer(), model.config.patch_length
    patches = whole(prompt + text)[0]
    header, lines = split_header(prompt + text)
    places, starts = 1, []
    for line in [*header, *add_counters(lines)]:
        starts.append(places)
        places += len(tokenizer.encode_lines(line))
    head = starts[len(header)] if lines else places
    room = (length - head) // 2
    first, bits = head, 0.0
    for target in range(1 + len(tokenizer.encode_lines(prompt)), len(patches)):
        if max(0, target - first) + head >= length:
            begun = [start for start in starts if start < target]
            first = min((s for s in begun if s >= target - room), default=target - room)
        known = patches[:target] if target < head else [*patches[:head], *patches[first:target]]
        shown = torch.stack([*known, patches[target]])[None]
        mask = torch.zeros(shown.shape[:2], dtype=torch.bool)
        mask[0, -1] = True
        bits -= float(model.log_probs(shown, mask)) / math.log(2)
    return bits


@pytest.mark.parametrize("fixture", ["full_model", "trained_model"])
def test_a_piece_that_fits_costs_what_the_model_says(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    model: NotaGen = request.getfixturevalue(fixture)
    shown = whole(SHORT)
    with torch.no_grad():
        expected = -float(model.log_probs(shown, torch.ones(shown.shape[:2]))) / math.log(2)
    (found,) = measure(model, [SHORT])
    assert found.bits == pytest.approx(expected, rel=1e-6)
    assert found[1:] == (len(SHORT), shown.shape[1] - 1, True)


@pytest.mark.parametrize("prompt", ["", PROMPT])
@pytest.mark.parametrize("text", [SHORT, LONG, ENDLESS_LINE])
def test_bits_are_those_of_one_patch_after_the_other(
    model: NotaGen, text: str, prompt: str
) -> None:
    (found,) = measure(model, [text], [prompt])
    with torch.no_grad():
        assert found.bits == pytest.approx(naive_bits(model, text, prompt), rel=1e-5)
    assert found.fits == (text == SHORT)


@settings(max_examples=30)
@given(
    st.lists(st.text("cdefg2 |", max_size=80), max_size=30),
    st.lists(st.sampled_from(["K:C\n", "V:1 treble\n", f"T:{'x' * 30}\n"]), max_size=8),
    st.sampled_from(["", "%end\n", PROMPT]),
)
def test_each_patch_is_predicted_once(bars: list[str], header: list[str], prompt: str) -> None:
    text = "".join(header) + "".join(f"[V:1]{bar}|\n" for bar in bars)
    model = new_model()
    predicted: list[list[int]] = []
    given_patches = whole(prompt)[0, :-1]

    def record(patches: Tensor, mask: Tensor) -> Tensor:
        assert patches.shape[1] <= LENGTH
        assert (patches[0, : len(given_patches)] == given_patches).all()
        predicted.extend(patches[mask].tolist())
        return -count_targets(patches, mask)[None].float()

    model.log_probs = record  # type: ignore[method-assign]
    (found,) = measure(model, [text], [prompt], patches_per_batch=1)
    shown = whole(prompt + text)[0]
    assert found.n_patches == len(shown) - len(given_patches)
    assert sorted(predicted) == sorted(shown[len(given_patches) :].tolist())
    targets = int((shown[len(given_patches) :] != 0).sum())
    assert found.bits == pytest.approx(targets / math.log(2))
    assert found.fits == (len(shown) <= LENGTH)
    assert found.n_characters == len(text)


def test_a_model_that_knows_nothing_needs_seven_bits_a_character(model: NotaGen) -> None:
    torch.nn.init.zeros_(model.char_decoder.table)
    for text, found in zip(TEXTS, measure(model, TEXTS), strict=True):
        assert found.bits == pytest.approx(7 * int((whole(text)[0, 1:] != 0).sum()), rel=1e-6)


def test_a_longer_context_changes_nothing_for_what_fits(model: NotaGen) -> None:
    longer = new_model(4 * LENGTH)
    state = model.state_dict()
    positions = "patch_decoder.transformer.positions"
    state[positions] = torch.cat([state[positions], longer.state_dict()[positions][LENGTH:]])
    longer.load_state_dict(state)
    short, long = measure(model, [SHORT, LONG])
    short_again, long_again = measure(longer, [SHORT, LONG])
    assert short_again.bits == pytest.approx(short.bits, rel=1e-6)
    assert short_again[1:] == short[1:]
    assert long_again.bits != pytest.approx(long.bits, rel=1e-4)
    assert (long.fits, long_again.fits) == (False, True)
    assert long_again[1:3] == long[1:3]


def test_a_piece_fits_up_to_the_length_of_training() -> None:
    num_patches = whole(SHORT).shape[1]
    fitting, shorter = (new_model(length) for length in (num_patches, num_patches - 1))
    assert measure(fitting, [SHORT])[0].fits
    assert not measure(shorter, [SHORT])[0].fits
    # the tokenizer, too, takes it for a piece that needs a window
    assert len(PatchTokenizer(patch_length=num_patches - 1).encode(SHORT)) == num_patches - 1


def test_a_prompt_is_given_and_conditions_the_piece(full_model: NotaGen) -> None:
    shown = whole(PROMPT + SHORT)
    num_given = len(PatchTokenizer().encode_lines(PROMPT)) + 1
    mask = torch.arange(shown.shape[1])[None] >= num_given
    with torch.no_grad():
        expected = -float(full_model.log_probs(shown, mask)) / math.log(2)
    prompted, plain = measure(full_model, [SHORT, SHORT], [PROMPT, ""])
    assert prompted.bits == pytest.approx(expected, rel=1e-6)
    assert prompted.bits != pytest.approx(plain.bits, rel=1e-4)
    assert prompted[1:3] == plain[1:3]
    assert measure(full_model, [SHORT])[0] == pytest.approx(plain)


def test_prompts_and_counters_in_a_text_do_not_count(model: NotaGen) -> None:
    header, lines = split_header(LONG)
    dressed = PROMPT + "".join([*header, *add_counters(lines)])
    assert canonical(dressed) == LONG
    assert measure(model, [dressed]) == measure(model, [LONG])


@pytest.mark.parametrize("patches_per_batch", [1, 50, 200])
def test_batches_change_nothing(model: NotaGen, patches_per_batch: int) -> None:
    prompts = ["", PROMPT] * 3
    one_by_one = [measure(model, [t], [p])[0] for t, p in zip(TEXTS, prompts, strict=True)]
    batched = measure(model, TEXTS, prompts, patches_per_batch)
    for found, wanted in zip(batched, one_by_one, strict=True):
        assert found == pytest.approx(wanted, rel=1e-5)


def test_batches_keep_to_their_budget(model: NotaGen, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, int]] = []
    log_probs: Callable[[Tensor, Tensor], Tensor] = model.log_probs

    def record(patches: Tensor, mask: Tensor) -> Tensor:
        shapes.append((patches.shape[0], patches.shape[1]))
        return log_probs(patches, mask)

    monkeypatch.setattr(model, "log_probs", record)
    measure(model, [SHORT, LONG] * 10, patches_per_batch=3 * LENGTH)
    assert max(rows for rows, _ in shapes) >= 3
    assert all(rows * length <= 3 * LENGTH for rows, length in shapes)


def test_pieces_come_as_soon_as_enough_are_read(model: NotaGen) -> None:
    read: list[int] = []

    def texts() -> Iterator[str]:
        for number in range(1000):
            read.append(number)
            yield SHORT

    next(likelihoods(model, texts(), patches_per_batch=LENGTH))
    assert len(read) < 50


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_off_and_the_mode_comes_back(training: bool) -> None:
    model = new_model(dropout=0.5).train(training)
    first = measure(model, [LONG])
    assert model.training is training
    assert all(module.training is training for module in model.modules())
    assert measure(model, [LONG]) == first
    assert measure(new_model(), [LONG]) == first
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_refused_piece_leaves_the_others(model: NotaGen) -> None:
    full_header = "".join(f"V:{number} treble\n" for number in range(1, LENGTH)) + body(1)
    texts = [SHORT, full_header, PROMPT + HEADER + "[V:1]é|\n", LONG]
    outcomes = list(likelihoods(model, texts))
    assert [outcome.item for outcome in outcomes] == texts
    kept = [outcome.result for outcome in outcomes if outcome.reason is None]
    assert kept == [pytest.approx(found) for found in measure(model, [SHORT, LONG])]
    assert outcomes[1].reason == (
        f"header: found {LENGTH} patches, prompt and bos among them, "
        f"wanted fewer than the {LENGTH} of the context"
    )
    assert str(outcomes[2].reason).startswith("line 11, column 6: found 'é'")


def test_a_header_may_take_all_but_one_patch(model: NotaGen) -> None:
    num_lines = LENGTH - 2
    text = "".join(f"V:{number} treble\n" for number in range(num_lines)) + body(3)
    (found,) = measure(model, [text])
    assert found.n_patches == whole(text).shape[1] - 1
    with torch.no_grad():
        assert found.bits == pytest.approx(naive_bits(model, text), rel=1e-5)


@pytest.mark.parametrize("prompt", ["%Baroque", "K:C\n", "%%score 1\n", "%end\n\n"])
def test_a_prompt_is_whole_lines(model: NotaGen, prompt: str) -> None:
    with pytest.raises(InputError, match="prompt must be lines"):
        list(likelihoods(model, [SHORT], prompts=[prompt]))


@pytest.mark.parametrize("prompts", [[], [PROMPT, PROMPT]])
def test_each_text_has_its_prompt(model: NotaGen, prompts: list[str]) -> None:
    with pytest.raises(ValueError, match="zip"):
        list(likelihoods(model, [SHORT], prompts=prompts))


def test_no_pieces_no_figures(model: NotaGen) -> None:
    assert list(likelihoods(model, [])) == []
    assert measure(model, [""])[0][1:] == (0, 1, True)
