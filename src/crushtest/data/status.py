"""Say which data sets are here, and fetch those that are missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

from crushtest.data import catalogue
from crushtest.data.catalogue import DataSet, SourceFile, data_set, how_to_get
from crushtest.data.sources import advice, check_content, download, first_place, folder_of
from crushtest.errors import DataError
from crushtest.registry import TASKS

Place = Literal["mirror", "cache", "changed", "missing"]


class NotFetched(DataError):
    """Files that could not be fetched. `files` has a line for each with its path, its state and the reason."""

    def __init__(self, message: str, files: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.files = tuple(files)


class FileStatus(NamedTuple):
    """One line of `crushtest data status`. `problem` says what is wrong with the file, if anything is."""

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
    """A data set in one line: the tasks that read it, and whether its files are here, missing or changed."""

    dataset: str
    tasks: str
    state: str
    licence: str


def status(names: Iterable[str] = ()) -> list[FileStatus]:
    """Return the status of every file of these data sets (default: all of them). The network is left alone.

    A manual download has one line. Its `problem` says how to get the data.
    """
    lines = []
    for dataset in [data_set(name) for name in names or catalogue.data_sets()]:
        if dataset.manual_download:
            lines.append(_manual_status(dataset))
        else:
            lines += [_file_status(dataset, file, source) for file, source in dataset.files.items()]
    return lines


def data_of(task: str) -> Literal["carried", "here", "in part", "absent"]:
    """Return whether a task's data come with a package, or whether the machine has them. Their content is not checked.

    A task of the user's own files has `absent` data: only its option says where they are.
    """
    sets = [data_set(name) for name in catalogue.read_by(task)]
    if not sets:
        return "absent" if "path" in TASKS.get(task).options else "carried"
    places = [
        place
        for each in sets
        for place in ([folder_of(each.name)] if each.manual_download else map(first_place, each.files.values()))
    ]
    return "here" if all(places) else "in part" if any(places) else "absent"


def summarize(files: Iterable[FileStatus]) -> list[SetStatus]:
    """Return one line per data set, from the status of its files."""
    by_set: dict[str, list[FileStatus]] = {}
    for file in files:
        by_set.setdefault(file.dataset, []).append(file)
    return [
        SetStatus(
            name,
            # no task reads a set that serves calibration only
            ", ".join(task for task in data_set(name).tasks or (name,) if task in TASKS.names()),
            _state(listed),
            listed[0].licence,
        )
        for name, listed in by_set.items()
    ]


def _state(files: Sequence[FileStatus]) -> str:
    """Return `here`, `manual download`, or what is wrong: `missing 2 of 11, changed 1 of 11`."""
    if not files[0].file:
        return "here" if files[0].place == "mirror" else "manual download"
    places = [file.place for file in files]
    kinds = ("missing", "changed")
    return ", ".join(f"{kind} {places.count(kind)} of {len(files)}" for kind in kinds if kind in places) or "here"


def fetch(names: Iterable[str], *, report: Callable[[str], None] = lambda line: None) -> list[FileStatus]:
    """Fetch the missing and changed files of these data sets, and return the status of all their files.

    A failure does not stop the other downloads. Raises NotFetched at the end, which names every failure.
    """
    names = list(names)
    problems = [
        f"data set {name!r} is a manual download: the task {how_to_get(name)}"
        for name in names
        if data_set(name).manual_download
    ]
    wanted = [file for file in status(names) if file.file and file.place in ("missing", "changed")]
    failed = []
    for file in wanted:
        report(file.address)
        try:
            download(data_set(file.dataset).files[file.file])
        except DataError as problem:
            failed.append(f"{file.dataset}/{file.file}: {file.place} ({_reason(problem)})")
    if failed:
        problems.append(f"{len(failed)} of {len(wanted)} files could not be fetched; {advice('them')}")
    if problems:
        raise NotFetched("; ".join(problems), failed)
    return status(names)


def _reason(problem: DataError) -> object:
    """Return why a download failed, without the file and the address."""
    cause = problem.__cause__
    return problem if cause is None else getattr(cause, "reason", None) or cause


def _manual_status(dataset: DataSet) -> FileStatus:
    folder = folder_of(dataset.name)
    return FileStatus(
        dataset=dataset.name,
        file="",
        place="mirror" if folder else "missing",
        path=str(folder) if folder else None,
        address=dataset.repository,
        revision=dataset.revision,
        licence=dataset.licence,
        citation=dataset.citation,
        problem=None if folder else f"the task {how_to_get(dataset.name)}",
    )


def _file_status(dataset: DataSet, file: str, source: SourceFile) -> FileStatus:
    local = first_place(source)
    place: Place = local.place if local else "missing"
    problem = None
    if local:
        try:
            check_content(local.path, source)
        except DataError as error:
            place, problem = "changed", str(error)
    return FileStatus(
        dataset=dataset.name,
        file=file,
        place=place,
        path=str(local.path) if local else None,
        address=source.address,
        revision=dataset.revision,
        licence=dataset.licence,
        citation=dataset.citation,
        problem=problem,
    )
