"""What a tracker is told of a study is what its contrasts say; a missing number is left out, and no text is sent."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from crushtest import gate
from crushtest.errors import CrushtestError
from crushtest.pipeline.tracking import NUMBERS, to_mlflow, to_wandb, tracked_arms
from crushtest.study.folder import StudyFolder
from crushtest.study.query import ask
from support import synthetic_study

ARM = "magnitude:sparsity=0.5"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudyFolder]:
    with synthetic_study.stand_ins() as names:
        arms = ({"recipe": ARM}, {"recipe": "wanda:sparsity=0.5"})
        unfinished = (("wanda:sparsity=0.5", names[1]),)
        root = tmp_path_factory.mktemp("tracking") / "study"
        yield synthetic_study.build(root, names[:2], arms=arms, size=48, replicates=50, unfinished=unfinished)


def test_numbers_are_those_of_the_contrasts_over_all_items(study: StudyFolder) -> None:
    for arm in tracked_arms(study):
        rows = ask(study, f"SELECT * FROM contrasts WHERE arm = '{arm.name}'").to_dicts()
        pooled = [row for row in rows if row["group"] == "all" and row["against"] == "dense"]
        expected = {
            f"{row['task']}/{row['metric']}/{column}": row[column]
            for row in pooled
            for column in NUMBERS
            if row[column] is not None
        }
        assert arm.numbers == expected
        assert arm.words == {f"{row['task']}/{row['metric']}/verdict": row["verdict"] for row in pooled}
        assert arm.rows == rows


def test_what_was_not_measured_is_left_out_and_not_zero(study: StudyFolder) -> None:
    whole, unfinished = tracked_arms(study)
    assert any(name.startswith("probe_prompts/") for name in whole.numbers)
    assert not [name for name in unfinished.numbers if name.startswith("probe_prompts/")]


def test_the_gates_outcome_is_that_of_the_arms_own_checks(study: StudyFolder) -> None:
    checks = gate.run_gate(study.root, "standard").checks
    for arm in tracked_arms(study, "standard"):
        own = {check.outcome for check in checks if check.arm == arm.name}
        assert arm.words["gate"] == ("regression" if "regression" in own else "inconclusive")
        assert arm.words["gate/policy"] == "standard"


def wandb_stub(failure: Exception | None = None) -> tuple[ModuleType, list[Any]]:
    """A module in the place of wandb, and the runs that it was asked for."""
    runs: list[Any] = []
    module: Any = ModuleType("wandb")

    class Refused(Exception):
        """What the package raises."""

    def init(**arguments: Any) -> Any:
        if failure:
            raise Refused(str(failure))
        run = SimpleNamespace(arguments=arguments, summary={}, logged={}, offline=True, dir="here", finished=False)
        run.log = run.logged.update
        run.finish = lambda: setattr(run, "finished", True)
        runs.append(run)
        return run

    module.init, module.Settings, module.errors = init, SimpleNamespace, SimpleNamespace(Error=Refused)
    module.Table = SimpleNamespace
    return module, runs


def test_wandb_gets_a_finished_run_of_each_variant(study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    module, runs = wandb_stub()
    monkeypatch.setitem(sys.modules, "wandb", module)
    arms = tracked_arms(study)
    assert to_wandb(arms, "compression") == ["here", "here"]
    for arm, run in zip(arms, runs, strict=True):
        assert run.finished
        assert (run.arguments["project"], run.arguments["name"]) == ("compression", arm.name)
        assert run.summary == {**arm.numbers, **arm.words}
        table = run.logged["contrasts"]
        assert [row[table.columns.index("metric")] for row in table.data] == [row["metric"] for row in arm.rows]


def test_a_refusal_of_the_package_is_one_line(study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    module, _ = wandb_stub(ValueError("no key\nmore"))
    monkeypatch.setitem(sys.modules, "wandb", module)
    with pytest.raises(CrushtestError, match="wandb: no key") as refused:
        to_wandb(tracked_arms(study), "p")
    assert "\n" not in str(refused.value)


class Client:
    """Stands in for MLflow's client, with its limits: 1000 metrics, 100 params and tags at a time."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []

    def get_experiment_by_name(self, name: str) -> None:
        return None

    def create_experiment(self, name: str) -> str:
        return "7"

    def create_run(self, experiment: str, *, run_name: str, tags: dict[str, str]) -> Any:
        self.runs.append({"name": run_name, "metrics": {}, "tags": {}, "params": {}, "files": {}, "done": False})
        return SimpleNamespace(info=SimpleNamespace(run_id=len(self.runs) - 1, artifact_uri="there"))

    def log_batch(self, run: int, metrics: Any = (), params: Any = (), tags: Any = ()) -> None:
        assert len(metrics) <= 1000
        assert max(len(params), len(tags)) <= 100
        self.runs[run]["metrics"] |= {each.key: each.value for each in metrics}
        self.runs[run]["params"] |= {each.key: each.value for each in params}
        self.runs[run]["tags"] |= {each.key: each.value for each in tags}

    def log_text(self, run: int, text: str, name: str) -> None:
        self.runs[run]["files"][name] = text

    def set_terminated(self, run: int) -> None:
        self.runs[run]["done"] = True


def entity(key: str, value: Any, *_: Any) -> Any:
    return SimpleNamespace(key=key, value=value)


def test_mlflow_gets_a_finished_run_of_each_variant(study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    package: Any = {name: ModuleType(name) for name in ("mlflow", "mlflow.entities", "mlflow.exceptions")}
    package["mlflow"].MlflowClient = lambda: client
    for name in ("Metric", "Param", "RunTag"):
        setattr(package["mlflow.entities"], name, entity)
    package["mlflow.exceptions"].MlflowException = RuntimeError
    for name, module in package.items():
        monkeypatch.setitem(sys.modules, name, module)
    arms = tracked_arms(study)
    assert to_mlflow(arms, "compression") == ["there", "there"]
    for arm, run in zip(arms, client.runs, strict=True):
        assert run["done"]
        assert (run["name"], run["metrics"], run["tags"]) == (arm.name, arm.numbers, arm.words)
        assert run["params"] == arm.config
        written = list(csv.DictReader(io.StringIO(run["files"]["contrasts.csv"])))
        assert [row["group"] for row in written] == [row["group"] for row in arm.rows]
        assert [row["p"] for row in written] == ["" if row["p"] is None else str(row["p"]) for row in arm.rows]


def offline(tmp_path: Path, study: StudyFolder, to: str, **settings: str) -> None:
    """Log the study with the real package, as the command does, in a process of its own."""
    if find_spec(to) is None:
        pytest.skip(f"{to} is not installed (extra `{to}`)")
    script = (
        "import sys; from pathlib import Path; from support import synthetic_study\n"
        "from crushtest.pipeline.tracking import TRACKERS, tracked_arms\n"
        "from crushtest.study.folder import StudyFolder\n"
        "with synthetic_study.stand_ins():\n"
        "    TRACKERS[sys.argv[1]](tracked_arms(StudyFolder(Path(sys.argv[2]))), 'compression')\n"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "HOME": str(tmp_path), **settings}
    command = [sys.executable, "-c", script, to, str(study.root)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_real_mlflow_writes_the_numbers(tmp_path: Path, study: StudyFolder) -> None:
    store = tmp_path / "mlruns"
    offline(tmp_path, study, "mlflow", MLFLOW_TRACKING_URI=store.as_uri(), MLFLOW_ALLOW_FILE_STORE="true")
    [arm, _] = tracked_arms(study)
    key = next(name for name in arm.numbers if name.endswith("/difference"))
    values = {float(path.read_text().split()[1]) for path in store.glob(f"*/*/metrics/{key}")}
    assert arm.numbers[key] in values
    assert len(list(store.glob("*/*/artifacts/contrasts.csv"))) == 2


@pytest.mark.slow
def test_the_real_wandb_writes_runs_offline(tmp_path: Path, study: StudyFolder) -> None:
    offline(tmp_path, study, "wandb", WANDB_MODE="offline", WANDB_DIR=str(tmp_path))
    [arm, other] = tracked_arms(study)
    logs = [path.read_bytes() for path in (tmp_path / "wandb").glob("offline-run-*/*.wandb")]
    assert len(logs) == 2
    for each in (arm, other):
        assert any(each.name.encode() in log and b"/difference" in log for log in logs)
