"""The items of a lower limit are among those of a higher one, in every task, so that a study can be enlarged."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from crushtest.data.sources import NotHere
from crushtest.errors import UsageError
from crushtest.registry import TASKS


# bbq draws by the default, as most do, and takes half a minute.
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "bbq" else name for name in TASKS.names()]
)
@pytest.mark.usefixtures("substitutes")
def test_a_higher_limit_draws_the_same_items_and_more(name: str, data: Path) -> None:
    entry = TASKS.get(name)
    try:
        task = entry.function(**entry.bind({}))
        drawn = [{item.id: item for item in task.sample_items(limit, 0)} for limit in (7, 40, 60, 150)]
    except (NotHere, UsageError) as error:
        pytest.skip(str(error))
    for fewer, more in pairwise(drawn):
        assert fewer == {key: more.get(key) for key in fewer}
