"""A worker: one process that holds the engine of one arm, and answers for it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import crushtest
from crushtest.engines.base import Halving, LaidOut, close
from crushtest.engines.load import only_named
from crushtest.errors import CrushtestError, EngineError
from crushtest.models.memory import give_back_memory, peak_memory_bytes
from crushtest.models.threads import on_threads, settle, use_threads
from crushtest.pipeline.context import Run
from crushtest.pipeline.executors.on_ray.travel import (
    Asked,
    Batch,
    Files,
    Job,
    Prepared,
    Refused,
    Where,
    noted_of,
    program,
    read_files,
    write_files,
)
from crushtest.pipeline.memory import sized_options
from crushtest.pipeline.prepare import attach_reference, prepare
from crushtest.pipeline.provenance import engine_facts, truncated_so_far
from crushtest.progress import Advance
from crushtest.records import Answer
from crushtest.study.arms import Arm
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import PlannedTask

if TYPE_CHECKING:
    from torch import Tensor

    from crushtest.engines.base import Engine

MOST, LONGEST_S = 16, 0.2
"""Answers that travel together, and how long the first of them waits for others: what a kill may cost."""


class Said:
    """Progress that nobody watches; what is said is kept."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextmanager
    def step(
        self, title: str, total: int, *, done: int = 0, kind: str | None = None, percent: bool = False
    ) -> Iterator[Advance]:
        """Show nothing."""
        yield lambda count: None

    def say(self, line: str) -> None:
        """Keep a line."""
        self.lines.append(line)


class Worker:
    """Holds one arm's engine. Its study folder is one of its own, in which nothing is but what travels."""

    def __init__(self, threads: int) -> None:
        settle()
        use_threads(threads)
        self._threads = threads
        self._begin()

    def _begin(self) -> None:
        self._scratch = TemporaryDirectory(prefix="crushtest-")
        self._folder = StudyFolder(Path(self._scratch.name))
        self._engine: Engine | None = None
        self._run: Run | None = None
        self._job: Job | None = None
        self._kept: Path | None = None
        self._sent: set[Path] = set()

    def where(self) -> Where:
        """Return where this is."""
        import ray

        context = ray.get_runtime_context()
        gpus = context.get_accelerator_ids().get("GPU", [])
        return Where(ray.util.get_node_ip_address(), tuple(map(str, gpus)))

    def get_ready(self) -> None:
        """Import what most models are loaded with: seconds that nobody need wait for."""
        with suppress(ImportError):
            from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: F401
            from transformers.models.llama import modeling_llama  # noqa: F401  other models need most of what it does

    def prepare(self, job: Job) -> Prepared | Refused:
        """Load and compress an arm's model as a study does."""
        return self._ready(job, lambda run: prepare(run, job.arm))

    def join(self, job: Job, weights: dict[str, Tensor] | None) -> Prepared | Refused:
        """Load an arm's model as a study does, and the weights that another worker has compressed in their place."""
        if weights is None:
            return self.prepare(job)
        return self._ready(job, lambda run: with_weights(run, job.arm, weights))

    def _ready(self, job: Job, start: Callable[[Run], Engine]) -> Prepared | Refused:
        if job.version != crushtest.__version__:
            error = EngineError(f"the worker has crushtest {crushtest.__version__}, the study runs {job.version}")
            return Refused.of(error)
        if Path(job.folder).is_dir():
            os.chdir(job.folder)
        write_files(self._folder.root, job.files)
        said = Said()
        self._run = Run(self._folder, job.plan, {}, calibration=job.calibration, progress=said, engines=only_named)
        try:
            with self._computing(job):
                self._engine = start(self._run)
                facts = engine_facts(self._engine)
        except (CrushtestError, RuntimeError, MemoryError) as error:
            return Refused.of(error)
        arm = job.arm
        written = read_files(self._folder.root, [] if arm.repeat else [self._folder.compression(arm.name, arm.draw)])
        return Prepared(noted_of(self._folder.manifest, arm), facts, program(), written, tuple(said.lines))

    def weights(self) -> dict[str, Tensor] | None:
        """Return the weights as they were compressed; None for an engine without a network in this process."""
        network = network_of(self._engine)
        return None if network is None else {name: tensor.cpu() for name, tensor in network.state_dict().items()}

    def halve(self, kind: str) -> dict[str, Any] | None:
        """Run half as much at once and return what runs then; None if that was done before, or the engine cannot."""
        assert self._engine is not None
        if not (isinstance(self._engine, Halving) and self._engine.halve(kind)):
            return None
        give_back_memory()
        return engine_facts(self._engine)

    def attach(self, planned: PlannedTask, files: Files) -> Refused | None:
        """Compare with the dense model from now on."""
        assert self._run is not None
        assert self._job is not None
        assert self._engine is not None
        try:
            write_files(self._folder.root, files)
            with self._computing(self._job):
                attach_reference(self._run, self._engine, self._job.arm, planned)
        except (CrushtestError, RuntimeError, MemoryError) as error:
            return Refused.of(error)
        self._kept, self._sent = self._folder.likeliest(planned.name), {self._folder.root / name for name in files}
        return None

    def parts(self, asked: Asked, requests: Sequence[Any]) -> list[list[int]] | Refused:
        """Return the requests by what is run at once; all in one where the engine does not say."""
        if not isinstance(self._engine, LaidOut):
            return [list(range(len(requests)))]
        try:
            return self._engine.parts(requests, asked.sampling)
        except (CrushtestError, RuntimeError, MemoryError) as error:
            return Refused.of(error)

    def ask(self, asked: Asked, requests: Sequence[Any], mine: Sequence[int]) -> Iterator[Batch | Refused]:
        """Yield the answers to those of the requests that are this worker's, laid out among all of them."""
        assert self._engine is not None
        assert self._job is not None
        before = truncated_so_far(self._engine)
        answers: list[tuple[int, Answer]] = []
        began = time.monotonic()
        try:
            with self._computing(self._job):
                for index, answer in self._answers(asked, requests, frozenset(range(len(requests))).difference(mine)):
                    began = began if answers else time.monotonic()
                    answers.append((index, answer))
                    if len(answers) >= MOST or time.monotonic() - began > LONGEST_S:
                        yield Batch(answers, self._new_files())
                        answers = []
        except (CrushtestError, RuntimeError, MemoryError) as error:
            refused = Refused.of(error)
            yield Batch(answers, self._new_files())
            yield refused
            return
        truncated = truncated_so_far(self._engine) - before
        yield Batch(answers, self._new_files(), truncated, peak_memory_bytes())

    def _answers(self, asked: Asked, requests: Sequence[Any], done: frozenset[int]) -> Iterator[tuple[int, Answer]]:
        assert self._engine is not None
        match asked.kind:
            case "choices":
                return self._engine.choices(requests, done=done)
            case "passages":
                return self._engine.passages(requests, done=done)
            case "prompts":
                return self._engine.generate(requests, asked.sampling, done=done)

    def _new_files(self) -> Files:
        """Return what the engine has kept of the dense model since the last time."""
        if self._kept is None or not self._kept.is_dir():
            return {}
        new = [path for path in sorted(self._kept.glob("*.safetensors")) if path not in self._sent]
        self._sent.update(new)
        return read_files(self._folder.root, new)

    def _computing(self, job: Job) -> AbstractContextManager[None]:
        """Compute on the study's threads, or on those of a repeat; each thread of a process has a number of its own.

        Libraries that are not loaded yet read the study's from the environment, and an engine may need none of them.
        """
        self._job = job
        loaded = job.arm.in_process or "torch" in sys.modules
        return on_threads(job.arm.threads or self._threads) if loaded else nullcontext()

    def close(self) -> None:
        """Let go of everything that is of this arm; another may follow."""
        if self._engine is not None:
            close(self._engine)
        self._scratch.cleanup()
        self._begin()
        give_back_memory()


def with_weights(run: Run, arm: Arm, weights: dict[str, Tensor]) -> Engine:
    """Return an arm's engine with weights that were compressed elsewhere, which runs as much at once as noted."""
    from crushtest.engines import load_engine

    model = arm.model_options.load(arm.model)
    model.network.load_state_dict(weights)
    return load_engine(model, engine=arm.engine, **sized_options(run.folder, arm))


def network_of(engine: Any) -> Any:
    """Return the network that an engine runs in this process; None if it has none."""
    return getattr(getattr(getattr(engine, "model", None), "loaded", None), "network", None)
