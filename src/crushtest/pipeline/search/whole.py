"""A dense model that takes the recipes of whole mixes in turn, and is measured under each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crushtest.compress.recipes import parse_recipe
from crushtest.compress.run import compress
from crushtest.pipeline.search.opening import Search, calibration_of, open_gauge
from crushtest.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

    from crushtest.compress.calibration import CalibrationTokens
    from crushtest.pipeline.search.gauge import Gauge


@dataclass
class WholeMixes:
    """Measures mixes on the items of the sensitivities. The model is loaded when the first is asked for."""

    search: Search
    progress: Progress
    _opened: _Bench | None = field(default=None, repr=False)

    def measure(self, recipe: str) -> dict[str, float]:
        """Return the divergence of each task in nats, per question or predicted token, under a recipe."""
        if self._opened is None:
            gauge = open_gauge(self.search, self.progress)
            dense = {name: value.clone() for name, value in gauge.opened.model.network.state_dict().items()}
            self._opened = _Bench(gauge, calibration_of(self.search), dense)
        return self._opened.measure(recipe)


@dataclass
class _Bench:
    gauge: Gauge
    calibration: CalibrationTokens
    dense: dict[str, Tensor]

    def measure(self, recipe: str) -> dict[str, float]:
        model = self.gauge.opened.model
        compress(model, parse_recipe(recipe), self.calibration)
        try:
            return {planned.name: self.gauge.measure(planned).value for planned in self.gauge.planned}
        finally:
            model.network.load_state_dict(self.dense)
