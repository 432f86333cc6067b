"""What a weights file must meet before a model is built from it, whichever format it has."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError

from torch import Tensor

from notagen.foundation.errors import InputError
from notagen.model.config import ModelConfig

_LARGEST = {
    "patch_size": 1024,
    "patch_length": 1_000_000,
    "patch_layers": 1000,
    "char_layers": 1000,
    "hidden_size": 100_000,
}
"""Far beyond any model; a damaged file that asks for more is refused before it is built."""


def check_bounds(config: ModelConfig) -> None:
    """Refuse a shape beyond that of any model.

    Raises:
        ValueError: Naming the field, its limit and its value.
    """
    for name, largest in _LARGEST.items():
        if getattr(config, name) > largest:
            raise ValueError(f"{name} must be <= {largest}, got {getattr(config, name)}")


def check_tensors(
    state: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    path: Path,
    what: str = "a NotaGen model",
) -> None:
    """Compare the tensors found in a file with those of a model, by name and shape.

    Raises:
        InputError: Naming the tensors that are missing, extra or of another shape.
    """
    faults = {
        "missing": sorted(wanted.keys() - state.keys()),
        "extra": sorted(state.keys() - wanted.keys()),
        "of another shape": [
            f"{name} {tuple(state[name].shape)}, wanted {tuple(wanted[name].shape)}"
            for name in sorted(wanted.keys() & state.keys())
            if state[name].shape != wanted[name].shape
        ],
    }
    found = [f"{kind}: {abbreviate(names)}" for kind, names in faults.items() if names]
    if found:
        raise InputError(f"{path}: tensors do not fit {what}: {'; '.join(found)}")


def abbreviate(names: Sequence[str], shown: int = 3) -> str:
    """Return the first names, and how many more there are."""
    rest = len(names) - shown
    # a name from a damaged file may hold line ends
    spelled = (name if name.isprintable() else ascii(name) for name in names[:shown])
    return ", ".join(spelled) + (f" and {rest} more" if rest > 0 else "")


@contextmanager
def one_line_if_unreadable(path: Path) -> Iterator[None]:
    """Turn whatever a reader of weights raises over a damaged file into one line.

    Raises:
        InputError: Naming the file and the reason.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # a damaged file fails in dozens of ways, and none is documented
        reason = str(error).strip().splitlines() or [type(error).__name__]
        if isinstance(error, UnpicklingError):  # torch advises to trust the file
            reason = ["damaged, or more in it than tensors"]
        raise InputError(f"{path}: found no readable weights: {reason[0]}") from error
