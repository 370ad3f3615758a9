"""Harm as a share of the margin on the verification half: mixes of four sizes, by text alone, and uniform recipes.

    python benchmarks/search_sizes.py DIR OUT

DIR is the folder of a `crushtest search` on this machine, whose sensitivities and budget are taken; OUT is a new one.
Whoever looks here has used the verification half: it proves nothing about a recipe chosen by these figures.
"""

from __future__ import annotations

import sys
from math import floor
from pathlib import Path

from crushtest.pipeline.rankings import LANGUAGE
from crushtest.pipeline.run import run_study
from crushtest.pipeline.search.judge import judge, size_in
from crushtest.pipeline.search.ladder import mix
from crushtest.pipeline.search.opening import known_of, open_search
from crushtest.study.searched import SearchFolder
from crushtest.study.spec import ArmSpec
from search import SIZES, request_of


def compare(root: Path, out: Path) -> None:
    """Print each recipe's size, its worst ratio of harm to margin, and those of the dimensions."""
    request = request_of(SearchFolder(root))
    search = open_search(request, root)
    known = known_of(search)
    arms = {option.text: option.text for option in known.options}
    for size in SIZES:
        for words, by in (("mix", known), ("by text", known.of_dimensions([LANGUAGE]))):
            found = mix(by, floor(size * known.dense_bits), f"{words} {size:g}")
            if found.recipe not in arms.values():
                arms[found.name] = found.recipe
    own = tuple(ArmSpec(name=name, recipe=recipe) for name, recipe in arms.items())
    policy = str(SearchFolder(root).policy)
    folder = SearchFolder(out).verify
    run_study(request.spec.model_copy(update={"half": "verify", "arms": own, "policy": policy}), folder.root)
    sizes = {name: size_in(folder, name, search.linear_bytes) for name in arms}
    for one in judge(folder, policy, list(arms), sizes):
        print(f"{one.name}: size {one.size:.3f}, worst {one.worst:.2f} {one.ratios}")


if __name__ == "__main__":
    compare(Path(sys.argv[1]), Path(sys.argv[2]))
