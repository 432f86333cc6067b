"""Settings of a stage: checked dataclasses, overridden on the command line."""

import dataclasses
import runpy
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import tyro

from notagen.foundation.errors import InputError, ScoreError

Config = TypeVar("Config")


def check_fields(config: Any) -> None:  # noqa: ANN401 -- any dataclass instance
    """Check each field's value against its annotation; call it from `__post_init__`.

    Raises:
        TypeError: If a value has another type, naming field, wanted type, value and its type.
    """
    hints = get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value, wanted = getattr(config, field.name), hints[field.name]
        if not _fits(value, wanted):
            raise TypeError(
                f"{type(config).__name__}.{field.name} must be {_spell(wanted)}, "
                f"got {value!r} ({type(value).__name__})"
            )


def parse_config(config: Config) -> Config:
    """Return `config` with the command line's flags applied; `--help` lists every field.

    Unknown flags and values of the wrong type end the process with one message and exit code 2.
    """
    return tyro.cli(type(config), default=config)


def load_config(config_file: Path, name: str = "CONFIG") -> Any:  # noqa: ANN401 -- each stage has a class of its own
    """Return the settings that a stage's config.py defines under a name.

    Raises:
        InputError: If a value in the file is refused, naming file and line; or there is none of
            that name.
    """
    try:
        values = runpy.run_path(str(config_file))
    except (TypeError, ValueError) as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(config_file)]
        raise InputError(f"{config_file}:{lines[-1] if lines else 1}: {error}") from error
    if name not in values:
        raise InputError(f"{config_file}: found no {name}, wanted the settings of this script")
    return values[name]


def run_stage(main: Callable[[Any], None], config_file: Path, name: str = "CONFIG") -> None:
    """Run a stage's `main` under the values of its config.py and the command line's flags.

    Errors are those of `one_line_errors`.

    Args:
        main: Called with the settings.
        config_file: The stage's config.py; read here, so that a slip in it is one line too.
        name: What the settings of this script are called there.
    """
    with one_line_errors():
        main(parse_config(load_config(config_file, name)))


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the process where the block fails, in one line where a user can mend it.

    What a user can mend (missing input, unfit weights, refused music, a full disk) is printed on
    standard error, with exit code 1; a fault of ours keeps its traceback.
    """
    try:
        yield
    except (InputError, ScoreError, OSError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
    except KeyboardInterrupt:
        again = " without --fresh" if "--fresh" in sys.argv else ""
        sys.exit(f"stopped; run the same command again{again} to go on")


def _fits(value: object, wanted: Any) -> bool:  # noqa: ANN401 -- a type form has no common type
    origin = get_origin(wanted)
    if wanted is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in get_args(wanted))
    if origin is Literal:
        return value in get_args(wanted)
    if origin is tuple:
        members = get_args(wanted)
        if not isinstance(value, tuple):
            return False
        if len(members) == 2 and members[1] is Ellipsis:
            return all(_fits(item, members[0]) for item in value)
        return len(value) == len(members) and all(map(_fits, value, members))
    if origin is not None:
        return isinstance(value, origin)
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if wanted is None:
        return value is None
    if wanted is Path:
        return isinstance(value, Path)
    return isinstance(value, wanted)


def _spell(wanted: Any) -> str:  # noqa: ANN401 -- a type form has no common type
    if get_origin(wanted) in (Union, types.UnionType):
        return " | ".join(map(_spell, get_args(wanted)))
    if get_origin(wanted) is Literal:
        return " | ".join(map(repr, get_args(wanted)))
    if wanted is type(None):
        return "None"
    return str(wanted) if get_origin(wanted) else getattr(wanted, "__name__", str(wanted))
