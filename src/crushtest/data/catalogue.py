"""Every data set that `sources.toml` lists, with its files, addresses, checksums, licence and citation."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from crushtest.errors import UnknownName

MIRROR = "CRUSHTEST_DATA"


@dataclass(frozen=True)
class SourceFile:
    """One file of a data set.

    path       below a mirror or the cache: `bbq/Age.jsonl`
    address    where its authors keep it, at a fixed revision
    checksum   `sha256:<hex>`, or `git:<id>` for the id that git gives a file of this content
    """

    path: str
    address: str
    checksum: str


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set: its files by name, its licence, and the paper to cite.

    tasks            the tasks that read it; if none are listed, the task of the same name
    manual_download  what a user must do to get the set and give it to the task, if we may not or cannot fetch it
    """

    name: str
    repository: str
    revision: str
    licence: str
    citation: str
    files: dict[str, SourceFile] = field(default_factory=dict)
    tasks: tuple[str, ...] = ()
    manual_download: str | None = None


@cache
def data_sets() -> dict[str, DataSet]:
    """Return every data set by name."""
    listed = tomllib.loads((files(__package__) / "sources.toml").read_text(encoding="utf-8"))
    return {name: _data_set(name, facts) for name, facts in listed.items()}


def data_set(name: str) -> DataSet:
    """Return a data set by name. Raises UnknownName, with the nearest match, for a name that is not listed."""
    if name not in data_sets():
        raise UnknownName("data set", name, data_sets())
    return data_sets()[name]


def read_by(task: str) -> list[str]:
    """Return the names of the data sets that a task reads."""
    return [name for name, dataset in data_sets().items() if task in (dataset.tasks or (name,))]


def how_to_get(name: str) -> str:
    """Return what a user must do to get a manual download, as the end of the sentence "the task ..."."""
    advice = data_set(name).manual_download
    assert advice is not None, name
    return f"{advice}. In place of path, {MIRROR} may name a folder that holds it as {name!r}"


def _data_set(name: str, facts: dict[str, Any]) -> DataSet:
    listed = facts.get("files", {})
    return DataSet(
        name=name,
        repository=facts["repository"],
        revision=facts["revision"],
        licence=facts["licence"],
        citation=facts["citation"],
        files={file: _source_file(name, file, facts | file_facts) for file, file_facts in listed.items()},
        tasks=tuple(facts.get("tasks", ())),
        manual_download=facts.get("manual_download"),
    )


def _source_file(name: str, file: str, facts: dict[str, Any]) -> SourceFile:
    repository, revision = facts["repository"], facts["revision"]
    # A repository is `owner/name` on GitHub, or the address of a data set on the Hugging Face hub.
    hub = repository.startswith("https://")
    root = f"{repository}/resolve/{revision}" if hub else f"https://raw.githubusercontent.com/{repository}/{revision}"
    checksum = f"sha256:{facts['sha256']}" if "sha256" in facts else f"git:{facts['git_blob']}"
    return SourceFile(f"{name}/{file}", f"{root}/{quote(facts.get('from', file))}", checksum)
