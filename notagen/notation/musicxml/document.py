"""MusicXML files as bytes and as an element tree: plain or compressed, checked before use."""

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from notagen.foundation.errors import ConversionError

MAX_BYTES = 64 * 1024 * 1024
"""Largest MusicXML document that is read, unpacked; a symphony movement takes about 20 MB."""
MAX_DEPTH = 64
MAX_TAGS = 4_000_000
"""Most tags, or attributes, of a document; a symphony movement has about a million."""
_DAMAGED_ARCHIVE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError),
    *(NotImplementedError, RuntimeError, ValueError),  # an odd version, a password, a bad name
)


def read_musicxml(path: Path) -> bytes:
    """Return the MusicXML document of a plain or compressed file, unpacked but not yet parsed.

    Raises:
        ConversionError: If it cannot be read, is damaged, or larger than the bounds.
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
    return content


def _unpack(archive: bytes) -> bytes:
    """Return the score inside an .mxl archive, named by its META-INF/container.xml."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as files:
            container = _read_member(files, "META-INF/container.xml")
            _, encoding = _read_prolog(container)
            root = _parse(container, encoding)
            names = [e.get("full-path") for e in root.iter() if e.tag.endswith("rootfile")]
            if not names or not names[0]:
                raise ConversionError("container.xml names no score")
            return _read_member(files, names[0])
    except ConversionError:
        raise
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


def parse_document(document: bytes) -> ElementTree.Element:
    """Return the root of a partwise score.

    Raises:
        ConversionError: If it is not one, or declares entities, or is deeper, larger or stranger
            than scores are.
    """
    root_name, encoding = _read_prolog(document)
    root_name = root_name.rpartition(":")[2]
    if root_name == "score-timewise":
        raise ConversionError("found a score-timewise document, wanted score-partwise")
    if root_name != "score-partwise":
        raise ConversionError(
            f"found a document of <{root_name:.40}>, wanted MusicXML <score-partwise>"
        )
    for sign, what in ((b"<", "tags"), (b"=", "attributes")):
        if document.count(sign) > MAX_TAGS:
            raise ConversionError(f"found more than {MAX_TAGS} {what}, wanted fewer")
    root = _parse(document, encoding)
    level, depth = [root], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise ConversionError(f"found elements nested deeper than {MAX_DEPTH}")
        level = [child for element in level for child in element]
    if root.tag.startswith("{"):  # MusicXML has no namespace; some programs give it one
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
    return root


def _parse(document: bytes, encoding: str) -> ElementTree.Element:
    with _faults_named():
        if encoding and "<".encode(encoding) not in (b"<", "<".encode("utf-16")):
            raise ConversionError(f"found encoding {encoding!r:.40}, wanted UTF-8 or UTF-16")
        return ElementTree.fromstring(document)  # noqa: S314 -- entities were refused before


@contextmanager
def _faults_named() -> Iterator[None]:
    """Raise what a parser trips over as a ConversionError."""
    try:
        yield
    except ConversionError:
        raise
    except (ElementTree.ParseError, expat.ExpatError) as error:
        raise ConversionError(f"found no well-formed XML: {error}") from error
    except (LookupError, UnicodeError, ValueError) as error:
        raise ConversionError(f"found text in an unreadable encoding: {error}") from error


class _PrologRead(Exception):  # noqa: N818 -- no error: it ends the reading at the root element
    pass


def _read_prolog(document: bytes) -> tuple[str, str]:
    """Read a document up to its root element, refusing entities; return root name and encoding.

    Entities can be declared nowhere else.
    """
    root = encoding = ""
    parser = expat.ParserCreate()

    def start(name: str, _: dict[str, str]) -> None:
        nonlocal root
        root = name
        raise _PrologRead

    def declaration(_: str, named: str | None, __: int) -> None:
        nonlocal encoding
        encoding = named or ""

    def entity(name: str, *_: object) -> None:
        raise ConversionError(f"found an entity declaration ({name:.40}), wanted none")

    parser.StartElementHandler = start
    parser.XmlDeclHandler = declaration
    parser.EntityDeclHandler = entity
    with _faults_named(), suppress(_PrologRead):
        parser.Parse(document, True)
    if root:
        return root, encoding
    raise ConversionError("found no element, wanted MusicXML <score-partwise>")
