"""The pages of docs/tasks and docs/reference are those that the code makes, and say what a reader needs."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import column_pages
import reference_pages
from crushtest.data.catalogue import SourceFile
from crushtest.engines.hf.tokenizer import HfTokenizer
from crushtest.models.load import load_model
from crushtest.registry import TASKS

DOCS = Path(__file__).parents[1] / "docs"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_docs", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


generate = load()


@pytest.mark.parametrize("name", ["index", *TASKS.names()])
def test_the_page_on_disk_is_what_the_docstring_says(name: str) -> None:
    written = generate.index() if name == "index" else generate.page(TASKS.get(name))
    assert (DOCS / "tasks" / f"{name}.md").read_text(encoding="utf-8") == written, "run: python docs/generate.py"


def test_the_reference_is_what_the_code_says() -> None:
    wanted = {f"reference/{name}": f"{generate.GENERATED}\n{text}" for name, text in generate.reference_pages().items()}
    on_disk = {name: text for name, text in generate.present().items() if name.startswith("reference/")}
    assert on_disk == wanted, "run: python docs/generate.py"


def test_every_column_of_every_table_has_words() -> None:
    for name, kind in column_pages.KINDS.items():
        assert set(column_pages.WORDS[name]) == set(kind.schema), name


def test_every_key_of_a_study_file_has_words() -> None:
    for model in reference_pages.PARTS:
        words = inspect.getdoc(model) or ""
        assert not [key for key in model.model_fields if not re.search(rf"(?m)^{key}  +\S", words)], model


def test_the_page_of_architectures_is_the_table_of_what_was_seen() -> None:
    assert (DOCS / "architectures.md").read_text(encoding="utf-8") == generate.architectures()


def test_no_page_is_left_of_a_task_that_is_gone() -> None:
    assert {path.stem for path in (DOCS / "tasks").glob("*.md")} == {"index", *generate.BY_HAND, *TASKS.names()}


@pytest.mark.parametrize("name", TASKS.names())
def test_a_page_says_where_a_task_comes_from_and_what_it_measures(name: str) -> None:
    page = generate.page(TASKS.get(name))
    for said in ("**Source**", "**Licence**", "## Metrics", "roups", "nown problems"):
        assert said in page


def test_aligned_lists_become_lists() -> None:
    written = generate.markdown("Forms:\none     the first\n        of two\ntwo     the second\nAnd so on.\n")
    assert written == "Forms:\n\n- `one` the first\n  of two\n- `two` the second\n\nAnd so on.\n\n"


def test_lists_in_lists_become_lists_in_lists() -> None:
    written = generate.markdown("part   one    the first\n              part\n       two    the second\nseed   of it\n")
    assert written == "- `part`\n  - `one` the first\n    part\n  - `two` the second\n- `seed` of it\n\n"


def test_names_above_indented_text_become_lists() -> None:
    written = generate.markdown("Metrics:\nrate, share\n    how often\ngap (of two)\n    how far\n")
    assert written == "Metrics:\n\n- `rate`, `share`\n  how often\n- gap (of two)\n  how far\n\n"


def test_many_metrics_of_one_prefix_share_a_line() -> None:
    page = generate.page(TASKS.get("matched_guise"))
    assert "| `association_...` (37) | nats | zero |" in page
    assert "`association_lazy`" not in page


def test_files_that_are_checked_otherwise_than_by_sha256_are_named() -> None:
    sha, blob = (SourceFile("file", "", checksum) for checksum in ("sha256:0", "git:0"))
    assert generate.checks({"a": sha, "b": sha}) == "checked by sha256"
    assert generate.checks({"a": sha, "b": blob}) == "checked by sha256 (b by git's blob id)"
    assert generate.checks({"b": blob}) == "checked by git's blob id"


@pytest.mark.demo_model
def test_the_page_on_agreement_names_the_demos_start_token() -> None:
    page = (DOCS / "agreement.md").read_text(encoding="utf-8")
    assert f"`demo`'s is `{HfTokenizer(load_model('demo').tokenizer).start_text}`" in page


def test_every_page_speaks_of_a_start_token_which_need_not_begin_a_text() -> None:
    for path in DOCS.rglob("*.md"):
        assert "beginning-of-text" not in path.read_text(encoding="utf-8"), path
