"""Real pieces spoiled, so that a score of pieces can be taught, and tested, to tell them apart.

What a damage moves is music: barlines, repeats and endings keep their places, and nothing is left
that only a misspelt piece would have. A score learns from the damages of `TAUGHT`; whether it has
learned more than them, those of `UNTAUGHT` tell.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from fractions import Fraction

from notagen.features.moved_notes import movable_voices, with_moved
from notagen.foundation.errors import NotationError
from notagen.notation.barlines import Bar
from notagen.notation.durations import UNIT, bar_duration, format_length
from notagen.notation.interleave import format_interleaved, parse_interleaved
from notagen.notation.lexer import COUNTER, TUPLET, tokens
from notagen.notation.tune import Tune, voice_lines

Damage = Callable[[Tune, random.Random, str | None], Tune]
"""Returns a tune spoiled; the text is that of another piece, for damages that need one."""

JITTERED = 0.2
"""Share of the sounds that a jitter moves."""

_FIELDS = re.compile(r"\[[IKLMQ]:[^\[\]\n]*\]")
_COUNTED = re.compile(rf"^({COUNTER.pattern})\[V:", re.MULTILINE)
_SPAN = re.compile(r"!(.+)([()])!")
"""A decoration that begins or ends something: `!<(!`, `!8va)!`."""


def damage(abc: str, kind: str, rng: random.Random, *, other: str | None = None) -> str:
    """Return a piece spoiled in one way; as it was if there is nothing to spoil, such as one bar.

    Args:
        abc: Interleaved or reduced ABC; prompt lines and bar counters allowed, and kept.
        kind: One of `DAMAGES`.
        rng: Of all choices.
        other: Another piece, best of the same metre and in the same key, whose notes stand in one
            of the voices if voices are swapped; it is not transposed.

    Raises:
        NotationError: If a text is no interleaved tune.
        ValueError: If the kind is unknown, or needs another piece and there is none.
    """
    if kind not in DAMAGES:
        raise ValueError(f"found damage {kind!r}, wanted one of {', '.join(DAMAGES)}")
    spoiled = format_interleaved(DAMAGES[kind](parse_interleaved(abc), rng, other))
    counters = iter(_COUNTED.findall(abc))
    return re.sub(r"^(?=\[V:)", lambda _: next(counters, ""), spoiled, flags=re.MULTILINE)


def shuffle_bars(tune: Tune, rng: random.Random, _: str | None) -> Tune:
    """Put the bars into a random order, all voices together.

    Slurs, hairpins and ties that led over a barline would now lead nowhere: they are left out.
    """
    bars = rng.sample(tune.bars, len(tune.bars))
    return _with_music(
        tune, [{voice: _closed(cell.music) for voice, cell in bar.items()} for bar in bars]
    )


def jitter_pitches(tune: Tune, rng: random.Random, _: str | None) -> Tune:
    """Move a fifth of the notes, at least one, a semitone up or down; tied notes are one.

    Each is spelled as its key would, and no other note changes. One that would meet a neighbour
    either way stays, and so do graces and percussion.
    """
    voices = movable_voices(tune, tune.voices)
    sounds = [(voice, sound) for voice in voices.values() for sound in voice.sounds]
    chosen = [sound for sound in sounds if rng.random() < JITTERED] or rng.sample(
        sounds, min(1, len(sounds))
    )
    for voice, sound in chosen:
        for semitones in rng.sample((-1, 1), 2):
            if voice.can_move(sound, semitones):
                voice.move(sound, semitones)
                break
    return with_moved(tune, voices)


def swap_voices(tune: Tune, rng: random.Random, other: str | None) -> Tune:
    """Give one voice the music of a voice of another piece, bar by bar, as long as both last.

    Both are voices written in half of the bars at least, of the same clef if the other piece has
    such a one. Bars of unusual length, such as upbeats, are passed over in both. Of a piece of one
    voice the second half is replaced by the second half of the other one's. Keys, metres and tempi
    stay those of this piece.

    Raises:
        NotationError: If the other text is no interleaved tune.
        ValueError: If there is no other piece.
    """
    if other is None:
        raise ValueError("found no other piece, wanted one to swap voices with")
    giver = parse_interleaved(other)
    voice = rng.choice(_busy_voices(tune))
    givers = _busy_voices(giver)
    clef = _clef(tune, voice)
    given = rng.choice([name for name in givers if _clef(giver, name) == clef] or givers)
    places, given_bars = _usual_bars(tune), _usual_bars(giver)
    if len(tune.voices) == 1:
        places, given_bars = places[len(places) // 2 :], given_bars[len(given_bars) // 2 :]
    music = _music(tune)
    for place, given_place in zip(places, given_bars, strict=False):
        own, bar = music[place].pop(voice, ""), giver.bars[given_place]
        fields = "".join(_FIELDS.findall(own))
        if given in bar:
            music[place][voice] = fields + _FIELDS.sub("", bar[given].music).strip()
        elif fields or not music[place]:
            length = _duration(tune.bars[place])
            rest = f"z{format_length(length / UNIT)}" if length else ""
            music[place][voice] = fields + rest if rest else own
    return _with_music(tune, music)


def shuffle_rhythms(tune: Tune, rng: random.Random, _: str | None) -> Tune:
    """Deal out the note values of each bar of a voice anew; a tuplet keeps its own."""
    music = [
        {voice: _other_rhythm(cell.music, rng) for voice, cell in bar.items()} for bar in tune.bars
    ]
    return _with_music(tune, music)


def transpose_voice(tune: Tune, rng: random.Random, _: str | None) -> Tune:
    """Move one voice a semitone or a tritone up or down against the others."""
    name, semitones = rng.choice(_busy_voices(tune)), rng.choice((-6, -1, 1, 6))
    voices = movable_voices(tune, [name])
    for sound in voices[name].sounds:
        voices[name].move(sound, semitones)
    return with_moved(tune, voices)


def shift_voice(tune: Tune, rng: random.Random, _: str | None) -> Tune:
    """Let one voice come a bar late against the others; its last bar comes first.

    Bars of unusual length, such as upbeats, stay.
    """
    voice = rng.choice(_busy_voices(tune))
    music = _music(tune)
    shifted = [music[number] for number in _usual_bars(tune)]
    own = [bar.pop(voice, None) for bar in shifted]
    for bar, late in zip(shifted, own[-1:] + own[:-1], strict=True):
        if late is not None:
            bar[voice] = late
    return _with_music(tune, music)


def repeat_bars(tune: Tune, rng: random.Random, _: str | None) -> Tune:
    """Replace a random half of the bars by copies of others."""
    music = _music(tune)
    copies = music.copy()
    for number in rng.sample(range(len(music)), len(music) // 2):
        copies[number] = rng.choice(music)
    return _with_music(tune, copies)


TAUGHT: dict[str, Damage] = {
    "shuffled bars": shuffle_bars,
    "jittered pitches": jitter_pitches,
    "swapped voices": swap_voices,
}
UNTAUGHT: dict[str, Damage] = {
    "shuffled rhythms": shuffle_rhythms,
    "transposed voice": transpose_voice,
    "shifted voice": shift_voice,
    "repeated bars": repeat_bars,
}
DAMAGES = TAUGHT | UNTAUGHT
NEED_OTHER = frozenset({"swapped voices"})
"""Damages that take music of another piece."""


def _music(tune: Tune) -> list[dict[str, str]]:
    return [{voice: cell.music for voice, cell in bar.items()} for bar in tune.bars]


def _with_music(tune: Tune, music: Sequence[dict[str, str]]) -> Tune:
    """Return the tune with other music between its barlines; bars without any keep theirs."""
    bars = []
    for bar, texts in zip(tune.bars, music, strict=True):
        first = next(iter(bar.values()))
        # a voice that was not written here gets the barlines of one that was
        left = "".join(text for kind, text in tokens(first.left) if kind == "barline")
        missing = Bar(left, "", first.barline)
        cells = {
            voice: bar.get(voice, missing)._replace(music=text) for voice, text in texts.items()
        }
        bars.append(cells or bar)
    return Tune(tune.header, tuple(bars))


def _busy_voices(tune: Tune) -> list[str]:
    """Return the voices that are written in half of the bars or more, or in the most."""
    counts = {voice: sum(voice in bar for bar in tune.bars) for voice in tune.voices}
    wanted = min(len(tune.bars) / 2, max(counts.values()))
    return [voice for voice, count in counts.items() if count >= wanted]


def _clef(tune: Tune, voice: str) -> str:
    """Return the first word after the voice's name on its line."""
    words = voice_lines(tune.header).get(voice, "").split()
    return words[1] if len(words) > 1 else ""


def _usual_bars(tune: Tune) -> list[int]:
    """Return the numbers, from 0, of the bars that last as long as most do."""
    lengths = [_duration(bar) for bar in tune.bars]
    ((usual, _),) = Counter(lengths).most_common(1)
    return [number for number, length in enumerate(lengths) if length == usual]


def _duration(bar: dict[str, Bar]) -> Fraction | None:
    """Return how long a bar lasts, if its first voice tells."""
    try:
        return bar_duration(next(iter(bar.values())).music)
    except NotationError:
        return None


def _closed(music: str) -> str:
    """Return a bar's music without what leads over its barlines."""
    if not any(sign in music for sign in "-()"):
        return music
    parts = tokens(music)
    opened: dict[str, list[int]] = defaultdict(list)
    loose: list[int] = []
    ties: list[int] = []
    in_chord = in_grace = False
    for place, (kind, text) in enumerate(parts):
        span = _SPAN.fullmatch(text) if kind == "decoration" else None
        if kind in ("slur", "decoration") and (span or kind == "slur"):
            name, end = (span[1], span[2]) if span else ("", text[-1])
            if end == "(":
                opened[name].append(place)
            elif opened[name]:
                opened[name].pop()
            else:
                loose.append(place)
        elif kind == "tie":
            ties.append(place)
        elif kind in ("grace_open", "grace_close"):
            in_grace = kind == "grace_open"
        elif kind == "chord_close":
            in_chord = False
        elif kind in ("note", "rest", "chord_open") and not in_chord and not in_grace:
            in_chord = kind == "chord_open"
            ties = []
    dropped = {*loose, *ties, *(place for places in opened.values() for place in places)}
    return "".join(text for place, (_, text) in enumerate(parts) if place not in dropped)


def _other_rhythm(music: str, rng: random.Random) -> str:
    """Return a bar's music with its note values in another order; those of a tuplet stay in it.

    What a tuplet in a tuplet, broken rhythm or a chord of unlike notes lasts depends on its place:
    such bars stay as they are.
    """
    parts = tokens(music)
    texts = [text for _, text in parts]
    groups: dict[int, list[tuple[int, str]]] = defaultdict(list)
    in_chord = in_grace = False
    tuplet = left = 0
    for place, (kind, text) in enumerate(parts):
        if kind == "tuplet":
            match = TUPLET.fullmatch(text)
            if left or match is None:
                return music
            tuplet, left = tuplet + 1, int(match["r"] or match["p"])
        elif kind == "broken":
            return music
        elif kind in ("grace_open", "grace_close"):
            in_grace = kind == "grace_open"
        elif in_grace:
            continue
        elif kind == "chord_open":
            in_chord = True
        elif kind in ("note", "rest", "chord_close"):
            length = text.lstrip("]^_=ABCDEFGabcdefg,'zx")
            if in_chord and kind != "chord_close":
                if length:
                    return music
                continue
            in_chord = False
            groups[tuplet if left else 0].append((place, length))
            left -= left > 0
    for group in groups.values():
        lengths = rng.sample([length for _, length in group], len(group))
        for (place, old), length in zip(group, lengths, strict=True):
            texts[place] = texts[place].removesuffix(old) + length
    return "".join(texts)
