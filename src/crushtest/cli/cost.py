"""What `--dry-run` prints: what a study will cost, by task, by arm and by device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crushtest.cli.envelope import print_result
from crushtest.cli.output import print_line, print_table, print_wrapped
from crushtest.progress import in_words

if TYPE_CHECKING:
    from crushtest.pipeline.cost.records import ArmCost, Spent, StudyCost, TaskCost
    from crushtest.pipeline.executors.executor import Executor
    from crushtest.study.spec import StudySpec

UNKNOWN = "unknown"
GIGABYTE = 2**30


def show_cost(
    command: str, spec: StudySpec, folder: Path, *, skip_missing: bool, executor: Executor, json: bool
) -> None:
    """Print what running a study in a folder will cost. Writes nothing there."""
    from crushtest.pipeline.cost.dry_run import dry_run
    from crushtest.pipeline.remote.opened import by_address

    cost = dry_run(spec, folder, skip_missing=skip_missing, executor=executor)
    named = by_address(str(folder), folder)
    if json:
        facts = {"study": named, "report": None, "new": False, "cost": as_json(cost)}
        print_result(command, facts, warnings=cost.refused)
        return
    if not cost.arms:
        print_line(f"{named}: every arm has answered every item; only what is scored and compared may be left")
        return
    print_table([["task", "items", "tokens read", "written, at most", "time"], *_task_rows(cost)])
    print_table([["arm", "loading", "asking", "memory", "items", "time"], *map(_arm_row, cost.arms)])
    for text in lines(cost):
        print_wrapped(text)


def as_json(cost: StudyCost) -> dict[str, Any]:
    """Return a cost as JSON values, with the sums."""
    arms = [{**asdict(arm), "spent": _spent(arm.spent)} for arm in cost.arms]
    return {**asdict(cost), "arms": arms, "spent": _spent(cost.spent), "devices": list(map(str, devices(cost)))}


def _spent(spent: Spent | None) -> dict[str, float] | None:
    return None if spent is None else asdict(spent)


def _task_rows(cost: StudyCost) -> Iterator[list[str]]:
    """Yield a row per task, over all arms."""
    for name in dict.fromkeys(task.task for arm in cost.arms for task in arm.tasks):
        tasks = [task for arm in cost.arms for task in arm.tasks if task.task == name]
        counted = all(task.read is not None for task in tasks)
        read = _number(sum(task.read or 0 for task in tasks)) if counted else UNKNOWN
        written = _number(sum(task.written for task in tasks)) if counted else UNKNOWN
        yield [name, _number(sum(task.items for task in tasks)), read, written, _time(task.spent for task in tasks)]


def _arm_row(arm: ArmCost) -> list[str]:
    memory = " + ".join(map(_bytes, arm.memory_bytes.values())) or UNKNOWN
    asking = _time(task.spent for task in arm.tasks)
    return [arm.arm, _time([arm.preparing]), asking, memory, _number(arm.items), _time([arm.spent])]


def lines(cost: StudyCost) -> Iterator[str]:
    """Yield what stands below the tables."""
    outside = cost.before + cost.after
    yield f"besides: about {in_words(outside.clock_s)} to start, to score, to compare and to write the report"
    if cost.spent is None:
        yield "time: unknown, because a part of it is"
    else:
        clock, processor = in_words(cost.spent.clock_s), in_words(cost.spent.processor_s)
        yield f"time: about {clock} on this machine as busy as it is now ({processor} of processor time)"
    yield from devices(cost)
    for calls in (*(arm.calls for arm in cost.arms if arm.calls), *cost.scorers):
        about = "" if calls.counted else "about "
        yield (
            f"{calls.to}: {calls.requests:,} requests, which send {about}{calls.read:,} tokens and get at most "
            f"{calls.written:,} back"
        )
    for arm in cost.arms:
        yield from (f"{arm.arm}: {note}" for note in arm.notes)
        if cut := sum(task.truncated for task in arm.tasks):
            yield f"{arm.arm}: {cut:,} prompts or options lose their beginning to fit the context"
    if earlier := _known_from_earlier(cost):
        yield f"times of an earlier run of this study: {', '.join(earlier)}"
    yield from cost.notes
    yield from (f"will not be compared: {why}" for why in cost.refused)


def devices(cost: StudyCost) -> Iterator[str]:
    """Yield what each device will hold at most, one arm after the other."""
    from crushtest.models.places import DISK
    from crushtest.pipeline.cost.devices import held_by, room_on

    for device in dict.fromkeys(device for arm in cost.arms for device in arm.weights_bytes):
        arms, room = [arm for arm in cost.arms if device in arm.weights_bytes], room_on(device)
        weights = _bytes(max(arm.weights_bytes[device] for arm in arms))
        if device == DISK:
            yield f"{device}: {weights} of weights stay there, and are read for every pack"
            continue
        place = held_by(device)
        most = _bytes(max(arm.memory_bytes.get(place, 0) for arm in arms))
        here = "" if room is None else f"; it has {_bytes(room.bytes)}"
        sharing = {other for arm in arms for other in arm.weights_bytes if held_by(other) == place and other != DISK}
        together = "in all" if len(sharing) == 1 else "on all accelerators together"
        yield f"{device}: holds one arm at a time, {weights} of weights, at most {most} {together}{here}"


def _known_from_earlier(cost: StudyCost) -> list[str]:
    return list(dict.fromkeys(task.task for task in _tasks(cost) if task.known_from == "earlier run"))


def _tasks(cost: StudyCost) -> Iterator[TaskCost]:
    yield from (task for arm in cost.arms for task in arm.tasks)


def _time(spent: Iterable[Spent | None]) -> str:
    """Return seconds in words; `unknown` if a part is."""
    parts = list(spent)
    known = [part.clock_s for part in parts if part is not None]
    return in_words(sum(known)) if len(known) == len(parts) else UNKNOWN


def _number(count: int) -> str:
    return f"{count:,}" if count < 10_000_000 else f"{count / 1e6:,.0f} M"


def _bytes(size: int) -> str:
    return f"{size / GIGABYTE:.1f} GB" if size >= GIGABYTE / 10 else f"{size / 2**20:.0f} MB"
