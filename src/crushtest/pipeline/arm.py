"""One arm of a study, from its first open item to its last answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from crushtest.engines.base import close
from crushtest.errors import CompressionError, EngineError, ModelChanged, ModelError, first_error_line
from crushtest.files.append_log import AppendLog
from crushtest.models.memory import give_back_memory, is_out_of_memory
from crushtest.pipeline.across import warn_early
from crushtest.pipeline.ask import answers_of, reordered
from crushtest.pipeline.context import Run
from crushtest.pipeline.cost.records import Watch
from crushtest.pipeline.early import watch
from crushtest.pipeline.executors.host import HERE, Host
from crushtest.pipeline.fixed_text import record_fixed_text
from crushtest.pipeline.from_dense import settle
from crushtest.pipeline.looks import order_of
from crushtest.pipeline.memory import ask_within_memory
from crushtest.pipeline.provenance import record_cost, record_truncation, truncated_so_far
from crushtest.records import Passage
from crushtest.study import manifest
from crushtest.study.arms import Arm
from crushtest.study.plan import PlannedTask
from crushtest.study.stops import goes_on, is_over

if TYPE_CHECKING:
    from crushtest.engines.base import Engine


def run_arm(run: Run, arm: Arm, host: Host = HERE) -> None:
    """Load the arm's model, compress it, and ask it the open items. Loads nothing if no item is open.

    The engine, which `host` runs, is closed at the end, also after an error.
    """
    engine = None
    try:
        watching = watch(run, arm)
        for planned in run.plan.asked_of(arm):
            if is_over(run.folder, run.plan, arm):
                break
            log, items = answers_of(run.folder, arm, planned), settle(run, planned)
            ids = [item.id for item in items]
            go_on(run, arm, planned, log)
            done = len(log.read(ids))
            title = f"{arm.title} · {planned.name}"
            with (
                prefix_errors(arm),
                noting_invalid(run, arm),
                host.on_threads(arm),
                run.progress.step(title, len(items), done=done, kind=planned.name) as advance,
            ):
                if log.complete:
                    continue
                if engine is None:
                    engine = host.prepare(run, arm)
                    read_fixed_text(run, arm, engine)
                if any(isinstance(item.request, Passage) and item.request.against_dense for item in items):
                    host.attach_reference(run, engine, arm, planned)
                advance(0)  # the engine was no work of this task
                truncated, spending = truncated_so_far(engine), Watch()
                stop, asked = None, ids
                if watching is None:
                    for count in ask_within_memory(run, arm, engine, planned, reordered(items, arm.repeat), log):
                        advance(count)
                else:
                    order = order_of(run.plan, planned, items)
                    for look, part in enumerate(order.parts()):
                        for count in ask_within_memory(run, arm, engine, planned, part, log):
                            advance(count)
                        stop = watching.stop(arm, planned, order, look)
                        if stop is not None:
                            asked = [item.id for item in order.until(look)]
                            break
                # Recorded before the log is finished, because a later run skips finished tasks.
                record_truncation(run.folder, arm, planned, truncated_so_far(engine) - truncated, run.progress)
                spent, peak = spending.spent(), host.peak_memory_bytes(engine)
                record_cost(run.folder, arm, planned, len(asked) - done, spent, peak, here=host.is_here)
                log.finish(asked, part=None if stop is None else stop._asdict())
    finally:
        if engine is not None:
            close(engine)
        del engine
        if host.is_here:
            give_back_memory()  # or what one arm left in pieces is added to what the next one needs


def run_draw(run: Run, arm: Arm, host: Host = HERE) -> None:
    """Measure a further draw of an arm. If its compression fails, note that and go on with the others."""
    try:
        run_arm(run, arm, host)
    except CompressionError as error:
        manifest.update(run.folder.manifest, manifest.FAILED_DRAWS, arm.title, {"reason": str(error)})
        run.progress.say(f"left out: {error}")


def go_on(run: Run, arm: Arm, planned: PlannedTask, log: AppendLog[Any]) -> None:
    """Reopen what an arm answered until it stopped, and its scores, if it is to be asked everything after all."""
    if not log.part() or not goes_on(run.plan, arm):
        return
    for scorer in planned.task.scorers:  # they say that they were made from the answers, so they go first
        run.folder.scores(arm.name, scorer, planned.name).reopen()
    log.reopen()


def read_fixed_text(run: Run, arm: Arm, engine: Engine) -> None:
    """Score the fixed text, and say at once if that shows that the arm will not be compared."""
    answered = any(answers_of(run.folder, arm, planned).read() for planned in run.plan.tasks)
    if record_fixed_text(run.folder, arm, engine, answered=answered):
        for why in warn_early(manifest.read(run.folder.manifest), run.plan, arm):
            run.progress.say(f"will not be compared: {why}")


@contextmanager
def noting_invalid(run: Run, arm: Arm) -> Iterator[None]:
    """Note in the manifest that an arm is invalid if its model became another one while it was measured."""
    try:
        yield
    except ModelChanged as error:
        manifest.update(run.folder.manifest, manifest.INVALID, arm.title, {"reason": str(error)})
        raise


@contextmanager
def prefix_errors(arm: Arm) -> Iterator[None]:
    """Prefix the messages of errors with the arm's name."""
    try:
        yield
    except (EngineError, CompressionError, ModelError) as error:
        raise type(error)(f"arm {arm.title!r}: {error}") from error
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise EngineError(
            f"arm {arm.title!r}: out of memory while it was prepared ({first_error_line(error)}); free memory, use "
            "--dtype bfloat16, or give the model more places (--device cuda:0,cuda:1, or cpu,disk)"
        ) from error
