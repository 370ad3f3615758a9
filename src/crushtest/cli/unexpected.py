"""What nobody expected: one line for the user, and a file with the traceback for whoever mends it."""

from __future__ import annotations

import tempfile
import traceback

from crushtest.printing import printable

EXIT_CODE = 70
"""`EX_SOFTWARE` of sysexits.h: an error inside the program."""

LONGEST = 200
RUNS_MODELS = ("torch", "transformers", "accelerate", "safetensors", "gguf")
"""The packages of the extra `hf`, without which a plain installation reads and judges what is stored."""
COME_WITH_THEM = ("huggingface_hub", "tokenizers")
"""What those packages bring and we import as well."""
EXTRAS = {"mcp": "mcp", "mlflow": "mlflow", "wandb": "wandb"}
"""Other packages that a command may lack -> the extra that brings them."""


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """Return what to install where a package of an extra is missing; None for another module."""
    package = (error.name or "").partition(".")[0]
    extra = "hf" if package in (*RUNS_MODELS, *COME_WITH_THEM) else EXTRAS.get(package)
    if extra is None:
        return None
    return (
        f"this needs the package {package}, which a plain installation does not have; pip install 'crushtest[{extra}]'"
    )


def in_one_line(error: Exception) -> str:
    """Write the traceback of an error to a file and return a line that names both."""
    text = printable(" ".join(str(error)[: 2 * LONGEST].split()))[:LONGEST]
    what = f"an error that crushtest did not expect ({type(error).__name__}{': ' if text else ''}{text})"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="crushtest-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            traceback.print_exception(error, file=file)
    except OSError:
        return f"{what}; its traceback could not be written to a temporary file"
    return f"{what}; please report it with {file.name}, which says where it happened"
