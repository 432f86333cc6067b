"""Pieces in words, for the text side of CLaMP 2: what an index and the notes themselves tell."""

import random
import re
from collections import Counter
from fractions import Fraction
from functools import lru_cache

from anyascii import anyascii

from notagen.features.modes import find_mode
from notagen.features.patches import is_mtf
from notagen.foundation.index import IndexEntry
from notagen.notation.durations import parse_metre
from notagen.notation.interleave import parse_interleaved
from notagen.notation.keys import parse_key, spelled
from notagen.notation.musicxml.abc_layout import read_voice_lines
from notagen.notation.part_names import read_part_names
from notagen.notation.tune import Tune

_ENDS = 8
"""Bars at each end of a piece from which its mode is told; between them keys change."""
_MOST_PARTS = 6
"""Of a piece for more, the parts are not listed."""
_SLOW, _FAST = 72, 112
"""Beats a minute below which a piece is slow, and above which it is fast."""

_NOT = re.compile(r"\b(?:not|nicht|pas|sans|nie)\b", re.IGNORECASE)
_TEMPO_WORDS = re.compile(
    r"\b(?:(?P<slow>slow\w*|adagi\w*|larg[oh]\w*|lent[oe]?\w*|grave|langsam\w*|breit|getragen|wolno)|"
    r"(?P<moderate>moderat\w*|modere|mass?ige?r?|andant\w*|all?egrett\w*|gemachlich|umiarkowan\w*)|"
    r"(?P<fast>fast|quick\w*|lively|all?egro|allo|vivac\w*|viv[oe]|prest\w*|schnell\w*|lebhaft\w*"
    r"|rasch|geschwind\w*|frisch|munter|feurig|vif|vite|anime|agitato|predko|zywo))\b",
    re.IGNORECASE,
)
_WORDS = re.compile(r'"[\^_@]([^"]*)"')
_KEY_CHANGE = re.compile(r"\[K:[A-G]")
_NAMES = re.compile(r'\s*\b(?:nm|name|snm|sname|subname)="[^"]*"')
_PROGRAM = re.compile(r"^(program_change \d+ \d+) \d+$", re.MULTILINE)
_TITLE_KEY = re.compile(
    r",?\s*\b(?:in )?[A-G](?:[- ]?(?:sharp|flat)|is|e?s)?[- ](?:[Mm]ajor|[Mm]inor|[Dd]ur|[Mm]oll)\b"
)
_TITLE_NUMBER = re.compile(r"^\d+[a-z]?[.:]?\s+")

_KINDS = {
    "Art Song": ("song", "Lied", "art song"),
    "Keyboard": ("piano piece", "keyboard piece", "piece for piano"),
    "Choral": ("choral piece", "piece for choir"),
    "Chamber": ("chamber piece", "piece of chamber music"),
    "Vocal-Orchestral": ("piece for voices and orchestra", "vocal-orchestral piece"),
    "Orchestral": ("orchestral piece", "piece for orchestra"),
}
"""What a piece of an instrumentation is called; the first is what `sentence` says."""
_WORDINGS = {
    "title": ("{}", '"{}"'),
    "period": ("{}", "{} period", "{} music", "from the {} period"),
    "key": ("in {}", "{}", "key of {}"),
    "mode": ("in a {} key", "{} key", "{}", "{} mode"),
    "metre": ("in {} time", "{} time", "{}"),
    "tempo": ("{}", "{} tempo", "a {} piece"),
    "parts": ("for {}", "{}"),
    "voices": ("in {} parts", "{} parts"),
}
"""Ways to say a field by itself; the first is what `sentence` says."""
_TEMPO_ADVERBS = {"slow": "slowly", "moderate": "at a moderate pace", "fast": "quickly"}
_SIGNS = {-1: " flat", 0: "", 1: " sharp"}
_STATED_MODES = {"m": "minor", "min": "minor", "aeo": "minor"}
_CHURCH_MODES = {
    **{"dor": "dorian", "phr": "phrygian", "lyd": "lydian", "mix": "mixolydian", "loc": "locrian"}
}
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def describe(entry: IndexEntry, abc: str) -> dict[str, str]:
    """Return what is known of a piece, in ASCII and in this order; what is unknown is left out.

    `title`, `composer` (`Schubert, Franz`), `period`, `instrumentation`: as in the index, but
    a title without its number and key. `key` (`E flat major`), `mode` (`major` or `minor`), `metre`
    (`3/4` or `C`), `tempo` (`slow`, `moderate` or `fast`), `parts` (`voice and piano`) and `voices`
    (how many parts, `four`; of choral pieces, and where names do not tell the parts): from the
    text, in whatever key it is.

    The mode is the one the key line states, else that of the signature's two keys whose profile
    the notes at both ends of the piece fit better. The tempo is that of the first words, else of
    the metronome mark.

    Args:
        entry: The piece's line of an index.
        abc: Its text, interleaved or reduced.

    Raises:
        NotationError: If the text is no interleaved tune.
    """
    tune = _ends(abc)
    metre = tune.field("M") or ""
    lines = read_voice_lines(tune.header)
    title = _TITLE_NUMBER.sub("", _TITLE_KEY.sub("", anyascii(entry.title or ""))).strip(" ,")
    fields = {
        "title": title,
        "composer": anyascii(entry.composer or ""),
        "period": anyascii(entry.period or ""),
        "instrumentation": anyascii(entry.instrumentation or ""),
        **_key(tune),
        # `M:none` is no metre to speak of
        "metre": metre if parse_metre(metre) else "",
        "tempo": _tempo(tune),
        **_parts(tuple(line.name for line in lines.values() if line.name)),
    }
    if "parts" in fields and fields["instrumentation"] != "Choral":
        fields["voices"] = ""
    return {name: value for name, value in fields.items() if value}


def sentence(fields: dict[str, str]) -> str:
    """Return a description as one text, always the same.

    `Das Wandern: a fast song by Franz Schubert, Romantic, in B flat major, in 2/4 time, for voice
    and piano`.
    """
    kind = _kinds(fields)[0]
    title = f"{fields['title']}: " if "title" in fields else ""
    rest = [
        _WORDINGS[name][0].format(fields[name])
        for name in ("period", "key", "metre", "parts", "voices")
        if name in fields
    ]
    if "mode" in fields and "key" not in fields:
        rest.append(_WORDINGS["mode"][0].format(fields["mode"]))
    by = f" by {_composers(fields)[0]}" if "composer" in fields else ""
    what = f"{fields['tempo']} {kind}" if "tempo" in fields else kind
    return title + ", ".join([f"{_article(what)} {what}{by}", *rest])


def prompt_text(period: str, composer: str, instrumentation: str) -> str:
    """Return the text that says no more than a prompt: `a song by Franz Schubert, Romantic`."""
    prompt = {"composer": composer, "period": period, "instrumentation": instrumentation}
    return sentence({name: anyascii(value) for name, value in prompt.items()})


def drop_fields(fields: dict[str, str], rng: random.Random) -> str:
    """Return a text of some of the fields, as a user might ask for such a piece.

    Each is kept with probability 1/2, at least one; half of the texts are phrases in any order,
    the others a request such as `a slow minor-key song by Schubert`. Words vary.

    Source: text dropout of CLaMP 2, arXiv:2410.13267; the wordings are ours.

    Args:
        fields: From `describe`; of none it is what is said of any piece.
        rng: Of all choices.
    """
    if not fields:
        return sentence(fields)
    kept = [name for name in fields if rng.random() < 0.5] or [rng.choice(list(fields))]
    rng.shuffle(kept)
    chosen = {name: fields[name] for name in kept}
    if rng.random() < 0.5:
        return ", ".join(_phrase(name, chosen, rng) for name in chosen)
    return _request(chosen, rng)


def remove_instruments(music: str) -> str:
    """Return a piece without what names its instruments; CLaMP 2 sees most pieces so.

    `V:2 treble nm="Piano" snm="Pno."` becomes `V:2 treble`; in MIDI text every program becomes 0.
    """
    if is_mtf(music):
        return _PROGRAM.sub(r"\1 0", music)
    return re.sub(r"^V:.*", lambda line: _NAMES.sub("", line[0]), music, flags=re.MULTILINE)


def _ends(abc: str) -> Tune:
    """Return a tune of the first and last bars; of the first alone if the key changes between."""
    lines = abc.splitlines()
    begin = next((n for n, line in enumerate(lines) if line.startswith(("[V:", "[r:"))), len(lines))
    music = [line for line in lines[begin:] if line]
    between = music[_ENDS:-_ENDS]
    if any(_KEY_CHANGE.search(line) for line in between):
        music = music[: 2 * _ENDS]
    elif between:
        music = music[:_ENDS] + music[-_ENDS:]
    return parse_interleaved("\n".join(lines[:begin] + music))


def _key(tune: Tune) -> dict[str, str]:
    """Return key and mode; of a church mode the key alone; nothing where no note tells."""
    value = (tune.field("K") or "").strip()
    key = parse_key(value)
    if key is None:
        return {}
    stated = key.mode.lower()[:3]
    if stated in _CHURCH_MODES:
        letter, sign = value[0].upper(), _SIGNS[{"#": 1, "b": -1}.get(value[1], 0)]
        return {"key": f"{letter}{sign} {_CHURCH_MODES[stated]}"}
    mode = _STATED_MODES.get(stated) or find_mode(tune)
    if mode is None:
        return {}
    letter, alteration = spelled(key.fifths + 3 * (mode == "minor"))
    return {"key": f"{letter}{_SIGNS[alteration]} {mode}", "mode": mode}


def _tempo(tune: Tune) -> str:
    """Return how fast a piece begins: by its first words that say so, else by its metronome."""
    texts = (cell.left + cell.music for bar in tune.bars[:2] for cell in bar.values())
    for words in (words for text in texts if '"' in text for words in _WORDS.findall(text)):
        match = _TEMPO_WORDS.search(words)
        if match:
            negated = _NOT.search(words, 0, match.start())
            return "moderate" if negated else str(match.lastgroup)
    mark = re.fullmatch(r"(\d+)/(\d+)=(\d+)", tune.field("Q") or "")
    beat = parse_metre(f"{mark[1]}/{mark[2]}") if mark else None
    if mark is None or beat is None:
        return ""
    # a dotted note is a beat like the plain one
    beats = int(mark[3]) * beat * 4 / (Fraction(3, 2) if beat.numerator % 3 == 0 else 1)
    return "slow" if beats < _SLOW else "fast" if beats > _FAST else "moderate"


@lru_cache(maxsize=2**10)
def _parts(names: tuple[str, ...]) -> dict[str, str]:
    """Return the parts, `voice and piano`, and their number, `two`, by the names of the parts."""
    chief = [instruments[0] for instruments in read_part_names(names) if instruments]
    counts = Counter(chief)
    fields: dict[str, str] = {}
    if len(chief) == len(names) and 0 < len(counts) <= _MOST_PARTS:
        *most, last = (
            name if count == 1 else f"{_number(count)} {name}s" for name, count in counts.items()
        )
        fields["parts"] = f"{', '.join(most)} and {last}" if most else last
    if len(names) > 1:
        fields["voices"] = _number(len(names))
    return fields


def _number(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def _kinds(fields: dict[str, str]) -> tuple[str, ...]:
    """Return what the piece may be called, by its instrumentation."""
    name = fields.get("instrumentation", "")
    return _KINDS.get(name) or (f"{name.lower()} piece".strip(),)


def _composers(fields: dict[str, str]) -> tuple[str, ...]:
    """Return the composer's full name, and the surname."""
    surname, _, given = fields["composer"].partition(", ")
    return (f"{given} {surname}".strip(), surname)


def _phrase(name: str, fields: dict[str, str], rng: random.Random) -> str:
    """Return a field by itself, in one of its wordings."""
    value = fields[name]
    if name == "composer":
        composer = rng.choice(_composers(fields))
        return rng.choice(("{}", "by {}", "music by {}")).format(composer)
    if name == "instrumentation":
        return rng.choice((value, *_kinds(fields)))
    if name == "tempo" and rng.random() < 0.25:
        return _TEMPO_ADVERBS[value]
    return rng.choice(_WORDINGS[name]).format(value)


def _request(fields: dict[str, str], rng: random.Random) -> str:
    """Return fields as one asks for a piece: `a slow minor-key song by Schubert, in 3/4 time`."""
    adjectives = [fields[name] for name in ("tempo", "period") if name in fields]
    if "mode" in fields:
        adjectives.append(rng.choice(("{}-key", "{} key")).format(fields["mode"]))
    kind = rng.choice(_kinds(fields))
    what = " ".join([*adjectives, kind])
    by = f" by {rng.choice(_composers(fields))}" if "composer" in fields else ""
    rest = [
        _phrase(name, fields, rng)
        for name in fields
        if name in ("title", "key", "metre", "parts", "voices")
    ]
    return ", ".join([f"{_article(what)} {what}{by}", *rest])


def _article(what: str) -> str:
    return "an" if what[0].lower() in "aeiou" else "a"
