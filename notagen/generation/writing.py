"""One patch of each of many tunes, character by character, without a look at the result between."""

import math

import torch
from torch import Tensor

from notagen.foundation.errors import InputError
from notagen.generation.cache import CachedModel
from notagen.generation.sampling import Sampling, draw, probabilities
from notagen.tokenizer.vocabulary import BAR, BOS, EOS, NEWLINE, PAD, SIZE

VOICE_PLACES = 8
"""A voice's name stands before this place in a patch that begins with a barline and `[V:`. Only its
first character is looked at here; the rules of bars find the rest."""
FREE = -1
"""Stands for a character that the model chooses."""
CONTROLS = [id_ for id_ in (*range(EOS + 1, 32), 127) if id_ != NEWLINE]


class PatchWriter:
    """Draws the characters of patches, those that are not given.

    Pads are never drawn; a bos only as the start of the eos patch, and no empty patch; no control
    characters, which no tune holds and some readers take for line ends.

    Args:
        model: Holds the patches before.
        sampling: How characters are chosen.
    """

    def __init__(self, model: CachedModel, sampling: Sampling) -> None:
        self._model = model
        self._sampling = sampling
        self._size = model.config.patch_size
        self._masks: dict[str | None, Tensor] = {}
        self._no_mark = _forbid(model.device, ord("["))
        self._no_bar = _forbid(model.device, BAR, ord(":"), NEWLINE, EOS)
        forbidden = _forbid(model.device, PAD, *CONTROLS)
        self._inside = forbidden + _forbid(model.device, BOS)
        # without and with the end of the piece
        self._first = torch.stack([self._inside, forbidden]) + _forbid(model.device, EOS)

    def write(
        self,
        inputs: Tensor,
        shares: Tensor,
        *,
        may_end: list[bool],
        given: list[list[int]],
        voices: list[str | None],
        barred: list[bool],
    ) -> list[list[int]]:
        """Return one patch of each tune, closed; a BOS alone where the model ends the piece.

        Args:
            inputs: (N, H), of the patches' first characters, see `CachedModel.begin_patches`.
            shares: (N, S), random numbers from 0 to below 1, one a character.
            may_end: Whether the model may end the piece here, for each tune.
            given: The characters each patch begins with, at most S.
            voices: First characters of the voices that may follow a barline; empty if none may,
                None for any.
            barred: Whether no barline may follow the characters given.

        Raises:
            InputError: If a logit is NaN or infinite: no piece can be drawn from such a model.
        """
        device = self._model.device
        shares = shares.to(device, dtype=torch.float32 if device.type == "mps" else torch.float64)
        shares.clamp_(max=1 - 2**-24)  # rounded to 32 bits, a number below 1 can become 1
        first = self._first[torch.tensor(may_end, device=device).long()]
        wanted = None
        if any(given):
            padded = [row + [FREE] * (self._size - len(row)) for row in given]
            wanted = torch.tensor(padded, device=device)
        marks = None
        if any(names is not None for names in voices):
            marks = torch.stack([self._only(names) for names in voices])
            all_there = torch.tensor([names == "" for names in voices], device=device)
        barred_places = None
        if any(barred):
            places = [
                len(row) if is_barred else FREE
                for row, is_barred in zip(given, barred, strict=True)
            ]
            barred_places = torch.tensor(places, device=device)
        ids = torch.full((len(inputs), self._size), PAD, device=device)
        sums = torch.zeros(len(inputs), device=device)
        rows = torch.arange(len(inputs), device=device)
        is_open = torch.ones_like(rows, dtype=torch.bool)
        for place in range(self._size):
            logits = self._model.next_logits(inputs, place)
            allowed = first[rows] if place == 0 else self._inside
            if marks is not None and 0 < place < VOICE_PLACES:
                allowed = allowed + self._voice_mask(ids[rows], place, marks[rows], all_there[rows])
            if barred_places is not None:
                is_barred = barred_places[rows] == place
                allowed = allowed + torch.where(is_barred[:, None], self._no_bar, 0)
            drawn = draw(probabilities(logits, allowed), self._sampling, shares[rows, place])
            if wanted is not None:
                forced = wanted[rows, place]
                drawn = torch.where(forced == FREE, drawn, forced)
            ids[rows, place] = torch.where(is_open, drawn, PAD)
            sums[rows] += logits.sum(-1)
            is_open &= (drawn != EOS) & (drawn != NEWLINE) & (drawn != BOS)
            # a processor's results are there at once; another device would have to be waited for
            if device.type == "cpu":
                num_open = int(is_open.sum())
                if num_open == 0:
                    break
                if num_open <= 0.75 * len(rows):
                    kept = is_open.nonzero().squeeze(1)
                    self._model.keep_characters(kept, place + 1)
                    rows, drawn, is_open = rows[kept], drawn[kept], is_open[kept]
            inputs = self._model.embed_characters(drawn)
        # one transfer for characters and check
        *columns, finite = torch.cat([ids.T, sums.isfinite()[None]]).tolist()
        if not all(finite):
            raise InputError(
                "the weights give logits that are NaN or infinite, wanted finite numbers"
            )
        return [_closed(list(row)) for row in zip(*columns, strict=True)]

    def _voice_mask(self, ids: Tensor, place: int, marks: Tensor, all_there: Tensor) -> Tensor:
        """Return what keeps `[V:` to the voices that are left, and from coming if there are none.

        Args:
            ids: (N, S), the characters so far.
            place: Of the next one, at least 1.
            marks: (N, 128), added after `[V:`.
            all_there: (N,), whether no voice is left.
        """
        last, before = ids[:, place - 1], ids[:, max(place - 2, 0)]
        in_mark = (last == ord(":")) & (before == ord("V")) & ~all_there
        at_bar = (last == BAR) | ((last == ord("]")) & (before == BAR))
        mask = torch.where(in_mark[:, None], marks, 0)
        return mask + torch.where((at_bar & all_there)[:, None], self._no_mark, 0)

    def _only(self, characters: str | None) -> Tensor:
        """Return what leaves these characters alone, or all where there are none."""
        if characters not in self._masks:
            mask = torch.zeros(SIZE)
            if characters:
                mask.fill_(-math.inf)[[ord(character) for character in characters]] = 0
            self._masks[characters] = mask.to(self._model.device)
        return self._masks[characters]


def _closed(ids: list[int]) -> list[int]:
    """Return the patch with the eos that ends it where a line end did."""
    if NEWLINE in ids[:-1]:
        ids[ids.index(NEWLINE) + 1] = EOS
    return ids


def _forbid(device: torch.device, *ids: int) -> Tensor:
    """Return what is added to the logits: minus infinity for the ids, 0 for all others."""
    added = torch.zeros(SIZE)
    added[list(ids)] = -math.inf
    return added.to(device)
