"""HellaSwag: rows of the authors' file are cleaned as lm-evaluation-harness cleans them; the mirror's are clean."""

from __future__ import annotations

from pathlib import Path

import pytest

from crushtest.errors import DataError
from crushtest.tasks.hellaswag import build_item, clean, hellaswag

ROW = {
    "ind": 24,
    "activity_label": "Roof shingle removal",
    "ctx_a": "A man is sitting on a roof.",
    "ctx_b": "he",
    "ctx": "A man is sitting on a roof. he",
    "split": "val",
    "split_type": "indomain",
    "label": 3,
    "endings": [
        "[step] is  using wrap.",
        "is ripping [title] level tiles off.",
        "is holding a cube.",
        "starts pulling.",
    ],
    "source_id": "activitynet~v_-JhWjGDPHMY",
}


def test_a_row_of_the_authors_becomes_scene_and_endings() -> None:
    item = build_item(ROW, 0)
    assert item.request.context == "Roof shingle removal: A man is sitting on a roof. He"  # type: ignore[union-attr]
    assert item.request.options == (  # type: ignore[union-attr]
        "  is using wrap.",
        " is ripping. level tiles off.",
        " is holding a cube.",
        " starts pulling.",
    )
    assert (item.gold, item.id, item.cluster) == (3, "validation/24", "activitynet~v_-JhWjGDPHMY")
    assert item.groups == ("source=activitynet", "split=indomain")


def test_marks_of_wikihow_are_removed() -> None:
    assert clean("How to bake [title] Heat it. [substeps] Take [x] care.") == "How to bake. Heat it. Take care."


def test_capitalising_lowers_the_rest_as_the_harness_does() -> None:
    item = build_item({**ROW, "ctx_b": "the USA team"}, 0)
    assert item.request.context.endswith("The usa team")  # type: ignore[union-attr]


@pytest.mark.parametrize("change", [{"label": 4}, {"endings": ["a", "b"]}, {"label": ""}, {"ctx_b": None}])
def test_a_row_that_is_no_question_is_named(change: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"hellaswag_val.jsonl, row 7"):
        build_item({**ROW, **change}, 7)


def test_the_mirror_holds_a_thousand_questions(data: Path) -> None:
    items = hellaswag().items()
    assert len({item.id for item in items}) == len(items) == 1000
    assert all(len(item.request.options) == 4 for item in items)  # type: ignore[union-attr]
