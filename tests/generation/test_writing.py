import math
from collections.abc import Collection
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from notagen.foundation.errors import InputError
from notagen.generation.cache import CachedModel
from notagen.generation.sampling import Sampling
from notagen.generation.writing import PatchWriter
from notagen.model.config import ModelConfig
from notagen.model.notagen import NotaGen
from notagen.model.packed import pack
from notagen.tokenizer.vocabulary import EOS, PAD

GREEDY = Sampling(top_k=1, top_p=1.0, temperature=1.0)
WILD = Sampling(top_k=0, top_p=1.0, temperature=5.0)
LIKED, SECOND = 20.0, 10.0


@dataclass
class Script:
    """A model that likes to write one text a row best, and one other character next best.

    What it has been given instead, and which rows it was asked for, is kept.
    """

    texts: list[str]
    instead: str = "x"
    config: ModelConfig = field(default_factory=ModelConfig)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    given: dict[int, str] = field(default_factory=dict)
    asked: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rows = list(range(len(self.texts)))

    def next_logits(self, inputs: Tensor, place: int) -> Tensor:
        assert len(inputs) == len(self.rows)
        self.asked.append(list(self.rows))
        logits = torch.zeros(len(self.rows), 128)
        logits[:, ord(self.instead)] = SECOND
        for row, script in enumerate(self.rows):
            logits[row, ord(self.texts[script].ljust(16, "\x02")[place])] = LIKED
        return logits

    def embed_characters(self, characters: Tensor) -> Tensor:
        for row, id_ in zip(self.rows, characters.tolist(), strict=True):
            self.given[row] = self.given.get(row, "") + chr(id_)
        return torch.zeros(len(characters), 1)

    def keep_characters(self, rows: Tensor, place: int) -> None:
        self.rows = [self.rows[row] for row in rows]
        assert all(len(self.given.get(row, "")) == place - 1 for row in self.rows)


def write(
    script: Script,
    sampling: Sampling = GREEDY,
    *,
    seed: int = 0,
    may_end: bool = False,
    given: dict[int, str] | None = None,
    voices: str | None = None,
    barred: Collection[int] = (),
) -> list[str]:
    count = len(script.texts)
    writer = PatchWriter(script, sampling)  # type: ignore[arg-type]
    patches = writer.write(
        torch.zeros(count, 1),
        torch.rand(count, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64),
        may_end=[may_end] * count,
        given=[list((given or {}).get(row, "").encode()) for row in range(count)],
        voices=[voices] * count,
        barred=[row in barred for row in range(count)],
    )
    for patch in patches:
        assert len(patch) == 16
    return ["".join(map(chr, patch)).rstrip(chr(PAD)) for patch in patches]


def test_a_patch_ends_with_its_eos_its_line_or_when_it_is_full() -> None:
    texts = ["[V:1]c4", "|[V:2]C4|\n", "ABCDEFGHIJKLMNOP", "ABCDEFGHIJKLMNO", "ABCDEFGHIJKLMNO\n"]
    assert write(Script(texts)) == [
        "[V:1]c4\x02",
        "|[V:2]C4|\n\x02",
        "ABCDEFGHIJKLMNOP",
        "ABCDEFGHIJKLMNO\x02",
        "ABCDEFGHIJKLMNO\n",
    ]


@pytest.mark.parametrize("barline", ["|", ":|", "\n", ""])
def test_no_barline_follows_what_is_given_where_it_is_barred(barline: str) -> None:
    script = Script([f"c4{barline}", f"c4d{barline}", f"c4{barline}", barline], instead="z")
    found = write(script, given={0: "c4", 1: "c4", 2: "c4"}, barred=(0, 1, 3))
    assert found[0].startswith("c4z")
    assert found[1].startswith(f"c4d{barline}")
    assert found[2].startswith(f"c4{barline}")
    assert found[3].startswith("z")


def test_rows_that_are_done_leave_and_change_no_other() -> None:
    texts = ["A", "ABCDEFGHIJKLMNOP", "A\n", "ABCDE", "ABC", "ABCDEFGHI", "\n", "ABCDEFGHIJKLMN"]
    script = Script(texts)
    assert write(script) == [text + "\x02" * (len(text) < 16) for text in texts]
    assert script.asked[0] == list(range(8))
    assert script.asked[-1] == [1]
    for row, text in script.given.items():  # each was told its own characters
        assert texts[row].ljust(16, "\x02").startswith(text[: len(texts[row])])


def test_what_is_given_stands_there_and_the_model_hears_of_it() -> None:
    given = {0: "[r:0/", 2: "ABCDEFGHIJKLMNOP", 3: "K:C"}
    script = Script(["zzzzz5]", "yes", "no", "nnn\n"])
    found = write(script, given=given)
    assert found == ["[r:0/5]\x02", "yes\x02", "ABCDEFGHIJKLMNOP", "K:C\n\x02"]
    assert script.given[0].startswith("[r:0/5]")
    assert script.given[2].startswith("ABCDEFGHIJ")


@pytest.mark.parametrize("mark", ["\x00", "\x01", "\x07", "\x0b", "\x0c", "\r", "\x1c", "\x7f"])
def test_what_no_tune_holds_is_never_drawn(mark: str) -> None:
    assert write(Script([mark * 16]), may_end=True)[0] == ("\x01" if mark == "\x01" else "x" * 16)
    assert write(Script([mark * 16]))[0] == "x" * 16
    assert write(Script(["A" + mark * 15]), may_end=True)[0] == "A" + "x" * 15


def test_no_patch_is_empty() -> None:
    assert write(Script(["\x02"]), may_end=True)[0] == "x\x02"
    assert write(Script(["\n"]))[0] == "\n\x02"


def test_wild_draws_hold_no_marks_either() -> None:
    for seed in range(20):
        for patch in write(Script(["abc"] * 8), WILD, seed=seed):
            text = patch.removesuffix("\x02").removesuffix("\n")
            assert text.isprintable()
            assert text or patch == "\n\x02"


def test_the_end_comes_only_where_it_may() -> None:
    assert write(Script(["\x01" + "\x02" * 15] * 2), may_end=True) == ["\x01", "\x01"]
    assert write(Script(["\x01A"]), may_end=False) == ["xA\x02"]
    assert write(Script(["\x01A"]), may_end=True, given={0: "K"}) == ["KA\x02"]


@pytest.mark.parametrize(
    ("liked", "voices", "expected"),
    [
        ("|[V:1]c", "23", "|[V:2]c"),  # V:1 is there already
        ("|[V:3]c", "23", "|[V:3]c"),
        ("|[V:1]c", None, "|[V:1]c"),  # any voice may come
        ("|[V:2]c", "", "|xV:2]c"),  # none may
        (":|[V:2]c", "", ":|xV:2]c"),
        ("|][V:2]c", "", "|]xV:2]c"),
        ("|\n", "", "|\n"),
        ("[ce]|", "", "[ce]|"),  # a chord is no voice
        ("V:1]c", "23", "V:2]c"),
        ("c2[K:G]d", "23", "c2[K:G]d"),
    ],
)
def test_only_voices_that_are_left_follow_a_barline(
    liked: str, voices: str | None, expected: str
) -> None:
    found = write(Script([liked], instead="x" if voices == "" else "2"), voices=voices)
    assert found[0].rstrip("\x02") == expected


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("row", [0, 2])
def test_logits_that_are_no_numbers_are_an_error(bad: float, row: int) -> None:
    class Broken(Script):
        def next_logits(self, inputs: Tensor, place: int) -> Tensor:
            logits = super().next_logits(inputs, place)
            if place == 3:
                logits[row, 77] = bad
            return logits

    with pytest.raises(InputError, match="NaN or infinite"):
        write(Broken(["ABCDEF"] * 3))


def test_rows_of_a_model_are_written_as_if_they_were_alone() -> None:
    torch.manual_seed(0)
    model = NotaGen(ModelConfig(patch_length=4, patch_layers=1, hidden_size=64)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.char_decoder.table.data[EOS] *= 6  # many end early
    cached = CachedModel(pack(model), max_rows=32)
    writer = PatchWriter(cached, Sampling(top_k=0, top_p=0.95))
    hidden = torch.randn(32, 64)
    shares = torch.rand(32, 16, dtype=torch.float64)
    given = [list(b"|[V:1]" if row % 3 else b"") for row in range(32)]

    def written(rows: list[int]) -> list[list[int]]:
        with torch.inference_mode():
            return writer.write(
                hidden[rows],
                shares[rows],
                may_end=[row % 2 == 0 for row in rows],
                given=[given[row] for row in rows],
                voices=[None] * len(rows),
                barred=[row % 5 == 0 for row in rows],
            )

    together = written(list(range(32)))
    assert together == [patch for row in range(32) for patch in written([row])]
    assert len({tuple(patch) for patch in together}) > 20
    assert 4 < sum(EOS in patch for patch in together) < 28
