"""From a spec to the files of a model: which kind of thing it names, where that is, and what lies near a wrong name."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from crushtest.errors import ModelError
from crushtest.files.storage.address import parse_storage_address
from crushtest.models import copies, demo, hub
from crushtest.models.checkpoint import Checkpoint, read_folder, read_gguf, weights_id
from crushtest.models.foreign import reading

Result = TypeVar("Result")

NEAR = 0.75
"""How alike a name must be to be suggested: `deom` is that much like `demo`."""
ALLOWED = "a hub id, a folder, a .gguf file, s3://bucket/model, or demo"
ADDRESS = "address"
"""The kind of models in object storage, of which copies are read (`models.copies`)."""


def check_model(spec: str, *, allow_pickle: bool = False, unread: bool = False, here: bool = True) -> None:
    """Raise ModelError unless the model is there, whole and readable, as far as its files' headers tell.

    A hub model that is not in the hub's cache is asked for by name, and an address what it holds; nothing is
    downloaded. Needs no torch.

    unread  whatever it is quantized by, for a program that reads it for itself
    here    whether its weights will be read on this machine
    """
    kind = model_kind(spec)
    if kind == "demo":
        demo.find_gguf()
    elif kind == "hub":
        if hub.cached(spec, allow_pickle=allow_pickle, unread=unread) is None:
            _with_nearest(spec, hub.check_remote)
    elif kind == ADDRESS:
        copies.check(spec, allow_pickle=allow_pickle, here=here)
    else:
        local_checkpoint(spec, kind, allow_pickle=allow_pickle, unread=unread)


def spec_weights_id(spec: str) -> dict[str, Any]:
    """Return which weights a spec names, for the manifest: `revision` or `sha256`. Loads and fetches nothing.

    Empty for a model of the hub or at an address that is not in a cache here. ModelError for a path that is not there
    or not whole.
    """
    kind = model_kind(spec)
    if kind == "demo":
        return {"sha256": {demo.FILE: demo.SHA256}}
    checkpoint = in_cache(spec) if kind in ("hub", ADDRESS) else local_checkpoint(spec, kind, allow_pickle=False)
    return weights_id(checkpoint) if checkpoint else {}


def in_cache(spec: str, *, allow_pickle: bool = False, unread: bool = False) -> Checkpoint | None:
    """Return a model of the hub, or at an address, as this machine has kept it; None if it has not. Asks nobody."""
    kept = copies.cached if copies.is_stored(spec) else hub.cached
    return kept(spec, allow_pickle=allow_pickle, unread=unread)


def model_kind(spec: str) -> str:
    """Return which of `demo`, `gguf`, `folder`, `hub` and `address` a spec names. UsageError for an odd address."""
    if spec.startswith(("http://", "https://")):
        raise ModelError(
            f"model {spec!r}: served models run in engine 'openai', not in this process (allowed here: {ALLOWED})"
        )
    if re.match(r"[\w.-]+:\d+(/|$)", spec) and not Path(spec).exists():
        raise ModelError(f"model {spec!r}: no such model; an address begins with http:// or https://")
    if copies.is_stored(spec):
        parse_storage_address(spec)
        return ADDRESS
    if not spec.strip():
        raise ModelError(f"model {spec!r}: no model named (allowed: {ALLOWED})")
    if spec == "demo":
        return "demo"
    if spec.lower().endswith(".gguf"):
        return "gguf"
    looks_like_path = spec.startswith(("/", ".", "~")) or spec.count("/") > 1 or "\\" in spec
    return "folder" if looks_like_path or Path(spec).exists() else "hub"


def local_checkpoint(spec: str, kind: str, *, allow_pickle: bool, unread: bool = False) -> Checkpoint:
    """Return the checkpoint at a path. ModelError for one that is not there, not whole, or of another kind."""
    path = Path(spec).expanduser()
    if not path.exists():
        what = "file" if kind == "gguf" else "folder"
        raise ModelError(f"model {spec!r}: no such {what}{_nearest(spec)} (allowed: {ALLOWED})")
    if kind == "gguf" and path.is_file():
        with reading(f"model {spec!r}: the file cannot be read"):
            return read_gguf(path, unread=unread)
    if not path.is_dir():
        raise ModelError(f"model {spec!r}: a file that is no .gguf file (allowed: {ALLOWED})")
    with reading(f"model {spec!r}: its files cannot be read"):
        return read_folder(path, allow_pickle=allow_pickle, unread=unread)


def hub_checkpoint(spec: str, *, trust_remote_code: bool, allow_pickle: bool, unread: bool = False) -> Checkpoint:
    """Return the checkpoint of a hub model, fetched if it is not in the cache. Raises ModelError."""
    return _with_nearest(
        spec,
        lambda name: hub.fetch(name, allow_pickle=allow_pickle, allow_code=trust_remote_code, unread=unread),
    )


def _with_nearest(spec: str, find: Callable[[str], Result]) -> Result:
    """Return `find(spec)`; add the nearest known name to the error that it raises."""
    try:
        return find(spec)
    except ModelError as error:
        raise ModelError(f"{error}{_nearest(spec)} (allowed: {ALLOWED})") from None


def _nearest(spec: str) -> str:
    """Return `; did you mean ...?` with the nearest file beside the path, cached hub model, or `demo`; else nothing."""
    path = Path(spec).expanduser()
    try:
        beside = {str(path.parent / entry.name): entry.name for entry in path.parent.iterdir()}
    except OSError:
        beside = {}
    names = {name: full for full, name in beside.items()} | {name: name for name in ("demo", *hub.known_names())}
    near = get_close_matches(spec, names, n=1, cutoff=NEAR) or get_close_matches(path.name, names, n=1, cutoff=NEAR)
    return f"; did you mean {names[near[0]]!r}?" if near else ""
