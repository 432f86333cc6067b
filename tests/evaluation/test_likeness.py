from pathlib import Path

from notagen.evaluation.likeness import asked_labels, format_scores
from notagen.evaluation.pieces import PieceFile
from notagen.features.scoring import Judged
from notagen.generation.prompts import Prompt

SONG = ("Romantic", "Schubert, Franz", "Art Song")


def test_features_of_a_generation_folder_find_their_prompts() -> None:
    pieces = [
        PieceFile(name="a", path=Path("original/a.abc"), work="a", prompt=Prompt(*SONG)),
        PieceFile(name="b", path=None, work="b", prompt=None),
    ]
    assert asked_labels(["interleaved/a", "interleaved/b", "c"], pieces) == [SONG, None, None]
    assert asked_labels(["a"], []) == [None]


def test_a_table_of_prompts_beside_real_pieces() -> None:
    judged = [
        Judged(0.25, 0.5, "Romantic / Art Song", 3),
        Judged(0.5, 0.5, "all", 9),
        Judged(0.75, 1.0, "Romantic / Art Song", 3),
    ]
    text = format_scores(judged, [SONG, None, SONG], [], seed=0)
    everything, prompts = (part.splitlines() for part in text.split("\n\n"))
    assert everything[0].split() == ["3", "generated"]
    assert everything[1].startswith("score")
    assert everything[1].split()[1:] == ["0.500", "(0.250", "to", "0.750)"]
    assert [line.split("  ")[0].strip() for line in prompts] == ["pieces", "1", "2"]
    assert prompts[1].split() == ["1", "0.500", "0.500", "9", "of", "all", "anything"]
    assert prompts[2].endswith("3 of Romantic / Art Song  Romantic / Schubert, Franz / Art Song")
    assert prompts[2].split()[:3] == ["2", "0.500", "0.750"]
