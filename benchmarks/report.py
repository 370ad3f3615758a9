"""How long a report takes, how much memory, and how large its page is: 20 arms x 20 tasks x 1000 items by default.

    python benchmarks/report.py [--arms 20] [--tasks 20] [--items 1000] [--folder DIR]

The study is made without a model, by tests/report/synthetic_study.py: four in five of its tasks have options or texts
with groups, so it has 17 groups per task. Making it takes minutes and is not measured; with --folder it is kept and
used again. The report is written in a process of its own, whose start is part of the time; processor seconds beside the
wall's tell a slow report from a busy machine. Limits: 10 s, 1 GB, 15 MB; exits 1 above one of them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support import synthetic_study  # noqa: E402

METHODS = ("magnitude", "wanda", "sparsegpt", "gblm")
LIMITS = {"seconds": 10.0, "processor_seconds": 10.0, "peak_memory_gb": 1.0, "page_mb": 15.0}
REPLICATES = 100
WRITE = """
import json, resource, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
began = time.perf_counter()
from support import synthetic_study
from crushtest.report import write_report
from crushtest.study.folder import StudyFolder
with synthetic_study.stand_ins(int(sys.argv[3])):
    path = write_report(StudyFolder(Path(sys.argv[2])))
seconds = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = {"seconds": seconds, "processor_seconds": time.process_time()}
print(json.dumps(found | {"peak_memory_gb": peak / 1e6, "page_mb": path.stat().st_size / 1e6}))
"""


def arms_of(count: int) -> tuple[dict[str, str], ...]:
    """`count` arms: each method at as many sparsities as are needed."""
    steps = -(-count // len(METHODS))
    recipes = [f"{method}:sparsity={(step + 1) / (steps + 1):.2f}" for step in range(steps) for method in METHODS]
    return tuple({"recipe": recipe} for recipe in recipes[:count])


def measure(folder: Path, copies: int) -> dict[str, float]:
    """Writes the report of a study in a fresh process."""
    command = [sys.executable, "-c", WRITE, str(ROOT / "tests"), str(folder), str(copies)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def main() -> int:
    """Make the study where there is none, write its report a few times, print the largest of each number."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--arms", type=int, default=20)
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    copies = -(-options.tasks // len(synthetic_study.STAND_INS))
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "study"
        if not (folder / "contrasts.parquet").exists():
            with synthetic_study.stand_ins(copies) as names:
                arms = arms_of(options.arms - 1)  # dense is one
                tasks = names[: options.tasks]
                synthetic_study.build(folder, tasks, arms=arms, size=options.items, replicates=REPLICATES)
        runs = [measure(folder, copies) for _ in range(options.repeats)]
    above = 0
    for quantity, limit in LIMITS.items():
        largest = max(run[quantity] for run in runs)
        above += largest > limit
        print(f"{quantity}: {largest:.2f} (limit {limit:g})")
    return int(above > 0)


if __name__ == "__main__":
    sys.exit(main())
