"""From what a model wrote to a tune that can be played: faults mended and named, rests restored."""

from dataclasses import dataclass

from notagen.foundation.errors import NotationError
from notagen.notation.durations import bar_duration
from notagen.notation.interleave import deinterleave, parse_interleaved
from notagen.notation.lexer import VOICE_MARK, Token, tokens
from notagen.notation.rests import restore_rests
from notagen.notation.tune import defined_voices
from notagen.tokenizer.windows import remove_counters, split_header

_CLOSING = {"chord_open": "]", "grace_open": "}"}


@dataclass(frozen=True)
class FinishedTune:
    """A generated piece in a form that other programs read."""

    abc: str
    """Interleaved ABC with every voice written, from `X:1` on; prompt lines kept."""
    repairs: tuple[str, ...]
    """What had to be mended, one line each, such as `bar 3, V:2: closed a chord`."""
    cut_bar: int | None = None
    """Number of the begun bar that was dropped, as the piece was cut off in it."""

    @property
    def standard(self) -> str:
        """The tune as standard ABC, voice after voice.

        Raises:
            NotationError: If a voice has nothing in a bar, which would be lost; names both.
        """
        return deinterleave(self.abc)


def finish(text: str, *, finished: bool) -> FinishedTune:
    """Return the playable tune of a generated piece.

    Counters are taken off, brackets that were never closed are closed (and stray ones dropped),
    resting voices written out. Dropped are a second bar of the same voice in one line, voices that
    the header does not define, and the begun bar of a piece that was cut off in mid-bar
    (`cut_bar`). Whatever was mended is named in `repairs`.

    Args:
        text: What the model wrote, as in `Generated.text`.
        finished: Whether the piece came to its own end.

    Raises:
        NotationError: If no whole bar is there, or none of a bar's voices can be read, so that the
            others could not rest as long; it names bar and voice and what is wrong.
    """
    header, body = split_header(text)
    repairs: list[str] = []
    cut_bar = None
    if not finished and body and not body[-1].endswith("\n"):
        body.pop()
        cut_bar = len(body) + 1
    if not body:
        raise NotationError("found no whole bar in what the model wrote, wanted at least one")
    known = set(defined_voices(header))
    lines = [
        _mend_line(line.rstrip("\n"), number, known, repairs)
        for number, line in enumerate(body, start=1)
    ]
    if not any(line.startswith("X:") for line in header):
        header.insert(sum(line.startswith("%") and line[1:2] != "%" for line in header), "X:1\n")
    reduced = "".join(header) + "\n".join(line for line in lines if line) + "\n"
    try:
        whole = restore_rests(reduced)
    except NotationError as error:
        raise NotationError(_unreadable(reduced) or str(error)) from error
    return FinishedTune(whole, tuple(repairs), cut_bar)


def _unreadable(reduced: str) -> str:
    """Return why no voice of some bar can be read; empty if it is not so."""
    for number, bar in enumerate(parse_interleaved(reduced).bars, start=1):
        problems = []
        for voice, cell in bar.items():
            try:
                length = bar_duration(cell.music)
            except NotationError as error:
                problems.append(f"bar {number}, V:{voice}: {error}")
            else:
                problems += [] if length else [f"bar {number}, V:{voice}: found no note or rest"]
        if len(problems) == len(bar):
            return problems[0]
    return ""


def _mend_line(line: str, number: int, known: set[str], repairs: list[str]) -> str:
    """Return a body line without its counter: each voice once, every bracket closed in its bar."""
    parts = VOICE_MARK.split(remove_counters(line))
    if parts[0].strip():
        repairs.append(f"bar {number}: dropped {parts[0].strip()!r}, which no voice has")
    cells: dict[str, str] = {}
    for voice, music in zip(parts[1::2], parts[2::2], strict=True):
        where = f"bar {number}, V:{voice}"
        if voice in cells:
            repairs.append(f"{where}: dropped what the voice has besides its bar")
        elif known and voice not in known:
            repairs.append(f"{where}: dropped, as the header defines no such voice")
        else:
            cells[voice] = _close_bar(music, where, repairs)
    return "".join(f"[V:{voice}]{music}" for voice, music in cells.items())


def _close_bar(music: str, where: str, repairs: list[str]) -> str:
    out: list[str] = []
    opened: list[str] = []

    def close() -> None:
        while opened:
            repairs.append(f"{where}: closed `{opened[-1]}`")
            out.append(_CLOSING[opened.pop()])

    for token in tokens(music):
        if token.kind in _CLOSING:
            if token.kind in opened:
                close()
            opened.append(token.kind)
        elif token.kind in ("chord_close", "grace_close"):
            opening = token.kind.replace("close", "open")
            if opening not in opened:
                repairs.append(f"{where}: dropped a stray `{token.text}`")
                continue
            while opened.pop() != opening:
                pass
        elif token.kind == "barline":
            close()
        elif token.kind == "other":
            repairs.append(f"{where}: dropped a stray `{_shown(token)}`")
            continue
        out.append(token.text)
    close()
    return "".join(out)


def _shown(token: Token) -> str:
    return token.text if token.text.isprintable() else repr(token.text)
