"""Folders and indexes of pieces to features: what is to be done, shared out, and kept.

The pieces are cut into chunks in their order; a chunk is read, encoded and written by one process.
What a chunk's features are depends on its pieces alone: neither on the number of processes nor on
what was there before.

A folder of features is that of one input, one extractor and one precision. A feature is made anew
where its file is newer, a refused file is read anew where it has changed since it was refused, and
a feature whose file is gone is removed.
"""

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jsonlines

from notagen.features.extract import CHUNK, Extractor, Feature
from notagen.features.form import MAX_CHARACTERS
from notagen.features.mtf import midi_to_mtf
from notagen.features.scoring import PROMPTS
from notagen.foundation.batch import Refusal
from notagen.foundation.errors import ConversionError, InputError, MissingInputError, ScoreError
from notagen.foundation.features import (
    INFO,
    FeaturesInfo,
    check_made_by,
    feature_files,
    read_features_info,
    write_feature,
    write_features_info,
)
from notagen.foundation.files import is_fresh, replaced_when_done, writable
from notagen.foundation.index import GENERATIONS, IndexEntry, read_index, write_index
from notagen.foundation.lines import read_lines
from notagen.generation.continuation import read_score
from notagen.sources.abc_file import count_tunes, read_abc
from notagen.sources.piece import NATIVE_SUFFIXES

STAGE = "3_extract"
REJECTS = "rejects.jsonl"
WORDS = ".txt"
_MIDI = (".mid", ".midi")
_PLAIN = (".abc", ".mtf")
_READ_AS_SCORE = (*NATIVE_SUFFIXES, ".krn")
SUFFIXES = (*_PLAIN, *_MIDI, WORDS, *_READ_AS_SCORE)


@dataclass(frozen=True)
class Source:
    """A file whose feature is wanted."""

    name: str
    """Of the feature: the file's path in the folder or index, without suffix if that is unique."""
    file: str
    """That path with its suffix, which a refusal tells."""
    path: Path
    """Where the file lies."""
    known: IndexEntry | None = None
    """The name and the prompt, if it is a piece of an index."""

    @property
    def modified(self) -> int | None:
        """Time of the file's last change in nanoseconds; None if it is not there."""
        return self.path.stat().st_mtime_ns if self.path.is_file() else None


Chunk = Sequence[Source]


@dataclass(frozen=True)
class _Refused(Refusal):
    modified: int | None
    """See `Source`; None where another run may do better though the file is as it was."""


def find_sources(where: Path) -> list[Source]:
    """Return the files of a folder or an index, sorted by name.

    Args:
        where: A folder of music and words, searched with its sub-folders (of a generation folder
            the `interleaved/` in it); or a JSONL index, whose pieces are taken in their own keys.

    Raises:
        MissingInputError: If it is not there.
        InputError: If it holds nothing to read, or a line of the index cannot be read.
    """
    if not where.exists():
        raise MissingInputError(f"{where} is not there; wanted a folder of music or an index")
    if where.is_file():
        sources = [_of_entry(entry, where.parent) for entry in read_index(where, made_by="data/")]
    else:
        sources = _files(where / "interleaved" if (where / GENERATIONS).is_file() else where)
    if not sources:
        raise InputError(f"{where}: found no {' '.join(SUFFIXES)} file, wanted one at least")
    name, times = Counter(source.name for source in sources).most_common(1)[0]
    if times > 1:
        raise InputError(f"{where}: found {name} {times} times, wanted each piece once")
    return sorted(sources, key=lambda source: source.name)


def cut_chunks(sources: Sequence[Source]) -> list[Chunk]:
    """Cut sources into chunks, the units of work."""
    return [sources[start : start + CHUNK] for start in range(0, len(sources), CHUNK)]


def claim_folder(out: Path, extractor: Extractor, where: Path) -> None:
    """Make a folder that of an extractor's features of an input.

    Args:
        out: Folder of the features.
        extractor: Will make them.
        where: As for `find_sources`.

    Raises:
        InputError: If it holds features of another extractor, precision or input, or .npy files
            that are nobody's; if it lies in such a folder, or the other way round.
    """
    wanted = FeaturesInfo(
        extractor=extractor.name,
        weights_sha256=extractor.weights_sha256,
        precision=extractor.precision,
        # as seen from there, so that both may be moved together
        input=writable(Path(os.path.relpath(where.resolve(), out.resolve())).as_posix()),
    )
    if (out / INFO).is_file():
        found = read_features_info(out)
        try:
            check_made_by(found, wanted.extractor, wanted.weights_sha256)
        except InputError as error:
            raise InputError(f"{out}: {error}; choose another --out") from error
        for name in ("precision", "input"):
            if getattr(found, name) != getattr(wanted, name):
                raise InputError(
                    f"{out}: found features of {name} {getattr(found, name)}, wanted "
                    f"{getattr(wanted, name)}; choose another --out"
                )
        return
    # what is removed later must be ours
    if strange := next(out.rglob("*.npy"), None):
        raise InputError(f"{out}: found {strange.name} without {INFO}; choose another --out")
    if around := next((way for way in out.resolve().parents if (way / INFO).is_file()), None):
        raise InputError(f"{out}: found features in {around} around it; choose another --out")
    write_features_info(out, **dataclasses.asdict(wanted))


def remove_stale(out: Path, sources: Iterable[Source]) -> int:
    """Remove the features that no source has, from a claimed folder; return how many they were.

    Their files are gone, or called otherwise: what was `x` of `x.abc` is `x.abc` beside an `x.mid`.
    To be called by one process before any adds features.
    """
    names = {source.name for source in sources}
    stale = [path for name, path in feature_files(out).items() if name not in names]
    for path in stale:
        path.unlink()
    return len(stale)


class Extraction:
    """Writes features, and the reasons where there is none, for one of several processes.

    Args:
        out: Folder of the features.
        process: Number of this process; its refusals stand in a file of its own until `finish`.
    """

    def __init__(self, out: Path, process: int = 0) -> None:
        self.out = out
        self._part = out / f"rejects-{process}.jsonl"
        self._known = _read_refusals(*out.glob("rejects*.jsonl"))
        # those that this process has told before, in a run that was stopped
        self._told = {path: told[0] for path, told in _read_refusals(self._part).items()}

    def is_done(self, source: Source) -> bool:
        """Tell whether the file has a feature, or a reason for having none, and is unchanged."""
        modified = source.modified
        if any(refused.modified == modified for refused in self._known.get(_told_as(source), ())):
            return True
        return modified is not None and is_fresh(_feature_file(self.out, source), source.path)

    def add(self, chunk: Chunk, extractor: Extractor) -> None:
        """Write the features of a chunk, all anew."""
        told = dict(self._told)
        # what is written to a file after that is not what was read
        times = [source.modified for source in chunk]
        for source, modified, feature in zip(chunk, times, _extract(chunk, extractor), strict=True):
            file = _told_as(source)
            told.pop(file, None)
            try:
                if isinstance(feature, Exception):
                    raise feature
                write_feature(self.out, source.name, feature)
            except (InputError, ScoreError) as error:
                reason = writable(" ".join(str(error).split()))
                # weights that read no words today may read them tomorrow
                since = None if error is feature and isinstance(error, InputError) else modified
                told[file] = _Refused(file, STAGE, reason, since)
                # it may have been another file when it had a feature
                _feature_file(self.out, source).unlink(missing_ok=True)
        if told != self._told:
            self._told = told
            _write_refusals(self._part, told.values())


def finish(out: Path, sources: Sequence[Source]) -> int:
    """Put the refusals of all processes into `rejects.jsonl`; return how many there are.

    Of an index, the prompts of its pieces go into `prompts.jsonl`, which makes the folder a
    reference by itself. To be called by one process when all are done.

    Args:
        out: Folder of the features.
        sources: What features were wanted of.
    """
    known = _read_refusals(*out.glob("rejects*.jsonl"))
    refused = [
        # where runs that were stopped have told others, that of the file as it is
        max(known[_told_as(source)], key=lambda told: told.modified == source.modified)
        for source in sources
        if _told_as(source) in known and not _feature_file(out, source).is_file()
    ]
    _write_refusals(out / REJECTS, refused)
    for part in out.glob("rejects-*.jsonl"):
        part.unlink()
    if prompts := [source.known for source in sources if source.known]:
        write_index(out / PROMPTS, prompts)
    return len(refused)


def encode_file(path: Path, extractor: Extractor) -> Feature:
    """Return the feature of one file, (H,), read as those of folders are.

    Raises:
        ScoreError: If it cannot be read, or there is no music or word in it.
        InputError: If it holds words, and the text side of the weights is not to be had.
    """
    (feature,) = _extract([Source(path.name, path.name, path)], extractor)
    if isinstance(feature, Exception):
        raise feature
    return feature


def read_source(path: Path) -> str:
    """Return what an extractor is given of a file: words, ABC, or MIDI in its text form.

    Raises:
        ScoreError: If it is not there, cannot be read or is too large.
    """
    suffix = path.suffix.lower()
    try:
        if (size := path.stat().st_size) > MAX_CHARACTERS:
            raise ConversionError(f"found {size:,} bytes, wanted {MAX_CHARACTERS:,} at most")
        if suffix in _MIDI:
            return midi_to_mtf(path)
        if suffix in _READ_AS_SCORE:
            return read_score(path)
        text = read_abc(path)
    except OSError as error:
        raise ConversionError(error.strerror or str(error)) from error
    except InputError as error:
        raise ConversionError(str(error)) from error
    if suffix == ".abc" and (count := count_tunes(text)) > 1:
        raise ConversionError(f"found {count} tunes, wanted one a file")
    return text


def _extract(chunk: Chunk, extractor: Extractor) -> list[Feature | ScoreError | InputError]:
    """Return the feature of each file, or why it has none: an InputError, if the weights are it."""
    found: dict[int, Feature | ScoreError | InputError] = {}
    music: dict[int, str] = {}
    for place, source in enumerate(chunk):
        try:
            text = read_source(source.path)
            if source.path.suffix.lower() == WORDS:
                found[place] = _of_words(text, extractor)
            else:
                music[place] = text
        except (ScoreError, InputError) as error:
            found[place] = error
    found |= zip(music, extractor.chunk(list(music.values())), strict=True)
    return [found[place] for place in range(len(chunk))]


def _of_words(text: str, extractor: Extractor) -> Feature:
    if not extractor.reads_text:
        raise ConversionError(f"found words, which {extractor.name} does not read, wanted music")
    if not text.strip():
        raise ConversionError("found no word, wanted some")
    return extractor.text_features(text)


def _of_entry(entry: IndexEntry, folder: Path) -> Source:
    name = entry.path.removesuffix(".abc")
    return Source(
        name,
        entry.path,
        folder / (entry.keyed_path(entry.key) if entry.key else entry.path),
        IndexEntry(
            path=name,
            period=entry.period,
            composer=entry.composer,
            instrumentation=entry.instrumentation,
        ),
    )


def _files(folder: Path) -> list[Source]:
    files = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    stems = Counter(path.with_suffix("") for path in files)
    sources = []
    for path in files:
        named = path if stems[path.with_suffix("")] > 1 else path.with_suffix("")
        name, file = (way.relative_to(folder).as_posix() for way in (named, path))
        sources.append(Source(name, file, path))
    return sources


def _read_refusals(*files: Path) -> dict[str, list[_Refused]]:
    """Return the refusals in files, where these are there, by the refused files."""
    found: dict[str, list[_Refused]] = {}
    for file in filter(Path.is_file, files):
        for _, line in read_lines(file):
            refused = _Refused(line["path"], line["stage"], line["reason"], line.get("modified"))
            found.setdefault(refused.path, []).append(refused)
    return found


def _write_refusals(path: Path, told: Iterable[_Refused]) -> None:
    with replaced_when_done(path) as temporary, jsonlines.open(temporary, "w") as writer:
        writer.write_all(map(dataclasses.asdict, told))


def _told_as(source: Source) -> str:
    return writable(source.file)


def _feature_file(out: Path, source: Source) -> Path:
    return out / f"{source.name}.npy"
