"""Decorations and quoted words of ABC, and what MusicXML calls them."""

import re
from typing import NamedTuple

from notagen.notation.keys import CHORD_SYMBOL
from notagen.notation.musicxml.abc_signs import words_xml
from notagen.notation.musicxml.marks import (
    DYNAMICS,
    HARMONIES,
    HIDDEN_NOTE,
    JUMPS,
    NOTE_MARKS,
    OTHER_DYNAMIC,
    SOUNDS,
    SPANS,
    TRILL_LINE,
)

HIDDEN = "hidden"
"""Among a note's marks: it is not printed."""
TRILL_ENDS = ("trill line ends", "trill line begins")
"""Likewise: the line after a trill."""


class Mark(NamedTuple):
    """What a decoration is."""

    kind: str
    """One of `note`, `dynamics`, `open`, `close` (a span), `jump`, `sound`, `tremolo`, `pair`
    (a tremolo of two notes), `times`, `none`."""
    value: str = ""
    """A note mark's path, an element, an attribute, or a number."""


class Words(NamedTuple):
    """What words in quotes are."""

    content: str
    """`<direction-type>` element, or the inside of a `<harmony>`."""
    placement: str
    text: str
    """The words themselves, if it is words."""
    harmony: bool = False


PEDAL = next(place for place, (name, _, _) in enumerate(SPANS) if name.startswith("pedal"))
"""Place of the pedal in `marks.SPANS`."""

_SHORTHAND = {
    **{"~": "turn", "H": "fermata", "J": "slide", "L": ">", "M": "mordent", "O": "coda"},
    **{"P": "pralltriller", "S": "segno", "T": "trill", "u": "upbow", "v": "downbow"},
}
"""Signs of one letter, and their long names; those not here (`R`) are not written."""

# other names of the ABC standard for what the shared table knows
_SYNONYMS = {
    **{"accent": ">", "emphasis": ">", "marcato": "^", "lowermordent": "mordent"},
    **{"uppermordent": "pralltriller", "+": "plus", "D.C": "D.C.", "D.S": "D.S."},
    **{"crescendo(": "<(", "crescendo)": "<)", "diminuendo(": ">(", "diminuendo)": ">)"},
    **{"dacapo": "D.C.", "ped)": "ped-up"},
}
_LONG_NAMES = {
    **{"T": "trill", "M": "mordent", "P": "pralltriller", "u": "upbow", "v": "downbow"},
    **{".": "staccato", "S": "segno", "O": "coda"},
}
_SOUND_WORDS = {
    "dacapo": ("yes", "D.C.", re.compile(r"\bd\.? ?c\b|da ?capo", re.IGNORECASE)),
    "dalsegno": ("segno", "D.S.", re.compile(r"\bd\.? ?s\b|dal ?segno", re.IGNORECASE)),
    "tocoda": ("coda", "To Coda", re.compile(r"coda", re.IGNORECASE)),
    "fine": ("yes", "Fine", re.compile(r"\bfine?\b", re.IGNORECASE)),
}
_TREMOLO = re.compile(r"(/{1,8})(-?)")
_TIMES = re.compile(r"x(\d{1,2})")

_KINDS = {
    **{symbol: kind for kind, symbol in HARMONIES},
    # other ways to write them
    **{"maj": "major", "M": "major", "min": "minor", "+": "augmented"},
    **{
        "o": "diminished",
        "o7": "diminished-seventh",
        "0": "half-diminished",
        "07": "half-diminished",
    },
    **{
        "M7": "major-seventh",
        "^7": "major-seventh",
        "min7": "minor-seventh",
        "+7": "augmented-seventh",
    },
    **{"sus": "suspended-fourth", "mmaj7": "major-minor", "mM7": "major-minor"},
}


def _decorations() -> dict[str, Mark]:
    marks: dict[str, Mark] = {}
    for path, abc in NOTE_MARKS:
        name = _LONG_NAMES.get(abc) or abc.strip("!")
        if "!" not in name:  # `!tenuto!.` is two, see `DETACHED`
            marks[name] = Mark("note", path)
    for place, (_, opening, closing) in enumerate(SPANS):
        marks[opening.strip("!")] = Mark("open", str(place))
        marks[closing.strip("!")] = Mark("close", str(place))
    for element, abc in JUMPS:
        marks[_LONG_NAMES[abc]] = Mark("jump", f"<{element}/>")
    for attribute, abc in SOUNDS:
        marks[abc.strip("!")] = Mark("sound", attribute)
    for name in DYNAMICS:
        marks[name] = Mark("dynamics", f"<{name}/>")
    marks[HIDDEN_NOTE.strip("!")] = Mark("note", HIDDEN)
    for end, abc in TRILL_LINE.items():
        marks[abc.strip("!")] = Mark("note", TRILL_ENDS[end == "start"])
    for finger in "012345":
        marks[finger] = Mark("note", f"technical/fingering={finger}")
    marks["invertedfermata"] = Mark("note", "fermata inverted")
    for name, known in _SYNONYMS.items():
        marks.setdefault(name, marks[known])
    return marks


_DECORATIONS = _decorations()
_NONE = Mark("none")


def read_shorthand(letter: str) -> Mark:
    """Return what a sign of one letter is, such as `T` or `.`."""
    name = _LONG_NAMES.get(letter) or _SHORTHAND.get(letter, "")
    return _DECORATIONS.get(name, _NONE)


def read_decoration(name: str) -> Mark:
    """Return what `!name!` is; a name that MusicXML has no sign for is of the kind `none`."""
    known = _DECORATIONS.get(name)
    if known:
        return known
    if match := _TREMOLO.fullmatch(name):
        return Mark("pair" if match[2] else "tremolo", str(len(match[1])))
    if match := _TIMES.fullmatch(name):
        return Mark("times", match[1])
    if OTHER_DYNAMIC.fullmatch(name):
        return Mark("dynamics", f"<other-dynamics>{name}</other-dynamics>")
    return _NONE


def sound_words(attribute: str) -> tuple[str, str, re.Pattern[str]]:
    """Return of a jump such as `dacapo` the attribute's value, its words, and what says it too."""
    return _SOUND_WORDS[attribute]


def read_words(text: str) -> Words | None:
    """Return what quoted text is, without its quotes: words, a dynamic or a chord symbol."""
    place, rest = text[:1], text[1:]
    if not text.strip() or (place in "^_<>@" and not rest.strip()):
        return None
    if place == "@":
        inner = f"<other-dynamics>{words_xml(rest)}</other-dynamics>"
        return Words(f"<direction-type><dynamics>{inner}</dynamics></direction-type>", "", "")
    if place in "^_<>":
        placement = {"^": "above", "_": "below"}.get(place, "")
        return Words(_words(rest), placement, rest)
    symbol = CHORD_SYMBOL.fullmatch(text)
    if symbol is None:
        return Words(_words(text), "above", text)
    kind = symbol["kind"]
    content = (
        f"<root>{_name('root', symbol['root'], symbol['sign'])}</root>"
        f'<kind text="{kind}">{_KINDS.get(kind, "other")}</kind>'
    )
    if symbol["bass"]:
        content += f"<bass>{_name('bass', symbol['bass'], symbol['bass_sign'])}</bass>"
    return Words(content, "", "", harmony=True)


def _words(text: str) -> str:
    return f"<direction-type><words>{words_xml(text)}</words></direction-type>"


def _name(element: str, letter: str, sign: str | None) -> str:
    alter = {"#": 1, "b": -1, "##": 2, "bb": -2}.get(sign or "")
    alter_xml = f"<{element}-alter>{alter}</{element}-alter>" if alter else ""
    return f"<{element}-step>{letter}</{element}-step>{alter_xml}"
