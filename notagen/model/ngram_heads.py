"""N-gram heads: what stood behind the same characters when they last occurred in the piece.

Music repeats itself, mostly not patch by patch. An attention head learns late to look for what
followed the last characters before; these heads do it from the start and have nothing to learn but
how far to trust what they find.

Source: Akyurek et al. 2024, arXiv:2401.12973, which puts such heads between layers of a language
model; here they add to the inputs of the character decoder.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 -- its usual name
from torch import Tensor, nn

from notagen.tokenizer.vocabulary import NEWLINE, PAD, SIZE

MATCHES = 4
"""Followers that a head finds at most: the last ones."""
VOICE = b"[V:"
"""Ends a segment of a tune, as a line end does. Nothing is found in the segment that is being
written: there a model would be led round in circles, each time surer than before."""
NONE = PAD
"""Stands for the follower where there are fewer places."""
_FACTOR = 0x9E3779B97F4A7C15 - 2**64
"""An odd number of 64 bits, made of the golden ratio: the hash's."""


class NgramHeads(nn.Module):
    """A vector for the followers that the heads found.

    Args:
        lengths: Characters that each head compares.
        hidden_size: Of the vectors.
    """

    def __init__(self, lengths: Sequence[int], hidden_size: int) -> None:
        super().__init__()
        # at first the heads say nothing
        self.table = nn.Parameter(torch.zeros(len(lengths) * MATCHES * SIZE, hidden_size))

    def forward(self, followers: Tensor) -> Tensor:
        """Return (..., H), the sum of a row for each of the followers (..., heads * MATCHES)."""
        offsets = torch.arange(0, len(self.table), SIZE, device=followers.device)
        rows = (followers.long() + offsets).view(-1, len(offsets))
        vectors = F.embedding_bag(rows, self.table, mode="sum")
        return vectors.view(*followers.shape[:-1], self.table.shape[1])


def find_followers(patches: Tensor, lengths: Sequence[int]) -> Tensor:
    """Return what the heads find for each character, (B, P, S, heads * MATCHES).

    A head of length k finds the characters that followed when the k characters before this one
    stood in the same tune, the last first; followers in the same segment are left out. The
    characters of a tune are those of its patches without pads.

    Args:
        patches: (B, P, S), integers.
        lengths: Characters that each head compares.
    """
    real = patches != PAD
    characters = patches[real]
    matches = find_matches(characters, real.nonzero()[:, 0], lengths)
    found = torch.where(matches >= 0, characters[matches], NONE)
    followers = patches.new_full((*patches.shape, found.shape[1]), NONE)
    followers[real] = found
    return followers


def find_matches(characters: Tensor, tunes: Tensor, lengths: Sequence[int]) -> Tensor:
    """Return where the followers stand that the heads find, (n, heads * MATCHES), -1 for none.

    Args:
        characters: (n,), integers.
        tunes: (n,), the tune that each belongs to, ascending.
        lengths: How many characters before each are compared.
    """
    everywhere = torch.arange(len(characters), device=characters.device)
    num_before = everywhere - torch.searchsorted(tunes, tunes)
    segments = _segments(characters, num_before)
    hashes = tunes + 1
    matches = []
    for distance in range(1, max(lengths) + 1):
        hashes = (hashes ^ (hashes >> 29)) * _FACTOR + characters.roll(distance)
        if distance not in lengths:
            continue
        # where there are too few characters, like nothing else
        keys = torch.where(num_before >= distance, hashes, -1 - everywhere)
        ordered, order = keys.sort(stable=True)
        begins = ordered[1:] != ordered[:-1]
        begins |= segments[order[1:]] != segments[order[:-1]]
        firsts = F.pad(everywhere[1:] * begins, (1, 0)).cummax(0).values
        for back in range(1, MATCHES + 1):
            places = (firsts - back).clamp(min=0)
            alike = (ordered[places] == ordered) & (firsts >= back)
            matches.append(torch.empty_like(order))
            matches[-1][order] = torch.where(alike, order[places], -1)
    return torch.stack(matches, dim=1)


def _segments(characters: Tensor, num_before: Tensor) -> Tensor:
    """Return the number of the segment of each of (n,) characters: a bar of a voice, or a line.

    A segment ends with a line end or a `[V:`: what is known before the next character comes.
    """
    voice = num_before >= len(VOICE) - 1
    for distance, mark in enumerate(reversed(VOICE)):
        voice &= characters.roll(distance) == mark
    ends = (characters == NEWLINE) | voice
    return ends.cumsum(0) - ends.long()
