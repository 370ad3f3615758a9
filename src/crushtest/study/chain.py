"""What ties a study's files together: items -> answers -> scores -> estimates, noise and contrasts.

Every Parquet file names the files that it was made from by their sha256, and holds the sha256 of its own bytes. Readers
check what they rely on. This checks all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any
from urllib.parse import unquote

from crushtest.errors import CrushtestError, StoreError
from crushtest.files.append_log import AppendLog
from crushtest.files.parquet import RESTORE
from crushtest.files.regular import read_bytes, sha256
from crushtest.records import Kind
from crushtest.results import Contrast
from crushtest.study import manifest
from crushtest.study.folder import StudyFolder
from crushtest.study.labels import Labelling, labellings
from crushtest.study.plan import Plan, stored_plan
from crushtest.study.spec import read_stored_spec

KINDS: dict[str, Kind] = {"Choices": "choices", "Passage": "passages", "Prompt": "prompts"}
"""Column `kind` of items -> the kind of their answers."""

AGAIN = {"repeats": "repeat", "draws": "draw"}
"""Folders in an arm's that hold other measurements of it -> what their numbers are called."""

Check = Callable[[], object]
"""Raises StoreError, or UsageError for study.yaml, if something does not fit."""


def check_rows(folder: StudyFolder, plan: Plan, contrasts: Sequence[Contrast]) -> None:
    """Raise StoreError if contrasts compare an arm or task that the study file lacks: one of the two is foreign."""
    arms, tasks = {arm.name for arm in plan.arms}, {planned.name for planned in plan.tasks}
    compared = {("arm", name) for row in contrasts for name in (row.arm, row.against)}
    for what, name in sorted(compared | {("task", row.task) for row in contrasts}):
        if name not in (arms if what == "arm" else tasks):
            raise StoreError(
                f"{folder.contrasts} compares {what} {name!r}, which {folder.specification} does not name; restore the "
                f"one that is wrong, or run the study again"
            )


def refuse_untied(folder: StudyFolder) -> None:
    """Raise StoreError for contrasts that do not say what they were made from: damage behind them cannot be seen."""
    if folder.results.are_nameless():
        raise StoreError(
            f"{folder.contrasts} does not say what it was made from, because an older version of crushtest wrote it; "
            f"run `crushtest compare {folder.root}` once, which checks the answers and says so"
        )


def untied_note(folder: StudyFolder) -> str:
    """Return a line about results of an older version, which cannot be checked; the empty text for all others."""
    if not folder.results.are_nameless():
        return ""
    return (
        f"{folder.root}: an older version of crushtest wrote these results, so that it cannot be checked whether its "
        f"files belong together; `crushtest compare {folder.root}` ties them"
    )


def inventory(folder: StudyFolder) -> dict[str, dict[str, Any]]:
    """Return sha256 and bytes of every file that the contrasts were made from, of theirs, and of compression.json."""
    label = folder.results.label()
    names = [*(label.sources if label else ()), folder.contrasts.relative_to(folder.root).as_posix()]
    names += [folder.compression(arm, draw).relative_to(folder.root).as_posix() for arm, draw in _compressed(folder)]
    content = {name: read_bytes(folder.root / name, remedy=RESTORE) for name in sorted(names)}
    return {name: {"sha256": sha256(each), "bytes": len(each)} for name, each in content.items()}


# ---- all of it --------------------------------------------------------------------------------------


def problems(folder: StudyFolder) -> Iterator[str]:
    """Yield what does not fit in a study, each as one line: file, what is wrong, the way out."""
    seen: set[str] = set()
    for check in (*_facts(folder), *table_checks(folder), *_running(folder), *_listed(folder)):
        try:
            check()
        except CrushtestError as error:
            if str(error) not in seen:
                seen.add(str(error))
                yield str(error)


def table_checks(folder: StudyFolder) -> Iterator[Check]:
    """Yield a check of every table: what it holds, what it is, and what it was made from."""
    for task in _tasks(folder):
        yield partial(folder.items_table, task)
    for log, task in _logs(folder, ".parquet"):
        yield partial(_check_table, folder, log, task)
    for labelling in _labellings(folder):
        if labelling.key.exists():
            yield labelling.read_key
        if labelling.is_labelled:
            yield labelling.read_labels
    for read, path in (
        (folder.read_estimates, folder.estimates),
        (folder.read_contrasts, folder.contrasts),
        (folder.read_bands, folder.noise),
    ):
        if path.is_symlink() or path.exists():
            yield read


def _facts(folder: StudyFolder) -> Iterator[Check]:
    yield partial(read_stored_spec, folder.specification)
    yield partial(manifest.read, folder.manifest)
    for arm, draw in _compressed(folder):
        yield partial(folder.read_compression, arm, draw)


def _compressed(folder: StudyFolder) -> Iterator[tuple[str, int]]:
    """Yield every arm and draw that has a compression.json."""
    for path in sorted(folder.root.glob("arms/*/compression.json")):
        yield unquote(path.parent.name), 0
    for path in sorted(folder.root.glob("arms/*/draws/*/compression.json")):
        if path.parent.name.isdecimal():
            yield unquote(path.parents[2].name), int(path.parent.name)


def _running(folder: StudyFolder) -> Iterator[Check]:
    """Yield a check of the lines of every task that is not finished."""
    for log, task in _logs(folder, ".jsonl"):
        yield partial(_check_lines, folder, log, task)


def _listed(folder: StudyFolder) -> Iterator[Check]:
    """Yield a check of every file that the manifest lists."""
    try:
        listed = manifest.files(folder.manifest)
    except StoreError:
        return
    for name in listed:
        yield partial(manifest.check_listed, folder.manifest, name)


def _tasks(folder: StudyFolder) -> list[str]:
    """Return the tasks that the study has files of."""
    paths = [*folder.root.glob("items/*.parquet"), *folder.root.glob("arms/**/answers/*")]
    return sorted({unquote(path.stem) for path in paths if path.suffix in (".parquet", ".jsonl")})


def _logs(folder: StudyFolder, suffix: str) -> Iterator[tuple[AppendLog[Any], str]]:
    """Yield the logs of answers and scores that have a file with this suffix, each with its task."""
    for path in sorted(folder.root.glob(f"arms/**/*{suffix}")):
        arm, *rest = map(unquote, path.relative_to(folder.root / "arms").with_suffix("").parts)
        again: dict[str, int] = {}
        if rest[0] in AGAIN and rest[1].isdecimal():
            again, rest = {AGAIN[rest[0]]: int(rest[1])}, rest[2:]
        match rest:
            case ["answers", task]:
                yield folder.answers(arm, task, _kind(folder, task), **again), task
            case ["scores", scorer, task]:
                yield folder.scores(arm, scorer, task, **again), task


def _check_table(folder: StudyFolder, log: AppendLog[Any], task: str) -> None:
    log.table(folder.items_table(task)["item"].to_list())


def _check_lines(folder: StudyFolder, log: AppendLog[Any], task: str) -> None:
    log.read(folder.items_table(task)["item"].to_list())


def _labellings(folder: StudyFolder) -> list[Labelling]:
    """Return what can be labelled, if anything was; nothing of a study file that cannot be read, as its check says."""
    if not (folder.root / "labels").is_dir():
        return []
    try:
        plan = stored_plan(folder.specification)
    except CrushtestError:
        return []
    return labellings(folder, plan.tasks, [arm.name for arm in plan.arms])


def _kind(folder: StudyFolder, task: str) -> Kind:
    """Return the kind of a task's answers, as its items say; any if they cannot be read, which their check says."""
    try:
        requests = folder.items_table(task)["kind"].unique().to_list()
    except StoreError:
        requests = []
    return KINDS.get(requests[0], "prompts") if requests else "prompts"
