"""Counts are whole, and the time left is never none while work is left."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crushtest.progress import Bars, Lines, Pace, Work, in_words


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_a_step_is_a_line_at_its_start_and_end(capsys: pytest.CaptureFixture[str]) -> None:
    work = [Work("probe_qa", 20, 1.0)]
    with Lines(work) as progress, progress.step("dense · probe_qa", 10, done=4, kind="probe_qa") as advance:
        for _ in range(6):
            advance(1)
    out, err = capsys.readouterr()
    assert not out
    first, last = err.splitlines()
    assert first == "dense · probe_qa: 6 to do, 4 done before"
    assert last.startswith("dense · probe_qa: 10 of 10 in 0 s; study 10 of 20, about 1 s left")


def test_a_long_step_says_a_line_every_interval(capsys: pytest.CaptureFixture[str]) -> None:
    with Lines([Work("task", 3)], every_s=0.0) as progress, progress.step("arm · task", 3, kind="task") as advance:
        for _ in range(3):
            advance(1)
    assert len(capsys.readouterr().err.splitlines()) == 5


def test_a_step_that_was_done_before_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Lines([Work("task", 3)]) as progress, progress.step("arm · task", 3, done=3, kind="task"):
        pass
    assert not capsys.readouterr().err


def test_hundredths_are_shown_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    with Lines(every_s=0.0) as progress, progress.step("arm · compressing", 100, percent=True) as advance:
        advance(66)
        advance(34)
    begins, during, *_, end = capsys.readouterr().err.splitlines()
    assert (begins, during) == ("arm · compressing", "arm · compressing: 66%")
    assert end.startswith("arm · compressing: 100% in ")


def test_time_that_is_of_no_thing_is_left_out_of_the_pace() -> None:
    clock = Clock()
    with Lines([Work("task", 8000, 1.0)], clock=clock) as progress:
        with progress.step("arm · task", 8000, kind="task") as advance:
            with progress.step("arm · loading", 1) as loaded:
                clock.now = 600.0
                loaded(1)
            clock.now += 100.0
            advance(0)  # an engine was made
            for _ in range(10):
                clock.now += 3.0
                advance(1)
            assert progress._pace.left_s() == pytest.approx(3.0 * 7990)
        clock.now += 1000.0  # between two steps


def test_what_an_earlier_run_did_is_no_part_of_the_pace(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    works = [Work("t", 40, 1.0)]
    with Lines(works, every_s=0.1, clock=clock) as progress, progress.step("a · t", 40, done=10, kind="t") as advance:
        clock.now = 1.0
        advance(2)
    assert "study 12 of 40, about 14 s left" in capsys.readouterr().err  # 28 things at two per second


def test_a_kind_begun_is_paced_by_itself_and_others_by_their_cost() -> None:
    clock = Clock()
    pace = Pace([Work("short", 10, 1.0), Work("long", 10, 20.0), Work("loading", 2, counted=False)], clock)
    assert pace.left_s() is None
    clock.now = 2.0
    pace.done("short", 2)
    assert pace.left_s() == pytest.approx(8 * 1.0 + 10 * 20.0)
    clock.now = 12.0
    pace.done("long", 1)  # half as slow as announced
    assert pace.left_s() == pytest.approx(8 * 1.0 + 9 * 10.0)
    clock.now = 17.0
    pace.done("loading", 1)
    assert pace.left_s() == pytest.approx(8 * 1.0 + 9 * 10.0 + 5.0)
    assert (pace.completed, pace.total) == (3, 20)


@given(
    kinds=st.lists(st.tuples(st.integers(1, 50), st.floats(0.1, 100), st.floats(0.5, 2)), min_size=1, max_size=5),
    pace=st.floats(1e-3, 10),
)
def test_costs_right_within_a_factor_give_a_time_left_within_it(
    kinds: list[tuple[int, float, float]], pace: float
) -> None:
    """Announced costs are off by at most 2 either way, so the estimate is off by at most 4, and never 0."""
    clock = Clock()
    estimate = Pace([Work(str(n), count, cost * wrong) for n, (count, cost, wrong) in enumerate(kinds)], clock)
    left = sum(count * cost for count, cost, _ in kinds)
    for number, (count, cost, _) in enumerate(kinds):
        for _ in range(count):
            clock.now += cost * pace
            left -= cost
            estimate.done(str(number), 1)
            shown = estimate.left_s()
            assert (shown is None) == (estimate.completed in (1, estimate.total))  # nothing tells if one was a burst
            if shown is not None:
                assert shown >= 1.0
                assert left * pace / 4.001 <= shown <= max(1.0, left * pace * 4.001)


def in_packs(
    pace: Pace, clock: Clock, kind: str, packs: int, size: int, seconds: float, *, before_s: float = 0.0
) -> list[float | None]:
    """What is shown after every answer: packs of that many answers, whose answers come at once."""
    shown = []
    clock.now += before_s
    for _ in range(packs):
        clock.now += seconds
        for _ in range(size):
            pace.done(kind, 1)
            shown.append(pace.left_s())
            clock.now += seconds / size / 1000
    return shown


@given(packs=st.integers(2, 8), size=st.integers(2, 64), seconds=st.floats(0.5, 100))
def test_the_first_answer_of_a_pack_does_not_stand_for_all(packs: int, size: int, seconds: float) -> None:
    """The time left is right within the time of one pack, from the second pack on; until then none is shown."""
    clock = Clock()
    shown = in_packs(Pace([Work("t", packs * size, 1.0)], clock), clock, "t", packs, size, seconds)
    assert shown[:size] == [None] * size
    for place, left in enumerate(shown[size:-1], start=size):
        true_s = seconds * (packs - 1 - place // size)
        assert left is not None
        assert abs(left - max(1.0, true_s)) <= seconds * 1.1 + 1.0


@given(first=st.floats(0.5, 2), second=st.floats(0.5, 2), size=st.integers(2, 32))
def test_the_time_left_does_not_jump_at_the_next_task(first: float, second: float, size: int) -> None:
    """Costs announced within a factor of 2 leave it within one of 4, though a task begins with a pack of answers."""
    clock = Clock()
    pace = Pace([Work("a", 5 * size, first), Work("b", 5 * size, second)], clock)
    in_packs(pace, clock, "a", 5, size, 10.0)
    pace.restart()
    shown = in_packs(pace, clock, "b", 5, size, 10.0, before_s=5.0)
    assert all(left is not None and left <= 4.1 * 50 for left in shown[:-1])
    assert all(left is not None and left >= 40 / 4.1 for left in shown[:size])


def test_a_repeated_study_knows_the_time_from_its_start() -> None:
    clock = Clock()
    works = [Work("t", 40, 1.0, took_s=2.0), Work("new", 10, 3.0), Work("loading", 2, counted=False, took_s=5.0)]
    pace = Pace(works, clock)
    assert pace.left_s() == pytest.approx(40 * 2.0 + 10 * 6.0 + 2 * 5.0)
    clock.now = 4.0
    pace.done("t", 4)
    assert pace.left_s() == pytest.approx(36 * 1.0 + 10 * 3.0 + 2 * 5.0)


def test_bars_leave_what_an_earlier_run_did_out_of_the_pace() -> None:
    with Bars([Work("t", 40, 1.0)]) as progress, progress.step("a · t", 40, done=10, kind="t") as advance:
        advance(1)
        assert progress._bars.tasks[0].completed == 11
        assert progress._pace._kinds["t"].burst == 1


@pytest.mark.parametrize("width", [60, 80, 140])
def test_bars_cut_names_and_never_counts(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with Bars([Work("t", 98760, 1.0)]) as progress:
        progress.console.file = io.StringIO()
        with progress.step("magnitude:sparsity=0.5,pattern=unstructured · probe_prompts", 9876, kind="t") as advance:
            advance(9000)
            progress._bars.refresh()
            shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", progress.console.file.getvalue())
    assert "9000 of 9876" in shown
    assert "9000 of 98760" in shown
    assert re.search(r"\d (s|min|h) left", shown)
    assert "…" not in re.sub(r"magnitude\S*…", "", shown)


def test_bars_show_names_as_they_are_and_write_to_stderr_only(capsys: pytest.CaptureFixture[str]) -> None:
    with Bars([Work("task", 4)]) as progress:
        with progress.step("[red]arm[/] · task", 4, kind="task") as advance:
            advance(4)
        progress.say("[b]a line[/b]")
    out, err = capsys.readouterr()
    assert not out
    assert "[b]a line[/b]" in err


@pytest.mark.parametrize("total", [0, 4])
def test_the_bar_of_the_study_is_shown_where_there_is_one(total: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with Bars([Work("t", total)]) as progress, progress.console.capture() as shown, progress.step("saving", 1):
        pass
    assert ("study" in shown.get()) == (total > 0)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.0, "1 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h")]
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
