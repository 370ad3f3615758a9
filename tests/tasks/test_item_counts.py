"""What `crushtest list tasks` says of a task's size is what a study asks."""

from __future__ import annotations

import pytest

from crushtest.data.sources import NotHere
from crushtest.data.status import data_of
from crushtest.registry import TASKS

DECLARED = [entry.name for entry in TASKS if entry.about.items is not None]


@pytest.mark.parametrize("name", DECLARED)
def test_a_study_asks_as_many_items_as_a_task_declares(name: str, data: object) -> None:
    entry = TASKS.get(name)
    task = entry.function(**entry.bind({}))
    try:
        count = len(task.items())
    except NotHere as missing:
        pytest.skip(str(missing))
    assert min(count, task.default_limit or count) == entry.about.items


def test_tasks_without_a_data_set_carry_their_items() -> None:
    assert data_of("probe_qa") == "carried"
    assert data_of("custom_prompts") == "absent"
