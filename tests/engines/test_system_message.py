"""The system message of a study: before every request in chat, in every engine, and part of what a study is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crushtest.engines.encoding import choice_pairs, conversation, prompt_text
from crushtest.engines.fake.engine import FakeEngine
from crushtest.errors import StoreError
from crushtest.pipeline.run import run_study
from crushtest.records import Choices, Completion, Item, Passage, Prompt, Sampling
from crushtest.scorers.calling import exchange_of
from crushtest.study import manifest
from crushtest.study.folder import StudyFolder
from crushtest.study.rows import item_from_row, item_row
from crushtest.study.spec import StudySpec, build_spec

SYSTEM = "Answer in one sentence."


class Tags:
    """A tokenizer that writes messages as `<role>text`."""

    has_template = True

    def render(self, messages: list[dict[str, str]]) -> str:
        return "".join(f"<{message['role']}>{message['content']}" for message in messages) + "<assistant>"


def spec(system: str | None, **settings: Any) -> StudySpec:
    content = {"model": "fake", "engine": "fake", "suite": [{"probe_refusal": {"limit": 8}}], **settings}
    return build_spec(content | ({} if system is None else {"system": system}), where="test")


def test_it_stands_before_the_conversation() -> None:
    tokenizer: Any = Tags()
    prompt = Prompt("Again?", chat=True, history=(("Hello?", "Yes."),), system=SYSTEM)
    assert prompt_text(tokenizer, prompt) == f"<system>{SYSTEM}<user>Hello?<assistant>Yes.<user>Again?<assistant>"
    [(context, _)] = choice_pairs(tokenizer, Choices("Again?", (" Yes",), chat=True, system=SYSTEM))
    assert context == f"<system>{SYSTEM}<user>Again?<assistant>"


def test_without_one_the_templates_own_stands() -> None:
    tokenizer: Any = Tags()
    assert prompt_text(tokenizer, Prompt("Hello?", chat=True)) == "<user>Hello?<assistant>"
    assert conversation("Hello?", system="")[0] == {"role": "system", "content": ""}


@pytest.mark.parametrize(
    "request_",
    [
        Prompt("a", chat=True, system=SYSTEM),
        Choices("a", ("b", "c"), chat=True, system=SYSTEM),
        Passage("a"),
        Prompt("a"),
    ],
)
def test_items_keep_it_in_their_table(request_: Any) -> None:
    item = Item("1", (), "1", request_)
    assert item_from_row(item_row(item)) == item
    older = {key: value for key, value in item_row(item).items() if key != "system"}
    assert item_from_row(older).id == "1"


def test_scorers_see_it() -> None:
    item = Item("1", (), "1", Prompt("a", chat=True, system=SYSTEM))
    assert exchange_of(item, {"1": item}, {"1": Completion("b", 1, "eos")}).system == SYSTEM


def test_an_answer_depends_on_it() -> None:
    [(_, plain)], [(_, told)] = (
        list(FakeEngine().generate([Prompt("a", chat=True, system=system)], Sampling())) for system in (None, SYSTEM)
    )
    assert plain != told


def test_a_study_asks_and_records_it_and_does_not_change_it(tmp_path: Path) -> None:
    run_study(spec(SYSTEM), tmp_path / "s")
    folder = StudyFolder(tmp_path / "s")
    systems = {item.request.system for item in folder.read_items("probe_refusal") if isinstance(item.request, Prompt)}
    assert systems == {SYSTEM}
    assert manifest.read(folder.manifest)["system"] == {"message": {"text": SYSTEM}}
    assert not run_study(spec(SYSTEM), tmp_path / "s")
    for other in (None, "Answer at length."):
        with pytest.raises(StoreError, match="system="):
            run_study(spec(other), tmp_path / "s")


def test_only_requests_in_chat_get_it(tmp_path: Path) -> None:
    run_study(spec(SYSTEM, suite=[{"probe_prompts": {"limit": 4}}]), tmp_path / "s")
    items = StudyFolder(tmp_path / "s").read_items("probe_prompts")
    assert {item.request.system for item in items if isinstance(item.request, Prompt)} == {None}
