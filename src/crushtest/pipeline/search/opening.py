"""Open a search: check what is asked for, draw both halves, and read what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from crushtest.compress.parts import Part, parts_of
from crushtest.compress.prepare import check_recipe, read_calibration
from crushtest.errors import StoreError
from crushtest.pipeline.checked import draw_items, without
from crushtest.pipeline.search.gauge import Gauge, gauge_of, open_model, spread_over_clusters
from crushtest.pipeline.search.ladder import Sensitivities, read_sensitivities
from crushtest.pipeline.search.request import SearchRequest, check_budget, check_request
from crushtest.progress import Progress
from crushtest.records import Item
from crushtest.study.plan import Plan, make_plan
from crushtest.study.searched import Half, Scores, SearchFolder
from crushtest.study.spec import Half as HalfName

if TYPE_CHECKING:
    from crushtest.compress.calibration import CalibrationTokens

Items = Mapping[str, Sequence[Item]]
GRADIENT_FROM = 7e9
"""Parameters of a model above which sensitivities are estimated from gradients unless the request says otherwise."""


@dataclass(frozen=True)
class Search:
    """A search whose request was checked and whose items are drawn."""

    request: SearchRequest
    folder: SearchFolder
    plan: Plan
    parts: tuple[Part, ...]
    halves: Mapping[HalfName, Items]
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
                search_clusters=len({item.cluster for item in search[planned.name]}),
                verify_clusters=len({item.cluster for item in verify[planned.name]}),
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
    stored = folder.read()
    if stored is not None and stored.request != request.as_json():
        changed = [key for key, value in request.as_json().items() if stored.request.get(key) != value]
        raise StoreError(f"{out} holds another search ({', '.join(changed)} differ); use another -o")
    if stored is None and out.exists() and any(path.name != ".lock" for path in out.iterdir()):
        raise StoreError(f"{out} is not empty and holds no search; choose another -o")
    plans = {half: make_plan(request.study(folder, half)) for half in ("search", "verify")}
    plan = plans["search"]
    check_request(request, plan)
    options = plan.dense.model_options
    for recipe in (*request.option_recipes, *request.given_recipes):
        check_recipe(options, plan.dense.model, recipe)
    halves: dict[HalfName, Items] = {}
    for half, study in (("search", folder.screen), ("verify", folder.verify)):
        drawn = draw_items(study, plans[half])
        if drawn.missing:
            without(plan, drawn.missing, skip_missing=False)
        halves[half] = drawn.items  # type: ignore[index]
    check_budget(request, plan, halves)
    network = network_of_config(options.load_config(plan.dense.model), options.trust_remote_code)
    parts = parts_of(find_structure(network), request.grain)
    return Search(
        request=request,
        folder=folder,
        plan=plan,
        parts=parts,
        halves=halves,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        measured=None if measured is None else _measured_in(measured, request),
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
        if stored.request.get(key) != own[key]:
            raise StoreError(f"{root} measured sensitivities with another {key}; leave --sensitivity out")
    return folder


def sample_of(search: Search) -> Items:
    """Return the items of the search half, which dense has answered, that sensitivities are about."""
    return {
        planned.name: spread_over_clusters(
            search.folder.screen.read_items(planned.name), search.request.items_of(planned.task.kind), search.plan.seed
        )
        for planned in search.plan.tasks
    }


def open_gauge(search: Search, progress: Progress) -> Gauge:
    """Return the model and its measures on a sample of the search half."""
    opened = open_model(search.plan, search.request.grain, progress)
    return gauge_of(opened, search.folder.screen, search.plan, sample_of(search), progress)


def calibration_of(search: Search) -> CalibrationTokens:
    """Return the calibration text of the search's recipes, as tokens."""
    dense = search.plan.dense
    return read_calibration(dense.model_options, dense.model, search.plan.calibration)


def known_of(search: Search) -> Sensitivities:
    """Return the sensitivities that were measured."""
    return read_sensitivities(search.folder.sensitivity.read(), search.parts, search.request.option_recipes)
