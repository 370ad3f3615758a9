"""docs/models.md says what the closed tables in the code say."""

from __future__ import annotations

import re
from pathlib import Path

import crushtest
from crushtest.models.gguf_tokenizer import PRE_TOKENIZERS
from crushtest.models.quantization import FORMATS

PAGE = (Path(crushtest.__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")


def test_the_page_has_a_row_per_format_and_no_other() -> None:
    table = PAGE.partition("## Quantized checkpoints")[2].partition("\nAny other")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert rows == [
        f"| {entry.title} | `{entry.method}` | {entry.reading} | {entry.reader or 'nobody'} | {entry.remark} |"
        for entry in FORMATS
    ]


def test_every_format_is_named_once() -> None:
    methods = [entry.method for entry in FORMATS]
    assert len(methods) == len(set(methods))
    assert all(entry.reader for entry in FORMATS if entry.reading != "refused")


def test_the_page_lists_the_pre_tokenizers() -> None:
    listed = PAGE.partition("none differs:")[2].partition("\n#")[0]
    assert re.findall(r"`([^`]+)`", listed) == sorted(PRE_TOKENIZERS)
