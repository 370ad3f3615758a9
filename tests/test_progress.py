from __future__ import annotations

import pytest

from crushtest.progress import Bars, Lines, Pace


def test_without_a_terminal_a_step_is_a_line_when_it_begins_and_one_when_it_ends(
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


def test_how_long_is_left_is_not_said_before_enough_is_done() -> None:
    clock = Clock()
    pace = Pace(8000, clock=clock)
    clock.now = 60.0  # loading
    pace.advance(1)
    said = []
    for _ in range(20):
        clock.now += 3.0
        pace.advance(1)
        said.append(pace.left_s())
    assert said[:9] == [None] * 9
    assert said[9] == 3.0 * (8000 - 11)  # three seconds each: what was loaded does not count


def test_a_twentieth_of_a_short_step_is_enough_to_say_how_long_is_left() -> None:
    clock = Clock()
    pace = Pace(40, clock=clock)
    pace.skip(10)
    pace.advance(1)
    assert pace.left_s() is None
    clock.now = 1.0
    pace.advance(2)
    assert pace.left_s() == 0.5 * 27


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
