"""Log a study's contrasts to an experiment tracker, a run per variant, through the tracker's own package.

Names, numbers and verdicts are sent, and nothing of what was asked or answered.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crushtest import __version__
from crushtest.errors import CrushtestError, StoreError, first_error_line
from crushtest.files.regular import read_bytes, sha256
from crushtest.gate import GateResult, run_gate
from crushtest.metrics import ALL
from crushtest.pipeline.remote.local_copy import address_of
from crushtest.records import DENSE
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, stored_plan
from crushtest.study.query import ask

NUMBERS = ("value", "dense", "difference", "low", "high", "p_adjusted")
"""The columns of a contrast over all items that become numbers of the run, as `task/metric/column`."""
MOST_METRICS, MOST_TAGS = 1000, 100
"""What MLflow takes at a time."""


@dataclass(frozen=True)
class TrackedArm:
    """What a tracker is told of one variant. A missing number is left out, and never 0.

    config    what it is and how it was measured
    numbers   `task/metric/difference` and the like, over all items, against dense
    words     `task/metric/verdict`, and the gate's outcome if there was a policy
    rows      all its contrasts, a column -> value each
    """

    name: str
    study: str
    config: Mapping[str, str]
    numbers: Mapping[str, float]
    words: Mapping[str, str]
    rows: Sequence[Mapping[str, Any]]


Tracker = Callable[[Sequence[TrackedArm], str], list[str]]
"""Takes the variants and the name of a project; returns where each run is."""


def tracked_arms(folder: StudyFolder, policy: str | None = None) -> list[TrackedArm]:
    """Return what is logged of each variant. Raises StoreError if the study has none, or was not compared."""
    plan = stored_plan(folder.specification)
    rows = ask(folder, "SELECT * FROM contrasts").to_dicts()
    gate = run_gate(folder.root, policy) if policy else None
    digest = sha256(read_bytes(folder.contrasts, remedy=f"run `crushtest compare {folder.root}`"))
    names = [arm.name for arm in plan.arms if arm.name != DENSE]
    if not names:
        raise StoreError(f"{folder.root}: nothing to log, because the study holds the dense model alone")
    return [_tracked(folder, plan, name, [row for row in rows if row["arm"] == name], digest, gate) for name in names]


def _tracked(
    folder: StudyFolder, plan: Plan, name: str, rows: list[dict[str, Any]], digest: str, gate: GateResult | None
) -> TrackedArm:
    arm = next(each for each in plan.arms if each.name == name)
    config = {
        "model": plan.dense.model,
        "arm": name,
        "arm_model": arm.model,
        "recipe": str(arm.recipe) if arm.recipe else "",
        "seed": str(plan.seed),
        "tasks": ", ".join(planned.name for planned in plan.tasks),
        "crushtest": __version__,
        "contrasts_sha256": digest,
    }
    pooled = [row for row in rows if (row["group"], row["against"]) == (ALL, DENSE)]
    numbers = {
        f"{row['task']}/{row['metric']}/{column}": float(row[column])
        for row in pooled
        for column in NUMBERS
        if row[column] is not None
    }
    words = {f"{row['task']}/{row['metric']}/verdict": row["verdict"] for row in pooled}
    address = address_of(folder.root)
    study = folder.root.resolve().name if address is None else address.path.rpartition("/")[2]
    return TrackedArm(name, study, config, numbers, words | _gate_words(gate, name), rows)


def _gate_words(gate: GateResult | None, name: str) -> dict[str, str]:
    if gate is None:
        return {}
    own = GateResult(gate.study, gate.policy, tuple(check for check in gate.checks if check.arm == name))
    return {"gate": own.outcome, "gate/policy": gate.policy}


def to_wandb(arms: Sequence[TrackedArm], project: str) -> list[str]:
    """Make a Weights & Biases run of each variant. Its own settings hold: WANDB_API_KEY, WANDB_MODE=offline, ...

    Raises CrushtestError if the package refuses: without a key, or without a network.
    """
    import wandb

    places = []
    for arm in arms:
        try:
            run = wandb.init(
                project=project,
                name=arm.name,
                group=arm.study,
                job_type="crushtest",
                config=dict(arm.config),
                settings=wandb.Settings(silent=True, console="off"),
            )
            run.summary.update({**arm.numbers, **arm.words})
            if arm.rows:
                columns: list[Any] = list(arm.rows[0])
                data = [[_cell(row[column]) for column in columns] for row in arm.rows]
                run.log({"contrasts": wandb.Table(columns=columns, data=data, allow_mixed_types=True)})
            places.append(str(run.dir if run.offline else run.url))
            run.finish()
        except (wandb.errors.Error, OSError) as error:
            raise CrushtestError(f"wandb: {first_error_line(error)}") from None
    return places


def to_mlflow(arms: Sequence[TrackedArm], project: str) -> list[str]:
    """Make an MLflow run of each variant, in the experiment `project`. Its own settings hold: MLFLOW_TRACKING_URI, ...

    Raises CrushtestError if the package refuses: a store that it does not write to, or a server without an answer.
    """
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.exceptions import MlflowException

    places = []
    now = int(time.time() * 1000)
    try:
        client = MlflowClient()
        known = client.get_experiment_by_name(project)
        experiment = known.experiment_id if known else client.create_experiment(project)
        for arm in arms:
            run = client.create_run(experiment, run_name=arm.name, tags={"study": arm.study}).info
            params = [Param(key, value) for key, value in arm.config.items()]
            client.log_batch(run.run_id, params=params)
            for some in _pieces(list(arm.numbers.items()), MOST_METRICS):
                client.log_batch(run.run_id, metrics=[Metric(key, value, now, 0) for key, value in some])
            for words in _pieces(list(arm.words.items()), MOST_TAGS):
                client.log_batch(run.run_id, tags=[RunTag(key, value) for key, value in words])
            client.log_text(run.run_id, _as_csv(arm.rows), "contrasts.csv")
            client.set_terminated(run.run_id)
            places.append(run.artifact_uri)
    except (MlflowException, OSError) as error:
        raise CrushtestError(f"mlflow: {first_error_line(error)}") from None
    return places


TRACKERS: Mapping[str, Tracker] = {"mlflow": to_mlflow, "wandb": to_wandb}


def _pieces(listed: list[tuple[str, Any]], size: int) -> Iterator[list[tuple[str, Any]]]:
    for start in range(0, len(listed), size):
        yield listed[start : start + size]


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list) else value


def _as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    file = io.StringIO()
    if rows:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({column: _cell(value) for column, value in row.items()} for row in rows)
    return file.getvalue()
