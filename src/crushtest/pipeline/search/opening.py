"""Open a search: check what is asked for, draw both halves, and read what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from crushtest.compress.parts import Part, parts_of
from crushtest.compress.prepare import check_recipe, read_calibration
from crushtest.errors import StoreError, UsageError
from crushtest.pipeline.checked import draw_items, without
from crushtest.pipeline.search.budget import Budgets, budgets_of, check_budget
from crushtest.pipeline.search.gauge import Gauge, gauge_of, open_model, spread_over_clusters
from crushtest.pipeline.search.ladder import Sensitivities, read_sensitivities
from crushtest.pipeline.search.request import SearchRequest, check_request
from crushtest.progress import Progress
from crushtest.records import Item, Kind
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, make_plan
from crushtest.study.searched import Half, Scores, SearchFolder
from crushtest.study.spec import Half as HalfName

if TYPE_CHECKING:
    from crushtest.compress.calibration import CalibrationTokens

Items = Mapping[str, Sequence[Item]]
LATER_KEYS = ("verify",)
"""Keys of a request that are not there if nothing of the kind was asked for."""
GRADIENT_FROM = 7e9
"""Parameters of a model above which sensitivities are estimated from gradients unless the request says otherwise."""


@dataclass(frozen=True)
class Search:
    """A search whose request was checked and whose items are drawn.

    other   the items of the tasks that are asked in the verification alone
    """

    request: SearchRequest
    folder: SearchFolder
    plan: Plan
    parts: tuple[Part, ...]
    halves: Mapping[HalfName, Items]
    other: Items
    budgets: Budgets
    parameters: int
    measured: SearchFolder | None = None

    @property
    def scores(self) -> Scores:
        """Return how sensitivities are come by."""
        return self.request.scores or ("gradient" if self.parameters > GRADIENT_FROM else "measured")

    @property
    def linear_bytes(self) -> int:
        """Return what the parts take at 16 bits."""
        return sum(part.dense_bits for part in self.parts) // 8

    @property
    def counted(self) -> dict[str, Half]:
        """Return how many items and clusters of each task are in either half."""
        search, verify = self.halves["search"], self.halves["verify"]
        return {
            planned.name: Half(
                search=len(search[planned.name]),
                verify=len(verify[planned.name]),
                search_clusters=len({item.unit for item in search[planned.name]}),
                verify_clusters=len({item.unit for item in verify[planned.name]}),
            )
            for planned in self.plan.tasks
        }


def open_search(request: SearchRequest, out: Path, measured: Path | None = None) -> Search:
    """Check a search and draw its items. No weight is read and nothing is written.

    measured   the folder of another search whose sensitivities are taken, of the same model, items and options

    Raises UsageError for a request that cannot be carried out, DataError for missing data, ModelError for a model that
    cannot be compressed, StoreError for a folder that holds another search.
    """
    from crushtest.compress.checks import network_of_config
    from crushtest.compress.layers.structure import find_structure

    folder = SearchFolder(out)
    _check_folder(folder, request)
    plans = {half: make_plan(request.study(folder, half)) for half in ("search", "verify")}
    plan = plans["search"]
    check_request(request, plan)
    options = plan.dense.model_options
    for recipe in (*request.option_recipes, *request.given_recipes):
        check_recipe(options, plan.dense.model, recipe)
    halves: dict[HalfName, Items] = {
        "search": _drawn(folder.screen, plan),
        "verify": _drawn(folder.verify, plans["verify"]),
    }
    asked_last = make_plan(request.other_study(folder)) if request.verify is not None else None
    other = {} if asked_last is None else _drawn(folder.other, asked_last)
    check_unseen(halves["search"], other)
    check_budget(request, plan, halves, asked_last, other)
    network = network_of_config(options.load_config(plan.dense.model), options.trust_remote_code)
    parts = parts_of(find_structure(network), request.grain)
    return Search(
        request=request,
        folder=folder,
        plan=plan,
        parts=parts,
        halves=halves,
        other=other,
        budgets=budgets_of(request, plan, asked_last),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        measured=None if measured is None else _measured_in(measured, request),
    )


def _check_folder(folder: SearchFolder, request: SearchRequest) -> None:
    """Raise StoreError for a folder that holds another search, or something else."""
    stored, asked = folder.read(), request.as_json()
    if stored is None:
        if folder.root.exists() and any(not path.name.startswith(".") for path in folder.root.iterdir()):
            raise StoreError(f"{folder.root} is not empty and holds no search; choose another -o")
        return
    unknown = [key for key in asked if key not in stored.request and key not in LATER_KEYS]
    if unknown:
        raise StoreError(
            f"{folder.record_path} is of an older version of crushtest (it lacks {', '.join(unknown)}) and cannot be "
            f"continued; use another -o, with --sensitivity {folder.root} if its sensitivities are finished"
        )
    changed = [key for key in {**stored.request, **asked} if stored.request.get(key) != asked.get(key)]
    if changed:
        others = " and another ".join(changed)
        raise StoreError(f"{folder.root} holds another search, with another {others}; use another -o")


def _drawn(study: StudyFolder, plan: Plan) -> Items:
    """Return the items of every task of a plan. Raises DataError if a task's data are missing."""
    drawn = draw_items(study, plan)
    if drawn.missing:
        without(plan, drawn.missing, skip_missing=False)
    return drawn.items


def check_unseen(searched: Items, other: Items) -> None:
    """Raise UsageError if a request of the search half is also asked in a task of the verification alone."""
    seen = {repr(item.request): task for task, items in searched.items() for item in items}
    for task, items in other.items():
        for item in items:
            if (where := seen.get(repr(item.request))) is not None:
                raise UsageError(
                    f"verify: item {item.id!r} of {task!r} is also an item of {where!r} on the search half; verify on "
                    "tasks that the search does not ask"
                )


def _measured_in(root: Path, request: SearchRequest) -> SearchFolder:
    """Return the folder of a search whose sensitivities are those that another one would measure.

    Raises StoreError if it has none, or is about something else.
    """
    folder, own = SearchFolder(root), request.as_json()
    stored = folder.read()
    if stored is None or not folder.sensitivity.complete:
        raise StoreError(f"{root} holds no search with finished sensitivities")
    for key in ("study", "options", "grain", "items", "scores"):
        there, here = stored.request.get(key), own[key]
        if there != here:
            if key == "study" and isinstance(there, dict):
                key = " and another ".join(each for each in here if there.get(each) != here[each]) or key
            raise StoreError(f"{root} measured sensitivities with another {key}; leave --sensitivity out")
    return folder


def sample_of(search: Search) -> Items:
    """Return the items of the search half, which dense has answered, that sensitivities are about."""
    return _sampled(search, search.request.items_of)


def _sampled(search: Search, count: Callable[[Kind], int]) -> Items:
    return {
        planned.name: spread_over_clusters(
            search.folder.screen.read_items(planned.name), count(planned.task.kind), search.plan.seed
        )
        for planned in search.plan.tasks
    }


def open_gauge(search: Search, progress: Progress) -> Gauge:
    """Return the model and its measures on a sample of the search half."""
    opened = open_model(search.plan, search.request.grain, progress)
    return gauge_of(opened, search.folder.screen, search.plan, sample_of(search), progress)


def with_few(search: Search, gauge: Gauge, progress: Progress) -> Gauge:
    """Return the same measures with those of slight changes, on few of the items."""
    few = _sampled(search, search.request.few_of)
    if few == gauge.items:
        return gauge
    own = gauge_of(gauge.opened, search.folder.screen, search.plan, few, progress, "sensitivity, few items")
    return replace(gauge, few=own)


def calibration_of(search: Search) -> CalibrationTokens:
    """Return the calibration text of the search's recipes, as tokens."""
    dense = search.plan.dense
    return read_calibration(dense.model_options, dense.model, search.plan.calibration)


def known_of(search: Search) -> Sensitivities:
    """Return the sensitivities that were measured."""
    return read_sensitivities(search.folder.sensitivity.read(), search.parts, search.request.option_recipes)
