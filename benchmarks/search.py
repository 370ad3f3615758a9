"""What a search's surrogate is worth, in divergence from dense.

    python benchmarks/search.py DIR

Prints mixes of four sizes, by all dimensions and by text alone, beside uniform recipes, on the half that the search
never saw (tasks without completions); then random mixes, predicted and measured. DIR is the folder of a `crushtest
search` on this machine whose sensitivities are finished; its study is read from its search.json.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import floor
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from crushtest.compress.prepare import read_calibration
from crushtest.compress.run import compress
from crushtest.pipeline.search.gauge import Gauge, gauge_of, spread_over_clusters
from crushtest.pipeline.search.ladder import Sensitivities, mix
from crushtest.pipeline.search.opening import known_of, open_gauge, open_search
from crushtest.pipeline.search.request import SearchRequest
from crushtest.progress import show_progress
from crushtest.registry import METHODS
from crushtest.study.searched import SearchFolder
from crushtest.study.spec import build_spec

MIXES = 20
SIZES = (0.2, 0.25, 0.3, 0.4)
TEXT = "language modelling"
Measured = Callable[[Sequence[int], Gauge], dict[str, float]]
"""Returns the divergence of each task under a mix."""


def request_of(folder: SearchFolder) -> SearchRequest:
    """Return the request that a search's folder holds."""
    record = folder.read()
    assert record is not None
    asked = record.request
    spec = build_spec(asked["study"], where="search.json")
    own = {key: tuple(asked[key]) for key in ("options", "given")}
    rest = {key: asked[key] for key in ("grain", "target", "items", "scores", "swaps", "verify") if key in asked}
    return SearchRequest(spec=spec, budget=asked["budget"], **own, **rest)


def random_mixes(known: Sensitivities, seed: int = 0) -> list[tuple[int, ...]]:
    """Return mixes whose parts have options drawn with chances of the mix's own, so that their sizes differ."""
    random = np.random.default_rng(seed)
    return [
        tuple(random.choice(len(known.options), size=len(known.parts), p=random.dirichlet(np.ones(len(known.options)))))
        for _ in range(MIXES)
    ]


def mixes(root: Path) -> None:
    """Print predicted and measured divergence of random mixes, then what mixes of four sizes diverge on the other half.

    The first are measured on the items of the sensitivities, the second on as many of the verification half.
    """
    folder = SearchFolder(root)
    request = request_of(folder)
    found = open_search(request, root)
    known = known_of(found)
    plan = found.plan
    calibration = read_calibration(plan.dense.model_options, plan.dense.model, plan.calibration)
    with show_progress() as progress:
        gauge = open_gauge(found, progress)
        # Nothing was written to the prompts of the other half, so that tasks with prompts are left out there.
        scored = tuple(each for each in plan.tasks if each.task.kind != "prompts")
        other = {
            each.name: spread_over_clusters(
                found.halves["verify"][each.name], request.items_of(each.task.kind), plan.seed
            )
            for each in scored
        }
        verify = gauge_of(gauge.opened, folder.screen, replace(plan, tasks=scored), other, progress, "other half")
    blocks, made = gauge.opened.structure.blocks, []
    before = {name: value.clone() for name, value in gauge.opened.model.network.state_dict().items()}
    for option in known.options:
        # Methods that look at nothing but weights make the same of a block in any mix.
        assert len(METHODS.get(option.steps[0].method).needs) == 1, option.text
        compress(gauge.opened.model, option, calibration)
        made.append([{name: value.clone() for name, value in block.state_dict().items()} for block in blocks])
        gauge.opened.model.network.load_state_dict(before)

    def measured(chosen: Sequence[int], by: Gauge) -> dict[str, float]:
        for part, option in zip(known.parts, chosen, strict=True):
            if option < len(made):
                blocks[part.block].load_state_dict(made[option][part.block])
        values = {planned.name: by.measure(planned).value for planned in by.planned}
        gauge.opened.model.network.load_state_dict(before)
        return values

    reference = measured((known.options.index(known.reference),) * len(known.parts), verify)
    for name, chosen in of_four_sizes(known):
        size, values = known.size(chosen), measured(chosen, verify)
        ratios = {task: round(value / reference[task], 2) for task, value in values.items()}
        print(f"{name}: size {size:.3f}, worst {max(ratios.values()):.2f} {ratios}", flush=True)
    of_random_mixes(known, folder, gauge, measured)


def of_four_sizes(known: Sensitivities) -> Iterator[tuple[str, Sequence[int]]]:
    """Yield the name and the options of the mix of each size, of the mix by text alone, and of uniform recipes."""
    for place, option in enumerate(known.options):
        yield option.text, (place,) * len(known.parts)
    for size in SIZES:
        most = floor(size * known.dense_bits)
        for words, by in (("mix", known), ("by text", known.of_dimensions([TEXT]))):
            yield f"{words} {size:g}", mix(by, most, words).chosen or ()


def of_random_mixes(known: Sensitivities, folder: SearchFolder, gauge: Gauge, measured: Measured) -> None:
    """Print the rank correlation of predicted and measured divergence."""
    cells = list(folder.sensitivity.read().values())
    options = [option.text for option in known.options]
    rows: dict[str, list[tuple[float, float]]] = {planned.name: [] for planned in gauge.planned}
    for chosen in random_mixes(known):
        of_part = dict(zip((part.name for part in known.parts), (options[index] for index in chosen), strict=True))
        for task, value in measured(chosen, gauge).items():
            own = (cell for cell in cells if cell.task == task and of_part[cell.part] == cell.option)
            rows[task].append((sum(cell.divergence for cell in own), value))
        print(f"size {known.size(chosen):.3f}", {task: np.round(pairs[-1], 3).tolist() for task, pairs in rows.items()})
        sys.stdout.flush()
    for task, pairs in rows.items():
        predicted, values = np.array(pairs).T
        ratio = values / predicted
        print(
            f"{task}: Spearman {spearmanr(predicted, values).statistic:.2f}, "
            f"measured / predicted {ratio.min():.2f} to {ratio.max():.2f}, median {np.median(ratio):.2f}"
        )


if __name__ == "__main__":
    mixes(Path(sys.argv[1]))
