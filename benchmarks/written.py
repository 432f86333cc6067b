"""What a trained model writes: how close lower precisions come, and whether its pieces are sound.

Run by `python -m benchmarks.generation --parity` and `--pieces`.
"""

import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.report import table
from notagen.foundation.errors import ScoreError
from notagen.generation.cache import CachedModel
from notagen.generation.controls import Controls
from notagen.generation.engine import Generated, Generator
from notagen.generation.finish import finish
from notagen.generation.prompts import Prompt
from notagen.metrics.validity import check_validity, same_notes
from notagen.model.ngram_heads import find_followers
from notagen.model.notagen import NotaGen
from notagen.model.packed import Precision, pack
from notagen.notation.musicxml import abc_to_musicxml
from notagen.tokenizer.patches import PatchTokenizer
from notagen.tokenizer.vocabulary import PAD

PARITY = {"fp32": None, "bf16": (1e-4, 0.99), "fp16": (1e-4, 0.99), "int8": (2e-3, 0.985)}
"""Largest mean divergence in nats and smallest share of equal likeliest characters wanted."""
MAX_COST = 0.25
"""Time that valid bars may cost, as a share of the time without."""
FORMS = ("parse", "align", "convert", "same notes in music21")
_TOGETHER = 20
"""Pieces written with a setting before it is the other's turn."""


def read_texts(folder: Path, count: int) -> list[str]:
    """Return the texts of a seeded draw of the `.abc` files in a folder and its subfolders."""
    files = sorted(folder.rglob("*.abc"))
    drawn = random.Random(7).sample(files, min(count, len(files)))  # noqa: S311 -- no secret
    return [file.read_text(encoding="utf-8") for file in drawn]


def parity(
    model: NotaGen, texts: Sequence[str], precisions: Sequence[Precision], batch: int
) -> str:
    """Return how far lower precisions are from the model computed in fp32, uncached.

    Args:
        model: Trained, in fp32.
        texts: Interleaved tunes; of each, as much as the context holds.
        precisions: Those to compare.
        batch: Rows computed side by side, for which int8 has layers of their own.
    """
    config = model.config
    tokenizer = PatchTokenizer(config.patch_size, config.patch_length)
    device = model.char_decoder.table.device
    pieces = [torch.from_numpy(tokenizer.encode(text)).long().to(device) for text in texts]
    real = torch.cat([patches[1:] for patches in pieces]) != PAD
    with torch.inference_mode():
        exact = torch.cat([_uncached_log_probs(model, patches) for patches in pieces])
        rows = []
        for precision in precisions:
            cached = CachedModel(pack(model, precision, rows=batch), num_slots=batch)
            found = torch.cat([_log_probs(cached, patches) for patches in pieces])
            divergences = (exact.exp() * (exact - found)).sum(-1)
            equal = exact.argmax(-1) == found.argmax(-1)
            cells = [f"{precision}, batch {batch}"]
            for shown in (real[:, :1], real):
                kl = divergences[:, : shown.shape[1]][shown]
                same = equal[:, : shown.shape[1]][shown].float().mean().item()
                cells += [
                    _at_most(kl.mean().item(), precision),
                    f"{kl.max().item():.1e}",
                    _at_least(same, precision),
                ]
            rows.append(cells)
    head = [f"{real.sum().item()} characters, {len(real)} of them first"]
    for which in ("first", "all"):
        head += [f"{which}: mean divergence, nats", "largest", "same likeliest"]
    return table(head, rows)


def _uncached_log_probs(model: NotaGen, patches: Tensor) -> Tensor:
    hidden = model.patch_decoder(patches[None, :-1])[0]
    followers = None
    if model.config.ngram_heads:
        followers = find_followers(patches[None], model.config.ngram_heads)[0, 1:]
    return _normalise(model.char_decoder(hidden, patches[1:, :-1], followers))


def _log_probs(cached: CachedModel, patches: Tensor) -> Tensor:
    """Return the log-probabilities of all characters behind the first patch, (P - 1, S, 128).

    They are computed as when writing: patch by patch, then character by character.

    Args:
        cached: All its slots read the patches; the first gives the result.
        patches: (P, S), integers.
    """
    num_slots = len(cached.lengths)
    for slot in range(num_slots):
        cached.cut(slot, 0)
    found = []
    for read, target in itertools.pairwise(patches):
        inputs = cached.begin_patches(cached.step(read.expand(num_slots, -1)))
        logits = []
        for place, character in enumerate(target):
            logits.append(cached.next_logits(inputs, place)[0])
            inputs = cached.embed_characters(character.expand(num_slots))
        found.append(torch.stack(logits))
    return _normalise(torch.stack(found))


def _normalise(logits: Tensor) -> Tensor:
    return logits.double().log_softmax(-1)


def _at_most(kl: float, precision: Precision) -> str:
    wanted = PARITY[precision]
    if wanted is None:
        return f"{kl:.1e}"
    return f"{kl:.1e} (wanted {wanted[0]:.0e}: {'met' if kl <= wanted[0] else 'short'})"


def _at_least(share: float, precision: Precision) -> str:
    wanted = PARITY[precision]
    if wanted is None:
        return f"{share:.2%}"
    return f"{share:.2%} (wanted {wanted[1]:.1%}: {'met' if share >= wanted[1] else 'short'})"


def soundness(
    model: NotaGen,
    count: int,
    precision: Precision,
    batch: int,
    max_patches: int,
    prompt: Prompt | None,
) -> str:
    """Return how many pieces are sound, with valid bars on and off, and what it costs.

    Args:
        model: Trained.
        count: Pieces asked for with each setting.
        precision: Of the weights.
        batch: Pieces written side by side.
        max_patches: A piece that is longer ends unfinished.
        prompt: One that the model has learned, or None if it has learned none.
    """
    generator = Generator(model, batch_size=batch, precision=precision)
    counts = {True: Counter[str](), False: Counter[str]()}
    seconds = {True: 0.0, False: 0.0}
    for start in range(0, count, _TOGETHER):
        prompts = [prompt] * min(_TOGETHER, count - start)
        for valid, found in counts.items():
            controls = Controls(valid_bars=valid, max_patches=max_patches)
            began = time.process_time()
            pieces = list(generator.generate(prompts, seed=start, controls=controls))
            seconds[valid] += time.process_time() - began
            found["asked for"] += len(prompts)
            for piece in pieces:
                found.update(judge(piece))
    each = {valid: seconds[valid] / counts[valid]["patches"] for valid in counts}
    rows = []
    for valid, found in counts.items():
        row = [f"valid bars {'on' if valid else 'off'}", str(found["asked for"])]
        row.append(str(found["asked for"] - found["tunes"]))
        row += [str(found[name]) for name in (*FORMS, "finished", "taken back", "mended")]
        rows.append([*row, f"{1000 * each[valid]:.2f}"])
    cost = each[True] / each[False] - 1
    head = ["", "asked for", "lost", *FORMS, "came to their end", "lines taken back", "bars mended"]
    return "\n\n".join(
        [
            table([*head, "ms a kept patch"], rows),
            f"Valid bars cost {cost:.1%} (wanted {MAX_COST:.0%} at most: "
            f"{'met' if cost <= MAX_COST else 'short'}).",
        ]
    )


def judge(piece: Generated) -> dict[str, int]:
    """Return what is counted of a piece; a piece without `tunes` is lost.

    It parses if nothing had to be mended; a bar that a limit cut off does not count.
    """
    found = {
        "patches": piece.patches,
        "finished": piece.finished,
        "taken back": piece.retries,
        "mended": len(piece.mended),
    }
    try:
        tune = finish(piece.text, finished=piece.finished)
        found["tunes"] = 1
        validity = check_validity(tune.abc)
        found |= {"parse": validity.parses and not tune.repairs, "align": validity.aligned}
        musicxml = abc_to_musicxml(tune.abc)
        found["convert"] = 1
        found["same notes in music21"] = not same_notes(tune.abc, musicxml)
    except ScoreError as error:
        print(f"piece {piece.index} of seed {piece.seed}: {error}", file=sys.stderr)
    return found
