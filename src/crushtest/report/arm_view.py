"""One arm as the report sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crushtest.records import DENSE
from crushtest.report.draws import draw_count, draws_there
from crushtest.study.arms import Arm
from crushtest.study.folder import StudyFolder


@dataclass(frozen=True)
class ArmView:
    """One arm: what it is, and what compression did to its size.

    compression   the content of compression.json; None for dense and for a model that was tested as found
    facts         the arm's entry in the manifest; empty until it has been loaded. For a model that was tested as found,
                  it holds the `method` and `totals` of its compression, as far as its files say
    timing        per task, what asking it took: items, seconds, peak_memory_bytes
    dense_facts   the dense arm's entry in the manifest
    same_weights  whether it is the dense arm's model as found, run in another way
    draws         how many of its draws its results are made of
    """

    number: int
    name: str
    plan: Arm
    compression: dict[str, Any] | None
    facts: dict[str, Any]
    timing: dict[str, Any]
    dense_facts: dict[str, Any]
    same_weights: bool
    draws: int = 1

    @property
    def totals(self) -> dict[str, Any]:
        """The totals of the arm's own compression.json, or of the one that its model came with."""
        return dict((self.compression or self.facts).get("totals", {}))

    @property
    def ratio(self) -> float | None:
        """Share of the compressed layers' bits that compression removed; None if it was not recorded.

        0 for dense and what has its weights.
        """
        return 0.0 if self.name == DENSE or self.same_weights else self.totals.get("compression_ratio")

    @property
    def kv_bytes(self) -> tuple[float | None, float | None]:
        """Bytes per token of the keys and values that dense and this arm store; None if not recorded."""
        before, after = (facts.get("engine", {}).get("kv_bytes_per_token") for facts in (self.dense_facts, self.facts))
        return before, after

    @property
    def share_of_dense(self) -> float | None:
        """Size in bytes of the whole model as a share of dense's; None if it is not recorded."""
        if self.name == DENSE:
            return 1.0
        before, after = (self.totals.get(f"{which}_model_size_bytes") for which in ("dense", "compressed"))
        return after / before if before and after else None

    @property
    def draw(self) -> str:
        """`one calibration draw` or `3 calibration draws` of an arm that calibrates; empty if no draw would differ."""
        return draw_count(self.plan, self.draws)

    @property
    def method(self) -> str:
        """How a model that is tested as found was compressed, as far as its files say; empty for other arms."""
        return str(self.facts.get("method", ""))

    @property
    def family(self) -> str:
        """The methods of its recipe, which the arms of one curve share; those of a model as found, as its files say."""
        if self.plan.recipe is None:
            return DENSE if self.name == DENSE else self.method or "as found"
        return " + ".join(step.method for step in self.plan.recipe.steps)


def read_arm(folder: StudyFolder, manifest: dict[str, Any], number: int, arm: Arm, dense: Arm) -> ArmView:
    """Read what a study's files hold on one arm, beside the dense one."""
    return ArmView(
        number=number,
        name=arm.name,
        plan=arm,
        compression=folder.read_compression(arm.name),
        facts=manifest.get("arms", {}).get(arm.name, {}),
        timing=manifest.get("timing", {}).get(arm.name, {}),
        dense_facts=manifest.get("arms", {}).get(dense.name, {}),
        draws=draws_there(manifest, arm),
        same_weights=arm.name != dense.name and arm.recipe is None and arm.model == dense.model,
    )
