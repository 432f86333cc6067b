"""A tune as it is written, and the part of it that the model reads once it is long."""

from notagen.tokenizer.patches import PatchTokenizer
from notagen.tokenizer.windows import newest_lines, split_header


class GrowingTune:
    """The patches and lines of a tune that grows patch by patch.

    Args:
        tokenizer: Gives patch size and length of the context.
        text: What the tune begins with; its last line may be unfinished.

    Raises:
        AlphabetError: If a character is outside the vocabulary.
    """

    def __init__(self, tokenizer: PatchTokenizer, text: str) -> None:
        self._tokenizer = tokenizer
        header, body = split_header(text)
        self.patches = [tokenizer.bos_patch]
        """All patches so far, closed, the bos patch first."""
        self.open_patch: list[int] = []
        """Characters of a last patch that the text leaves unfilled; `patches` lacks it."""
        self.at_line_start = not text or text.endswith("\n")
        self.in_body = bool(body)
        self.bars_done = sum(line.endswith("\n") for line in body)
        """Body lines that have their line end."""
        self._line_starts: list[int] = []
        self._line_texts: list[str] = []  # of the last line's patches
        for line in (*header, *body):
            self._line_starts.append(len(self.patches))
            if line.endswith("\n"):
                self.patches += tokenizer.encode_lines(line)
            else:
                self.patches += tokenizer.encode_prompt(line)[1:]
                if len(self.patches[-1]) < tokenizer.patch_size:
                    self.open_patch = self.patches.pop()
        self._given_lines = len(self._line_starts)
        if self._line_starts:
            self._line_texts = [
                tokenizer.decode([p]) for p in self.patches[self._line_starts[-1] :]
            ]
        # The patches shown in every context: the prompt's header, later all of the header.
        self._head = self._line_starts[len(header)] if body else len(self.patches)
        self._body_start = self._head if body else None

    def add(self, patch: list[int]) -> str:
        """Add a closed patch, the open one filled up if there is one, and return its new text."""
        text = self._tokenizer.decode([patch])
        if self.at_line_start:
            self._line_starts.append(len(self.patches))
            self._line_texts.clear()
            if not self.in_body and text.startswith("["):
                self.in_body = True
                self._body_start = len(self.patches)
                if len(self.patches) <= self._longest_head:
                    self._head = len(self.patches)
        new_text = text[len(self.open_patch) :]
        self.open_patch = []
        self.patches.append(patch)
        self._line_texts.append(text)
        self.at_line_start = text.endswith("\n")
        self.bars_done += self.in_body and self.at_line_start
        return new_text

    @property
    def last_line(self) -> str:
        """The text of the line that was begun last."""
        return "".join(self._line_texts)

    def whole_lines(self) -> list[str]:
        """Return the body lines that have their line end."""
        body = self._tokenizer.decode(self.patches[self._body_start or 0 :]) if self.in_body else ""
        return [line for line in body.splitlines(keepends=True) if line.endswith("\n")]

    @property
    def began_last_line(self) -> bool:
        """Whether the last line was begun here, and not by the text the tune began with."""
        return len(self._line_starts) > self._given_lines

    @property
    def header(self) -> str:
        """The text above the body, prompt lines among it; all of it while there is no body."""
        return self._tokenizer.decode(self.patches[: self._body_start])

    def line_from(self, offset: int) -> int:
        """Return the index of the patch that holds the last line's character at `offset`."""
        index = self._line_starts[-1]
        for text in self._line_texts[:-1]:
            offset -= len(text)
            if offset < 0:
                break
            index += 1
        return index

    def place_behind(self, length: int) -> tuple[int, int]:
        """Return where the last line goes on behind its first characters, one at least.

        That is the index of a patch and the place in it: behind the last of these characters, or
        at the start of the patch after it, if its own is full.
        """
        index = self.line_from(length - 1)
        begun = sum(map(len, self._line_texts[: index - self._line_starts[-1]]))
        place = length - begun
        return (index, place) if place < self._tokenizer.patch_size else (index + 1, 0)

    def cut(self, length: int) -> None:
        """Take back patches of the last line, all from index `length` on, one at least."""
        if self.in_body and self.at_line_start:
            self.bars_done -= 1
        self.at_line_start = length == self._line_starts[-1]
        del self._line_texts[length - self._line_starts[-1] :]
        if self.at_line_start:
            self._line_starts.pop()
        del self.patches[length:]

    def context(self) -> tuple[int, int]:
        """Return what to read, `patches[:head] + patches[start:]`, as these two numbers.

        That is all that fits, or header and newest lines of a longer tune.

        The bos patch and the header stay, and of the rest the newest lines, see `newest_lines`. A
        header longer than half the context gives way to the prompt it began with.
        """
        length = self._tokenizer.patch_length
        if len(self.patches) <= length:
            return 0, 0
        head = self._head if self._head <= self._longest_head else 1
        return head, newest_lines(self._line_starts, len(self.patches), length - head)

    @property
    def _longest_head(self) -> int:
        return self._tokenizer.patch_length // 2
