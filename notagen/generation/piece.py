"""One piece on its way: what is given, what is kept, what is taken back, and when it ends."""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from notagen.generation.bars import BarRules, Fault
from notagen.generation.context import GrowingTune
from notagen.generation.controls import NO_CONTROLS, counter
from notagen.generation.generated import Generated, Reason, piece_seed
from notagen.generation.header import HeaderGuide
from notagen.generation.header_rules import find_header_fault, missing_lines
from notagen.generation.prompts import prompt_text
from notagen.generation.requests import Request
from notagen.tokenizer.patches import PatchTokenizer
from notagen.tokenizer.vocabulary import BAR, BOS, EOS, encode_characters

MAX_CANDIDATES = 2
"""So many patches are drawn at once where one was at fault: they take hardly longer than one, and
the first that is sound is taken. More were tried: they save no more steps."""
_HEADER_PATCHES = 1024
"""A header that takes more has no end; those of orchestras take a tenth."""
_LINE_EVERY = 4
"""First the last patch is taken back, then the voice at fault, and every fourth time the whole bar:
what stands before may leave no good way to go on. Late retries leave the voices before alone."""
_FREE_SHARE = 0.25
"""Of a bar's retries. After them a voice of the wrong length is no longer begun anew but kept as
far as it fits, and goes on from there to the bar's length."""
_VOICE_EVERY = 6
"""Every sixth time it is begun anew all the same: what fits may leave no good way to go on."""


class Piece:
    """A piece that grows by one patch at a time.

    Args:
        request: Prompt, controls and wishes.
        index: Its place among the prompts.
        seed: The run's.
        tokenizer: Gives patch size and length of the context.
        on_text: Called with the index and each new text that is there to stay.

    Raises:
        AlphabetError: If the prompt holds a character outside the vocabulary.
        InputError: If the wishes contradict the prompt.
    """

    def __init__(
        self,
        request: Request,
        index: int,
        seed: int,
        tokenizer: PatchTokenizer,
        on_text: Callable[[int, str], None] | None,
    ) -> None:
        self._started = time.monotonic()
        self._index, self._seed = index, seed
        self._tokenizer = tokenizer
        self._controls = request.controls or NO_CONTROLS
        self._num_bars = self._controls.num_bars
        """Bars of the whole piece, as wished or as its counters plan; None while it is not known,
        and for ever where the model writes all counters."""
        self._on_text = on_text
        self._generator = torch.Generator().manual_seed(piece_seed(seed, index))
        self._prompt = request.wishes.complete(prompt_text(request.prompt))
        self.tune = GrowingTune(tokenizer, self._prompt)
        self._guide = HeaderGuide(request.wishes)
        self._rules: BarRules | None = None
        self._window = (0, 0)  # what was read: patches[:first] and patches[second:]
        self._num_read = 0
        self._due = list(self.tune.open_patch)
        self.barred = False
        """Whether no barline may follow the characters `given`."""
        self._texts: list[str] = []
        self._line: list[str] = []  # text that may still be taken back
        self._reason: Reason | None = None
        self._num_drawn = self._num_written = self._num_characters = 0
        self._retries = self._line_retries = 0
        self._num_sound = 0
        """Voices of the last line before its fault; in late retries the most so far."""
        self._in_retry = False
        self._mended: list[int] = []
        self._tell(self._prompt)
        if self.tune.in_body:
            self._begin_body()
        if self._rules:
            for line in self.tune.whole_lines():
                self._accept(self._rules, line)

    @property
    def may_end(self) -> bool:
        """Whether the model may end the piece with its next patch."""
        at_bar = self.tune.at_line_start and self.tune.bars_done > 0
        return at_bar and not self._num_bars

    @property
    def num_candidates(self) -> int:
        """How many times the next patch is to be drawn, to choose from."""
        return MAX_CANDIDATES if self._in_retry else 1

    def voices_left(self) -> str | None:
        """Return the first characters of the voices that the bar lacks; None for any."""
        if self._rules is None or not self._controls.valid_bars or self.tune.at_line_start:
            return None
        return self._rules.voices_left(self.tune.last_line)

    def unread(self) -> tuple[int, list[list[int]]]:
        """Return how many patches of those read before still hold, and those to read behind them.

        The second are one at least: the last patch is read again if nothing else is new. Where all
        would not fit, the window slides: header and newest lines are read afresh.
        """
        patches = self.tune.patches
        head, start = self._window
        num_read = min(self._num_read, len(patches) - 1)
        self._num_read = len(patches)
        if num_read < start or len(patches) - start + head > self._tokenizer.patch_length:
            self._window = head, start = self.tune.context()
            return 0, patches[:head] + patches[start:]
        return num_read - start + head, patches[num_read:]

    def shares(self) -> Tensor:
        """Return the random numbers of the next patch, one a character, (S,), 64-bit floats."""
        return torch.rand(
            self._tokenizer.patch_size, dtype=torch.float64, generator=self._generator
        )

    def given(self) -> list[int]:
        """Return the characters that the next patch begins with, whatever the model would draw."""
        if self.tune.at_line_start and self.tune.in_body and not self._due:
            self._due = encode_characters(counter(self.tune.bars_done, self._num_bars))
        return self._due[: self._tokenizer.patch_size]

    def take(self, candidates: list[list[int]]) -> None:
        """Go on with a patch: keep it, put something in its place, or take back what it spoils.

        Args:
            candidates: `num_candidates` patches that begin as `given` said.
        """
        patch = candidates[0]
        if len(candidates) > 1:
            patch = next(filter(self._is_sound, candidates), patch)
        if patch[0] == BOS:
            self._reason = "eos"
            return
        self._num_drawn += 1
        if self.tune.at_line_start and not self.tune.in_body and not self._due:
            instead = self._instead_of(self._tokenizer.decode([patch]))
            if instead == "[":  # the body begins: its first counter is written for the model
                self._due = encode_characters(counter(0, self._num_bars))
                return
            if instead is not None:
                self._add_lines(instead)
                self._flush()
                return
        self._due = self._due[self._tokenizer.patch_size :]
        self.barred = False
        is_short = EOS in patch
        self._add(patch)
        if not self.tune.in_body:
            self._check_header_line()
            return
        if self._rules is None:
            self._begin_body()
        if self._rules is None:
            self._flush()
        else:
            self._check_line(self._rules, closed=is_short)

    def ended(self) -> bool:
        """Look at the limits before the next patch; True once the piece has come to an end."""
        self._reason = self._reason or self._limit_met()
        return self._reason is not None

    def stop(self) -> None:
        """End the piece with what it has."""
        self._reason = self._reason or "stopped"

    def result(self) -> Generated:
        """Return the piece as it is."""
        self._flush()
        return Generated(
            index=self._index,
            prompt=self._prompt,
            seed=self._seed,
            text="".join(self._texts),
            finished=self._reason == "eos",
            reason=self._reason or "stopped",
            patches=self._num_written,
            retries=self._retries,
            mended=tuple(self._mended),
            seconds=time.monotonic() - self._started,
        )

    def _limit_met(self) -> Reason | None:
        controls, tune = self._controls, self.tune
        at_bar = tune.in_body and tune.at_line_start
        if self._num_bars and at_bar and tune.bars_done >= self._num_bars:
            return "eos"
        if controls.max_bars and at_bar and tune.bars_done >= controls.max_bars:
            return "max_bars"
        if controls.max_characters and self._num_characters >= controls.max_characters:
            return "max_characters"
        if controls.max_patches and self._num_written >= controls.max_patches:
            return "max_patches"
        if controls.max_seconds and time.monotonic() - self._started >= controls.max_seconds:
            return "max_seconds"
        if not tune.in_body and self._num_drawn >= _HEADER_PATCHES:
            return "no_body"
        return None

    def _begin_body(self) -> None:
        """Take up the bars' rules, as far as they are wanted."""
        self._line_retries = 0
        controls = self._controls
        if controls.valid_bars or controls.max_repeats:
            self._rules = BarRules(
                self.tune.header,
                fixed=self._guide.fixed,
                max_repeats=controls.max_repeats,
            )

    def _is_sound(self, patch: list[int]) -> bool:
        """Whether the last line is without fault as far as the patch would bring it."""
        if self._rules is None or patch[0] == BOS:
            return True
        line = self._tokenizer.decode([patch])
        if not self.tune.at_line_start:
            line = self.tune.last_line + line
        return self._fault(self._rules, line, closed=EOS in patch) is None

    def _fault(self, rules: BarRules, line: str, *, closed: bool) -> Fault | None:
        if self._controls.valid_bars:
            return rules.find_fault(line, closed=closed or line.endswith("\n"))
        return rules.find_loop(line) if line.endswith("\n") else None

    def _instead_of(self, drawn: str) -> str | None:
        """Return what stands in place of the header line, or the body, that the model begins."""
        header = self.tune.header
        if self._line_retries > self._controls.max_retries:
            drawn = "["
        instead = self._guide.instead_of(header, drawn)
        if instead is None and drawn.startswith("["):
            instead = "["
        if instead == "[" and self._controls.valid_bars:
            instead = missing_lines(header) or instead
        return instead

    def _check_header_line(self) -> None:
        """Keep the header line that has ended, or take it back.

        Once a line has used up all retries, the next faulty one is the header's last.
        """
        tune = self.tune
        if not self._controls.valid_bars or not tune.began_last_line:
            self._flush()
            return
        if not tune.at_line_start:
            return
        line = tune.last_line
        if find_header_fault(tune.header.removesuffix(line), line) is None:
            self._line_retries = 0
            self._flush()
            return
        self._take_back(tune.line_from(0))
        if self._line_retries < self._controls.max_retries:
            self._retries += 1
        self._line_retries += 1

    def _check_line(self, rules: BarRules, *, closed: bool) -> None:
        """Keep what the last line has, or take it back as far as it is at fault."""
        line = self.tune.last_line
        ended = self.tune.at_line_start
        fault = None
        if self.tune.began_last_line:
            fault = self._fault(rules, line, closed=closed)
        if fault is None:
            self._in_retry = self._in_retry and not closed
            if ended:
                self._keep_line(rules, line)
            return
        free = int(_FREE_SHARE * self._controls.max_retries)
        num_sound = line.count("[V:", 0, fault.offset)
        if self._line_retries <= free:
            self._num_sound = num_sound
        elif num_sound > self._num_sound:
            # each voice has late retries of its own, but has them once
            self._line_retries, self._num_sound = free, num_sound
        if self._line_retries < self._controls.max_retries:
            self._retries, self._line_retries = self._retries + 1, self._line_retries + 1
            is_late = self._line_retries > free
            turn = self._line_retries % _LINE_EVERY
            if is_late and fault.keep is not None and self._line_retries % _VOICE_EVERY:
                self._go_on_behind(rules, fault.keep, is_full=fault.is_full)
            elif turn == 1 and not fault.loop:
                self._take_back(len(self.tune.patches) - 1)
            else:
                self._take_back(self.tune.line_from(fault.offset if turn or is_late else 0))
            self._in_retry = True
        elif fault.loop:
            self._end_loop()
            self._keep_line(rules, line)
        else:
            self._take_back(self.tune.line_from(0))
            self._mended.append(self.tune.bars_done + 1)
            mended = rules.mended(line)
            self._add_lines(mended)
            if rules.find_loop(mended):
                self._end_loop()
            self._keep_line(rules, mended)

    def _go_on_behind(self, rules: BarRules, length: int, *, is_full: bool) -> None:
        """Keep so much of the last line, and have the voice's end there, or more music."""
        index, place = self.tune.place_behind(length)
        begun = self.tune.patches[index][:place]
        # the barline stands in the next patch with the next voice, or behind the last one
        is_last = rules.voices_left(self.tune.last_line[:length]) == ""
        end = [BAR] if is_last or not begun else [EOS]
        self._take_back(index)
        self._due = begun + end if is_full else begun
        self.barred = not is_full

    def _end_loop(self) -> None:
        """End a piece that goes round, unless its number of bars is fixed."""
        if not self._controls.num_bars:
            self._reason = "loop"

    def _keep_line(self, rules: BarRules, line: str) -> None:
        if self._controls.valid_bars and self.tune.bars_done == 1 and self.tune.began_last_line:
            keyed = self._guide.first_bar(self.tune.header, line)
            if keyed != line:
                self._take_back(self.tune.line_from(0))
                self._add_lines(keyed)
                line = keyed
        self._accept(rules, line)
        self._line_retries = self._num_sound = 0
        self._flush()

    def _accept(self, rules: BarRules, line: str) -> None:
        """Go on after a line that stays, and with the number of bars that the first one plans."""
        rules.accept(line)
        planned = rules.num_bars
        # a prompt's own counters may contradict themselves
        if self._controls.valid_bars and planned and planned >= self.tune.bars_done:
            self._num_bars = self._num_bars or planned

    def _add_lines(self, lines: str) -> None:
        """Write whole lines in the model's place."""
        for patch in self._tokenizer.encode_lines(lines):
            self._add(patch)

    def _add(self, patch: list[int]) -> None:
        text = self.tune.add(patch)
        self._line.append(text)
        self._num_written += 1
        self._num_characters += len(text)

    def _take_back(self, index: int) -> None:
        for _ in range(len(self.tune.patches) - index):
            self._num_characters -= len(self._line.pop())
            self._num_written -= 1
        self.tune.cut(index)
        self._num_read = min(self._num_read, index)
        self._due.clear()

    def _flush(self) -> None:
        self._tell("".join(self._line))
        self._line.clear()

    def _tell(self, text: str) -> None:
        self._texts.append(text)
        if self._on_text and text:
            self._on_text(self._index, text)
