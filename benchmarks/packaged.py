"""The packaged converters of abctoolkit: a second reader, and the other side of the benchmarks.

They keep their state in module globals, so they are called from one thread only; they evaluate a
metre as code, so they get only scores of our own.
"""

import io
import re
import warnings
from contextlib import redirect_stderr
from xml.etree import ElementTree

warnings.filterwarnings("ignore", category=DeprecationWarning)

from abctoolkit import abc2xml, xml2abc  # noqa: E402 -- after the filter: importing them warns


class _Xml2AbcOptions:
    """xml2abc's command line as NotaGen ran it: -d 8 -c 6 -x."""

    u = b = n = v = m = t = s = j = v1 = i = stm = 0
    c, d, x = 6, 8, 1
    p: tuple[()] = ()
    ped = True
    o = ""


def packaged_xml2abc(document: bytes) -> str:
    """Return what the packaged xml2abc makes of a MusicXML document."""
    options = _Xml2AbcOptions()
    output = xml2abc.ABCoutput("tune.abc", "", 0, options)
    output.outfile = io.StringIO()
    xml2abc.abcOut = output
    with redirect_stderr(io.StringIO()):
        xml2abc.Parser(options).parse(io.BytesIO(document))
    abc: str = output.outfile.getvalue()
    return abc


def packaged_abc2xml(abc: str) -> str:
    """Return what the packaged abc2xml makes of standard ABC.

    Raises:
        ValueError: If it can make nothing of it.
    """
    messages = io.StringIO()
    with redirect_stderr(messages):
        documents = abc2xml.getXmlDocs(abc)
    if not documents:
        raise ValueError(f"abc2xml: {' '.join(messages.getvalue().split())[-200:]}")
    text: str = abc2xml.fixDoctype(documents[0])
    return re.sub(r"<encoding-date>[^<]*</encoding-date>", "", text)


def without_lyrics(document: bytes) -> bytes:
    """Return the document without lyrics, over some of which xml2abc trips."""
    root = ElementTree.fromstring(document)
    for note in root.iter("note"):
        for lyric in note.findall("lyric"):
            note.remove(lyric)
    stripped: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return stripped
