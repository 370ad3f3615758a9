"""The search from start to finish. Whatever is done is in the folder, and the same command goes on from there."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from crushtest.files.atomic import replacing
from crushtest.pipeline.rankings import LANGUAGE
from crushtest.pipeline.run import run_study
from crushtest.pipeline.search.budget import check_room
from crushtest.pipeline.search.gauge import open_model
from crushtest.pipeline.search.gradient import Sample, estimate_cells
from crushtest.pipeline.search.judge import judge, size_in, worse_of
from crushtest.pipeline.search.ladder import candidates, rivals
from crushtest.pipeline.search.opening import Search, calibration_of, known_of, open_gauge, sample_of, with_few
from crushtest.pipeline.search.screening import arms_of, screen
from crushtest.pipeline.search.sensitivity import check_target, measure_cells
from crushtest.pipeline.search.swaps import swap_parts
from crushtest.pipeline.search.whole import WholeMixes
from crushtest.printing import printable
from crushtest.progress import show_progress
from crushtest.report.page.search_page import write_search_page
from crushtest.stats.fixed_sequence import verify_in_order
from crushtest.study.searched import Judged, Outcome, SearchFolder, SearchRecord


def run_search(search: Search) -> SearchRecord:
    """Finish a search and return what it found. Killed at any moment, the next call goes on."""
    folder = search.folder
    with folder.locked():
        record = folder.read() or _begin(search)
        for step in (_write_policies, _measure, _choose, _swap, _screen, _verify, _compare):
            record = step(search, record)
        if not folder.page.exists():
            write_search_page(folder)
    return record


def _begin(search: Search) -> SearchRecord:
    record = SearchRecord(
        request=search.request.as_json(),
        halves=search.counted,
        other={task: len(items) for task, items in search.other.items()},
        parts=tuple(part.name for part in search.parts),
        options=tuple(option.text for option in search.request.option_recipes),
        scores=search.scores,
    )
    search.folder.write(record)
    return record


def _write_policies(search: Search, record: SearchRecord) -> SearchRecord:
    """Write the policies that the folder lacks. They come after search.json, by which a killed search is known."""
    folder, budgets = search.folder, search.budgets
    for path, text in (
        (folder.policy, budgets.screen),
        (folder.verify_policy, budgets.verify),
        (folder.other_policy, budgets.other),
    ):
        if text is not None and not path.exists():
            with replacing(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
    return record


def _measure(search: Search, record: SearchRecord) -> SearchRecord:
    """Ask dense the search half, then measure every part at every option."""
    folder, request = search.folder, search.request
    if folder.sensitivity.complete:
        return record
    with _timed(folder, "dense on the search half"):
        run_study(request.study(folder, "search"), folder.screen.root)
    check_room(request, search.plan, folder.screen.read_estimates())
    if search.measured is not None:
        with replacing(folder.sensitivity.final) as temporary:
            temporary.write_bytes(search.measured.sensitivity.final.read_bytes())
        folder.sensitivity.read()
        return record
    with _timed(folder, "sensitivity"), show_progress() as progress:
        calibration = calibration_of(search)
        if search.scores == "gradient":
            opened = open_model(search.plan, request.grain, progress)
            check_target(opened, request.option_recipes, calibration, request.target)
            sample = Sample(folder.screen, search.plan, sample_of(search))
            estimate_cells(opened, sample, folder, request.option_recipes, calibration, progress)
        else:
            gauge = open_gauge(search, progress)
            check_target(gauge.opened, request.option_recipes, calibration, request.target)
            gauge = with_few(search, gauge, progress)
            measure_cells(gauge, folder, request.option_recipes, calibration, progress)
    return record


def _choose(search: Search, record: SearchRecord) -> SearchRecord:
    """Allocate, and write down every candidate."""
    if record.candidates is not None:
        return record
    with _timed(search.folder, "allocation"), show_progress() as progress:
        known = known_of(search)
        with progress.step("allocation", 1) as advance:
            found = candidates(known, search.request.given_recipes, search.request.target)
            advance(1)
    return _with(search, record, candidates=tuple(found), reference=known.reference.text)


def _swap(search: Search, record: SearchRecord) -> SearchRecord:
    """Try swaps of two parts in each mix; those mixes that became better are candidates besides."""
    request = search.request
    if record.order is not None or not request.swaps:
        return record
    with _timed(search.folder, "swaps"), show_progress() as progress:
        whole = WholeMixes(search, progress)
        record = swap_parts(known_of(search), record, request.target, request.swaps, whole.measure, search.folder.write)
    search.folder.write(record)
    return record


def _screen(search: Search, record: SearchRecord) -> SearchRecord:
    """Judge the candidates on the search half, stopping early, and fix the order of verification."""
    if record.order is not None:
        return record
    with _timed(search.folder, "screening"):
        return screen(search, record)


def _verify(search: Search, record: SearchRecord) -> SearchRecord:
    """Ask the other half: candidate after candidate, in the order that stands written, until one fails."""
    if record.outcome is not None:
        return record
    assert search.folder.read() == record, "the order must be on disk before an item of the other half is asked"
    order, verified = record.order or (), dict[str, Judged]()

    def passes(name: str) -> bool:
        print(printable(f"verification: {name}, {len(verified) + 1} of at most {len(order)}"), file=sys.stderr)
        verified.update(_ask_other_half(search, record, [*verified, name]))
        return verified[name].outcome == "passed"

    with _timed(search.folder, "verification"):
        result = verify_in_order(order, passes)
    answer = result.answer
    return _with(
        search,
        record,
        verified=tuple(verified.values()),
        outcome=outcome_of(record, answer, verified.get(result.ended_by or "")),
        answer=answer,
        recipe=None if answer is None else record.candidate(answer).recipe,
    )


def outcome_of(record: SearchRecord, answer: str | None, ended_by: Judged | None) -> Outcome:
    """Return how a search ends, given its answer, or else what ended the verification; None if nothing was verified."""
    if answer is not None:
        return "found"
    if ended_by is not None:
        return "none" if ended_by.outcome == "regression" else "inconclusive"
    beyond = all(one.outcome == "regression" or 1 < one.worst < float("inf") for one in record.eligible)
    return "none" if beyond else "inconclusive"


def _ask_other_half(search: Search, record: SearchRecord, names: Sequence[str]) -> dict[str, Judged]:
    """Ask these candidates, and no others, all items of the verification; return what the budget says of each."""
    folder, request = search.folder, search.request
    arms = arms_of([record.candidate(name) for name in names])
    run_study(request.study(folder, "verify", arms), folder.verify.root)
    sizes = {name: size_in(folder.verify, name, search.linear_bytes) for name in names}
    judged = judge(folder.verify, str(folder.verify_policy), names, sizes)
    if request.verify is not None:
        run_study(request.other_study(folder, arms), folder.other.root)
        others = judge(folder.other, str(folder.other_policy), names, sizes)
        judged = [worse_of(one, other) for one, other in zip(judged, others, strict=True)]
    return {one.name: one for one in judged}


def _compare(search: Search, record: SearchRecord) -> SearchRecord:
    """Ask the other half of uniform recipes about as large as the answer, and of the mix by text alone of its size.

    They stand beside the answer and decide nothing.
    """
    if record.beside is not None:
        return record
    about, beside = compared_with(record), tuple[Judged, ...]()
    with _timed(search.folder, "comparison"):
        if about is not None:
            record = record.model_copy(update={"rivals": tuple(rivals(known_of(search), record, about, LANGUAGE))})
            names = neighbours(record)
            judged = _ask_other_half(search, record, [*(one.name for one in record.verified or ()), *names])
            beside = tuple(judged[name] for name in names)
            record = record.model_copy(update={"rivals": tuple(one for one in record.rivals if one.name in names)})
    return _with(search, record, beside=beside)


def compared_with(record: SearchRecord) -> str | None:
    """Return the name of the answer; without one, of what was verified last; None if nothing was verified."""
    return record.answer or next((one.name for one in reversed(record.verified or ())), None)


def neighbours(record: SearchRecord) -> list[str]:
    """Return what is measured beside the answer: the uniform recipes next in size, and rivals that are not uniform.

    One of the uniform recipes is no larger, one no smaller. What was verified is left out.
    """
    verified = [one.name for one in record.verified or ()]
    about = compared_with(record)
    if about is None:
        return []
    known = (*(record.candidates or ()), *record.rivals)
    size = {one.name: one.size or 0.0 for one in known} | {one.name: one.size for one in record.screened or ()}
    uniform = [one.name for one in known if one.kind == "uniform" and one.name != about]
    others = [one.name for one in record.rivals if one.kind != "uniform"]
    no_smaller = sorted((name for name in uniform if size[name] >= size[about]), key=lambda name: size[name])
    no_larger = sorted((name for name in uniform if size[name] < size[about]), key=lambda name: -size[name])
    return [name for name in (*no_smaller[:1], *no_larger[:1], *others) if name not in verified]


def _with(search: Search, record: SearchRecord, **facts: object) -> SearchRecord:
    changed = record.model_copy(update=facts)
    search.folder.write(changed)
    return changed


@contextmanager
def _timed(folder: SearchFolder, step: str) -> Iterator[None]:
    """Count the seconds of a step, also if it is interrupted by an error or by the user."""
    began = time.monotonic()
    try:
        yield
    finally:
        folder.add_cost(step, time.monotonic() - began)
