"""Generation: a model writes many pieces side by side, patch by patch."""

import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator

import torch

from notagen.foundation.errors import InputError, ScoreError
from notagen.generation.cache import CachedModel
from notagen.generation.controls import NO_CONTROLS, Controls
from notagen.generation.generated import Generated, piece_seed
from notagen.generation.piece import MAX_CANDIDATES, Piece
from notagen.generation.prompts import Prompt, prompt_text
from notagen.generation.requests import Request
from notagen.generation.sampling import DEFAULT_SAMPLING, Sampling
from notagen.generation.writing import PatchWriter
from notagen.model.notagen import NotaGen
from notagen.model.packed import PackedModel, Precision, pack
from notagen.tokenizer.patches import PatchTokenizer
from notagen.tokenizer.vocabulary import PAD

__all__ = ["Generated", "Generator", "piece_seed"]


class Generator:
    """Writes pieces with a model.

    Args:
        model: In eval mode; it is not changed, and not needed any more.
        sampling: How the next character is chosen.
        batch_size: Pieces written side by side at most; where one ends, the next begins in its
            place. More give more patches a second and take more memory.
        precision: Of the weights while writing; None for the type that the model has. In fp32 the
            pieces of one seed are the same whatever the batch size, but for one in thousands, where
            a last digit tips the choice between two characters; in the others it tips more.

    Raises:
        ValueError: If the model is in training mode, or the batch size below 1.
    """

    def __init__(
        self,
        model: NotaGen,
        sampling: Sampling = DEFAULT_SAMPLING,
        *,
        batch_size: int = 1,
        precision: Precision | None = None,
    ) -> None:
        if model.training:
            raise ValueError("found a model in training mode, wanted eval mode: dropout off")
        if batch_size < 1:
            raise ValueError(f"batch_size must be >= 1, got {batch_size}")
        self.sampling = sampling
        self.batch_size = batch_size
        # what is always the likeliest is always the same, unless heads speak now and then
        mixed = bool(model.config.ngram_heads) and 0 < sampling.recall < 1
        self._never_varies = sampling.is_greedy and not mixed
        self._tokenizer = PatchTokenizer(model.config.patch_size, model.config.patch_length)
        self._model = pack(model, precision, rows=batch_size)
        self._stopped = False

    def generate(
        self,
        prompts: Iterable[Request | Prompt | str | None],
        *,
        seed: int,
        controls: Controls = NO_CONTROLS,
        skip: Collection[int] = (),
        on_text: Callable[[int, str], None] | None = None,
    ) -> Iterator[Generated]:
        """Yield one piece for each prompt as it ends; the same seed gives the same pieces.

        Pieces come in the order of the prompts if the batch size is 1; else `Generated.index` says
        which prompt a piece belongs to.

        Args:
            prompts: What each piece begins with, see `prompt_text`; or with controls of its own.
            seed: Of the whole run; piece i depends on it, on i and on its own prompt only.
            controls: Length and limits of the pieces whose prompts have none of their own.
            skip: Indices of pieces that are not wanted (there already); the others stay the same.
            on_text: Called with a piece's index and its new text: first the prompt's, if there is
                any, then whatever stays. The parts join to `Generated.text`.

        Raises:
            AlphabetError: If a prompt holds a control character that is outside the vocabulary.
            InputError: If the model's logits are not finite, or wishes contradict their prompt.
                Pieces that were being written come before any error, as those that were stopped.
        """
        requests = (
            (index, self._as_request(prompt, controls))
            for index, prompt in enumerate(prompts)
            if index not in skip
        )
        run = _Run(self._model, self.sampling, self.batch_size)
        try:
            while True:
                free = 0 if self._stopped else self.batch_size - len(run.pieces)
                for index, request in itertools.islice(requests, free):
                    run.begin(Piece(request, index, seed, self._tokenizer, on_text))
                if not run.pieces:
                    return
                if self._stopped:
                    for piece in run.pieces:
                        piece.stop()
                ended = [piece for piece in run.pieces if piece.ended()]
                for piece in ended:
                    run.end(piece)
                    yield piece.result()
                if run.pieces and not ended:  # else others begin first
                    with torch.inference_mode():
                        run.write_patches()
        except (InputError, ScoreError):
            # of one prompt, or of the weights: what the others have is not lost
            for piece in run.pieces:
                piece.stop()
                yield piece.result()
            raise
        finally:
            self._stopped = False

    def stop(self) -> None:
        """End all running pieces with what they have; may be called from anywhere, at any time.

        `generate` yields them and ends; one that has not begun yields nothing.
        """
        self._stopped = True

    def prompt_surprise(self, prompt: Prompt) -> float:
        """Return how unexpected a prompt is to the model, in nats a character.

        Prompts that a model has learned cost it well below 1; those that it has not, above 2.
        """
        text = prompt_text(prompt)
        patches = self._tokenizer.encode_lines(text)
        cached = CachedModel(self._model)
        surprise = 0.0
        with torch.inference_mode():
            before = self._tokenizer.bos_patch
            for patch in patches:
                hidden = cached.step(torch.tensor([before], device=cached.device))
                inputs = cached.begin_patches(hidden)
                for place, id_ in enumerate(patch[: patch.index(PAD) if PAD in patch else None]):
                    logits = cached.next_logits(inputs, place)
                    surprise -= logits.log_softmax(-1)[0, id_].item()
                    inputs = cached.embed_characters(torch.tensor([id_], device=cached.device))
                before = patch
        return surprise / len(text)

    def _as_request(self, prompt: Request | Prompt | str | None, controls: Controls) -> Request:
        request = prompt if isinstance(prompt, Request) else Request(prompt=prompt)
        controls = request.controls or controls
        if self._never_varies:
            # a bar taken back would be written again just as it was
            controls = dataclasses.replace(controls, max_retries=0)
        return dataclasses.replace(request, controls=controls)


class _Run:
    """The pieces that are being written, each in its slot of the cache, in the same order."""

    def __init__(self, model: PackedModel, sampling: Sampling, batch_size: int) -> None:
        self.pieces: list[Piece] = []
        self._cached = CachedModel(model, batch_size, max_rows=MAX_CANDIDATES * batch_size)
        self._writer = PatchWriter(self._cached, sampling)
        self._recall = sampling.recall

    def begin(self, piece: Piece) -> None:
        """Give a piece the next slot."""
        self._cached.cut(len(self.pieces), 0)
        self.pieces.append(piece)

    def end(self, piece: Piece) -> None:
        """Free a piece's slot; the last piece moves there, so that those in use stand together."""
        slot = self.pieces.index(piece)
        last = self.pieces.pop()
        if last is not piece:
            self._cached.move(len(self.pieces), slot)
            self.pieces[slot] = last

    def write_patches(self) -> None:
        """Write one patch of each piece."""
        newest = [self._read_all_but_one(slot, piece) for slot, piece in enumerate(self.pieces)]
        hidden = self._cached.step(torch.tensor(newest, device=self._cached.device))
        counts = [piece.num_candidates for piece in self.pieces]
        rows = [
            piece for piece, count in zip(self.pieces, counts, strict=True) for _ in range(count)
        ]
        shares = torch.stack([piece.shares() for piece in rows])
        # the last bits of a number that decides a character by its first ones
        silent = (shares[:, 0] * 2**24 % 1 >= self._recall).tolist()
        patches = iter(
            self._writer.write(
                self._cached.begin_patches(hidden, counts, silent),
                shares,
                may_end=[piece.may_end for piece in rows],
                given=[piece.given() for piece in rows],
                voices=[piece.voices_left() for piece in rows],
                barred=[piece.barred for piece in rows],
            )
        )
        for piece, count in zip(self.pieces, counts, strict=True):
            piece.take(list(itertools.islice(patches, count)))

    def _read_all_but_one(self, slot: int, piece: Piece) -> list[int]:
        """Bring the cache up to the piece's last patch, and return that one.

        Patches that were taken back are forgotten. Where the context is full, the window slides:
        header and newest lines are read afresh.
        """
        num_kept, unread = piece.unread()
        self._cached.cut(slot, num_kept)
        if len(unread) > 1:
            self._cached.read(slot, torch.tensor(unread[:-1], device=self._cached.device))
        return unread[-1]
