"""The options that say on which machines a study's arms are measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from crushtest.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from crushtest.pipeline.executors.executor import Executor

AUTO = "auto"
EXECUTORS = ("local", "ray")
Name = Annotated[
    str,
    typer.Option(
        metavar="|".join(EXECUTORS),
        help="Where arms are measured: one after another in this process, or side by side on a Ray cluster that runs.",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT", help="With --executor ray: the cluster's address. Default: auto, the one of this machine."
    ),
]
Gpus = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="With --executor ray: GPUs that every arm takes, all on one node. Default: none."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="With --executor ray: workers at once, at most. Default: as many as there is room for."
    ),
]


@dataclass(frozen=True)
class Machines:
    """The options that say where arms are measured."""

    executor: Name = "local"
    address: Address = None
    gpus_per_arm: Gpus = None
    workers: Workers = None


def executor_of(machines: Machines, threads: int | None) -> Executor:
    """Return what measures arms, not connected yet.

    threads  of each worker of a cluster; None: as many as this process would use

    Raises UsageError for options of a cluster without one, or without Ray.
    """
    from crushtest.pipeline.executors.executor import LOCAL

    if machines.executor not in EXECUTORS:
        raise UnknownName("executor", machines.executor, EXECUTORS, where="--executor")
    if machines.executor == "local":
        given = {
            "--address": machines.address,
            "--gpus-per-arm": machines.gpus_per_arm,
            "--workers": machines.workers,
        }
        if option := next((name for name, value in given.items() if value is not None), None):
            raise UsageError(f"{option} is for --executor ray")
        return LOCAL
    from crushtest.pipeline.executors.on_ray.driver import require_package

    require_package()
    import torch

    from crushtest.pipeline.executors.on_ray.executor import OnRay

    return OnRay(
        machines.address or AUTO,
        gpus_per_arm=machines.gpus_per_arm or 0,
        workers=machines.workers,
        threads=threads or torch.get_num_threads(),  # which is never more than this machine has cores
    )
