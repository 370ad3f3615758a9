from __future__ import annotations

import pytest

from crushtest.progress import Bars, Lines


def test_without_a_terminal_a_step_is_a_line_at_its_start_and_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Lines(20) as progress, progress.step("dense · probe_qa", 10, done=4, weight=1) as advance:
        for _ in range(6):
            advance(1)
    out, err = capsys.readouterr()
    assert not out
    first, last = err.splitlines()
    assert first == "dense · probe_qa: 6 to do, 4 done before"
    assert last.startswith("dense · probe_qa: 10 of 10 in 0 s; study 10 of 20, about 0 s left")


def test_a_long_step_says_a_line_every_interval(capsys: pytest.CaptureFixture[str]) -> None:
    with Lines(3, every_s=0.0) as progress, progress.step("arm · task", 3, weight=1) as advance:
        for _ in range(3):
            advance(1)
    assert len(capsys.readouterr().err.splitlines()) == 5


def test_a_step_that_was_done_before_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Lines(3) as progress, progress.step("arm · task", 3, done=3, weight=1):
        pass
    assert not capsys.readouterr().err


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_time_left_counts_from_the_first_thing_done(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Lines(8000, every_s=1.0, clock=clock) as progress, progress.step("arm · task", 8000, weight=1) as advance:
        clock.now = 600.0  # loading
        for _ in range(11):
            advance(1)
            clock.now += 3.0
    assert "study 11 of 8000, about 439 min left" in capsys.readouterr().err  # 33 s for 10 things


def test_what_an_earlier_run_did_is_no_part_of_the_pace(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Lines(40, every_s=0.1, clock=clock) as progress, progress.step("a · t", 40, done=10, weight=1) as advance:
        advance(1)
        clock.now = 1.0
        advance(2)
    assert "study 13 of 40, about 14 s left" in capsys.readouterr().err  # 27 things at two per second


def test_bars_leave_what_an_earlier_run_did_out_of_the_pace() -> None:
    with Bars(40) as progress, progress.step("a · t", 40, done=10, weight=1) as advance:
        advance(1)
        study = progress._bars.tasks[0]
        assert (study.completed, study.speed or 0.0) == (11, 0.0)


def test_bars_show_names_as_they_are_and_write_to_stderr_only(capsys: pytest.CaptureFixture[str]) -> None:
    with Bars(4) as progress:
        progress.console.width = 140
        with progress.step("[red]arm[/] · task", 4, weight=1) as advance:
            advance(4)
        progress.say("[b]a line[/b]")
    out, err = capsys.readouterr()
    assert not out
    assert "[b]a line[/b]" in err


@pytest.mark.parametrize("total", [0, 4])
def test_the_bar_of_the_study_is_shown_where_there_is_one(total: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with Bars(total) as progress, progress.console.capture() as shown, progress.step("saving", 1):
        pass
    assert ("study" in shown.get()) == (total > 0)
