"""What a model writes in the middle of its training, as text and as a page."""

from pathlib import Path

from notagen.foundation.errors import InputError, ScoreError
from notagen.foundation.files import write_text
from notagen.generation.controls import Controls
from notagen.generation.engine import Generated, Generator
from notagen.generation.finish import finish
from notagen.generation.prompts import Prompt
from notagen.model.notagen import NotaGen
from notagen.notation.checks import check_alignment
from notagen.notation.musicxml import abc_to_musicxml
from notagen.render.engrave import engrave
from notagen.training.lora import merged


def write_sample(
    model: NotaGen,
    folder: Path,
    step: int,
    *,
    prompt: Prompt | str | None,
    seed: int,
    max_patches: int = 256,
    max_seconds: float = 120.0,
) -> str:
    """Write one piece to `step-<8 digits>.abc`, and its first page to `.svg` where there is one.

    The text is the finished interleaved tune, or what the model wrote if that cannot be finished.
    The model, its training mode and torch's random numbers are left as they are; the same weights,
    prompt and seed give the same piece, if no time limit cuts it off.

    Args:
        model: Without what an accelerator wraps around it, on any device, in any type.
        folder: Made if it is not there.
        step: Optimizer steps taken so far; names the files.
        prompt: What the piece begins with, see `prompt_text`.
        seed: Of the piece.
        max_patches: Patches the model may write, > 0.
        max_seconds: Time it may take, > 0.

    Returns:
        One line for the log, such as `12 bars, 3 unaligned`.

    Raises:
        AlphabetError: If the prompt holds a control character that is outside the vocabulary.
        OSError: If the files cannot be written.
    """
    controls = Controls(max_patches=max_patches, max_seconds=max_seconds)
    try:
        piece = _generate(model, prompt, seed, controls)
    except InputError as error:
        return f"no piece: {_line(error)}"
    text = folder / f"step-{step:08d}.abc"
    page = text.with_suffix(".svg")
    page.unlink(missing_ok=True)
    try:
        tune = finish(piece.text, finished=piece.finished)
    except ScoreError as error:
        write_text(text, piece.text)
        return f"no tune: {_line(error)}"
    write_text(text, tune.abc)
    report = check_alignment(tune.abc)
    told = f"{report.n_bars} bars, {len(report.problems)} unaligned"
    if not piece.finished:
        told += f", cut off by {piece.reason}"
    try:
        write_text(page, engrave(abc_to_musicxml(tune.abc))[0])
    except (InputError, ScoreError) as error:
        return f"{told}, no page: {_line(error)}"
    return told


def _generate(
    model: NotaGen, prompt: Prompt | str | None, seed: int, controls: Controls
) -> Generated:
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        plain = merged(model).to(model.char_decoder.table.device)
        [piece] = Generator(plain).generate([prompt], seed=seed, controls=controls)
        return piece
    finally:
        for module in training:
            module.training = True


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
