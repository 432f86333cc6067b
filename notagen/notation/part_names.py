"""What the name of a part says: which instruments or voices play it."""

import re
import unicodedata
from collections.abc import Sequence

# Names in English, German, French, Italian, Latin (and the Polish ones of song prints), without
# accents. Instruments stand before the voices they are named after ("alto flute"), long names
# before those they begin with; what one pattern has read the next ones do not see.
_NAMES = tuple(
    (re.compile(rf"\b(?:{pattern})\b"), instrument)
    for instrument, pattern in (
        ("bass drum", r"bass drum|(?:gr?|gran)? ?cassa|gross[ea]? (?:trommel|caisse)|ruhrtrommel"),
        (
            "snare drum",
            r"snare\w*|side drum|kleine trommel|caisse claire|tamburo|tambour|trommel",
        ),
        ("cymbals", r"cymb\w*|becken|piatti|cinelli"),
        ("tam-tam", r"tam ?tam|gong"),
        ("tambourine", r"tambourin\w*|tamburin\w*|schellen\w*"),
        ("wood block", r"wood ?blocks?|holzblock"),
        ("triangle", r"triang\w*"),
        ("castanets", r"castan\w*|kastagn\w*"),
        ("percussion", r"drum\w*|perc\w*|schlag(?:zeug|werk)|batteri[ae]"),
        (
            "contrabassoon",
            r"(?:contra|kontra|double) ?(?:fag\w*|bassoo?ns?)|kfg|cbsn|cbn",
        ),
        ("bassoon", r"fag\w*|bassoo?n[es]?|fg|bsn|bn"),
        (
            "contrabass",
            r"[ck]ontrab(?!\w* ?(?:trom|pos|tub|[ck]lar|sax))\w*|contrebass\w*|double bass\w*"
            r"|violone|cb|kb|ctb|db$",
        ),
        (
            "viola da gamba",
            r"(?:viol\w* d[aei] )?gamb\w*|(?:treble|alto|tenor|bass) viols?|viols",
        ),
        ("cello", r"violonc\w*|wiolonczel\w*|viola bass[ao]|v?cell[oi]s?|vcl?|vlc|vcll?o"),
        ("viola d'amore", r"viol[ae]s? d ?amore"),
        ("violin", r"violin\w*|violons?|viol|geigen?|skrzypce|vl?ns?|vl|vn[oi]|fiddle"),
        ("viola", r"violas?|viole|bratschen?|altowk\w*|vla|va|vle|br"),
        ("strings", r"strings|streicher|archi|cordes"),
        (
            "piccolo",
            r"(?:flaut[oi] )?(?:picc?ol\w*|picc)(?: flutes?)?|petites? flutes?"
            r"|kleine flote|ottavin[oi]",
        ),
        (
            "recorder",
            r"blockflot\w*|blockfloet\w*|recorders?|flaut[oi] dolc[ei]|flutes? a bec",
        ),
        ("alto flute", r"alt\w* ?(?:flutes?|flote)|flaut[oi] (?:contr)?alt[oi]"),
        ("bass flute", r"bass? ?(?:flutes?|flote)|flaut[oi] bass[oi]"),
        ("flute", r"flutes?|flaut[oi]|floten?|floete\w*|querflot\w*|travers\w*|fl"),
        (
            "English horn",
            r"english horns?|englischhorn|cors? anglais|corn[oi] ingles[ei]|eh"
            r"|h?obo[ei] da caccia",
        ),
        ("oboe d'amore", r"(?:h?obo[ei]s?|hautbois) d ?amour|h?obo[ei] d ?amore"),
        ("oboe", r"ob|h?obo[aei]\w*|hautbo\w*"),
        ("basset horn", r"bass[eo]t ?hor\w*|corn[oi] di bassetto|cors? de basset"),
        ("contrabass clarinet", r"[ck]ontra(?:bas[es]?|alto?)? ?[ck]larinet\w*"),
        (
            "bass clarinet",
            r"bas[es]? ?[ck]larinet\w*|clarinett[oi] bass[oi]"
            r"|clarinettes? basses?|b cl",
        ),
        ("clarinet", r"bass[eo]t\w*|[ck]larinett?\w*|clarnett\w*|[ck]lar|cl"),
        ("soprano saxophone", r"sopran\w* sax\w*"),
        ("tenor saxophone", r"tenor\w* sax\w*"),
        ("baritone saxophone", r"(?:bariton\w*|bass?) sax\w*"),
        ("alto saxophone", r"alt\w* sax\w*"),
        ("saxophone", r"sax\w*"),
        ("bass trumpet", r"bass? ?trump\w*|basstrompete\w*|tromb[ae] bass[ae]"),
        ("trumpet", r"tromb[aei]|trumpets?|trompet\w*|clarin[oi]|tpts?|trp|trpt"),
        ("cornet", r"corn(?:et|ett)[ios]?s?|zink\w*"),
        ("trombone", r"(?:[ck]ontrabass? ?)?trombon\w*|\w*posaunen?|tbns?|trb|pos"),
        ("Wagner tuba", r"wagner ?tub\w*|tenor ?tub\w*"),
        ("tuba", r"\w*tub[ae]n?|tubas|ophicleid\w*|serpent"),
        ("horn", r"horns?|horner|waldh\w*|cors?|corn[iou]|hns?|hrn|hr"),
        ("timpani", r"t[iy]mp\w*|pauken?|pk|timbales"),
        ("celesta", r"celest\w*"),
        ("glockenspiel", r"glock\w*|campanell[io]"),
        ("vibraphone", r"vibraph\w*"),
        ("marimba", r"marimb\w*"),
        ("xylophone", r"xyloph\w*|xilof\w*"),
        ("continuo", r"(?:bass[aeiou]s? )?continuu?[os]|fundamento"),
        ("harpsichord", r"harpsi\w*|(?:clavi)?cembal\w*|clavecin\w*|hpsd|cemb"),
        ("harp", r"harps?|harfen?|harfe|harpes?|arp[ae]|hf|hp|hrp"),
        ("harmonium", r"harmonium|harm"),
        ("accordion", r"accord\w*|akkord\w*|fisarmonica"),
        ("organ", r"organ[oi]?|orgel|orgues?|org|pedal"),
        ("piano", r"(?:forte|hammer)?(?:pian|klav|clav)\w*|pf|pfte|pno|klv|keyboard"),
        ("bass guitar", r"bass guitar|e bass|electric bass"),
        ("guitar", r"guitars?|gitarren?|guitarr?es?|chitarr[ae]|gtr|guit"),
        ("lute", r"lutes?|lauten?|liuto|luth"),
        ("choir", r"chor\w*|choir|cor[oi]|choeur"),
        ("mezzo-soprano", r"mezzo ?sopran\w*|mezzo"),
        ("soprano", r"sopran\w*|discant\w*|dessus|treble|s"),
        ("alto", r"contralt\w*"),
        ("baritone", r"barit\w*"),
        ("tenor", r"tenor\w*|taille|haute contre|t"),
        ("voice", r"voices?|voix|voce|voci|vox|(?:ge|sing)?sang\w*|(?:sing)?stimm\w*"),
        ("voice", r"chant\w*|cant(?:o|us|vs)|vocals?|spiew|glos|superius"),
    )
)
# a choir's voice or, where strings play and nobody sings for certain, a string instrument; a letter
# says so only by itself, beside other words it is a key
_AMBIGUOUS = (
    (re.compile(r"\balt(?:[oi]?s?|[uv]s)\b|^a(?: i+)?$"), "alto", "viola"),
    (re.compile(r"\bbass?(?:[eio]?|[uv]s)\b|^b(?: i+)?$"), "bass", "contrabass"),
)
_STRINGS = {"violin", "viola", "viola d'amore", "viola da gamba", "cello", "contrabass"}
_SINGERS = {"choir", "mezzo-soprano", "soprano", "alto", "baritone", "tenor", "voice"}

INSTRUMENTS = tuple(dict.fromkeys([*(instrument for _, instrument in _NAMES), "bass"]))
"""All that a name can say, by their English names."""


def read_part_names(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the instruments that the name of each part of a score says, the chief one first.

    `Fl. 2 / Picc.` gives `("piccolo", "flute")`, a name that says nothing an empty tuple. "Alto"
    and "Bass" are voices, but a viola and a contrabass where strings play and nobody else sings.

    Args:
        names: As the score has them, of all its parts.
    """
    plain = [_plain(name) for name in names]
    found = [_find(name) for name in plain]
    chief = {instruments[0] for instruments in found if instruments}
    strings_alone = bool(chief & _STRINGS) and not chief & _SINGERS
    for place, name in enumerate(plain):
        if not found[place]:
            either = next((two for pattern, *two in _AMBIGUOUS if pattern.search(name)), None)
            found[place] = (either[strings_alone],) if either else ()
    return found


def _find(name: str) -> tuple[str, ...]:
    instruments = []
    for pattern, instrument in _NAMES:
        name, times = pattern.subn("/", name)
        if times:
            instruments.append(instrument)
    return tuple(dict.fromkeys(instruments))


def _plain(name: str) -> str:
    """Return a name in small letters without accents, digits and punctuation."""
    letters = unicodedata.normalize("NFKD", name.casefold().replace("ł", "l"))
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(re.findall(r"[a-z]+", bare))
