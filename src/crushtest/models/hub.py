"""Models on the Hugging Face hub: found in the hub's cache or fetched into it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path

from crushtest.errors import ModelError
from crushtest.models.checkpoint import Checkpoint, read_folder, read_quantization

# What a model needs beside its weights; not the other formats that hub repositories carry (ONNX, TensorFlow, GGUF).
PATTERNS = ["*.json", "*.model", "*.txt", "*.jinja", "*.tiktoken", "*.safetensors"]
PROBE_TIMEOUT_S = 10


def split_revision(spec: str) -> tuple[str, str | None]:
    """Take `name@revision` apart.

    >>> split_revision("org/name@main"), split_revision("org/name")
    (('org/name', 'main'), ('org/name', None))
    """
    name, _, revision = spec.partition("@")
    return name, revision or None


def cached(spec: str, *, allow_pickle: bool = False, unread: bool = False) -> Checkpoint | None:
    """Return the model from the hub's cache, None if not all of it is there. Asks nobody.

    A plain installation lacks the hub's package, whose cache it is. ModelError for a format that is not read, unless
    `unread` (see `read_folder`).
    """
    if find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    name, revision = split_revision(spec)
    try:
        folder = Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, ValueError):
        return None
    if (folder / "config.json").is_file() and not unread:
        read_quantization(folder)  # fetching the rest would not help
    try:
        return read_folder(folder, allow_pickle=allow_pickle, revision=folder.name, unread=unread)
    except ModelError:
        return None


def config_folder(spec: str) -> Path | None:
    """Return a folder with the model's config.json, which alone is fetched if the cache has not the model.

    None if the hub does not give it.
    """
    from huggingface_hub import hf_hub_download

    if checkpoint := cached(spec, allow_pickle=True, unread=True):
        return checkpoint.folder
    name, revision = split_revision(spec)
    try:
        with _hub_errors(spec):
            return Path(hf_hub_download(name, "config.json", revision=revision)).parent
    except ModelError:
        return None


def known_names() -> list[str]:
    """Return the names of the models in the hub's cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folders = Path(HF_HUB_CACHE).glob("models--*")
    return sorted(folder.name.removeprefix("models--").replace("--", "/") for folder in folders)


def check_remote(spec: str) -> None:
    """Ask the hub whether the model is there for us; ModelError says why not. Downloads nothing."""
    from huggingface_hub import HfApi

    name, revision = split_revision(spec)
    with _hub_errors(spec):
        info = HfApi().model_info(name, revision=revision, timeout=PROBE_TIMEOUT_S, files_metadata=True)
    siblings = info.siblings or ()
    files = {sibling.rfilename for sibling in siblings}
    if files and "config.json" not in files:
        raise ModelError(f"model {spec!r}: the hub's repository has no config.json, so it is not a transformers model")
    needed = sum(one.size or 0 for one in siblings if any(fnmatch(one.rfilename, pattern) for pattern in PATTERNS))
    refuse_full_disk(spec, needed)


def refuse_full_disk(spec: str, needed: int) -> None:
    """Raise ModelError if the disk of the hub's cache has not that many bytes left."""
    from huggingface_hub.constants import HF_HUB_CACHE

    cache = Path(HF_HUB_CACHE)
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise ModelError(
            f"model {spec!r}: {needed / 1e9:.1f} GB to fetch, {free / 1e9:.1f} GB left where the hub's cache is "
            f"({cache}); HF_HOME moves it"
        )


def fetch(spec: str, *, allow_pickle: bool = False, allow_code: bool = False, unread: bool = False) -> Checkpoint:
    """Return the model, downloaded into the hub's cache unless a whole copy is there; then the hub is not asked."""
    checkpoint = cached(spec, allow_pickle=allow_pickle, unread=unread)
    if checkpoint:
        return checkpoint
    check_remote(spec)
    from huggingface_hub import snapshot_download

    name, revision = split_revision(spec)
    patterns = PATTERNS + ["*.bin"] * allow_pickle + ["*.py"] * allow_code
    with _hub_errors(spec):
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    return read_folder(folder, allow_pickle=allow_pickle, revision=folder.name, unread=unread)


@contextmanager
def _hub_errors(spec: str) -> Iterator[None]:
    """Turn what the hub's client raises into one line, and hide its retry messages."""
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        HTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    except GatedRepoError:
        raise ModelError(
            f"model {spec!r}: gated on the hub; accept its terms there, then log in with `hf auth login`"
        ) from None
    except RepositoryNotFoundError:
        raise ModelError(
            f"model {spec!r}: the hub has no such model (or it is private and you are not logged in)"
        ) from None
    except RevisionNotFoundError:
        raise ModelError(f"model {spec!r}: the hub has no such revision of it") from None
    except HFValidationError as error:
        raise ModelError(f"model {spec!r}: not a hub id ({error})") from None
    except HfHubHTTPError as error:
        raise ModelError(f"model {spec!r}: the hub answered with an error ({str(error).splitlines()[0]})") from None
    except OfflineModeIsEnabled:
        raise ModelError(
            f"model {spec!r}: no such folder here, not in the hub's cache, and HF_HUB_OFFLINE is set, so the hub is "
            "not asked; unset it to fetch the model"
        ) from None
    except (HTTPError, OSError):
        raise ModelError(
            f"model {spec!r}: no such folder here, not in the hub's cache, and the hub cannot be reached"
        ) from None
    finally:
        log.setLevel(level)
