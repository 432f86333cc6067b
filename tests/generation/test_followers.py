import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from notagen.generation.cache import CachedModel
from notagen.generation.controls import Controls
from notagen.generation.engine import Generator
from notagen.generation.followers import GrowingFollowers, PatchFollowers
from notagen.generation.sampling import Sampling
from notagen.model.config import ModelConfig
from notagen.model.ngram_heads import find_followers
from notagen.model.notagen import NotaGen
from notagen.model.packed import pack
from notagen.tokenizer.patches import PatchTokenizer
from notagen.tokenizer.vocabulary import EOS, PAD
from tests.model.random_model import random_model

LENGTHS = (1, 2, 5, 8)
SIZE = 6
SHAPE = ModelConfig(
    patch_length=60, patch_layers=1, char_layers=1, hidden_size=64, ngram_heads=LENGTHS
)

patch = st.lists(st.sampled_from(list(b"a|[V:\n")), min_size=1, max_size=SIZE).map(
    lambda ids: ids + [PAD] * (SIZE - len(ids))
)
Patches = list[list[int]]


def assert_found(tune: GrowingFollowers, patches: Patches, target: list[int]) -> None:
    """Check what a tune of these patches finds for those of another behind them."""
    (expected,) = find_followers(torch.tensor([[*patches, target]]), LENGTHS)
    begun = tune.begin()
    for place, character in enumerate(id_ for id_ in target if id_):
        assert begun.find() == expected[-1, place].tolist()
        begun.write(character)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.lists(patch, max_size=8)), min_size=1, max_size=5),
    patch,
    patch,
)
def test_what_is_found_depends_on_what_was_kept(
    parts: list[tuple[int, Patches]], first: list[int], second: list[int]
) -> None:
    tune, patches = GrowingFollowers(LENGTHS), []
    for num_kept, new in parts:
        tune.cut(num_kept)
        patches = patches[:num_kept] + new
        for read in new:
            tune.read(read)
    other = tune.copy()
    for target in (first, second):  # neither leaves a trace
        assert_found(tune, patches, target)
    other.cut(1)
    assert_found(other, patches[:1], first)
    assert_found(tune, patches, first)


@pytest.fixture
def model() -> NotaGen:
    return random_model(SHAPE)


@pytest.fixture
def tunes() -> Tensor:
    bars = "[V:1]CDEF GABc|[V:2]C4 E4|\n[V:1]CDEF GABcGABc GABc|[V:2]C4 E4|\n"
    texts = ("L:1/8\nK:C\n" + bars * 2, "L:1/8\nK:G\n" + bars * 3)
    patches = [torch.from_numpy(PatchTokenizer().encode(text)) for text in texts]
    return torch.nn.utils.rnn.pad_sequence(patches, batch_first=True)


def written_log_probs(cached: CachedModel, tunes: Tensor, ends: list[int]) -> list[float]:
    """Return what tunes side by side cost, each patch begun twice."""
    sums = [0.0] * len(tunes)
    for place in range(max(ends) - 1):
        inputs = cached.begin_patches(cached.step(tunes[:, place]), [2] * len(tunes))
        rows = torch.arange(1, 2 * len(tunes), 2)
        cached.keep_characters(rows, 0)
        inputs = inputs[rows]
        for column, characters in enumerate(tunes[:, place + 1].T.long()):
            log_probs = cached.next_logits(inputs, column).log_softmax(-1)
            for tune, character in enumerate(characters.tolist()):
                if character != PAD:
                    sums[tune] += log_probs[tune, character].item()
            inputs = cached.embed_characters(characters)
    return sums


@torch.inference_mode()
def test_tunes_are_written_as_they_are_learned(model: NotaGen, tunes: Tensor) -> None:
    mask = tunes[..., 0] != PAD
    cached = CachedModel(pack(model, "fp32"), 2, max_rows=4)
    found = written_log_probs(cached, tunes, mask.sum(1).tolist())
    torch.testing.assert_close(torch.tensor(found), model.log_probs(tunes, mask), rtol=1e-5, atol=0)


@torch.inference_mode()
def test_a_slot_can_be_cut_moved_and_read_again(model: NotaGen, tunes: Tensor) -> None:
    cached = CachedModel(pack(model, "fp32"), 2)
    cached.read(1, tunes[1, :9])
    cached.read(0, tunes[0, :11])
    expected = cached.begin_patches(cached.step(tunes[0, 11:12]))
    logits = cached.next_logits(expected, 0)
    cached.cut(1, 0)
    cached.move(0, 1)
    cached.cut(1, 4)
    cached.cut(0, 0)
    cached.move(1, 0)
    cached.read(0, tunes[0, 4:11])
    again = cached.begin_patches(cached.step(tunes[0, 11:12]))
    torch.testing.assert_close(cached.next_logits(again, 0), logits)


@torch.inference_mode()
def test_silent_heads_find_nothing(model: NotaGen, tunes: Tensor) -> None:
    cached = CachedModel(pack(model, "fp32"), 1, max_rows=2)
    cached.read(0, tunes[1, :20])
    inputs = cached.begin_patches(cached.step(tunes[1, 20:21]), [2], [False, True])
    silent = torch.ones(1, 22, dtype=torch.bool)
    patches = tunes[1:, :22]
    mask = torch.zeros_like(silent)
    mask[:, 21] = True
    costs = [model.log_probs(patches, mask)]
    costs.append(-model(patches, mask, silent, reduction="sum")[None])
    sums = torch.zeros(2)
    for place, character in enumerate(tunes[1, 21].long()):
        if character != PAD:
            sums += cached.next_logits(inputs, place).log_softmax(-1)[:, character]
            inputs = cached.embed_characters(character.repeat(2))
    torch.testing.assert_close(sums, torch.cat(costs))
    assert costs[0] != costs[1]


def test_recall_is_the_share_of_patches_with_heads(
    model: NotaGen, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[bool] = []
    begin = GrowingFollowers.begin

    def count(tune: GrowingFollowers, *, silent: bool = False) -> PatchFollowers:
        begun.append(silent)
        return begin(tune, silent=silent)

    monkeypatch.setattr(GrowingFollowers, "begin", count)
    for recall in (0.0, 0.25, 1.0):
        begun.clear()
        controls = Controls(max_patches=50)
        pieces = Generator(model, Sampling(recall=recall)).generate(
            [None] * 4, seed=1, controls=controls
        )
        assert len(list(pieces)) == 4
        assert abs(1 - sum(begun) / len(begun) - recall) < (0.1 if recall == 0.25 else 1e-9)


def test_pieces_are_the_same_side_by_side(model: NotaGen) -> None:
    sampling = Sampling(top_k=9, top_p=0.9, temperature=1.0)
    prompts = [None, "%Romantic\n", "L:1/8\nK:C\n", None]
    # longer than the context, so that its window slides
    controls = Controls(max_patches=2 * SHAPE.patch_length)
    one, many = (
        {
            piece.index: (piece.text, piece.patches)
            for piece in Generator(model, sampling, batch_size=size).generate(
                prompts, seed=3, controls=controls
            )
        }
        for size in (1, 3)
    )
    assert one == many
    texts, lengths = zip(*one.values(), strict=True)
    assert max(lengths) == controls.max_patches
    assert len(set(texts)) == len(prompts)
    assert EOS not in map(ord, "".join(texts))
