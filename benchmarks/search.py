"""What a search's surrogate is worth: predicted and measured divergence, and mixes beside uniform recipes.

    python benchmarks/search.py mixes DIR        # random mixes: Spearman of predicted and measured divergence
    python benchmarks/search.py sizes DIR OUT    # at four sizes: the mix, the mix by text alone and uniform recipes

The second judges them on the half that the search never saw, in a study in OUT. DIR is the folder of a finished
`crushtest search` on this machine; its study is read from its search.json.
"""

from __future__ import annotations

import sys
from math import floor
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from crushtest.compress.parts import recipe_of
from crushtest.compress.prepare import read_calibration
from crushtest.compress.recipes import parse_recipe
from crushtest.compress.run import compress
from crushtest.pipeline.run import run_study
from crushtest.pipeline.search.judge import judge
from crushtest.pipeline.search.ladder import Sensitivities, mix
from crushtest.pipeline.search.opening import known_of, open_gauge, open_search
from crushtest.pipeline.search.request import SearchRequest
from crushtest.progress import show_progress
from crushtest.study.folder import StudyFolder
from crushtest.study.searched import Candidate, SearchFolder
from crushtest.study.spec import ArmSpec, build_spec

MIXES = 20
SIZES = (0.2, 0.25, 0.3, 0.4)
TEXT = "language modelling"


def request_of(folder: SearchFolder) -> SearchRequest:
    """Return the request that a search's folder holds."""
    record = folder.read()
    assert record is not None
    asked = record.request
    spec = build_spec(asked["study"], where="search.json")
    own = {key: tuple(asked[key]) for key in ("options", "given")}
    rest = {key: asked[key] for key in ("grain", "target", "items")}
    return SearchRequest(spec=spec, budget=asked["budget"], **own, **rest)


def random_mixes(known: Sensitivities, seed: int = 0) -> list[tuple[int, ...]]:
    """Return mixes whose parts have options drawn with chances of the mix's own, so that their sizes differ."""
    random = np.random.default_rng(seed)
    return [
        tuple(random.choice(len(known.options), size=len(known.parts), p=random.dirichlet(np.ones(len(known.options)))))
        for _ in range(MIXES)
    ]


def mixes(root: Path) -> None:
    """Print predicted and measured divergence of random mixes, on the items that the sensitivities were measured on."""
    folder = SearchFolder(root)
    request = request_of(folder)
    found = open_search(request, root)
    known = known_of(found)
    with show_progress() as progress:
        gauge = open_gauge(found, progress)
        model = gauge.opened.model
        before = {name: value.clone() for name, value in model.network.state_dict().items()}
        calibration = read_calibration(found.plan.dense.model_options, found.plan.dense.model, found.plan.calibration)
        tasks = {planned.name: planned.dimension for planned in gauge.planned}
        cells = folder.sensitivity.read().values()
        options = [option.text for option in known.options]
        rows: dict[str, list[tuple[float, float]]] = {task: [] for task in tasks}
        for chosen in random_mixes(known):
            compress(model, parse_recipe(recipe_of(known.parts, known.options, chosen)), calibration)
            of_part = dict(zip((part.name for part in known.parts), (options[index] for index in chosen), strict=True))
            for planned in gauge.planned:
                predicted = sum(
                    cell.divergence for cell in cells if cell.task == planned.name and of_part[cell.part] == cell.option
                )
                rows[planned.name].append((predicted, gauge.measure(planned).value))
            model.network.load_state_dict(before)
            print(
                f"size {known.size(chosen):.3f}", {task: tuple(np.round(pairs[-1], 3)) for task, pairs in rows.items()}
            )
            sys.stdout.flush()
    for task, pairs in rows.items():
        predicted, measured = np.array(pairs).T
        ratio = measured / predicted
        print(
            f"{task} ({tasks[task]}): Spearman {spearmanr(predicted, measured).statistic:.2f}, "
            f"measured / predicted {ratio.min():.2f} to {ratio.max():.2f}, median {np.median(ratio):.2f}"
        )


def sizes(root: Path, out: Path) -> None:
    """Print the worst harm to margin of mixes and of uniform recipes on the verification half."""
    folder = SearchFolder(root)
    request = request_of(folder)
    known = known_of(open_search(request, root))
    tried: dict[str, Candidate] = {}
    for size in SIZES:
        most = floor(size * known.dense_bits)
        for words, by in (("mix", known), ("by text", known.of_dimensions([TEXT]))):
            one = mix(by, most, f"{words} {size:g}")
            tried.setdefault(one.recipe, one)
    uniform = [Candidate(name=option.text, recipe=option.text, kind="uniform") for option in known.options]
    size_of = {one.name: one.size or 0.0 for one in tried.values()}
    size_of |= {one.name: known.size((place,) * len(known.parts)) for place, one in enumerate(uniform)}
    arms = [*tried.values(), *(one for one in uniform if size_of[one.name] < 0.5)]
    spec = request.study(folder, "verify", [ArmSpec(name=one.name, recipe=one.recipe) for one in arms])
    run_study(spec, out)
    for one in judge(StudyFolder(out), str(folder.verify_policy), [arm.name for arm in arms], size_of):
        ratios = ", ".join(f"{dimension} {ratio:.2f}" for dimension, ratio in one.ratios.items())
        print(f"{one.name}: size {one.size:.3f}, worst {one.worst:.2f} ({ratios}), {one.outcome}")


if __name__ == "__main__":
    {"mixes": mixes, "sizes": sizes}[sys.argv[1]](*map(Path, sys.argv[2:]))
