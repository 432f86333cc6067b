"""From what a model wrote to a tune that can be played: faults mended and named, rests restored."""

from dataclasses import dataclass

from notagen.foundation.errors import NotationError
from notagen.notation.checks import check_alignment
from notagen.notation.interleave import parse_interleaved
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


def finish(text: str, *, finished: bool) -> FinishedTune:
    """Return the playable tune of a generated piece.

    Counters are taken off, brackets that were never closed are closed (and stray ones dropped),
    resting voices written out. Dropped are a second bar of the same voice in one line, voices that
    the header does not define, and the begun bar of a piece that was cut off in mid-bar. Whatever
    was mended is named in `repairs`.

    Args:
        text: What the model wrote, as in `Generated.text`.
        finished: Whether the piece came to its own end.

    Raises:
        NotationError: If no whole bar is there, or bars cannot be read.
    """
    header, body = split_header(text)
    repairs: list[str] = []
    if not finished and body and not body[-1].endswith("\n"):
        body.pop()
        repairs.append(f"bar {len(body) + 1}: dropped, as it was cut off")
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
    return FinishedTune(restore_rests(reduced), tuple(repairs))


def line_faults(line: str, header: str) -> list[str]:
    """Return what is wrong with a body line; empty for a sound bar.

    A sound bar has each voice at most once, none that the header does not define, no bracket left
    open, voices that all last equally long, and one barline, the same for all, at its end.

    Args:
        line: One line, with or without its counter.
        header: The tune's header.
    """
    faults: list[str] = []
    known = set(defined_voices(header.splitlines()))
    mended = _mend_line(line.rstrip("\n"), 1, known, faults)
    if not mended:
        return [*faults, "found no voice"]
    try:
        bar = parse_interleaved(mended).bars[0]
    except NotationError as error:
        return [*faults, str(error)]
    if len({cell.barline for cell in bar.values()}) > 1:
        faults.append("found different barlines")
    if any(token.kind == "barline" for cell in bar.values() for token in tokens(cell.music)):
        faults.append("found a barline inside a bar")
    return [*faults, *check_alignment(mended).problems]


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
