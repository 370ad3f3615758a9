"""A new folder for a model: whether it can be made, and made whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crushtest.errors import CompressionError, first_error_line
from crushtest.files.atomic import flush, flush_folder


def check_new(folder: Path) -> None:
    """Raise CompressionError unless a model can be saved under this name.

    It must name nothing, or an empty folder, in a folder that can be written. A link stands for what it leads to.
    """
    where, folder = repr(str(folder)), Path(os.path.realpath(folder))
    if os.path.lexists(folder) and not folder.is_dir():
        raise CompressionError(f"{where} is a file; name a new folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise CompressionError(f"{where} is not empty; name a new folder, or remove it first")
    # The finished folder replaces the empty one. A mount cannot be replaced, and a shell would stay in the old folder.
    if folder == Path.cwd():
        raise CompressionError(f"{where} is the folder that this runs in; name a new folder")
    if os.path.ismount(folder):
        raise CompressionError(f"{where} is a mount point; name a new folder in it")
    above = next(place for place in folder.parents if place.exists())
    try:
        with tempfile.TemporaryFile(dir=above):
            pass
    except OSError as error:
        raise CompressionError(
            f"no model can be saved to {where}: {above} cannot be written ({error.strerror}); name another folder"
        ) from None


def unfinished(folder: Path) -> list[Path]:
    """Return the temporary folders of `atomic_folder` beside a folder: of a process that was killed or still writes."""
    folder = Path(os.path.realpath(folder))
    partial_name = re.compile(rf"\.{re.escape(folder.name)}\.\w+\.partial")
    beside = folder.parent.glob("*.partial") if folder.parent.is_dir() else ()
    return sorted(path for path in beside if partial_name.fullmatch(path.name))


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary sibling of a folder and rename it into place on success.

    On failure remove it, and the folders that were made for it. CompressionError if writing fails.
    """
    from safetensors import SafetensorError

    folder = Path(os.path.realpath(folder))
    made = [place for place in folder.parents if not place.exists()]
    partial: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
        yield partial
        for file in partial.iterdir():
            file.chmod(0o644)  # safetensors leaves some to their owner alone
            flush(file)  # a rename may reach the disk before what was written into the files
        partial.chmod(0o755)
        flush_folder(partial)
        partial.rename(folder)
        flush_folder(folder.parent)
    except (OSError, SafetensorError) as error:
        raise CompressionError(
            f"the model could not be saved to {str(folder)!r}: {first_error_line(error)}; nothing was left there"
        ) from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
        with suppress(OSError):  # on success they hold the model
            for place in made:
                place.rmdir()
