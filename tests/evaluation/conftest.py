from pathlib import Path

import pytest

from notagen.notation.interleave import interleave
from notagen.notation.musicxml import musicxml_to_abc
from notagen.sources.music21_corpus import corpus_folder
from notagen.tokenizer.windows import split_header


def _texts(folder: str, *, every: int = 1) -> dict[str, str]:
    paths: list[Path] = sorted((corpus_folder() / folder).glob("*.mxl"))[::every]
    return {path.stem: interleave(musicxml_to_abc(path)) for path in paths}


@pytest.fixture(scope="session")
def chorales() -> dict[str, str]:
    """Bach's chorales of four voices and at most 40 bars, as interleaved ABC, by name."""
    return {
        name: text
        for name, text in _texts("bach").items()
        if text.count("\nV:") == 4 and len(split_header(text)[1]) <= 40
    }


@pytest.fixture(scope="session")
def madrigals() -> dict[str, str]:
    """Half of Monteverdi's madrigals, as interleaved ABC, by name."""
    return _texts("monteverdi", every=2)
