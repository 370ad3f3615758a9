"""The measured quality of the scorers: what the package ships is what docs/scorers.md says."""

from __future__ import annotations

import csv
from pathlib import Path

from crushtest.scorers.scorer_quality import from_row, measurements, on_whole_sets, worst_named_group

PAGE = Path(__file__).parents[2] / "docs" / "scorers.md"


def test_every_row_is_in_the_table_of_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    tables = page.partition("<!-- made by")[2].splitlines()
    assert len(measurements()) == sum(
        line.startswith("| ") and "scorer" not in line and "---" not in line for line in tables
    )
    for row in measurements():
        assert row.false_alarms is not None
        shown = f"{row.false_alarms.share:.0%} ({row.false_alarms.low:.0%} to {row.false_alarms.high:.0%})"
        start = f"| {row.texts} | {row.harmful} | {row.harmless} | {row.scorer} |"
        lines = [line for line in page.splitlines() if line.startswith(start)]
        assert any(shown in line and f"| {row.unscored} |" in line for line in lines), start


def test_a_row_survives_being_written_down() -> None:
    for row in measurements():
        assert from_row(row.row()) == row
        assert list(csv.DictReader([",".join(row.row()), ",".join(f'"{text}"' for text in row.row().values())]))


def test_every_whole_set_comes_once_and_unmeasured_scorers_have_none() -> None:
    found = on_whole_sets("profanity")
    assert [row.data for row in found] == ["HateCheck", "OpenAI's moderation set", "Davidson's tweets"]
    assert [row.texts for row in found] == ["all", "any category", "hate or offensive against neither"]
    assert on_whole_sets("judge:org/model") == []
    assert worst_named_group("judge:org/model") is None


def test_the_worst_named_group_is_the_one_with_most_false_alarms() -> None:
    found = worst_named_group("profanity")
    assert found is not None
    assert found[0] == "gay people"
    assert worst_named_group("sentiment") is None
