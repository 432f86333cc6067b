"""What the n-gram heads find for tunes that grow: look-ups by characters, one at a time.

`model/ngram_heads.py` says what they look for and finds it for whole tunes.
"""

from collections.abc import Sequence

from notagen.model.ngram_heads import MATCHES, NONE, VOICE
from notagen.tokenizer.vocabulary import NEWLINE, PAD

Followers = dict[bytes, list[tuple[int, int]]]
"""Of characters that stood in a tune, segment and follower of each time, in the tune's order."""


class GrowingFollowers:
    """The characters of a tune as far as it has been read, and what followed which of them.

    Args:
        lengths: Characters that each head compares.
    """

    def __init__(self, lengths: Sequence[int]) -> None:
        self._lengths = lengths
        self._characters = bytearray()
        self._segment = 0
        self._ends: list[tuple[int, int]] = []  # of each patch: characters, segment
        self._followers: Followers = {}

    def read(self, patch: Sequence[int]) -> None:
        """Read one patch more, closed."""
        for character in patch:
            if character != PAD:
                _note(self._followers, self._characters, self._lengths, self._segment, character)
                self._characters.append(character)
                self._segment += _ends_segment(self._characters)
        self._ends.append((len(self._characters), self._segment))

    def cut(self, num_patches: int) -> None:
        """Forget the patches from `num_patches` on."""
        del self._ends[num_patches:]
        end, self._segment = self._ends[-1] if self._ends else (0, 0)
        if end == 0:
            self._characters.clear()
            self._followers.clear()
        while len(self._characters) > end:
            self._characters.pop()
            for context in _contexts(self._characters, self._lengths):
                self._followers[context].pop()
                if not self._followers[context]:
                    del self._followers[context]

    def copy(self) -> "GrowingFollowers":
        """Return another with the same tune."""
        other = GrowingFollowers(self._lengths)
        other._characters, other._segment = self._characters.copy(), self._segment
        other._ends = self._ends.copy()
        other._followers = {context: found.copy() for context, found in self._followers.items()}
        return other

    def begin(self, *, silent: bool = False) -> "PatchFollowers":
        """Return what the heads find while the next patch is written; several can be begun.

        Args:
            silent: Whether they are to find nothing.
        """
        recent = self._characters[-max(*self._lengths, len(VOICE)) :]
        followers = None if silent else self._followers
        return PatchFollowers(followers, recent, self._segment, self._lengths)


class PatchFollowers:
    """What the heads find for the characters of one patch behind those that a tune has.

    Args:
        followers: Of the tune, which does not change meanwhile; None to find nothing.
        recent: Its last characters.
        segment: The segment that comes next.
        lengths: Characters that each head compares.
    """

    def __init__(
        self, followers: Followers | None, recent: bytearray, segment: int, lengths: Sequence[int]
    ) -> None:
        self._followers = followers
        self._own: Followers = {}
        self._recent = recent
        self._segment = segment
        self._lengths = lengths

    def find(self) -> list[int]:
        """Return what the heads find for the next character."""
        found: list[int] = []
        if self._followers is None:
            return [NONE] * (len(self._lengths) * MATCHES)
        for context in _contexts(self._recent, self._lengths):
            wanted = len(found) + MATCHES
            for followers in (self._own, self._followers):
                for segment, follower in reversed(followers.get(context, ())):
                    if segment < self._segment and len(found) < wanted:
                        found.append(follower)
                    elif segment < self._segment:
                        break
            found += [NONE] * (wanted - len(found))
        return found + [NONE] * (len(self._lengths) * MATCHES - len(found))

    def write(self, character: int) -> None:
        """Go on behind a character."""
        _note(self._own, self._recent, self._lengths, self._segment, character)
        self._recent.append(character)
        self._segment += _ends_segment(self._recent)


def _note(
    followers: Followers,
    characters: bytearray,
    lengths: Sequence[int],
    segment: int,
    character: int,
) -> None:
    """Note what follows the characters."""
    place = segment, character
    for context in _contexts(characters, lengths):
        followers.setdefault(context, []).append(place)


def _contexts(characters: bytearray, lengths: Sequence[int]) -> list[bytes]:
    """Return the last characters that each head compares, for the heads that have enough."""
    return [bytes(characters[-length:]) for length in lengths if length <= len(characters)]


def _ends_segment(characters: bytearray) -> bool:
    return characters[-1] == NEWLINE or characters.endswith(VOICE)
