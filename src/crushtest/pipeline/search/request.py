"""What a search is asked for, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any

from crushtest.compress.parts import Grain, read_options
from crushtest.compress.recipes import Recipe, parse_recipes
from crushtest.errors import UsageError
from crushtest.gate.policy import Policy, parse_policy
from crushtest.records import DENSE, Kind
from crushtest.registry import ENGINES
from crushtest.study.plan import Plan
from crushtest.study.searched import Scores, SearchFolder
from crushtest.study.spec import ArmSpec, Half, StopEarlySpec, StudySpec
from crushtest.study.suites import resolve

DEFAULT_OPTIONS = ("rtn:bits=2,3,4,8,group_size=64",)
DEFAULT_ITEMS = 64
FEWER, FEWEST = 1 / 4, 8
"""Texts and completions that a sensitivity is measured on, as a share of the questions, and at least; of all items the
same share for changes that are slight.

A text is measured at up to 24 places: a quarter as many have a smaller error than the questions.
"""


@dataclass(frozen=True)
class SearchRequest:
    """A search as the user asked for it.

    spec      the model, suite, limit, seed and engine, without arms and for all clusters
    budget    the text of the policy that is the budget
    options   recipes of one step that parts are tried with
    given     recipes that are candidates besides
    grain     what has options of its own: blocks, or single linear layers
    target    the largest size of the linear layers, as a share of what they take at 16 bits; None: the smallest that
              passes is sought
    items     how many questions of each task the sensitivity is measured on, about; of texts and completions fewer
    scores    whether sensitivities are measured, or estimated from gradients; None: as the model's size says
    swaps     how many measurements of whole mixes may go into swaps of two parts, per mix
    verify    tasks that are asked beside the other half when candidates are verified, as a suite; None: no others
    """

    spec: StudySpec
    budget: str
    options: tuple[str, ...] = DEFAULT_OPTIONS
    given: tuple[str, ...] = ()
    grain: Grain = "block"
    target: float | None = None
    items: int = DEFAULT_ITEMS
    scores: Scores | None = None
    swaps: int = 0
    verify: str | list[Any] | None = None

    @cached_property
    def policy(self) -> Policy:
        """Return the budget's rules."""
        return parse_policy(self.budget, where="budget")

    @cached_property
    def option_recipes(self) -> tuple[Recipe, ...]:
        """Return the options."""
        return read_options(self.options)

    @cached_property
    def given_recipes(self) -> tuple[Recipe, ...]:
        """Return the recipes that are candidates besides."""
        return tuple(recipe for text in self.given for recipe in parse_recipes(text))

    def items_of(self, kind: Kind) -> int:
        """Return how many items of a task of this kind the sensitivity is measured on, about."""
        return self.items if kind == "choices" else _fewer(self.items)

    def few_of(self, kind: Kind) -> int:
        """Return how many of them slight changes are measured on, about."""
        return _fewer(self.items_of(kind))

    def study(self, folder: SearchFolder, half: Half, arms: Sequence[ArmSpec] = ()) -> StudySpec:
        """Return the study of a half. Only arms of the search half stop early."""
        policy = str(folder.policy if half == "search" else folder.verify_policy)
        stop = StopEarlySpec(policy=policy) if half == "search" else None
        return self.spec.model_copy(update={"half": half, "arms": tuple(arms), "policy": policy, "stop_early": stop})

    def other_study(self, folder: SearchFolder, arms: Sequence[ArmSpec] = ()) -> StudySpec:
        """Return the study of the tasks that are asked in the verification alone."""
        assert self.verify is not None
        asked = {"suite": self.verify, "arms": tuple(arms), "policy": str(folder.other_policy)}
        return self.spec.model_copy(update=asked)

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON values, the suite with its tasks."""
        left_out = {"arms", "half", "stop_early", "policy", "noise_floor", "beside"}
        study = self.spec.model_dump(mode="json", exclude=left_out)
        study["suite"] = [{task: options} for task, options in resolve(self.spec.suite)]
        asked: dict[str, Any] = {
            "study": study,
            "budget": self.budget,
            "options": list(self.options),
            "given": list(self.given),
            "grain": self.grain,
            "target": self.target,
            "items": self.items,
            "scores": self.scores,
            "swaps": self.swaps,
        }
        if self.verify is not None:
            asked["verify"] = [{task: options} for task, options in resolve(self.verify)]
        return asked


def _fewer(items: int) -> int:
    return max(ceil(FEWER * items), min(items, FEWEST))


def check_request(request: SearchRequest, plan: Plan) -> None:
    """Raise UsageError for a search that cannot be carried out, whatever its items are."""
    if request.target is not None and not 0 < request.target <= 1:
        raise UsageError(f"target: size must be above 0 and at most 1 (got {request.target:g})")
    if request.items < 1:
        raise UsageError(f"items must be at least 1 (got {request.items})")
    if not plan.dense.in_process:
        allowed = ", ".join(entry.name for entry in ENGINES if entry.about.in_process)
        raise UsageError(f"search: engine {plan.dense.engine!r} does not run the loaded model (allowed: {allowed})")
    if request.spec.noise_floor.repeats:
        raise UsageError("search: a noise floor cannot stand beside arms that stop early; leave it out")
    for number, rule in enumerate(request.policy.rules, start=1):
        if rule.arm != "*" or rule.against != DENSE:
            raise UsageError(
                f"budget: rule {number} is about the arm {rule.arm!r} against {rule.against!r}; a budget is for every "
                "candidate, against dense"
            )
    _ = request.option_recipes, request.given_recipes
