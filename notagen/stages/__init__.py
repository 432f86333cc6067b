"""The settings of each stage; a stage's folder holds their values."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import OmitArgPrefixes

from notagen.foundation.batch import Backend, Item, Outcome, Result, run_batch
from notagen.foundation.config import check_fields
from notagen.foundation.errors import InputError
from notagen.generation.controls import Controls
from notagen.generation.header import NO_WISHES, HeaderWishes
from notagen.generation.prompts import Prompt, draw_prompts
from notagen.generation.requests import (
    STANDARD_INPUT,
    Beginning,
    Request,
    make_request,
    read_requests,
)
from notagen.generation.settings import DEFAULT_SAMPLING, Sampling
from notagen.model.config import ModelConfig
from notagen.preparation.filters import Filters
from notagen.training.settings import TrainConfig

if TYPE_CHECKING:
    import torch

    from notagen.model.packed import Precision


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(TrainConfig):
    """Settings of pretraining: a new model learns from many tunes in all keys."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """Shape of the new model."""


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(TrainConfig):
    """Settings of fine-tuning: a trained model learns from fewer tunes, each after its prompt."""

    weights: Path
    """Weights to start from: a folder with model.safetensors, a published .pth file, or the name of
    published weights, such as `notagen-x`. The model's shape is read from them."""
    lora_rank: int | None = None
    """Learn only corrections of this rank to the linear layers (LoRA), for small GPUs: 8 to 64;
    None learns all weights. best/ and last/ hold whole models either way."""
    keys: Literal["all", "near", "original"] = "near"
    """Keys to learn from: all 15, those within three semitones of the tune's own, or its own."""
    prompted: bool = True
    """Put period, composer and instrumentation before the tunes that have them."""
    peak_learning_rate: float = 1e-5
    """Reached after warmup_steps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lora_rank is not None and self.lora_rank < 1:
            raise ValueError(f"lora_rank must be >= 1 or None, got {self.lora_rank}")


Source = Literal[
    "music21",
    "folder",
    "openscore-lieder",
    "openscore-string-quartets",
    "openscore-orchestra",
    "polish-scores",
    "chopin-first-editions",
    "open-scores",
]
_FILTERS = Filters()


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Settings of the scripts of `data/`, from scores to training texts."""

    out: Path
    """Receives everything the scripts write; each reads there what the one before wrote."""
    source: Source = "music21"
    """Where 0_fetch.py finds scores: in music21's own corpus, in `folder`, in one of the public
    collections, which it downloads, or in all of these (`open-scores`)."""
    folder: Path | None = None
    """Folder of MusicXML, ABC, kern or MIDI files, searched with its subfolders, for the source
    `folder`."""
    metadata: Path | None = None
    """JSONL file about the files of `folder`: path, composer, period, instrumentation, work, ...;
    of the public collections, only the scores that it lists are taken."""
    only_listed: bool = False
    """Take only the scores of `folder` that the metadata lists."""
    period: str = ""
    """Period of the scores in `folder`, such as `Romantic`, where the metadata names none."""
    composer: str = ""
    """Their composer, such as `Schubert, Franz`."""
    instrumentation: str = ""
    """What they are for, such as `Art Song`."""
    download_from: str = "https://codeload.github.com"
    """Server of the public collections, or one that stands in for it."""
    limit: int | None = None
    """Fetch only the first so many scores; of music21's corpus these are varied."""
    pieces: tuple[str, ...] = ()
    """Fetch only the scores whose id begins with one of these, such as `bach-`; empty for all."""
    keys: Literal["all", "original"] = "all"
    """Write each tune in all 15 keys, or in its own (training then transposes as it reads)."""
    filters: OmitArgPrefixes[Filters] = _FILTERS
    """Which pieces are learned from."""
    eval_share: float = 0.1
    """Share of the works that is kept for evaluation."""
    seed: int = 0
    """Chooses the works that are kept for evaluation."""
    abc: Path | None = None
    """Folder of ABC files for 3_abc2xml.py; None for the ones that 1_xml2abc.py wrote."""
    workers: int = -1
    """Worker processes; -1 for one a core."""
    backend: Backend = "loky"
    """Where they run: processes (`loky`) or threads of this machine, or a cluster."""
    scheduler: str | None = None
    """Address of a running cluster, such as `tcp://host:8786`, for the backend `dask` or `ray`;
    None starts a local one."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.source == "folder" and self.folder is None:
            raise ValueError("folder must be set for the source 'folder', got None")
        if self.source != "folder" and (self.folder or self.labels):
            raise ValueError(
                f"folder, period, composer and instrumentation go with the source 'folder', got "
                f"{self.source!r}"
            )
        if self.only_listed and not (self.folder and self.metadata):
            raise ValueError("only_listed goes with folder and metadata, got one or none of them")
        if self.source == "music21" and self.metadata:
            raise ValueError("metadata goes with another source, which it describes, got 'music21'")
        if not 0 < self.eval_share < 1:
            raise ValueError(f"eval_share must be > 0 and < 1, got {self.eval_share}")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit must be >= 1, got {self.limit}")
        if self.workers < 1 and self.workers != -1:
            raise ValueError(f"workers must be >= 1, or -1 for one a core, got {self.workers}")
        if self.scheduler is not None and self.backend not in ("dask", "ray"):
            raise ValueError(
                f"scheduler goes with the backend 'dask' or 'ray', got {self.backend!r}"
            )

    @property
    def labels(self) -> dict[str, str]:
        """What the settings say of all scores in `folder`; empty where they say nothing."""
        names = ("period", "composer", "instrumentation")
        return {name: getattr(self, name) for name in names if getattr(self, name)}

    def run_batch(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[Outcome[Item, Result]]:
        """Yield the outcome of `function(item)` for each item, from the workers that are set."""
        return run_batch(
            function,
            items,
            workers=self.workers,
            backend=self.backend,
            scheduler=self.scheduler,
        )


_CONTROLS = Controls(valid_bars=True, max_patches=4096, max_repeats=4)
_BEGINNING = Beginning()


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """Settings of inference/generate.py."""

    weights: Path
    """A folder with model.safetensors, a published .pth file, or the name of published weights:
    `notagen-x`, `small`, `medium`, `large`, `large-finetuned`, `large-rl3`."""
    out: Path
    """Receives original/, interleaved/, standard/, musicxml/, midi/, svg/, generations.jsonl."""
    prompts: Path | None = None
    """JSON lines, a piece each, or `-` for standard input. A line may give `id`, `text`, and any
    setting of a piece that is a flag here, such as `num_bars` or `key`; flags hold for the lines
    that do not."""
    repeat: Path | None = None
    """A `generation.json` of the page: write that piece again. Its own settings hold; of these,
    `weights`, `out`, `device` and `threads` do."""
    list_prompts: bool = False
    """Print the prompts that the weights have learned, with the pieces behind each, and end."""
    draw_prompts: bool = False
    """Draw period, composer and instrumentation of each piece from the prompts that the weights
    have learned, each as likely as there are pieces behind it."""
    samples: int = 1
    """Pieces to write, or pieces of each line of `prompts`."""
    seed: int = 0
    """The same seed, settings and weights write the same pieces."""
    beginning: OmitArgPrefixes[Beginning] = _BEGINNING
    """What each piece begins with."""
    wishes: OmitArgPrefixes[HeaderWishes] = NO_WISHES
    """What stands in each header; the model writes the rest."""
    controls: OmitArgPrefixes[Controls] = _CONTROLS
    """Length and limits of each piece."""
    sampling: OmitArgPrefixes[Sampling] = DEFAULT_SAMPLING
    """How the next character is chosen."""
    batch_size: int = 8
    """Pieces written side by side: more are faster together and need more memory."""
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto"
    """Type of the weights; `auto` takes bf16 on CUDA, else fp32. int8 is fastest on processors and
    needs least memory."""
    threads: int = 1
    """Processor threads; more than one helps models of hundreds of millions of parameters only."""
    device: str = "auto"
    """`cpu`, `cuda`, `mps`, or `auto` for the fastest there is."""
    show: bool = True
    """Print the music as it is written, where pieces are written one at a time."""
    json: bool = False
    """Print each piece's line of generations.jsonl, and nothing else, on standard output."""
    candidates: int = 1
    """Write each piece so many times, and keep the one that is most like real pieces of its
    prompt."""
    score_weights: Path | None = None
    """Weights that turn candidates into features, as clamp_features/ takes them."""
    score_reference: Path | None = None
    """Features of real pieces by the same weights: a folder, or a file of their means; None for
    `reference.npz` in `score_weights`."""

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("samples", "batch_size", "threads", "candidates"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")
        if self.candidates > 1 and self.score_weights is None:
            raise ValueError("candidates > 1 need score_weights, got None")
        if self.draw_prompts and self.prompts:
            raise ValueError(f"give prompts or draw_prompts, not both; got {self.prompts}")

    @property
    def reference_folder(self) -> Path:
        """Where the features of real pieces lie that candidates are scored against."""
        return self.score_reference or (self.score_weights or Path()) / "reference.npz"

    def requests(
        self, num_processes: int = 1, known: Mapping[Prompt, int] | None = None
    ) -> list[Request]:
        """Return what each piece is to be; more samples leave the first pieces as they are.

        Args:
            num_processes: That share the pieces out.
            known: The prompts to draw from, and the pieces behind each; not empty.

        Raises:
            InputError: If `prompts` or the opening cannot be read, settings contradict others, or
                several processes are to share standard input.
        """
        if self.prompts == STANDARD_INPUT and num_processes > 1:
            raise InputError(
                f"found prompts on standard input and {num_processes} processes, wanted a file"
            )
        if self.draw_prompts:
            drawn = draw_prompts(known or {}, count=self.samples, seed=self.seed)
            styles = [replace(self.beginning, **vars(prompt)) for prompt in drawn]
            return [make_request(style, self.controls, self.wishes) for style in styles]
        piece = (self.beginning, self.controls, self.wishes)
        once = read_requests(self.prompts, *piece) if self.prompts else [make_request(*piece)]
        return once * self.samples

    def precision_on(self, device: "torch.device") -> "Precision":
        """Return the precision that is set, or for `auto` that of the device."""
        return find_precision(self.precision, device)


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Settings of the scripts of `evaluate/`."""

    name: str
    """What is measured: its results go to `<results>/<name>.json`."""
    results: Path
    """Receives the results, pictures and sheets."""
    page: Path
    """Markdown page that table.py writes its tables into."""
    reference: Path
    """Real pieces that the model has not learned: an index such as data/out/eval.jsonl, or a folder
    of ABC, MusicXML, MIDI or kern."""
    train: Path | None = None
    """The pieces that it has learned, likewise: the floor learns from them, and generated pieces
    are compared to them. None for neither."""
    max_learned: int = 20_000
    """Of more pieces in `train`, so many are drawn."""
    model: Path | None = None
    """Weights, as inference/ takes them, whose bits per character are measured."""
    generations: Path | None = None
    """Pieces to judge: a folder of inference/generate.py, or anything that `reference` may be."""
    prompts: Literal["without", "with", "both"] = "both"
    """Whether the model is given period, composer and instrumentation of a piece."""
    generation_features: Path | None = None
    """Folder of features of the pieces; None for features made of the notes' statistics."""
    reference_features: Path | None = None
    """The same for the reference; made by the same extractor."""
    train_features: Path | None = None
    """The same for the pieces learned from."""
    check_notes: bool = True
    """Let music21 read each piece back and compare its notes, which takes most of the time."""
    seed: int = 0
    """Of resamples, and of the order of pairs."""
    sheet: bool = False
    """Write a page on which people compare generated and real pieces, and nothing else."""
    pairs: int = 20
    """Pairs on the page."""
    pair_bars: int = 16
    """Bars shown of each piece, at most."""
    answers: tuple[Path, ...] = ()
    """Files of answers to the page: count them, and do nothing else."""
    patches_per_batch: int = 4096
    """Patches that the model computes at once, padding included."""
    device: str = "auto"
    """`cpu`, `cuda`, `mps`, or `auto` for the fastest there is."""
    workers: int = -1
    """Worker processes; -1 for one a core."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not re.fullmatch(r"[\w][\w.-]*", self.name):
            raise ValueError(f"name must be letters, digits, `_`, `.` and `-`, got {self.name!r}")
        for name in ("pairs", "pair_bars", "patches_per_batch", "max_learned"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")
        if self.workers < 1 and self.workers != -1:
            raise ValueError(f"workers must be >= 1, or -1 for one a core, got {self.workers}")
        if self.seed < 0:
            raise ValueError(f"seed must be >= 0, got {self.seed}")
        if self.sheet and self.generations is None:
            raise ValueError("sheet needs generations, got None")
        if not (self.model or self.train or self.generations or self.answers):
            raise ValueError("one of model, train and generations must be set, got None for each")
        features = (self.generation_features, self.reference_features, self.train_features)
        given = [folder for folder in features if folder is not None]
        if given and (self.generation_features is None or self.reference_features is None):
            raise ValueError("generation_features and reference_features go together, got one")

    def file(self, ending: str) -> Path:
        """Return where a file of these results lies, such as `.json` or `-sheet.html`."""
        return self.results / f"{self.name}{ending}"


def find_precision(
    name: Literal["auto", "fp32", "bf16", "fp16", "int8"], device: "torch.device"
) -> "Precision":
    """Return a precision by its name, or for `auto` that of the device: bf16 on CUDA, else fp32."""
    if name != "auto":
        return name
    return "bf16" if device.type == "cuda" else "fp32"


def find_device(name: str, fastest: "torch.device") -> "torch.device":
    """Return a device by its name, or for `auto` the fastest.

    Raises:
        InputError: If torch knows no such device, or the machine has none.
    """
    import torch  # here: the scripts of data/ need no torch, whose import takes a second

    if name == "auto":
        return fastest
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {name!r} is of no use here: {reason}") from error
