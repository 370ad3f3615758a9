"""Arms side by side on a Ray cluster: workers hold the models, this process asks, keeps and writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Thread
from types import TracebackType

from crushtest.errors import UsageError
from crushtest.pipeline.arm import run_arm, run_draw
from crushtest.pipeline.ask import is_answered
from crushtest.pipeline.context import Run
from crushtest.pipeline.dtypes import is_on_cpu
from crushtest.pipeline.executors.on_ray.cluster import Cluster, Need
from crushtest.pipeline.executors.on_ray.driver import connect, disconnect, require_package
from crushtest.pipeline.executors.on_ray.host import Workers
from crushtest.pipeline.executors.on_ray.turns import Stopped, Turns
from crushtest.records import Passage
from crushtest.services.addresses import is_address
from crushtest.study.arms import Arm
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan
from crushtest.study.repeats import PACKING


class OnRay:
    """Measures arms on a cluster, side by side.

    address        of the cluster; `auto` for the one that runs on this machine
    gpus_per_arm   that a worker takes, all on one node
    workers        at once, at most
    threads        that a worker computes on; without GPUs it takes as many processors
    """

    def __init__(self, address: str, *, gpus_per_arm: int, workers: int | None, threads: int) -> None:
        require_package()
        self._address = address
        self._gpus = gpus_per_arm
        self._turns = Turns()
        self._ended: set[str] = set()
        self._connected = False
        need = Need(1 if gpus_per_arm else threads, gpus_per_arm)
        self._cluster = Cluster(self._turns, need, threads, workers)

    def __enter__(self) -> OnRay:
        connect(self._address)
        self._connected = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connected = False
        disconnect()

    @property
    def is_here(self) -> bool:
        """False: what devices there are, the workers know."""
        return False

    def is_on_cpu(self, device: str) -> bool:
        """Return True if models that are loaded to a device run on processors; `auto` is a GPU if workers have one."""
        return not self._gpus if device == "auto" else not names_gpu(device) and is_on_cpu(device)

    def check(self, plan: Plan) -> None:
        """Raise UsageError for an arm that asks for GPUs which its worker would not have."""
        for arm in plan.measured:
            device, parallel = arm.model_options.device, arm.engine_options.get("tensor_parallel", 1)
            if arm.in_process and names_gpu(device) and not self._gpus:
                raise UsageError(f"device {device!r}: a worker has no GPU without --gpus-per-arm")
            if parallel > 1 and parallel > self._gpus:
                raise UsageError(f"arm {arm.title!r}: tensor_parallel={parallel} needs --gpus-per-arm {parallel}")

    def get_ready(self, folder: StudyFolder, plan: Plan) -> None:
        """Start workers for the arms whose models they will load, where there is room; none for a study's dry run."""
        if self._connected:
            arms = [arm for arm in plan.measured if arm.in_process and not is_answered(folder, plan, arm)]
            self._cluster.start_early(len(arms))

    def run_arms(self, run: Run) -> None:
        """Ask every arm its open items. If arms fail, the others go on, and the first one's error is raised then."""
        for arms in in_turn(run):
            self._side_by_side(run, [arm for arm in arms if not is_address(arm.model)])
            for arm in arms:
                if is_address(arm.model):  # runs elsewhere anyway, where this machine reaches it and has its key
                    (run_draw if arm.draw else run_arm)(run, arm)
        self._cluster.release_all()

    def _side_by_side(self, run: Run, arms: Sequence[Arm]) -> None:
        failed: dict[str, BaseException] = {}
        sizing = run.plan.dense if run.plan.dense in arms else None
        self._cluster.expect([arm.title for arm in arms])
        threads = [Thread(target=self._measure, args=(run, arm, sizing, failed), name=arm.title) for arm in arms]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(timeout=0.2)  # a wait without an end hears no Ctrl-C
        except BaseException:
            self._turns.stopping = True
            self._cluster.release_all()
            for thread in threads:
                if thread.is_alive():
                    thread.join()
            raise
        errors = [failed[arm.title] for arm in arms if arm.title in failed]
        for other in errors[1:]:
            run.progress.say(f"failed as well: {other}")
        if errors:
            raise errors[0]

    def _measure(self, run: Run, arm: Arm, sizing: Arm | None, failed: dict[str, BaseException]) -> None:
        with self._turns.taken():
            try:
                waits = sizing is not None and arm is not sizing and is_sized_by(arm, sizing)
                host = Workers(self._cluster, sizing if waits else None, self._ended)
                (run_draw if arm.draw else run_arm)(run, arm, host)
            except Stopped:
                pass
            except BaseException as error:  # raised again by who started this thread
                failed[arm.title] = error
            finally:
                self._ended.add(arm.title)
                self._cluster.no_longer_waits(arm.title)


def names_gpu(device: str) -> bool:
    """Return True if a device's text names a GPU, which the workers may have and this machine need not."""
    return any(place.strip().startswith("cuda") for place in device.split(","))


def is_sized_by(arm: Arm, dense: Arm) -> bool:
    """Return True if an arm runs as much at once as dense does, because nobody said how much and memory decides."""
    return arm.engine == dense.engine and any(arm.engine_options.get(key, 0) is None for key in PACKING)


def in_turn(run: Run) -> Iterator[list[Arm]]:
    """Yield arms that may be measured side by side: dense first if others need its answers, draws and repeats last."""
    plan, dense = run.plan, run.plan.dense
    others = [arm for arm in plan.arms if arm is not dense]
    yield from [[dense], others] if needs_dense(run) else [[dense, *others]]
    yield [*plan.draws, *plan.repeats]


def needs_dense(run: Run) -> bool:
    """Return True if what other arms are asked, or how far, depends on what dense answered."""
    if run.plan.stop_early is not None:
        return True
    requests = (item.request for planned in run.plan.tasks for item in run.items[planned.name])
    return any(planned.task.from_dense is not None for planned in run.plan.tasks) or any(
        isinstance(request, Passage) and request.against_dense for request in requests
    )
