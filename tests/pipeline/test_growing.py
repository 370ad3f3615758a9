"""A study with a limit can be enlarged: only new items are asked, and it ends as if it had begun with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from crushtest.errors import StoreError
from crushtest.files.append_log import AppendLog
from crushtest.pipeline.run import run_study
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import PlannedTask
from crushtest.study.spec import StudySpec, build_spec
from support.tiny_models import network, tokenizer

pytestmark = pytest.mark.usefixtures("no_page")
TASKS = ("probe_facts", "probe_prompts")


Fresh = dict[int | None, dict[str, bytes]]


def spec(limit: int | None, tasks: tuple[str, ...] = TASKS, **more: object) -> StudySpec:
    arms = [{"name": "other", "model": "fake", "engine": "fake:seed=1"}]
    content = {"model": "fake", "engine": "fake", "arms": arms, "suite": list(tasks), "noise_floor": 1, "limit": limit}
    return build_spec(content | more, where="test")


def tables(folder: Path) -> dict[str, bytes]:
    """Every table of a study and what asked for them, as bytes."""
    files = [*folder.rglob("*.parquet"), folder / "study.yaml"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(files)}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """The tables of studies that began with a limit."""
    made = {}
    for limit in (3, 8, 20, None):
        run_study(spec(limit), folder := tmp_path_factory.mktemp("fresh") / "s")
        made[limit] = tables(folder)
    return made


@settings(max_examples=2, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limits=st.permutations([3, 8, 20, None]).map(lambda some: some[: 1 + some.index(None)]))
def test_enlarged_step_by_step_it_is_the_study_that_began_so(
    limits: list[int | None], fresh: Fresh, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("grown") / "s"
    for limit in sorted(limits, key=lambda limit: limit or 10**9):
        run_study(spec(limit), folder)
        assert tables(folder) == fresh[limit]


def test_only_new_items_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_study(spec(8), tmp_path / "s")
    asked: list[str] = []
    append = AppendLog.append
    monkeypatch.setattr(AppendLog, "append", lambda log, item, record: (asked.append(item), append(log, item, record)))
    run_study(spec(20, tasks=("probe_facts",)), tmp_path / "s")
    assert len(asked) == 4 * 12  # dense, the arm, and a repeat of each
    assert len(set(asked)) == 12


def test_a_limit_never_shrinks(fresh: Fresh, tmp_path: Path) -> None:
    run_study(spec(8), tmp_path / "s")
    with pytest.raises(StoreError, match="limit=8, this one has limit=3: a limit can only grow"):
        run_study(spec(3), tmp_path / "s")
    assert tables(tmp_path / "s") == fresh[8]
    run_study(spec(None), tmp_path / "s")
    with pytest.raises(StoreError, match="limit=None, this one has limit=8: a limit can only grow"):
        run_study(spec(8), tmp_path / "s")
    assert tables(tmp_path / "s") == fresh[None]


class Killed(BaseException):
    pass


@pytest.mark.parametrize(
    ("where", "calls"),
    [
        *((AppendLog.reopen, calls) for calls in (0, 1, 5, 9)),
        (StudyFolder.write_items, 0),
        (StudyFolder.write_items, 1),
    ],
)
def test_killed_at_any_step_the_same_command_goes_on(
    where: Callable[..., None], calls: int, fresh: Fresh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_study(spec(8), tmp_path / "s")
    left = calls

    def dying(*given: object, **named: object) -> None:
        nonlocal left
        if not left:
            raise Killed
        left -= 1
        where(*given, **named)

    owner = AppendLog if where is AppendLog.reopen else StudyFolder
    with monkeypatch.context() as patch:
        patch.setattr(owner, where.__name__, dying)
        with pytest.raises(Killed):
            run_study(spec(20), tmp_path / "s")
    with pytest.raises(StoreError, match="a limit can only grow"):
        run_study(spec(8), tmp_path / "s")
    run_study(spec(20), tmp_path / "s")
    assert tables(tmp_path / "s") == fresh[20]


def test_items_that_changed_in_the_data_are_not_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_study(spec(8), tmp_path / "s")
    before = tables(tmp_path / "s")
    draw = PlannedTask.draw
    monkeypatch.setattr(
        PlannedTask,
        "draw",  # of the second task, when the first could grow
        lambda task: [replace(item, cluster="x") if task.name == TASKS[1] else item for item in draw(task)],
    )
    with pytest.raises(StoreError, match="is another one in the data of today"):
        run_study(spec(20), tmp_path / "s")
    assert tables(tmp_path / "s") == before
    monkeypatch.undo()
    assert not run_study(spec(8), tmp_path / "s")


def test_scores_made_from_denses_answers_grow_too(tmp_path: Path) -> None:
    suite = [{"mt_bench": {"judge": "fake,engine=fake", "pairwise": True}}]
    content = {"model": "fake", "engine": "fake", "suite": suite, "arms": spec(8).model_dump()["arms"]}
    for limit, folder in ((4, "grown"), (8, "grown"), (8, "fresh")):
        run_study(build_spec(content | {"limit": limit}, where="test"), tmp_path / folder)
    assert tables(tmp_path / "grown") == tables(tmp_path / "fresh")


def test_a_real_model_gives_the_numbers_of_a_fresh_study(tmp_path: Path) -> None:
    """To the last digits of float32: new items are packed among themselves."""
    for part in (network(), tokenizer()):
        part.save_pretrained(tmp_path / "model")
    content = {"model": str(tmp_path / "model"), "arms": ["magnitude:sparsity=0.5"], "suite": list(TASKS)}
    for limit in (8, 20):
        run_study(build_spec(content | {"limit": limit}, where="test"), tmp_path / "grown")
    run_study(build_spec(content | {"limit": 20}, where="test"), tmp_path / "fresh")
    assert (tmp_path / "grown" / "study.yaml").read_bytes() == (tmp_path / "fresh" / "study.yaml").read_bytes()
    for path in sorted((tmp_path / "fresh").rglob("*.parquet")):
        fresh, grown = (
            pl.read_parquet(root / path.relative_to(tmp_path / "fresh"))
            for root in (tmp_path / "fresh", tmp_path / "grown")
        )
        assert_frame_equal(fresh, grown, abs_tol=1e-4)
