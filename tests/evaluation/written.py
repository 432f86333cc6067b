"""Folders and indexes of pieces, written as the stages write them."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from notagen.generation.prompts import Prompt
from notagen.notation.rests import omit_rests
from notagen.tokenizer.windows import add_counters, split_header

BACH = Prompt("Baroque", "Bach, Johann Sebastian", "Choral")
MONTEVERDI = Prompt("Renaissance", "Monteverdi, Claudio", "Choral")


def as_model_writes(text: str, prompt: Prompt) -> str:
    """Return a piece as a model's text: prompt lines, rests omitted, bars counted."""
    header, body = split_header(omit_rests(text))
    return "".join([*prompt_lines(prompt), *header, *add_counters(body)])


def prompt_lines(prompt: Prompt) -> list[str]:
    return [f"%{label}\n" for label in (prompt.period, prompt.composer, prompt.instrumentation)]


def write_generations(
    folder: Path,
    texts: Mapping[str, str],
    prompt: Prompt = BACH,
    *,
    add: bool = False,
    **other: Any,  # noqa: ANN401
) -> Path:
    """Write texts as pieces of a model into a generation folder, after those there or anew."""
    lines = []
    for name, text in texts.items():
        path = folder / "original" / f"{name}.abc"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        known = {"finished": True, "mended": [], "files": [f"original/{name}.abc"]}
        lines.append({"name": name, "prompt": "".join(prompt_lines(prompt))} | known | other)
    write_lines(folder / "generations.jsonl", lines, add=add)
    return folder


def write_index(
    folder: Path, texts: Mapping[str, str], prompt: Prompt = BACH, *, name: str = "index"
) -> Path:
    """Write texts as training texts in their own key, and their index."""
    lines = []
    for piece, text in texts.items():
        (key,) = (line[2:] for line in text.splitlines() if line.startswith("K:"))
        path = folder / "interleaved" / key / f"{piece}_{key}.abc"
        path.parent.mkdir(parents=True, exist_ok=True)
        reduced = omit_rests(text)
        path.write_text("".join([*prompt_lines(prompt), "%end\n", reduced]), encoding="utf-8")
        labels = dict(
            zip(
                ("period", "composer", "instrumentation"),
                (prompt.period, prompt.composer, prompt.instrumentation),
                strict=True,
            )
        )
        lines.append({"path": f"interleaved/{piece}", "key": key, "work": piece} | labels)
    write_lines(folder / f"{name}.jsonl", lines)
    return folder / f"{name}.jsonl"


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]], *, add: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a" if add else "w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(line)}\n" for line in lines)
