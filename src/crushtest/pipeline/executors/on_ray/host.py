"""What an arm needs done where its engine runs, done by workers, and written down as if it had been done here."""

from __future__ import annotations

import os
import time
from collections.abc import Container
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

from crushtest.compress.prepare import COMPRESSING, LOADING
from crushtest.engines.base import Engine
from crushtest.models.memory import peak_memory_bytes
from crushtest.pipeline.context import Run
from crushtest.pipeline.executors.on_ray.cluster import Cluster
from crushtest.pipeline.executors.on_ray.team import Team
from crushtest.pipeline.executors.on_ray.travel import Job, Prepared, program, read_files, write_files
from crushtest.pipeline.memory import SIZES, arm_facts, sized_options
from crushtest.pipeline.prepare import TEMPLATE, refuse_without_template
from crushtest.pipeline.provenance import record_arm, refuse_another_model, refuse_another_server
from crushtest.progress import Advance
from crushtest.study import manifest
from crushtest.study.arms import Arm
from crushtest.study.plan import PlannedTask


@dataclass(frozen=True)
class Loaded:
    """What is known here of a model that a worker has loaded."""

    spec: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class Workers:
    """Runs the engines of arms on a cluster.

    sizing  the arm that says how much this one runs at once; None: nobody
    ended   titles of the arms that are done, or have failed
    """

    cluster: Cluster
    sizing: Arm | None = None
    ended: Container[str] = ()

    @property
    def is_here(self) -> bool:
        """False: with workers."""
        return False

    def prepare(self, run: Run, arm: Arm) -> Engine:
        """Return an arm's workers, its model loaded and compressed, and write both down."""
        title = f"{arm.title} · loading" + (" and compressing" if arm.recipe else "")
        step = ExitStack()

        @cache
        def loading() -> Advance:  # begins with the first worker: until then nothing is loaded
            return step.enter_context(run.progress.step(title, 1, kind=LOADING))

        team = Team(
            self.cluster,
            run,
            arm,
            job=lambda: self._job(run, arm),
            note=lambda prepared: note(run, arm, prepared),
            suits=lambda prepared: self._suits(run, arm, prepared),
            placed=loading,
        )
        try:
            with step:
                team.begin()
                loading()(1)
        except BaseException:
            team.close()
            raise
        if arm.recipe is not None:  # announced as hundredths, which nobody here sees go by
            with run.progress.step(title, 100, done=100, kind=COMPRESSING):
                pass
        return team

    def _suits(self, run: Run, arm: Arm, prepared: Prepared) -> bool | None:
        """Wait until it is known how much the arm runs at once; return False if it was prepared for something else.

        Returns None if the arm that says so has no worker: it may need the place of this one.
        """
        if self.sizing is None:
            return True
        while self.sizing.title not in self.ended and not arm_facts(manifest.read(run.folder.manifest), self.sizing):
            if self.sizing.title in self.cluster.placing:
                self.cluster.queue_behind(self.sizing.title, arm.title)
                return None
            with self.cluster.turns.away():
                time.sleep(0.2)
        runs, noted = prepared.engine.get(SIZES, {}), sized_options(run.folder, arm)
        decided = [key for key, asked in arm.engine_options.items() if asked is None and noted[key] is not None]
        return all(runs.get(key) == noted[key] for key in decided)

    def _job(self, run: Run, arm: Arm) -> Job:
        folder = run.folder
        needed = [(arm.model, run.plan.calibration_of(arm))] if arm.recipe is not None else []
        return Job(
            arm=arm,
            plan=run.plan,
            calibration={key: run.calibration[key] for key in needed},
            folder=os.getcwd(),
            files=read_files(folder.root, [folder.manifest, folder.compression(arm.name, arm.draw)]),
        )

    def attach_reference(self, run: Run, engine: Engine, arm: Arm, planned: PlannedTask) -> None:
        """Let a worker compare with the dense model, or with what the dense arm kept of it, which travels there."""
        assert isinstance(engine, Team)
        kept = (
            [] if planned.task.likeliest is None else sorted(run.folder.likeliest(planned.name).glob("*.safetensors"))
        )
        engine.compare(planned, read_files(run.folder.root, [run.folder.manifest, *kept]))

    def on_threads(self, arm: Arm) -> AbstractContextManager[None]:
        """Leave this process's threads alone."""
        return nullcontext()

    def peak_memory_bytes(self, engine: Engine) -> dict[str, int]:
        """Return the most memory that one of an arm's workers has held, by device."""
        return engine.peak_memory_bytes if isinstance(engine, Team) else peak_memory_bytes()


def note(run: Run, arm: Arm, prepared: Prepared) -> None:
    """Write down what a worker has prepared. Raises what preparing here would have refused."""
    facts = dict(prepared.noted or {})
    if arm.in_process:
        refuse_another_model(run.folder, Loaded(arm.model, facts["model"]), arm)
        described = facts["model"]
    else:
        refuse_another_server(run.folder, arm, prepared.engine)
        described = prepared.engine
    if described.get(TEMPLATE, "unstated") is None:
        refuse_without_template(run.plan, run.items, f"model {arm.model!r}")
    here = program()
    if others := {name: value for name, value in prepared.program.items() if here.get(name) != value}:
        facts["computed_on"] = others
    write_files(run.folder.root, prepared.files)
    record_arm(run.folder, arm, facts)
