"""Generation: a model writes pieces, patch by patch and character by character."""

import dataclasses
import hashlib
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Literal

import torch
from torch import Tensor

from notagen.generation.cache import CachedModel
from notagen.generation.context import GrowingTune
from notagen.generation.controls import NO_CONTROLS, Controls
from notagen.generation.finish import line_faults
from notagen.generation.prompts import Prompt, prompt_text
from notagen.generation.sampling import (
    DEFAULT_SAMPLING,
    Sampling,
    filter_probabilities,
    probabilities,
    sample,
)
from notagen.model.notagen import NotaGen
from notagen.tokenizer.patches import PatchTokenizer
from notagen.tokenizer.vocabulary import BOS, EOS, PAD, SIZE, encode_characters

NEWLINE = ord("\n")
OPENING = ord("[")
CONTROLS = [id_ for id_ in (*range(EOS + 1, 32), 127) if id_ != NEWLINE]

Reason = Literal["eos", "max_patches", "max_seconds"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generated:
    """A piece as the model wrote it."""

    index: int
    """Its place among the prompts, from 0."""
    prompt: str
    """The text it was begun with; empty where there was none."""
    seed: int
    """The run's; `piece_seed(seed, index)` is the piece's own."""
    text: str
    """Prompt, header and body with its bar counters; specials left out."""
    finished: bool
    """Whether the piece came to its own end."""
    reason: Reason
    """Why it ended: the eos patch, or the name of the limit it met."""
    patches: int
    """Patches the model wrote, the eos patch and bars taken back left out."""
    retries: int
    """Bars that were taken back and written again, see `Controls.valid_bars`."""
    seconds: float
    """Time it took."""


def piece_seed(seed: int, index: int) -> int:
    """Return the seed of one piece's random numbers, from 0 to 2**63 - 1.

    It depends on the run's seed and the piece's index alone: neither the prompts before it nor
    the number of pieces written side by side change a piece.
    """
    digest = hashlib.sha256(f"{seed}:{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class Generator:
    """Writes pieces with a model.

    Args:
        model: In eval mode; it is not changed.
        sampling: How the next character is chosen.

    Raises:
        ValueError: If the model is in training mode.
    """

    def __init__(self, model: NotaGen, sampling: Sampling = DEFAULT_SAMPLING) -> None:
        if model.training:
            raise ValueError("found a model in training mode, wanted eval mode: dropout off")
        config = model.config
        self.sampling = sampling
        self._tokenizer = PatchTokenizer(config.patch_size, config.patch_length)
        self._model = CachedModel(model)
        # What may be drawn: no pads; a bos only as the start of the eos patch, and no empty patch;
        # no control characters, which no tune holds and some readers take for line ends.
        self._inside = _forbid(PAD, BOS, *CONTROLS)
        self._first = _forbid(PAD, BOS, EOS, *CONTROLS)
        self._first_or_end = _forbid(PAD, EOS, *CONTROLS)

    def generate(
        self,
        prompts: Iterable[Prompt | str | None],
        *,
        seed: int,
        controls: Controls = NO_CONTROLS,
        skip: Collection[int] = (),
        on_text: Callable[[int, str], None] | None = None,
    ) -> Iterator[Generated]:
        """Yield one piece for each prompt, in their order; the same seed gives the same pieces.

        Args:
            prompts: What each piece begins with, see `prompt_text`.
            seed: Of the whole run; piece i depends on it, on i and on its own prompt only.
            controls: Length and limits of every piece.
            skip: Indices of pieces that are not wanted (there already); the others stay the same.
            on_text: Called with a piece's index and its new text: first the prompt's, if there is
                any, then that of each patch. The parts join to `Generated.text`.

        Raises:
            AlphabetError: If a prompt holds a control character that is outside the vocabulary.
            InputError: If the model's logits are not finite.
        """
        for index, prompt in enumerate(prompts):
            if index not in skip:
                yield self._generate_piece(index, prompt_text(prompt), seed, controls, on_text)

    def _generate_piece(
        self,
        index: int,
        prompt: str,
        seed: int,
        controls: Controls,
        on_text: Callable[[int, str], None] | None,
    ) -> Generated:
        started = time.monotonic()
        generator = torch.Generator().manual_seed(piece_seed(seed, index))
        tune = GrowingTune(self._tokenizer, prompt)
        texts: list[str] = []
        line: list[str] = []  # of the bar that may be taken back

        def tell(text: str) -> None:
            texts.append(text)
            if on_text and text:
                on_text(index, text)

        tell(prompt)
        due = list(tune.open_patch)
        num_read = num_written = retries = line_retries = 0
        self._model.forget()
        while True:
            reason = _reason_to_end(tune, controls, num_written, started)
            if reason:
                break
            if tune.at_line_start and tune.in_body:
                due += encode_characters(controls.counter(tune.bars_done))
            with torch.inference_mode():
                hidden = self._read(tune, num_read)
                num_read = len(tune.patches)
                patch = self._write_patch(hidden, tune, due, controls, generator)
            if patch is None:
                reason = "eos"
                break
            num_written += 1
            line.append(tune.add(patch))
            if controls.valid_bars and tune.in_body and not tune.at_line_start:
                continue
            if (
                controls.valid_bars
                and tune.in_body
                and tune.began_last_line
                and line_retries < controls.max_retries
                and line_faults(tune.last_line, tune.header)
            ):
                num_written -= tune.drop_line()
                num_read = self._rewind(tune, num_read)
                retries, line_retries = retries + 1, line_retries + 1
            else:
                tell("".join(line))
                line_retries = 0
            line.clear()
        tell("".join(line))
        return Generated(
            index=index,
            prompt=prompt,
            seed=seed,
            text="".join(texts),
            finished=reason == "eos",
            reason=reason,
            patches=num_written,
            retries=retries,
            seconds=time.monotonic() - started,
        )

    def _read(self, tune: GrowingTune, num_read: int) -> Tensor:
        """Return the state after the tune's last patch, (1, H), reading what is new.

        Where the context is full, the window slides: header and newest lines are read afresh.
        """
        unread = tune.patches[num_read:]
        if len(unread) > self._model.room:
            self._model.forget()
            unread = tune.context()
        return self._model.read(torch.tensor([unread], device=self._model.device))

    def _rewind(self, tune: GrowingTune, num_read: int) -> int:
        """Forget the bar that the tune has dropped; return how many patches stay read.

        The patch before the bar is read once more, as what follows depends on its state. Once the
        window has slid, the context is read afresh.
        """
        kept = len(tune.patches) - 1
        if num_read > self._model.patches.length:
            self._model.forget()
            return 0
        self._model.rewind(num_read - kept)
        return kept

    def _write_patch(
        self,
        hidden: Tensor,
        tune: GrowingTune,
        due: list[int],
        controls: Controls,
        generator: torch.Generator,
    ) -> list[int] | None:
        """Return the next patch, closed; None if the model ends the piece.

        Args:
            hidden: The state before the patch, (1, H).
            tune: What the patch is added to.
            due: Characters that are written whatever the model would draw; those written are
                removed. A `[` at a line start of the header begins the body, whose first counter
                becomes due.
            controls: Length of the piece and first counter.
            generator: The piece's random numbers.
        """
        size = self._tokenizer.patch_size
        may_end = tune.in_body and tune.at_line_start and controls.num_bars is None
        allowed = self._first_or_end if may_end else self._first
        ids: list[int] = []
        logits = self._model.begin_patch(hidden)
        while True:
            if due:
                id_ = due.pop(0)
            else:
                probs = probabilities(logits[0].cpu(), allowed)
                id_ = sample(filter_probabilities(probs, self.sampling), generator)
                if id_ == BOS:
                    return None
                if id_ == OPENING and not ids and tune.at_line_start and not tune.in_body:
                    due += encode_characters(controls.counter(0))[1:]
            ids.append(id_)
            if len(ids) == size or id_ == EOS:
                break
            if id_ == NEWLINE:  # a patch never crosses a line end
                ids.append(EOS)
                break
            logits = self._model.go_on(torch.tensor([id_], device=self._model.device))
            allowed = self._inside
        return ids + [PAD] * (size - len(ids))


def _reason_to_end(
    tune: GrowingTune, controls: Controls, num_written: int, started: float
) -> Reason | None:
    """Return why the piece ends before its next patch; None if it goes on."""
    if controls.num_bars and tune.at_line_start and tune.bars_done >= controls.num_bars:
        return "eos"
    if controls.max_patches and num_written >= controls.max_patches:
        return "max_patches"
    if controls.max_seconds and time.monotonic() - started >= controls.max_seconds:
        return "max_seconds"
    return None


def _forbid(*ids: int) -> Tensor:
    """Return what is added to the logits: minus infinity for the ids, 0 for all others."""
    added = torch.zeros(SIZE, dtype=torch.float64)
    added[list(ids)] = -math.inf
    return added
