"""The command that logs a study to an experiment tracker: track."""

from __future__ import annotations

from typing import Annotated

import typer

from crushtest.cli.at_address import at_address
from crushtest.cli.envelope import print_result
from crushtest.cli.options import Place
from crushtest.cli.output import AsJson, print_line
from crushtest.cli.results import say_if_untied
from crushtest.errors import UnknownName


@at_address("folder", writes=False)
def track(
    folder: Place,
    to: Annotated[str, typer.Option(metavar="TRACKER", help="`wandb` or `mlflow`.")],
    project: Annotated[str, typer.Option(help="The project (wandb) or experiment (mlflow).")] = "crushtest",
    policy: Annotated[str | None, typer.Option(help="Also log the gate's outcome by this policy.")] = None,
    json: AsJson = False,
) -> None:
    """Log a study's contrasts to Weights & Biases or MLflow, a run per variant, through their own packages.

    Names, numbers and verdicts are sent, and nothing of what was asked or answered. Keys and addresses are those of the
    packages' own settings: WANDB_API_KEY, WANDB_MODE=offline, MLFLOW_TRACKING_URI, ... Each call makes new runs. Needs
    the extra `wandb` or `mlflow`.

    Example: crushtest track studies/demo --to mlflow --policy standard
    """
    from crushtest.pipeline.tracking import TRACKERS, tracked_arms
    from crushtest.study.folder import StudyFolder

    if to not in TRACKERS:
        raise UnknownName("tracker", to, TRACKERS)
    study = StudyFolder.existing(folder)
    warning = say_if_untied(study)
    arms = tracked_arms(study, policy)
    places = TRACKERS[to](arms, project)
    if json:
        runs = [{"arm": arm.name, "run": place} for arm, place in zip(arms, places, strict=True)]
        print_result("track", {"tracker": to, "project": project, "runs": runs}, warnings=[warning])
        return
    for arm, place in zip(arms, places, strict=True):
        print_line(f"{arm.name}: {place}")
