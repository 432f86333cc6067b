import pytest
import torch

from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (ModelConfig.small(), 109_579_776),
        (ModelConfig.medium(), 243_677_184),
        (ModelConfig.large(), 515_738_880),
    ],
)
def test_sizes_are_the_published_ones(config: ModelConfig, count: int) -> None:
    with torch.device("meta"):
        model = NotaGen(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_mini_is_about_nine_million() -> None:
    with torch.device("meta"):
        model = NotaGen(ModelConfig.mini())
    assert 8.5e6 < sum(parameter.numel() for parameter in model.parameters()) < 9.7e6


def test_heads_follow_from_the_width() -> None:
    assert ModelConfig.large().num_heads == 20


@pytest.mark.parametrize(
    ("field", "value"),
    [("hidden_size", 100), ("patch_layers", 0), ("patch_length", 3), ("dropout", 1.0)],
)
def test_values_out_of_range_are_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        ModelConfig(**{field: value})


def test_values_of_the_wrong_type_are_named() -> None:
    with pytest.raises(TypeError, match="hidden_size"):
        ModelConfig(hidden_size="256")  # type: ignore[arg-type]
