"""Propose an arm's card for its model on the hub: a pull request that adds a section and its metadata to README.md."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from crushtest.errors import CrushtestError, UsageError, first_error_line

KEY = "HF_TOKEN"
README = "README.md"
FRONT = re.compile(r"\A---\r?\n(.*?)^---[ \t]*\r?\n?", re.DOTALL | re.MULTILINE)
BEGIN, END = "<!-- crushtest: begin -->", "<!-- crushtest: end -->"
SECTION = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}\n?", re.DOTALL)
INDEX = "model-index"


def push_card(card: str, repository: str, arm: str, *, api: Any = None) -> str:
    """Open a pull request at the hub's repository that puts the card into its README.md, and return its address.

    The key is read from HF_TOKEN and nowhere else. What the README says besides stays; a section and results that were
    pushed before are replaced. Raises UsageError without a key, CrushtestError if the hub refuses.
    """
    key = os.environ.get(KEY, "")
    if not key:
        raise UsageError(f"card: --push needs a key that may write to {repository!r}, in {KEY}")
    if api is None:
        from huggingface_hub import HfApi

        api = HfApi(token=key, library_name="crushtest")
    with _one_line(repository, key):
        merged = merged_card(_readme(api, repository), card)
        commit = api.upload_file(
            path_or_fileobj=merged.encode(),
            path_in_repo=README,
            repo_id=repository,
            commit_message=f"Crash test of {arm}, by crushtest",
            create_pr=True,
        )
    return str(commit.pr_url)


def merged_card(readme: str, card: str) -> str:
    """Return a README with the section and the metadata of a card. What it holds already wins over the card's.

    Tags are joined. Of `model-index` the entries of the card's name are replaced, and the others kept; an entry without
    results is left out. Raises UsageError if the README's own metadata are no YAML mapping.
    """
    theirs, text = _parts(readme)
    ours, section = _parts(card)
    entries = [entry for entry in ours.get(INDEX, ()) if entry["results"]]
    names = {entry["name"] for entry in ours.get(INDEX, ())}
    old = theirs.get(INDEX) or []
    kept = [entry for entry in old if not (isinstance(entry, Mapping) and entry.get("name") in names)]
    tags = theirs.get("tags") or []
    tags = [tags] if isinstance(tags, str) else tags
    metadata = {**ours, **theirs, "tags": list(dict.fromkeys([*tags, *ours["tags"]])), INDEX: [*kept, *entries]}
    if not metadata[INDEX]:
        del metadata[INDEX]
    block = f"{BEGIN}\n{section.strip()}\n{END}\n"
    if SECTION.search(text):
        text = SECTION.sub(lambda _: block, text, count=1)
    else:
        text = f"{text.rstrip()}\n\n{block}" if text.strip() else block
    front = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{front}---\n\n{text.lstrip()}"


def _parts(text: str) -> tuple[dict[str, Any], str]:
    """Return the metadata at the head of a card, and what follows."""
    front = FRONT.match(text)
    if front is None:
        return {}, text
    try:
        metadata = yaml.safe_load(front[1]) or {}
    except yaml.YAMLError as error:
        raise UsageError(f"card: the README's metadata are no YAML ({first_error_line(error)})") from None
    if not isinstance(metadata, dict):
        raise UsageError("card: the README's metadata are no `key: value` lines")
    return metadata, text[front.end() :]


def _readme(api: Any, repository: str) -> str:
    """Return the README.md of a repository as it is now; the empty text if it has none."""
    from huggingface_hub.errors import EntryNotFoundError

    with tempfile.TemporaryDirectory(prefix="crushtest-") as folder:
        try:
            path = api.hf_hub_download(repository, README, local_dir=folder, force_download=True)
        except EntryNotFoundError:
            return ""
        return Path(path).read_text(encoding="utf-8")


@contextmanager
def _one_line(repository: str, key: str) -> Iterator[None]:
    """Turn what the hub's client raises into one line, in which the key does not stand."""
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        HfHubHTTPError,
        HFValidationError,
        HTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        yield
    except RepositoryNotFoundError:
        reason = f"the hub has no such model, or the key in {KEY} may not see it"
    except HFValidationError as error:
        reason = f"not a hub id ({first_error_line(error)})"
    except HfHubHTTPError as error:
        reason = f"the hub answered with an error ({first_error_line(error)})"
    except OfflineModeIsEnabled:
        reason = "HF_HUB_OFFLINE is set, so the hub is not asked"
    except (HTTPError, OSError):
        reason = "the hub cannot be reached"
    else:
        return
    raise CrushtestError(f"card: {repository!r}: {reason}".replace(key, "[key]")) from None
