"""Two hundred files that are no score, or a broken one.

Run as a program, it converts each of them under limits of time and memory and prints what each was
answered: `python -m tests.notation.malformed FOLDER`.
"""

import io
import json
import random
import resource
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from notagen.foundation.errors import ScoreError
from notagen.notation.musicxml import musicxml_to_abc

SECONDS = 10.0
BYTES = 2**30

NOTE = (
    "<note><pitch><step>C</step><octave>4</octave></pitch><duration>4</duration>"
    "<voice>1</voice><type>whole</type></note>"
)
SCORE = (
    '<?xml version="1.0" encoding="UTF-8"?><score-partwise version="4.0"><part-list>'
    '<score-part id="P1"><part-name>Flute</part-name></score-part></part-list><part id="P1">'
    '<measure number="1"><attributes><divisions>1</divisions><key><fifths>0</fifths></key><time>'
    f"<beats>4</beats><beat-type>4</beat-type></time></attributes>{NOTE}</measure></part>"
    "</score-partwise>"
)
CONTAINER = (
    '<?xml version="1.0"?><container><rootfiles><rootfile full-path="{}"/></rootfiles></container>'
)


def malformed_files() -> Iterator[tuple[str, bytes]]:
    """Yield name and content of 200 files, none of which is a score that can be read."""
    rng = random.Random(0)
    whole = SCORE.encode()
    packed = archive({"META-INF/container.xml": CONTAINER.format("s.xml"), "s.xml": SCORE})
    for i in range(40):
        yield f"cut-{i}.musicxml", whole[: 1 + i * (len(whole) - 20) // 40]
        yield f"cut-{i}.mxl", packed[: 4 + i * (len(packed) - 30) // 40]
    for i in range(30):
        yield f"bytes-{i}.xml", rng.randbytes(rng.choice([1, 10, 1000, 100_000]))
        yield f"bytes-{i}.mxl", b"PK\x03\x04" + rng.randbytes(rng.choice([1, 30, 1000]))
    for i, text in enumerate(_broken_documents()):
        yield f"document-{i}.musicxml", text.encode()
    for i, name in enumerate(
        ["utf-7", "cp037", "klingon", "utf-32", "idna", "rot13", "hex", "zip"]
    ):
        yield f"encoding-{i}.xml", SCORE.replace("UTF-8", name).encode()
    yield "ebcdic.xml", SCORE.replace("UTF-8", "cp037").encode("cp037")
    yield "latin1-as-utf8.xml", SCORE.replace("Flute", "Fl\xf6te").encode("latin-1")
    yield "utf16-without-end.xml", SCORE.replace("UTF-8", "UTF-16").encode("utf-16")[:-1]
    for i, (members, method) in enumerate(_broken_archives()):
        yield f"archive-{i}.mxl", archive(members, method)
    yield "large.xml", SCORE.replace("Flute", " " * 100_000_000).encode()
    yield "many-tags.xml", SCORE.replace("<measure", "<a/>" * 15_000_000 + "<measure").encode()
    yield "many-attributes.xml", _attributes(6_000_000)
    yield "deep.xml", SCORE.replace(NOTE, "<a>" * 10_000_000 + "</a>" * 5_000_000).encode()


def _broken_documents() -> Iterator[str]:
    bomb = '<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(12)
    )
    for declaration, use in (
        (bomb, "&m;"),
        ('<!ENTITY a SYSTEM "file:///etc/passwd">', "&a;"),
        ('<!ENTITY a SYSTEM "http://127.0.0.1:1/">', "&a;"),
        ('<!ENTITY % a SYSTEM "http://127.0.0.1:1/"> %a;', "x"),
        (f'<!ENTITY a "{"x" * 100_000}">', "&a;" * 1000),
    ):
        doctype = f"<!DOCTYPE score-partwise [{declaration}]><score-p"
        yield SCORE.replace("<score-p", doctype, 1).replace("Flute", use)
    for depth in (70, 1000, 100_000, 1_000_000):
        yield SCORE.replace(NOTE, "<a>" * depth + "</a>" * depth)
    yield "<html><body>404</body></html>"
    yield SCORE.replace("score-partwise", "score-timewise")
    yield "<score-partwise/>"
    yield SCORE.replace("Flute", "&undefined;")
    for old, new in (
        ("<divisions>1<", "<divisions>0<"),
        ("<divisions>1<", "<divisions>-4<"),
        ("<divisions>1<", "<divisions>1e400<"),
        ("<divisions>1<", f"<divisions>{'9' * 5000}<"),
        ("<duration>4<", "<duration>four<"),
        ("<duration>4<", "<duration>inf<"),
        ("<duration>4<", "<duration>1/0<"),
        ("<duration>4<", f"<duration>{'9' * 4000}<"),
        ("<duration>4<", f"<duration>1e{'9' * 9}<"),
        ("<step>C<", "<step>H<"),
        ("<step>C<", "<step><"),
        ("<octave>4<", "<octave>many<"),
        ("<octave>4<", "<octave>99<"),
        ("<octave>4<", "<alter>0.5</alter><octave>4<"),
        ("<octave>4<", "<alter>9</alter><octave>4<"),
        ("<octave>4<", "<alter>nan</alter><octave>4<"),
        ("<fifths>0<", "<fifths>many<"),
        ("<beats>4<", "<beats>__import__('os')<"),
        ("<beats>4<", "<beats>0<"),
        ("<beat-type>4<", "<beat-type>0<"),
    ):
        yield SCORE.replace(old, new)


def _broken_archives() -> Iterator[tuple[dict[str, str], int]]:
    deflate, container = zipfile.ZIP_DEFLATED, "META-INF/container.xml"
    yield {"s.xml": SCORE}, deflate
    yield {container: "<container/>", "s.xml": SCORE}, deflate
    yield {container: "<container>", "s.xml": SCORE}, deflate
    yield {container: CONTAINER.format("s.xml"), "s.xml": SCORE + " " * 80_000_000}, deflate
    yield {container: CONTAINER.format("s.xml") + " " * 80_000_000, "s.xml": SCORE}, deflate
    yield {container: CONTAINER.format("s.xml"), "s.xml": SCORE}, zipfile.ZIP_LZMA
    yield {container: CONTAINER.format("s.xml"), "s.xml": SCORE}, zipfile.ZIP_BZIP2
    for name in ("../s.xml", "/etc/passwd", "", "S.XML", "C:\\s.xml"):
        yield {container: CONTAINER.format(name), "s.xml": SCORE}, deflate


def archive(members: dict[str, str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip archive of texts."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as files:
        for name, text in members.items():
            files.writestr(name, text)
    return content.getvalue()


def _attributes(count: int) -> bytes:
    attributes = " ".join(f'a{i}=""' for i in range(count))
    return SCORE.replace("<measure ", f"<measure {attributes} ").encode()


def _answer(path: Path) -> dict[str, object]:
    start = time.monotonic()
    try:
        musicxml_to_abc(path)
        answer = "converted"
    except ScoreError as error:
        answer = str(error)
    except MemoryError:
        answer = "MemoryError"
    except Exception as error:  # noqa: BLE001 -- whatever comes is what is looked for
        answer = f"crash: {type(error).__name__}: {error}"
    return {"name": path.name, "answer": answer, "seconds": time.monotonic() - start}


def main() -> None:
    """Write each file, convert it, and print a line of JSON about it."""
    folder = Path(sys.argv[1])
    for name, content in malformed_files():
        (folder / name).write_bytes(content)
        del content
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    for path in sorted(folder.iterdir()):
        sys.stdout.write(json.dumps(_answer(path)) + "\n")


if __name__ == "__main__":
    main()
