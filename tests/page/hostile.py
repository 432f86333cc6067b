"""Uploads that mean harm, or are none, by name."""

import io
import struct
import zipfile

XML = '<?xml version="1.0"?>\n'
NOTE = "<note><pitch><step>C</step><octave>4</octave></pitch><duration>4</duration></note>"
SCORE = (
    '<score-partwise version="4.0"><part-list><score-part id="P1"><part-name>{name}</part-name>'
    '</score-part></part-list><part id="P1"><measure number="1"><attributes><divisions>1'
    "</divisions><time><beats>4</beats><beat-type>4</beat-type></time></attributes>{notes}"
    "</measure></part></score-partwise>"
)
LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "ha">'
    + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "]>"
)


def archive(**files: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name.replace("__", "/"), data)
    return content.getvalue()


CONTAINER = b'<container><rootfiles><rootfile full-path="%s"/></rootfiles></container>'
HOSTILE = {
    "empty.musicxml": b"",
    "empty.abc": b"",
    "empty.mid": b"",
    "words.abc": b"Dear all, please find attached.",
    "picture.musicxml": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "page.musicxml": b"<html><script>alert(1)</script></html>",
    "laughs.musicxml": (XML + LAUGHS + SCORE.format(name="&i;", notes=NOTE)).encode(),
    "entity.musicxml": (
        XML
        + '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>'
        + SCORE.format(name="&f;", notes=NOTE)
    ).encode(),
    "remote.musicxml": (
        XML + '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">' + SCORE.format(name="&f;", notes="")
    ).encode(),
    "deep.musicxml": (XML + "<a>" * 100_000).encode(),
    "no-notes.musicxml": (XML + SCORE.format(name="x", notes="")).encode(),
    "torn.musicxml": (XML + SCORE.format(name="x", notes=NOTE))[:150].encode(),
    "bomb.mxl": archive(
        **{"META-INF__container.xml": CONTAINER % b"a.xml", "a.xml": b"<a>" + bytes(200_000_000)}
    ),
    "outside.mxl": archive(
        **{"META-INF__container.xml": CONTAINER % b"../../../../etc/passwd", "x": b"x"}
    ),
    "no-container.mxl": archive(x=b"x"),
    "no-archive.mxl": b"PK\x03\x04 no more",
    "endless.mid": b"MThd" + struct.pack(">IHHH", 6, 1, 65535, 480),
    "huge-track.mid": b"MThd" + struct.pack(">IHHH", 6, 0, 1, 480) + b"MTrk\xff\xff\xff\xff",
    "metre.abc": b"X:1\nM:999999999/1\nL:1/8\nK:C\nc8|\n",
    "binary.abc": bytes(range(256)) * 40,
    "repeat.abc": b"X:1\nL:1/8\nM:4/4\nK:C\n" + b"[" * 100_000 + b"c8|\n",
    "wrong.exe": b"MZ",
}
