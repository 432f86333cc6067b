"""The only door to the MusicXML converters: MusicXML files to ABC, ABC to MusicXML.

The packaged converters keep their state in module globals and evaluate a metre as code, so they
run in a worker process with a time limit, and ABC is made harmless before they see it.
"""

import io
import re
import zipfile
import zlib
from contextlib import redirect_stderr
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from notagen.foundation.errors import ConversionError, NotationError
from notagen.foundation.limits import limited
from notagen.notation.clean import to_ascii
from notagen.notation.interleave import is_interleaved, parse_interleaved
from notagen.notation.rests import restore_rests
from notagen.notation.toolkit import hoist_clefs
from notagen.notation.tune import format_abc

MAX_BYTES = 64 * 1024 * 1024
"""Largest MusicXML document that is read, unpacked; a symphony movement takes about 20 MB."""
MAX_DEPTH = 64
_DAMAGED_ARCHIVE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError),
    *(NotImplementedError, RuntimeError, ValueError),  # an odd version, a password, a bad name
)
_MAX_ABC = 2_000_000
_SECONDS = 60.0
_METRE = re.compile(r"\s*(?:none|C\|?|\d{1,3}(?:\+\d{1,3})*/\d{1,3})\s*")


def musicxml_to_abc(path: Path | str) -> str:
    """Return the standard ABC of a MusicXML file (.xml, .musicxml or compressed .mxl).

    Unit note length 1/8, voices as `V:1 treble nm="..."` in the order of `%%score`.

    Raises:
        ConversionError: If the file is no MusicXML score in parts, is damaged or too large, or
            cannot be converted in time; the message begins with the path.
        FileNotFoundError: If there is no such file.
    """
    path = Path(path)
    try:
        document = read_musicxml(path)
        return run_xml2abc(document)
    except ConversionError as error:
        raise ConversionError(f"{path}: {error}") from error


def abc_to_musicxml(abc: str) -> str:
    """Return the MusicXML document of a tune.

    Args:
        abc: Standard, interleaved or reduced ABC; prompt lines and bar counters allowed.

    Raises:
        NotationError: If the tune's bars or voices do not add up.
        ConversionError: If it cannot be converted, or not in time.
    """
    if len(abc) > _MAX_ABC:
        raise ConversionError(f"found {len(abc)} characters, wanted at most {_MAX_ABC}")
    if is_interleaved(abc):
        abc = format_abc(parse_interleaved(restore_rests(abc)))
    return hoist_clefs(run_abc2xml(_harmless(abc)))


def read_musicxml(path: Path) -> bytes:
    """Return the MusicXML document of a plain or compressed file, checked but not yet parsed.

    Entities are refused and never resolved; size and depth are bounded.

    Raises:
        ConversionError: If it is no partwise MusicXML score within the bounds.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConversionError(f"found {path.stat().st_size} bytes, wanted at most {MAX_BYTES}")
        content = path.read_bytes()
    except IsADirectoryError as error:
        raise ConversionError("found a folder, wanted a MusicXML file") from error
    except PermissionError as error:
        raise ConversionError("not readable for this user") from error
    if content.startswith(b"PK"):
        content = _unpack(content)
    _check_document(content)
    return content


def _unpack(archive: bytes) -> bytes:
    """Return the score inside an .mxl archive, named by its META-INF/container.xml."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as files:
            container = _read_member(files, "META-INF/container.xml")
            _scan(container)
            root = ElementTree.fromstring(container)  # noqa: S314 -- entities were refused above
            names = [e.get("full-path") for e in root.iter() if e.tag.endswith("rootfile")]
            if not names or not names[0]:
                raise ConversionError("container.xml names no score")
            return _read_member(files, names[0])
    except ConversionError:
        raise
    except ElementTree.ParseError as error:
        raise ConversionError(f"damaged META-INF/container.xml: {error}") from error
    except _DAMAGED_ARCHIVE as error:
        raise ConversionError(f"damaged .mxl archive: {error}") from error


def _read_member(files: zipfile.ZipFile, name: str) -> bytes:
    try:
        info = files.getinfo(name)
    except KeyError as error:
        raise ConversionError(f"found no {name} in the .mxl archive, wanted one") from error
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ConversionError(f"{name} is packed in another way than deflate, as .mxl asks for")
    if info.file_size > MAX_BYTES:
        raise ConversionError(f"{name} unpacks to {info.file_size} bytes, wanted <= {MAX_BYTES}")
    with files.open(info) as member:
        content = member.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ConversionError(f"{name} unpacks to more than {MAX_BYTES} bytes")
    return content


def _check_document(document: bytes) -> None:
    root = _scan(document)
    if root == "score-timewise":
        raise ConversionError("found a score-timewise document, wanted score-partwise")
    if root != "score-partwise":
        raise ConversionError(f"found a document of <{root}>, wanted MusicXML <score-partwise>")


def _scan(document: bytes) -> str:
    """Read a document through once, refusing entities and depth; return its root's name."""
    depth, root = 0, ""
    parser = expat.ParserCreate()

    def start(name: str, _: dict[str, str]) -> None:
        nonlocal depth, root
        root = root or name
        depth += 1
        if depth > MAX_DEPTH:
            raise ConversionError(f"found elements nested deeper than {MAX_DEPTH}")

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    def entity(name: str, *_: object) -> None:
        raise ConversionError(f"found an entity declaration ({name}), wanted none")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.EntityDeclHandler = entity
    try:
        parser.Parse(document, True)
    except expat.ExpatError as error:
        raise ConversionError(f"found no well-formed XML: {error}") from error
    except (LookupError, UnicodeError, ValueError) as error:
        if isinstance(error, ConversionError):
            raise
        raise ConversionError(f"found text in an unreadable encoding: {error}") from error
    return root


def _harmless(abc: str) -> str:
    """Return ABC that abc2xml can be trusted with: no metre but a metre, no included files.

    Metres are evaluated as code there, `abc-include` reads any file, and a `%` inside quotes would
    cut the line off.
    """
    lines = []
    for line in _music_lines(abc):
        if re.match(r"\s*(?:%%|I:)\s*abc-include", line):
            continue
        if line.lstrip().startswith("M:"):
            line = line.split("%")[0]
            if not _METRE.fullmatch(line.split(":", 1)[1]):
                raise NotationError(f"found metre {line.strip()!r}, wanted one such as M:3/4")
        line = re.sub(r"\[\s*([MI])\s*:([^\]]*)\]?", _harmless_field, line)
        if not line.startswith("%"):
            line = re.sub(r'"[^"\n]*"', lambda match: match[0].replace("%", ""), line)
        lines.append(line)
    if not any(line.startswith("K:") for line in lines):
        raise NotationError("found no K: line, wanted the tune's key")
    if not any(line.startswith("X:") for line in lines):
        lines.insert(0, "X:1")
    return "\n".join(lines) + "\n"


def _music_lines(abc: str) -> list[str]:
    """Return the tune's lines in ASCII, without prompt lines and other comments."""
    lines = (to_ascii(line) for line in abc.splitlines())
    return [line for line in lines if line.strip() and not re.match(r"%[^%]|%$", line)]


def _harmless_field(match: re.Match[str]) -> str:
    return match[0] if match[1] == "M" and _METRE.fullmatch(match[2]) else ""


class _Xml2AbcOptions:
    """xml2abc's command line as NotaGen ran it: -d 8 -c 6 -x."""

    u = b = n = v = m = t = s = j = v1 = i = stm = 0
    c, d, x = 6, 8, 1
    p: tuple[()] = ()
    ped = True
    o = ""


@limited(seconds=_SECONDS)
def run_xml2abc(document: bytes) -> str:
    """Return what the packaged xml2abc makes of a checked MusicXML document.

    Raises:
        ConversionError: If it trips over the score or finds no music in it.
    """
    from abctoolkit import xml2abc  # imported in the worker alone: it has module-wide state

    messages = io.StringIO()
    options = _Xml2AbcOptions()
    output = xml2abc.ABCoutput("tune.abc", "", 0, options)
    output.outfile = io.StringIO()
    xml2abc.abcOut = output
    with redirect_stderr(messages):
        xml2abc.Parser(options).parse(io.BytesIO(_without_lyrics(document)))
    abc: str = output.outfile.getvalue()
    if "K:" not in abc:
        raise ConversionError("found no music in the score")
    return abc


@limited(seconds=_SECONDS)
def run_abc2xml(abc: str) -> str:
    """Return the MusicXML that the packaged abc2xml makes of harmless standard ABC.

    Raises:
        ConversionError: If it cannot read the tune or finds no note in it.
    """
    import warnings

    warnings.simplefilter("ignore")
    from abctoolkit import abc2xml  # imported in the worker alone: it has module-wide state

    # whatever way a metre or a file's name takes through its grammar: no code is run, no file read
    abc2xml.eval = _beats
    abc2xml.readfile = lambda *_: None
    messages = io.StringIO()
    with redirect_stderr(messages):
        documents = abc2xml.getXmlDocs(abc)
    if not documents:
        reason = " ".join(messages.getvalue().split())[-200:]
        raise ConversionError(f"abc2xml could not read the tune: {reason}")
    text: str = abc2xml.fixDoctype(documents[0])
    # the day's date: the same tune shall give the same file on any day
    text = re.sub(r"<encoding-date>[^<]*</encoding-date>", "", text)
    if "<note" not in text:
        raise ConversionError("found no note in the tune, wanted at least one")
    return text


def _beats(text: str) -> int:
    """Return the number of beats in the upper part of a metre: `2+3` gives 5."""
    return sum(int(beats) for beats in text.split("+"))


def _without_lyrics(document: bytes) -> bytes:
    """Return the document without lyrics, which ABC for the model does not keep.

    The converter trips over some of them: a verse named `chorus`, a line break inside a syllable.
    """
    root = ElementTree.fromstring(document)  # noqa: S314 -- entities were refused before
    if root.find("part/measure") is None:
        raise ConversionError("found no bar in the score, wanted at least one")
    for note in root.iter("note"):
        for lyric in note.findall("lyric"):
            note.remove(lyric)
    cleaned: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return cleaned
