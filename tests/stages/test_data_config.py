import re
from pathlib import Path
from typing import Any

import pytest

from notagen.stages import DataConfig


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"limit": 0}, "limit must be >= 1, got 0"),
        ({"source": "folder"}, "folder must be set for the source 'folder', got None"),
        (
            {"composer": "Liszt, Franz"},
            "folder, period, composer and instrumentation go with the source 'folder', got "
            "'music21'",
        ),
        (
            {"metadata": Path("x.jsonl")},
            "metadata goes with another source, which it describes, got 'music21'",
        ),
        ({"eval_share": 1.0}, "eval_share must be > 0 and < 1, got 1.0"),
        ({"workers": 0}, "workers must be >= 1, or -1 for one a core, got 0"),
        (
            {"scheduler": "tcp://a:1"},
            "scheduler goes with the backend 'dask' or 'ray', got 'loky'",
        ),
    ],
)
def test_values_out_of_range_are_named(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        DataConfig(out=Path("out"), **values)
