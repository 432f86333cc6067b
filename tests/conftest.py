"""Golden figures and their models for all tests, and the settings of the property tests.

`HYPOTHESIS_PROFILE=long` tries far more examples.
"""

import lzma
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

from notagen.model.notagen import NotaGen
from notagen.model.weights import load_model

# no deadline: other work on the machine slows single examples down
settings.register_profile(
    "default", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "long", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

GOLDEN = Path(__file__).parent / "golden" / "notagen"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def golden_weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("published")

    def unpack(name: str) -> Path:
        path = folder / f"{name}.pth"
        if not path.exists():
            path.write_bytes(lzma.decompress((GOLDEN / f"{name}.pth.xz").read_bytes()))
        return path

    return unpack


@pytest.fixture
def full_model(golden_weights: Callable[[str], Path]) -> NotaGen:
    return load_model(golden_weights("notagen_tiny_full"))


@pytest.fixture
def trained_model(golden_weights: Callable[[str], Path]) -> NotaGen:
    return load_model(golden_weights("notagen_tiny_trained_model_only"))


@pytest.fixture(scope="session")
def golden_arrays() -> Callable[[str], dict[str, NDArray[np.generic]]]:
    def read(name: str) -> dict[str, NDArray[np.generic]]:
        with np.load(GOLDEN / f"{name}.npz") as arrays:
            return dict(arrays)

    return read
