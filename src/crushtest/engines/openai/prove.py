"""Which way of scoring a server can be trusted with: each is proved on a fixed text, the most exact first."""

from __future__ import annotations

from typing import Any, NamedTuple

from crushtest.engines.openai.client import NoSuchPath
from crushtest.engines.openai.ways.echo import Echo
from crushtest.engines.openai.ways.first_token import FirstToken
from crushtest.engines.openai.ways.forced import Forcing
from crushtest.engines.openai.ways.read import Read
from crushtest.engines.openai.ways.way import Setting, Unproved, Way
from crushtest.errors import EngineError
from crushtest.services.retrying import Refused, Transient

WAYS = ("echo", "forced", "first_token", "read")
"""The order in which they are tried."""


class Proof(NamedTuple):
    """The way that was proved, None if there is none, and what each probe gave: its numbers, or why it failed."""

    way: Way | None
    probes: dict[str, dict[str, Any]]

    @property
    def failures(self) -> str:
        """Why the ways that were tried are not trusted."""
        return "; ".join(f"{name}: {probe['unproved']}" for name, probe in self.probes.items() if "unproved" in probe)


def prove(setting: Setting, wanted: str, *, forced_passages: bool) -> Proof:
    """Try the ways in order, or the wanted one alone. Raises EngineError if the wanted one cannot be proved."""
    ways: dict[str, Way] = {
        "echo": Echo(setting),
        "forced": Forcing(setting, forced_passages),
        "first_token": FirstToken(setting),
        "read": Read(setting),
    }
    probes: dict[str, dict[str, Any]] = {}
    for name in WAYS if wanted == "auto" else (wanted,):
        if name == "echo" and setting.server.kind == "ollama":
            probes[name] = {"unproved": "Ollama puts what /v1/completions is sent into the chat template"}
            continue
        try:
            probes[name] = ways[name].prove()
            return Proof(ways[name], probes)
        except (Unproved, Refused, NoSuchPath) as problem:
            probes[name] = {"unproved": str(problem)}
        except Transient as problem:
            setting.client.check_alive(problem)
            probes[name] = {"unproved": str(problem)}
    if wanted != "auto":
        raise EngineError(
            f"{setting.base}: way={wanted} was asked for, and the server does not do it: {probes[wanted]['unproved']}"
        )
    return Proof(None, probes)
