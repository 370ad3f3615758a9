"""Where data comes from: a mirror, the cache, or the address at which its authors keep it.

Nothing is carried by this package. `sources.toml` lists every file with its address, revision, checksum, licence and
citation. A file is looked for in the folder named by CRUSHTEST_DATA (a mirror), in the cache, as a stand-in in the
mirror, and last at its canonical address; its checksum is taken wherever it is found.
"""

from __future__ import annotations

import gzip
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha1, sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

from crushtest.errors import DataError, UnknownName
from crushtest.files.atomic import replacing
from crushtest.files.cache import cache_folder
from crushtest.registry import TASKS

MIRROR = "CRUSHTEST_DATA"
TIMEOUT_S = 30

Place = Literal["mirror", "cache", "stand-in", "changed", "missing"]

# Not an argument: tasks read their files themselves, some of a set's and not all, and hand out nothing but items.
_READ: ContextVar[dict[str, str] | None] = ContextVar("stand-ins that were read", default=None)


@dataclass(frozen=True)
class SourceFile:
    """One file of a data set.

    path       below a mirror or the cache: `bbq/Age.jsonl`
    address    where its authors keep it, at a fixed revision
    checksum   `sha256:<hex>`, or `git:<id>` for the id that git gives a file of this content
    stand_in   another file that a mirror may hold in its place (same shape, not the same text), with its own checksum
    """

    path: str
    address: str
    checksum: str
    stand_in: SourceFile | None = None


@dataclass(frozen=True)
class DataSet:
    """A data set: its files by their names, its licence, and the paper to cite.

    tasks     those that read it; the one of its own name where none are listed
    by_hand   for a set without files that we may or can fetch: what a user must do to get it, and give to the task
    """

    name: str
    repository: str
    revision: str
    licence: str
    citation: str
    files: dict[str, SourceFile] = field(default_factory=dict)
    tasks: tuple[str, ...] = ()
    by_hand: str | None = None


class NotHere(DataError):
    """A file that is neither here nor to be had."""


class NotFetched(DataError):
    """Files that could not be fetched; `files` has a line for each: its path, what is here, and the reason."""

    def __init__(self, message: str, files: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.files = tuple(files)


class Found(NamedTuple):
    """A file that is here and is what it should be. `place` says which of the places it is in."""

    path: Path
    place: Place


class FileStatus(NamedTuple):
    """One line of `crushtest data status`; `problem` says what is wrong with a file that is here, or None."""

    dataset: str
    file: str
    place: Place
    path: str | None
    address: str
    revision: str
    licence: str
    citation: str
    problem: str | None


class SetStatus(NamedTuple):
    """A data set in one line: the tasks that read it, and how many of its files are here, missing, ..."""

    dataset: str
    tasks: str
    state: str
    licence: str


@cache
def data_sets() -> dict[str, DataSet]:
    """Every data set we know the source of."""
    listed = tomllib.loads((files(__package__) / "sources.toml").read_text(encoding="utf-8"))
    return {name: _data_set(name, about) for name, about in listed.items()}


def data_set(name: str) -> DataSet:
    """The data set of that name; UnknownName, with the nearest match, where there is none."""
    if name not in data_sets():
        raise UnknownName("data set", name, data_sets())
    return data_sets()[name]


def read_by(task: str) -> list[str]:
    """The data sets that a task reads."""
    return [name for name, known in data_sets().items() if task in (known.tasks or (name,))]


def how_to_get(name: str) -> str:
    """What a user must do to get a data set that is not fetched."""
    advice = data_set(name).by_hand
    assert advice is not None, name
    return f"{advice}. In place of path, {MIRROR} may name a folder that holds it as {name!r}"


def folder_of(name: str) -> Path | None:
    """The folder of a data set that a user put into the mirror or the cache, if there is one; nothing is checked.

    One that holds only how to get the data is none.
    """
    mirror = _mirror()
    places = [*([mirror / name] if mirror else []), cache_folder() / "data" / name]
    return next((place for place in places if place.is_dir() and _holds_data(place)), None)


def _holds_data(folder: Path) -> bool:
    return any(not entry.name.startswith(("README", "LICENSE")) for entry in folder.iterdir())


def find(name: str, file: str, *, fetch: bool = True) -> Found:
    """A file of a data set, checked; fetched into the cache where it is nowhere else.

    Raises DataError where the file has changed (it names the file) or is not to be had (it names the file, the
    address and the variable that names a mirror). With `fetch=False` the network is left alone.
    """
    source = data_set(name).files[file]
    here = _first_place(source)
    if here is not None:
        _check(here.path, _expected(source, here))
        _note(source, here)
        return here
    if not fetch:
        raise NotHere(f"data file {source.path!r} is not here; fetch it (crushtest data fetch {name}) or {_advice()}")
    return Found(download(source), "cache")


@contextmanager
def noting_stand_ins() -> Iterator[dict[str, str]]:
    """Yields what is filled, inside, with every stand-in that is read: the official file's path -> the stand-in's."""
    noted: dict[str, str] = {}
    token = _READ.set(noted)
    try:
        yield noted
    finally:
        _READ.reset(token)


def _note(source: SourceFile, here: Found) -> None:
    noted = _READ.get()
    if noted is not None and here.place == "stand-in" and source.stand_in:
        noted[source.path] = source.stand_in.path


def read_text(name: str, file: str) -> str:
    """The whole text of a file of a data set (UTF-8; a byte order mark is dropped; gzip is undone)."""
    path = find(name, file).path
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return content.decode("utf-8-sig")


def has_mirror() -> bool:
    """Whether CRUSHTEST_DATA names a mirror."""
    return _mirror() is not None


def download(source: SourceFile) -> Path:
    """Fetch a file into the cache, whole or not at all, and check it. Raises DataError."""
    from http.client import HTTPException
    from urllib.request import urlopen

    target = cache_folder() / "data" / source.path
    try:
        with replacing(target) as temporary:
            with urlopen(source.address, timeout=TIMEOUT_S) as response:
                temporary.write_bytes(response.read())
            _check(temporary, source, origin=source.address)
    except (OSError, HTTPException) as error:  # URLError and TimeoutError are OSErrors
        reason = getattr(error, "reason", None) or error
        raise NotHere(
            f"data file {source.path!r} is not here and could not be fetched from {source.address} "
            f"({reason}); {_advice()}"
        ) from error
    return target


def status(names: Iterable[str] = ()) -> list[FileStatus]:
    """What is here, for every file of these data sets (all of them by default). The network is left alone.

    A set that a user must get by hand is one line, whose problem says how.
    """
    chosen = [data_set(name) for name in names or data_sets()]
    return [
        line
        for known in chosen
        for line in ([_by_hand(known)] if known.by_hand else [_status(known, file) for file in known.files])
    ]


def summarize(files: Iterable[FileStatus]) -> list[SetStatus]:
    """One line a data set, from the status of its files."""
    by_set: dict[str, list[FileStatus]] = {}
    for file in files:
        by_set.setdefault(file.dataset, []).append(file)
    return [
        SetStatus(name, ", ".join(_tasks(data_set(name))), _state(found), found[0].licence)
        for name, found in by_set.items()
    ]


def _tasks(known: DataSet) -> list[str]:
    """Some are read for calibration, by no task."""
    return [task for task in known.tasks or (known.name,) if task in TASKS.names()]


def _state(files: Sequence[FileStatus]) -> str:
    """`here`, or what the others of its files are: `missing 2 of 11, stand-in 1 of 11`."""
    if not files[0].file:
        return "here" if files[0].place == "mirror" else "missing (to be had by hand)"
    places = [file.place for file in files]
    kinds = ("missing", "stand-in", "changed")
    return ", ".join(f"{kind} {places.count(kind)} of {len(files)}" for kind in kinds if kind in places) or "here"


def fetch(names: Iterable[str], *, report: Callable[[str], None] = lambda line: None) -> list[FileStatus]:
    """Bring the official files of these data sets into the cache, unless a mirror or the cache has them; their status.

    A file that has only a stand-in is fetched. Files that cannot be had do not keep the others from being fetched:
    they are named in the NotFetched raised at the end.
    """
    names = list(names)
    problems = [
        f"data set {name!r} cannot be fetched for you: the task {how_to_get(name)}"
        for name in names
        if data_set(name).by_hand
    ]
    wanted = [file for file in status(names) if file.file and file.place not in ("mirror", "cache")]
    failed = []
    for file in wanted:
        report(file.address)
        try:
            download(data_set(file.dataset).files[file.file])
        except DataError as problem:
            here = {"stand-in": "a stand-in is here, not the official file", "changed": "changed"}.get(file.place)
            failed.append(f"{file.dataset}/{file.file}: {here or 'missing'} ({_reason(problem)})")
    if failed:
        problems.append(f"{len(failed)} of {len(wanted)} files could not be fetched; {_advice('them')}")
    if problems:
        raise NotFetched("; ".join(problems), failed)
    return status(names)


def _reason(problem: DataError) -> object:
    """Why a download failed, without the file and the address."""
    cause = problem.__cause__
    return problem if cause is None else getattr(cause, "reason", None) or cause


def _data_set(name: str, about: dict[str, Any]) -> DataSet:
    return DataSet(
        name,
        about["repository"],
        about["revision"],
        about["licence"],
        about["citation"],
        {file: _source_file(name, file, about | facts) for file, facts in about.get("files", {}).items()},
        tuple(about.get("tasks", ())),
        about.get("by_hand"),
    )


def _source_file(name: str, file: str, facts: dict[str, Any]) -> SourceFile:
    address = _root(facts["repository"], facts["revision"]) + quote(facts.get("from", file))
    checksum = f"sha256:{facts['sha256']}" if "sha256" in facts else f"git:{facts['git_blob']}"
    stand_in = None
    if "stand_in" in facts:
        held_by = facts.get("stand_in_set", name)
        stand_in = SourceFile(f"{held_by}/{facts['stand_in']}", address, f"sha256:{facts['stand_in_sha256']}")
    return SourceFile(f"{name}/{file}", address, checksum, stand_in)


def _root(repository: str, revision: str) -> str:
    """The address below which a repository's files lie: of GitHub (`owner/name`), or of a hub data set (an address)."""
    if repository.startswith("https://"):
        return f"{repository}/resolve/{revision}/"
    return f"https://raw.githubusercontent.com/{repository}/{revision}/"


def _places(source: SourceFile) -> list[Found]:
    """Where a file may be, in the order of looking.

    A stand-in comes before the network: what a study sees must follow from the files on this machine, not from
    whether a host answered.
    """
    mirror = _mirror()
    cached = Found(cache_folder() / "data" / source.path, "cache")
    if mirror is None:
        return [cached]
    stand_in = [Found(mirror / source.stand_in.path, "stand-in")] if source.stand_in else []
    zipped = Found(mirror / f"{source.path}.gz", "mirror")
    return [Found(mirror / source.path, "mirror"), zipped, cached, *stand_in]


def _first_place(source: SourceFile) -> Found | None:
    return next((here for here in _places(source) if here.path.is_file()), None)


def _expected(source: SourceFile, here: Found) -> SourceFile:
    return source.stand_in if here.place == "stand-in" and source.stand_in else source


def _mirror() -> Path | None:
    named = os.environ.get(MIRROR)
    if not named:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise DataError(f"{MIRROR} must name a folder (got {named!r})")
    return folder


def _advice(what: str = "it") -> str:
    named = os.environ.get(MIRROR)
    return f"set {MIRROR} to a folder that holds {what}" + (f" ({named!r} does not)" if named else "")


def _check(path: Path, source: SourceFile, *, origin: str | None = None) -> None:
    """Raises DataError where the content of a file is not what its checksum says.

    A mirror may hold a file gzipped that its authors do not: the checksum is that of the text.
    """
    content = path.read_bytes()
    if path.name.endswith(f"{Path(source.path).name}.gz"):
        content = gzip.decompress(content)
    kind, _, expected = source.checksum.partition(":")
    # git's id of a file is the SHA-1 of its length and content
    digest = sha256(content) if kind == "sha256" else sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    if digest.hexdigest() != expected:
        raise DataError(
            f"data file {source.path!r} ({origin or path}) is not the file we know: "
            f"its {kind} is {digest.hexdigest()}, it must be {expected}"
        )


def _by_hand(known: DataSet) -> FileStatus:
    facts = (known.repository, known.revision, known.licence, known.citation)
    here = folder_of(known.name)
    if here is not None:
        return FileStatus(known.name, "", "mirror", str(here), *facts, None)
    return FileStatus(known.name, "", "missing", None, *facts, f"the task {how_to_get(known.name)}")


def _status(known: DataSet, file: str) -> FileStatus:
    source = known.files[file]
    place: Place = "missing"
    problem = None
    here = _first_place(source)
    if here is not None:
        place = here.place
        problem = "not the official text" if place == "stand-in" else None
        try:
            _check(here.path, _expected(source, here))
        except DataError as error:
            place, problem = "changed", str(error)
    return FileStatus(
        known.name,
        file,
        place,
        str(here.path) if here else None,
        source.address,
        known.revision,
        known.licence,
        known.citation,
        problem,
    )
