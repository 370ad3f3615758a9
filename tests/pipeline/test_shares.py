"""What workers share: every part is taken once, whoever dies."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from crushtest import errors
from crushtest.cli.app import app
from crushtest.errors import CompressionError, CrushtestError, UnknownName
from crushtest.pipeline.executors.on_ray.cluster import connect
from crushtest.pipeline.executors.on_ray.shares import Shares
from crushtest.pipeline.executors.on_ray.travel import Refused
from crushtest.pipeline.executors.on_ray.turns import Stopped, Turns


@given(st.lists(st.integers(1, 5), min_size=1, max_size=60), st.data())
def test_what_is_lost_is_shared_anew_and_all_is_answered_once(sizes: list[int], data: st.DataObject) -> None:
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    shares = Shares([list(range(start, start + size)) for start, size in zip(starts, sizes, strict=True)])
    answered: list[int] = []
    while shares:
        share = shares.take(data.draw(st.integers(1, 4)), shared=data.draw(st.booleans()))
        told = share.mine[: data.draw(st.integers(0, len(share.mine)))]
        answered += told
        share.answered.update(told)
        if set(share.mine) or data.draw(st.booleans()):
            rest = share.rest()
            assert rest.mine == share.mine
            assert rest.failures == (1 if told else share.failures + 1)
            if rest.failures < 3:
                shares.give_back(rest)
            else:
                answered += rest.mine  # in a study this is an error
    assert sorted(answered) == list(range(sum(sizes)))


def test_the_first_of_two_workers_leaves_most_to_others() -> None:
    shares = Shares([[number] for number in range(64)])
    sizes = []
    while shares:
        sizes.append(len(shares.take(2, shared=True).mine))
    assert sizes == [16, 12, 9, 7, 5, 4, 4, 4, 3]
    assert len(Shares([[number] for number in range(64)]).take(2, shared=False).mine) == 64


def test_errors_are_the_same_errors_after_a_journey() -> None:
    made: list[CrushtestError] = [UnknownName("engine", "hff", ["hf"]), CompressionError("layer 3 is not finite")]
    made += [kind("why") for kind in vars(errors).values() if isinstance(kind, type) and kind is not UnknownName
             and issubclass(kind, CrushtestError)]  # fmt: skip
    for error in made:
        arrived = Refused.of(error).error()
        assert type(arrived) is type(error)
        assert str(arrived) == str(error)


TURNS = 20_000
"""More than two threads take before they are told to stop, however late that is."""


def test_threads_take_turns_and_leave_when_they_are_stopped() -> None:
    turns, seen = Turns(), []

    def work(name: str) -> None:
        try:
            with turns.taken():
                for _ in range(TURNS):
                    seen.append(f"{name} begins")
                    time.sleep(0)
                    seen.append(f"{name} ends")
                    with turns.away():
                        time.sleep(0.001)
        except Stopped:
            seen.extend([f"{name} begins", f"{name} ends"])

    threads = [Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    while len(seen) < 40:
        time.sleep(0.001)
    turns.stopping = True
    for thread in threads:
        thread.join()
    assert len(seen) < 2 * TURNS
    pairs = list(zip(seen[::2], seen[1::2], strict=True))
    assert all(begins.split()[0] == ends.split()[0] for begins, ends in pairs)
    assert {begins.split()[0] for begins, _ in pairs} == {"a", "b"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--executor", "slurm"], "unknown executor 'slurm' (allowed: local, ray)"),
        (["--workers", "2"], "--workers is for --executor ray"),
        (["--gpus-per-arm", "1"], "--gpus-per-arm is for --executor ray"),
        (["--executor", "ray"], "pip install 'crushtest[ray]'"),
    ],
)
def test_options_are_refused_in_one_line(options: list[str], said: str) -> None:
    with without_ray():
        result = CliRunner().invoke(app, ["evaluate", "fake", "--engine", "fake", "-o", "x", *options])
    assert isinstance(result.exception, errors.UsageError)
    assert said in str(result.exception)


def test_a_dry_run_for_a_cluster_needs_none_and_says_where_it_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.chdir(tmp_path)
    asked = ["evaluate", "fake", "--engine", "fake", "--suite", "probe_facts", "--limit", "4", "-o", "x", "--dry-run"]
    result = CliRunner().invoke(app, [*asked, "--executor", "ray"])
    assert result.exit_code == 0
    assert "a cluster runs as many side by side" in " ".join(result.stdout.split())
    with pytest.raises(errors.UsageError, match="--workers is for --executor ray"):
        CliRunner().invoke(app, [*asked, "--workers", "2"], catch_exceptions=False)


@contextmanager
def without_ray() -> Iterator[None]:
    """Look for packages as where Ray is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        hidden: Any = None
        patch.setitem(sys.modules, "ray", hidden)
        yield


@pytest.mark.parametrize("address", ["local", "ray://head:10001"])
def test_no_cluster_is_started_for_anybody(address: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(errors.UsageError, match="of a cluster that runs"):
        connect(address)
