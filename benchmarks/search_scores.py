"""How sensitivities estimated from gradients rank parts, beside measured ones.

    python benchmarks/search_scores.py DIR

DIR is the folder of a `crushtest search` on this machine whose sensitivities were measured. Estimates are made on the
same items and options. Prints the rank correlation of both, task by task: over parts at each option, and over all.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.stats import spearmanr

from crushtest.compress.prepare import read_calibration
from crushtest.pipeline.search.gauge import open_model
from crushtest.pipeline.search.gradient import Sample, estimate_cells
from crushtest.pipeline.search.opening import open_search, sample_of
from crushtest.progress import show_progress
from crushtest.study.searched import SearchFolder
from search import request_of


def compare(root: Path) -> None:
    """Print rank correlations and ratios of estimated and measured divergence."""
    folder = SearchFolder(root)
    request = request_of(folder)
    found = open_search(request, root)
    plan, measured = found.plan, folder.sensitivity.read()
    with TemporaryDirectory() as place, show_progress() as progress:
        estimates = SearchFolder(Path(place))
        calibration = read_calibration(plan.dense.model_options, plan.dense.model, plan.calibration)
        opened = open_model(plan, request.grain, progress)
        began = time.process_time()
        sample = Sample(folder.screen, plan, sample_of(found))
        estimate_cells(opened, sample, estimates, request.option_recipes, calibration, progress)
        print(f"{time.process_time() - began:.0f} s of processor time for {len(measured)} cells")
        estimated = estimates.sensitivity.read()
    for task in dict.fromkeys(cell.task for cell in measured.values()):
        for option in (*(recipe.text for recipe in request.option_recipes), None):
            keys = [key for key, cell in measured.items() if cell.task == task and option in (None, cell.option)]
            pairs = np.array([(estimated[key].divergence, measured[key].divergence) for key in keys])
            ratio = pairs[:, 0] / np.maximum(pairs[:, 1], 1e-12)
            print(
                f"{task}, {option or 'all options'}: Spearman {spearmanr(*pairs.T).statistic:.2f}, "
                f"estimated / measured {np.median(ratio):.2f} ({ratio.min():.2f} to {ratio.max():.2f})"
            )


if __name__ == "__main__":
    compare(Path(sys.argv[1]))
