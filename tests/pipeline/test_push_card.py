"""A card that is proposed to the hub adds its section and results, and takes away nothing of what the README holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, OfflineModeIsEnabled
from hypothesis import given
from hypothesis import strategies as st

from crushtest.errors import CrushtestError, UsageError
from crushtest.pipeline.push_card import BEGIN, END, merged_card, push_card

CARD = """---
base_model: org/dense
base_model_relation: quantized
tags:
- compressed
- crushtest
model-index:
- name: dense w4
  results:
  - task: {type: text-generation, name: Text Generation}
    dataset: {type: bbq, name: bbq}
    metrics: [{type: accuracy, name: accuracy, value: 0.5}]
---

## Crash test of w4

In short: no clear difference.
"""
README = """---
license: mit
tags: [mine]
base_model: org/other
model-index:
- name: theirs
  results:
  - task: {type: text-generation}
    dataset: {type: mmlu, name: MMLU}
    metrics: [{type: accuracy, value: 0.1}]
---

# My model

It is good.
"""
KEY = "hf_secretsecret"


@dataclass
class Hub:
    """Stands in for the hub's client: a README or none, and what was uploaded."""

    readme: str | None = None
    failure: Exception | None = None
    uploads: list[dict[str, Any]] = field(default_factory=list)

    def hf_hub_download(self, repository: str, name: str, *, local_dir: str, force_download: bool) -> str:
        if self.readme is None:
            raise EntryNotFoundError("404")
        path = Path(local_dir) / name
        path.write_text(self.readme, encoding="utf-8")
        return str(path)

    def upload_file(self, **arguments: Any) -> Any:
        if self.failure:
            raise self.failure
        self.uploads.append(arguments)
        return SimpleNamespace(pr_url="https://hub/org/model/discussions/1")


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", KEY)


def front(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return loaded


def test_the_readme_keeps_its_words_and_metadata_and_gets_ours() -> None:
    merged = merged_card(README, CARD)
    metadata = front(merged)
    assert (metadata["license"], metadata["base_model"]) == ("mit", "org/other")
    assert metadata["tags"] == ["mine", "compressed", "crushtest"]
    assert [entry["name"] for entry in metadata["model-index"]] == ["theirs", "dense w4"]
    assert merged.index("It is good.") < merged.index(BEGIN) < merged.index("In short") < merged.index(END)
    assert ModelCard(merged).data.tags == metadata["tags"]


def test_a_second_push_replaces_the_first() -> None:
    once = merged_card(README, CARD)
    other = CARD.replace("no clear difference", "worse").replace("0.5", "0.4")
    twice = merged_card(once, other)
    assert merged_card(once, CARD) == once
    assert "worse" in twice
    assert "no clear difference" not in twice
    assert twice.count(BEGIN) == 1
    assert [e["results"][0]["metrics"][0]["value"] for e in front(twice)["model-index"]] == [0.1, 0.4]


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_what_stands_around_the_section_stays(words: str) -> None:
    readme = merged_card(f"# Title\n\n{words}\n", CARD) + "\nafter\n"
    again = merged_card(readme, CARD.replace("In short", r"\1 \g<0> In short"))
    assert "# Title" in again
    assert words.strip() in again
    assert again.endswith("\nafter\n")
    assert r"\1 \g<0> In short" in again


def test_an_entry_without_results_is_no_entry() -> None:
    bare = CARD[: CARD.index("  results:")] + "  results: []\n---\n\n## Crash test of w4\n"
    assert "model-index" not in front(merged_card("", bare))
    assert [entry["name"] for entry in front(merged_card(README, bare))["model-index"]] == ["theirs"]


@pytest.mark.parametrize("readme", ["---\na: [\n---\n", "---\n- a\n---\n"])
def test_metadata_that_cannot_be_read_are_not_overwritten(readme: str) -> None:
    with pytest.raises(UsageError, match="metadata are no"):
        merged_card(readme, CARD)


@pytest.mark.parametrize("readme", [None, README])
def test_a_push_opens_a_pull_request_on_the_readme(readme: str | None) -> None:
    hub = Hub(readme)
    assert push_card(CARD, "org/model", "w4", api=hub) == "https://hub/org/model/discussions/1"
    [upload] = hub.uploads
    assert (upload["repo_id"], upload["path_in_repo"], upload["create_pr"]) == ("org/model", "README.md", True)
    assert upload["path_or_fileobj"].decode() == merged_card(readme or "", CARD)


def test_without_a_key_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    hub = Hub(README)
    with pytest.raises(UsageError, match="HF_TOKEN"):
        push_card(CARD, "org/model", "w4", api=hub)
    assert not hub.uploads


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (HfHubHTTPError(f"403 for {KEY}\nmore", response=SimpleNamespace(headers={}, request=None)), "with an error"),  # type: ignore[arg-type]
        (OfflineModeIsEnabled("x"), "HF_HUB_OFFLINE"),
        (ConnectionError(KEY), "cannot be reached"),
    ],
)
def test_a_refusal_is_one_line_without_the_key(failure: Exception, reason: str) -> None:
    with pytest.raises(CrushtestError, match=reason) as refused:
        push_card(CARD, "org/model", "w4", api=Hub(README, failure))
    assert KEY not in str(refused.value)
    assert "\n" not in str(refused.value)
