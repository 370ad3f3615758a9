"""What workers share: every part is taken once, whoever dies."""

from __future__ import annotations

import signal
import socket
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
from crushtest.cli.machines import Machines, executor_of
from crushtest.errors import CompressionError, CrushtestError, UnknownName
from crushtest.pipeline.checked import check_study
from crushtest.pipeline.executors.on_ray import driver
from crushtest.pipeline.executors.on_ray.driver import connect, disconnect
from crushtest.pipeline.executors.on_ray.shares import Shares
from crushtest.pipeline.executors.on_ray.travel import Refused
from crushtest.pipeline.executors.on_ray.turns import Stopped, Turns
from crushtest.study.spec import build_spec
from support.tiny_models import network, tokenizer


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


@pytest.mark.parametrize("device", ["cuda", "cuda:0,cuda:1", "cuda:0=20GB,cpu"])
def test_gpus_that_are_named_are_those_of_the_workers(tmp_path: Path, device: str) -> None:
    pytest.importorskip("ray")
    network(seed=0).save_pretrained(tmp_path / "model")
    tokenizer().save_pretrained(tmp_path / "model")
    suite = [{"probe_text": {"limit": 1}}]
    study = build_spec({"model": str(tmp_path / "model"), "device": device, "suite": suite}, where="test")
    workers = executor_of(Machines(executor="ray", gpus_per_arm=2), 1)
    assert check_study(study, tmp_path / "s", executor=workers).plan.dense.model_options.device == device
    with pytest.raises(errors.UsageError, match="a worker has no GPU without --gpus-per-arm"):
        check_study(study, tmp_path / "s", executor=executor_of(Machines(executor="ray"), 1))


@contextmanager
def without_ray() -> Iterator[None]:
    """Look for packages as where Ray is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        hidden: Any = None
        patch.setitem(sys.modules, "ray", hidden)
        yield


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Ray take 127.0.0.1 for itself, and not for this machine's own address."""
    services = pytest.importorskip("ray._private.services")
    monkeypatch.setattr(services, "resolve_ip_for_localhost", lambda host: host)


@pytest.mark.parametrize("address", ["local", "ray://head:10001"])
def test_no_cluster_is_started_for_anybody(address: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(errors.UsageError, match="of a cluster that runs"):
        connect(address)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1:{port}", r"nothing answers at '127.0.0.1:\d+'.* \(.+\); start a cluster with `ray start --head`"),
        ("[::1]:{port}", r"nothing answers at '\[::1\]:\d+'.* \(.+\); start"),
        ("no-such-host.invalid:6379", r"nothing answers at 'no-such-host.invalid:6379' \(.+\); start"),
        ("x" * 70 + ".invalid:6379", "nothing answers at .+; start"),
        *(
            (address, "HOST:PORT or")
            for address in ("head", "head:", ":6379", "head:70000", "::1:6379", "[]:1", "a:b:1")
        ),
    ],
)
def test_where_no_cluster_is_one_line_says_so_before_ray_tries(
    monkeypatch: pytest.MonkeyPatch, address: str, why: str
) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray tries for minutes"))
    with socket.socket() as bound:  # and does not listen
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(errors.UsageError, match=why):
            connect(address.format(port=bound.getsockname()[1]))


TLS_ALERT = bytes([21, 3, 3, 0, 2, 2, 10])
"""What a server of TLS says to one who does not speak it: an alert, fatal, of an unexpected message."""


@pytest.mark.usefixtures("loopback")
@pytest.mark.parametrize(
    "said", [b"", b"\0\0\0", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", TLS_ALERT]
)
def test_a_listener_that_is_no_cluster_is_named_before_ray_tries(monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray tries for minutes"))
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection = server.accept()[0]
            connection.sendall(said)
            connection.close()

        answering = Thread(target=answer)
        answering.start()
        with pytest.raises(errors.UsageError, match=r"is not a Ray cluster \(one with TLS .*\); start a cluster"):
            connect(f"127.0.0.1:{server.getsockname()[1]}")
        answering.join()


def test_where_ray_looks_elsewhere_than_at_loopback_the_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    services = pytest.importorskip("ray._private.services")
    monkeypatch.setattr(services, "resolve_ip_for_localhost", lambda host: "127.0.0.2")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        says = (
            f"'127.0.0.1:{port}', which Ray takes for '127.0.0.2:{port}' .* needs RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0"
        )
        with pytest.raises(errors.UsageError, match=says):
            connect(f"127.0.0.1:{port}")


@pytest.mark.usefixtures("loopback")
def test_a_listener_that_says_nothing_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray tries for minutes"))
    monkeypatch.setattr(driver, "SPEAKS_S", 0.1)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(errors.UsageError, match="is not a Ray cluster"),
    ):
        connect(f"127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.parametrize("found", ["named by RAY_ADDRESS", "found by Ray", "found by nobody"])
def test_auto_is_looked_up_before_ray_tries(monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    ray = pytest.importorskip("ray")
    services = pytest.importorskip("ray._private.services")
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray tries for minutes"))
    monkeypatch.setattr(services, "find_gcs_addresses", lambda: set())
    monkeypatch.setattr(
        services, "find_bootstrap_address", lambda _: "127.0.0.2:9" if found == "found by Ray" else None
    )
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.3:9" if found == "named by RAY_ADDRESS" else "")
    why = {
        "named by RAY_ADDRESS": "nothing answers at '127.0.0.3:9'",
        "found by Ray": "nothing answers at '127.0.0.2:9'",
        "found by nobody": "no cluster answers at 'auto'",
    }
    with pytest.raises(errors.UsageError, match=why[found]):
        connect("auto")


@pytest.mark.usefixtures("loopback")
def test_a_cluster_that_refuses_this_process_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")

    def refuse(**_: Any) -> None:
        raise ray.exceptions.AuthenticationError("Authentication token is missing or incorrect")

    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setenv("RAY_USE_TLS", "1")  # so that whoever listens will do
    refused = pytest.raises(errors.UsageError, match=r"could not be joined \(Authentication .*\); its token \(")
    with socket.create_server(("127.0.0.1", 0)) as server, refused:
        connect(f"127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.usefixtures("loopback")
def test_the_handler_of_sigterm_is_the_one_from_before_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")

    def ours(*_: Any) -> None: ...

    def theirs(**_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    monkeypatch.setattr(ray, "init", theirs)
    monkeypatch.setattr(ray, "shutdown", theirs)
    monkeypatch.setenv("RAY_USE_TLS", "1")  # so that whoever listens will do
    before = signal.signal(signal.SIGTERM, ours)
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            connect(f"127.0.0.1:{server.getsockname()[1]}")
        assert signal.getsignal(signal.SIGTERM) is ours
        disconnect()
        assert signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, before)


def test_workers_have_the_threads_asked_for_though_this_machine_has_fewer() -> None:
    pytest.importorskip("ray")
    assert executor_of(Machines(executor="ray"), 999)._cluster._need.cpus == 999  # type: ignore[attr-defined]
