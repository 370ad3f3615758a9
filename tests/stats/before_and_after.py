"""Print the coverage of whole contrasts of twelve groups; run it with either version of the package on PYTHONPATH.

PYTHONPATH=src:tests python tests/stats/before_and_after.py 150
"""

import sys
from dataclasses import replace

import numpy as np

from crushtest.stats import contrast
from support.building import ACCURACY, make_items, right_or_wrong

GROUPS, CLUSTERS = 12, 60


def main(studies: int) -> None:
    """Every cluster has an item of each group, as a template has."""
    count = GROUPS * CLUSTERS
    items = make_items([(f"g={i % GROUPS}",) for i in range(count)], [f"c{i // GROUPS}" for i in range(count)])
    for up, down in ((0.02, 0.005), (0.1, 0.05)):
        rng, covered, widths = np.random.default_rng(0), {}, {}
        for _ in range(studies):
            dense, chance = rng.random(count) < 0.5, rng.random(count)
            arm = np.where(dense, chance >= 2 * down, chance < 2 * up)
            answers = right_or_wrong(dense), {}, right_or_wrong(arm), {}
            metric = replace(ACCURACY, with_gap=True)
            for row in contrast("t", [metric], items, "a", *answers, seed=int(rng.integers(1 << 30)), replicates=1000):
                kind = "pooled" if row.group == "all" else row.metric if "=" not in row.group else "group"
                truth = 0.0 if kind == "accuracy_gap" else up - down
                low, high = row.intervals.at95 if row.intervals else (np.nan, np.nan)
                covered.setdefault(kind, []).append(low - 1e-9 <= truth <= high + 1e-9)
                widths.setdefault(kind, []).append(high - low)
        cells = (f"{kind} {np.mean(covered[kind]):.3f} (width {np.nanmean(widths[kind]):.3f})" for kind in covered)
        print(f"up {up}, down {down}:", "; ".join(cells), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
