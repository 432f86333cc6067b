import hashlib
import json
from pathlib import Path
from typing import get_args

import pytest

from notagen.foundation.errors import InputError
from notagen.sources.collections import COLLECTIONS, fetch_collections
from notagen.sources.piece import SourcePiece
from notagen.stages import Source
from tests.sources.web import server, zipped

KERN = """!!!COM: Radziwiłł, Antoni Henryk
!!!CDT: 1775/06/13-1833/04/07
!!!OTL: Liebesschmerz
!!!AIN: 2 piano 1 vox
**kern
*-
"""
FILES = {
    "openscore-lieder": {
        "scores/Abbott,_Jane_Bingham/_/Just_for_Today/lc6583477.mxl": b"1",
        "scores/Abbott,_Jane_Bingham/_/Just_for_Today/lc6583477.mscz": b"-",
        "scores/Zumsteeg,_Emilie/6_Lieder,_Op.4/5_Der_Sternenhimmel/lc6162720.mxl": b"2",
        "scores/Hensel,_Fanny_(Mendelssohn)/Gartenlieder,_Op.3/6_Im_Wald/lc6034767.mxl": b"3",
        "scores/Obradors,_Fernando/_/X/lc30888626.mxl": b"-",
        "scores/Boulton,_Harold/12_New_Songs/1_Constancy/lc6403636.mxl": b"-",
        "data/composers.tsv": b"-",
    },
    "openscore-string-quartets": {
        "scores/Andrée,_Elfrida/String_Quartet_in_A_major/sq7313978.mxl": b"1",
        "scores/Andrée,_Elfrida/String_Quartet_in_A_major/sq7313978.pdf": b"-",
    },
    "openscore-orchestra": {
        "data/Bach,_Johann_Sebastian/B_Minor_Mass,_BWV.232/01/Bach_BWV.232_01.mxl": b"1",
        "data/Bach,_Johann_Sebastian/B_Minor_Mass,_BWV.232/01/Bach_BWV.232_01_melody.mxl": b"-",
        "data/Haydn,_Franz/Symphony_No.104/1/Haydn_104_1.mxl": b"2",
        "data/Haydn,_Franz/Symphony_No.104/2/Haydn_104_2.mxl": b"3",
    },
    "polish-scores": {
        "d-bnu/kern/d-bnu--pgb-2o-1660-6_radziwill-antoni-henryk--liebes.krn": KERN.encode(),
        "d-b/kern/d-b--ms-19600-1--001-001_scacchi-marco--missa-kyrie.krn": b"!!!COM: Scacchi, M",
        "d-b/kern/d-b--ms-19600-1--001-002_scacchi-marco--missa-gloria.krn": b"!!!COM: Scacchi, M",
        "bin/makeMidi": b"-",
    },
    "chopin-first-editions": {
        "kern/006-1-KI-001.krn": b"!!!OTL: Mazurka No. 1.\n",
        "kern/006-1b-Sm-001.krn": b"-",
        "kern/006-1b-Sm-002.krn": b"",
        "kern/008-1-Sm-001-piano.krn": b"-",
        "kern/008-1-Sm-001.krn": b"",
        "kern/074-1-G-001.krn": b"",
        "kern/MEG-1a-BB.krn": b"",
    },
}
Facts = tuple[str | None, str | None, str | None, str | None, str]
WANTED: dict[str, list[Facts]] = {
    "openscore-lieder": [
        ("Abbott, Jane Bingham", "Romantic", "Art Song", "Just for Today", "_/Just_for_Today"),
        ("Hensel, Fanny", "Romantic", "Choral", "Im Wald", "Gartenlieder,_Op.3"),
        ("Zumsteeg, Emilie", "Romantic", "Art Song", "Der Sternenhimmel", "6_Lieder,_Op.4"),
    ],
    "openscore-string-quartets": [
        ("Andree, Elfrida", "Romantic", "Chamber", "String Quartet in A major", "in_A_major"),
    ],
    "openscore-orchestra": [
        (
            "Bach, Johann Sebastian",
            "Baroque",
            "Vocal-Orchestral",
            "B Minor Mass, BWV.232",
            "B_Minor_Mass,_BWV.232",
        ),
        ("Haydn, Joseph", "Classical", "Orchestral", "Symphony No.104", "Symphony_No.104"),
        ("Haydn, Joseph", "Classical", "Orchestral", "Symphony No.104", "Symphony_No.104"),
    ],
    "polish-scores": [
        ("Scacchi, M", None, None, None, "d-b/kern/d-b--ms-19600-1--001"),
        ("Scacchi, M", None, None, None, "d-b/kern/d-b--ms-19600-1--001"),
        (
            "Radziwill, Antoni Henryk",
            "Classical",
            "Art Song",
            "Liebesschmerz",
            "d-bnu/kern/d-bnu--pgb-2o-1660-6",
        ),
    ],
    "chopin-first-editions": [
        ("Chopin, Frederic", "Romantic", "Keyboard", "Mazurka No. 1.", "006"),
        ("Chopin, Frederic", "Romantic", "Keyboard", None, "006"),
        ("Chopin, Frederic", "Romantic", None, None, "008"),
        ("Chopin, Frederic", "Romantic", "Art Song", None, "074"),
        ("Chopin, Frederic", "Romantic", None, None, "MEG"),
    ],
}


def page(name: str) -> str:
    collection = COLLECTIONS[name]
    return f"/{collection.repository}/zip/{collection.commit}"


def facts(piece: SourcePiece) -> Facts:
    return (piece.composer, piece.period, piece.instrumentation, piece.title, piece.work)


@pytest.mark.parametrize("name", COLLECTIONS)
def test_a_collection_is_downloaded_once_and_labelled(name: str, tmp_path: Path) -> None:
    content = zipped(FILES[name])
    with server({page(name): content}) as (address, asked):
        pieces = fetch_collections([name], tmp_path, base=f"{address}/")
        assert fetch_collections([name], tmp_path, base=address) == pieces
    assert asked == [page(name)]
    found = [facts(piece) for piece in pieces]
    assert [known[:4] for known in found] == [wanted[:4] for wanted in WANTED[name]]
    for piece, wanted in zip(pieces, WANTED[name], strict=True):
        assert piece.work.startswith(f"{name}/")
        assert piece.work.endswith(wanted[4])
        assert piece.licence == COLLECTIONS[name].licence
        assert piece.source.is_file()
        assert piece.source.read_bytes() != b"-"
        assert COLLECTIONS[name].commit in (piece.origin or "")
    (record,) = tmp_path.glob("*.json")
    known = json.loads(record.read_text(encoding="utf-8"))
    assert known["sha256"] == hashlib.sha256(content).hexdigest()
    assert known["attribution"] == COLLECTIONS[name].attribution
    assert known["url"] == f"https://codeload.github.com{page(name)}"


def test_an_archive_that_changed_is_refused(tmp_path: Path) -> None:
    name = "openscore-string-quartets"
    with server({page(name): b"no zip"}) as (address, _):
        with pytest.raises(InputError, match="damaged archive"):
            fetch_collections([name], tmp_path, base=address)
        (archive,) = tmp_path.glob("*.zip")
        archive.write_bytes(zipped(FILES[name]))
        with pytest.raises(InputError, match="found other bytes than were downloaded"):
            fetch_collections([name], tmp_path, base=address)
        archive.unlink()
    with server({page(name): zipped(FILES[name])}) as (address, _):
        assert len(fetch_collections([name], tmp_path, base=address)) == 1


def test_all_collections_at_once_have_names_of_their_own(tmp_path: Path) -> None:
    with server({page(name): zipped(FILES[name]) for name in COLLECTIONS}) as (address, _):
        pieces = fetch_collections(list(COLLECTIONS), tmp_path, base=address)
    assert len(pieces) == sum(map(len, WANTED.values()))
    assert len({piece.id for piece in pieces}) == len(pieces)
    for piece in pieces:
        assert piece.collection in COLLECTIONS
        assert piece.id.startswith(f"{piece.collection}-")
        assert piece.work.startswith(f"{piece.collection}/")


def test_a_list_says_which_pieces_and_what_they_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listed = tmp_path / "listed.jsonl"
    lines = [
        # not the first edition of its piece
        {"path": "chopin-first-editions/kern/006-1b-Sm-002.krn", "work": "Op. 6", "title": "No. 1"},
        {"path": "chopin-first-editions/kern/074-1-G-001.krn", "period": "Classical"},
        {"path": "chopin-first-editions/kern/999.krn"},
        {"path": "polish-scores/passed-over.krn"},
    ]
    listed.write_text("".join(json.dumps(line) + "\n" for line in lines))
    name = "chopin-first-editions"
    with server({page(name): zipped(FILES[name])}) as (address, _):
        pieces = fetch_collections([name], tmp_path / "out", base=address, metadata=listed)
    assert [facts(piece) for piece in pieces] == [
        ("Chopin, Frederic", "Romantic", "Keyboard", "No. 1", "Op. 6"),
        ("Chopin, Frederic", "Classical", "Art Song", None, f"{name}/074"),
    ]
    assert "that it names and that are not there: 1, such as" in caplog.text


def test_a_song_filed_under_its_editor_is_taken_where_it_is_listed(tmp_path: Path) -> None:
    name = "openscore-lieder"
    path = "scores/Boulton,_Harold/12_New_Songs/1_Constancy/lc6403636.mxl"
    listed = tmp_path / "listed.jsonl"
    line = {"path": f"{name}/{path}", "composer": "Parry, Hubert", "work": "12 New Songs"}
    listed.write_text(json.dumps(line) + "\n")
    with server({page(name): zipped(FILES[name])}) as (address, _):
        (piece,) = fetch_collections([name], tmp_path / "out", base=address, metadata=listed)
    assert (piece.composer, piece.work) == ("Parry, Hubert", "12 New Songs")


def test_every_collection_is_a_source_and_pinned() -> None:
    assert set(get_args(Source)) == {"music21", "folder", "open-scores", *COLLECTIONS}
    for collection in COLLECTIONS.values():
        assert len(collection.commit) == 40
        assert collection.attribution
        assert collection.licence.startswith("CC")
