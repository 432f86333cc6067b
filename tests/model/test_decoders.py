import pytest
import torch
from torch import Tensor

from notagen.model import decoders
from notagen.model.config import ModelConfig
from notagen.model.decoders import CharDecoder, PatchDecoder, Transformer, attend

CONFIG = ModelConfig(patch_length=12, patch_layers=2, char_layers=2, hidden_size=128)


def gradient_reach(inputs: Tensor, outputs: Tensor) -> Tensor:
    """Return whether output i, a row, depends on input j, a column."""
    rows = []
    for i in range(outputs.shape[1]):
        (gradient,) = torch.autograd.grad(outputs[0, i].sum(), inputs, retain_graph=True)
        rows.append(gradient[0].abs().sum(-1) > 0)
    return torch.stack(rows)


@pytest.mark.parametrize("length", [12, 17])
def test_no_output_depends_on_a_later_input(length: int) -> None:
    torch.manual_seed(0)
    transformer = Transformer(length, 2, 128, 0.1).eval()
    for parameter in transformer.parameters():  # else the sum over a fresh norm is constant
        torch.nn.init.normal_(parameter, std=0.2)
    inputs = torch.randn(1, length, 128, requires_grad=True)
    reach = gradient_reach(inputs, transformer(inputs))
    assert torch.equal(reach, torch.ones(length, length, dtype=torch.bool).tril())


def test_a_patch_changes_no_state_before_it() -> None:
    torch.manual_seed(0)
    decoder = PatchDecoder(CONFIG).eval()
    patches = torch.randint(0, 128, (1, 12, 16))
    states = decoder(patches)
    changed = patches.clone()
    changed[0, 7, 3] += 1 if changed[0, 7, 3] < 127 else -1
    differs = (decoder(changed) - states).abs().sum(-1)[0] > 0
    assert differs.tolist() == [False] * 7 + [True] * 5


def test_a_character_changes_no_logits_up_to_its_own() -> None:
    torch.manual_seed(0)
    decoder = CharDecoder(16, 2, 128, 0.1).eval()
    hidden, characters = torch.randn(1, 128), torch.randint(1, 127, (1, 16))
    changed = characters.clone()
    changed[0, 5] += 1
    differs = (decoder(hidden, changed) - decoder(hidden, characters)).abs().sum(-1)[0] > 0
    assert differs.tolist() == [False] * 6 + [True] * 11


def test_the_embedding_is_a_linear_layer_over_one_hot_characters() -> None:
    torch.manual_seed(0)
    decoder = PatchDecoder(CONFIG).eval()
    torch.nn.init.normal_(decoder.bias)
    patches = torch.randint(0, 128, (2, 3, 16))
    one_hot = torch.nn.functional.one_hot(patches, 128).float().flatten(2)
    expected = decoder.transformer(one_hot @ decoder.table + decoder.bias)
    torch.testing.assert_close(decoder(patches), expected, atol=1e-6, rtol=0)


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    decoder = PatchDecoder(CONFIG)
    patches = torch.randint(0, 128, (1, 12, 16))
    assert not torch.equal(decoder(patches), decoder(patches))
    decoder.eval()
    assert torch.equal(decoder(patches), decoder(patches))
    without = PatchDecoder(
        ModelConfig(patch_length=12, patch_layers=2, hidden_size=128, dropout=0.0)
    )
    without.load_state_dict(decoder.state_dict())
    torch.testing.assert_close(without.train()(patches), decoder(patches), atol=1e-6, rtol=0)


@pytest.mark.parametrize("length", [1, 5, 16])
def test_attention_as_products_is_torchs_own(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    queries, keys, values = torch.randn(3, 3, 2, length, 64)
    found = attend(queries, keys, values, 0.0)
    monkeypatch.setattr(decoders, "SHORT", 0)
    expected = attend(queries, keys, values, 0.0)
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=0)
    mean = sum(attend(queries, keys, values, 0.3) for _ in range(3000)) / 3000
    torch.testing.assert_close(mean, expected, atol=0.12, rtol=0)
    assert not torch.equal(attend(queries, keys, values, 0.3), expected)


def test_residual_outputs_shrink_with_depth() -> None:
    torch.manual_seed(0)
    decoder = PatchDecoder(ModelConfig(patch_layers=8, hidden_size=256))
    block = decoder.transformer.blocks[0]
    assert block.get_parameter("attention.qkv.weight").std().item() == pytest.approx(0.02, rel=0.02)
    for name in ("attention.output.weight", "contract.weight"):
        assert block.get_parameter(name).std().item() == pytest.approx(0.005, rel=0.02)


def test_layers_are_those_of_gpt2() -> None:
    from transformers import GPT2Config, GPT2Model

    torch.manual_seed(0)
    ours = Transformer(12, 2, 128, 0.0).eval()
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    theirs = GPT2Model(
        GPT2Config(n_positions=12, n_embd=128, n_layer=2, n_head=2, vocab_size=3)
    ).eval()
    with torch.no_grad():
        theirs.wpe.weight.copy_(ours.positions)
        theirs.ln_f.load_state_dict(ours.norm.state_dict())
        for block, layer in zip(ours.blocks, theirs.h, strict=True):
            layer.ln_1.load_state_dict(block.get_submodule("norm_1").state_dict())
            layer.ln_2.load_state_dict(block.get_submodule("norm_2").state_dict())
            for own, other in (
                ("attention.qkv", layer.attn.c_attn),
                ("attention.output", layer.attn.c_proj),
                ("expand", layer.mlp.c_fc),
                ("contract", layer.mlp.c_proj),
            ):
                other.weight.copy_(block.get_parameter(f"{own}.weight").T)
                other.bias.copy_(block.get_parameter(f"{own}.bias"))
        inputs = torch.randn(3, 12, 128)
        expected = theirs(inputs_embeds=inputs).last_hidden_state
        torch.testing.assert_close(ours(inputs), expected, atol=2e-5, rtol=1e-5)
