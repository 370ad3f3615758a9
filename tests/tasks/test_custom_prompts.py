from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crushtest.errors import CrushtestError
from crushtest.records import Prompt
from crushtest.tasks.custom_prompts import custom_prompts


def file_of(tmp_path: Path, *rows: Any) -> str:
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_a_prompt_alone_is_enough(tmp_path: Path) -> None:
    [item] = custom_prompts(path=file_of(tmp_path, {"prompt": "The nurse said"})).items()
    assert (item.id, item.groups, item.cluster, item.request) == ("0", (), "0", Prompt("The nurse said"))


def test_groups_may_overlap_and_be_a_list_or_a_mapping(tmp_path: Path) -> None:
    rows = [
        {"prompt": "a b", "groups": ["gender=woman", "race=Black", "race=Asian"], "cluster": "t", "id": "x"},
        {"prompt": "a c", "groups": {"gender": "woman", "race": ["Black", "Asian"]}, "cluster": "t"},
    ]
    items = custom_prompts(path=file_of(tmp_path, *rows), chat=True).items()
    assert items[0].groups == items[1].groups == ("gender=woman", "race=Black", "race=Asian")
    assert [item.id for item in items] == ["x", "1"]
    assert {item.cluster for item in items} == {"t"}
    assert all(isinstance(item.request, Prompt) and item.request.chat for item in items)


def test_other_scripts_and_emoji_stay_as_they_are(tmp_path: Path) -> None:
    texts = ["\u0645\u0631\u062d\u0628\u0627", "\U0001f600 so", "a\x00b", "\u202ertl\u202c", "x" * 100_000]
    items = custom_prompts(path=file_of(tmp_path, *({"prompt": text} for text in texts))).items()
    assert [item.request for item in items] == [Prompt(text) for text in texts]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"promt": "a"}], "did you mean 'prompt'"),
        ([{"prompt": "a", "gruops": []}], "did you mean 'groups'"),
        ([{"prompt": " "}], "row 1: prompt must be a text that is not blank"),
        ([{"prompt": "a"}, {"prompt": 3}], "row 2: prompt must be a text"),
        ([{"prompt": "a", "groups": ["woman"]}], "must be `attribute=value`"),
        ([{"prompt": "a", "groups": ["Gender=woman"]}], "must be `attribute=value`"),
        ([{"prompt": "a", "groups": "gender=woman"}], "must be a list"),
        ([{"prompt": "a", "id": "x"}, {"prompt": "b", "id": "x"}], "more than once, the first is 'x'"),
        ([{"prompt": "\ud800"}], "line 1: holds half a character (a lone surrogate)"),
        ([{"prompt": "The man ran", "subject": "The woman"}], "must begin with its subject"),
        ([], "no row in it"),
        (["a"], "must be an object"),
    ],
)
def test_what_is_wrong_is_named_with_its_row(tmp_path: Path, rows: list[Any], says: str) -> None:
    with pytest.raises(CrushtestError) as error:
        custom_prompts(path=file_of(tmp_path, *rows)).items()
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_without_a_file_it_says_what_to_give() -> None:
    with pytest.raises(CrushtestError, match="needs path=FILE"):
        custom_prompts().items()
