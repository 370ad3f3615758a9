"""`crushtest mcp`: an agent reads stored studies through the official SDK, and can change nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from crushtest.errors import UsageError
from crushtest.pipeline.stored import stored
from support import synthetic_study

REASON = "the official SDK of the Model Context Protocol is not installed (extra `mcp`)"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("agents")
    with synthetic_study.stand_ins() as names:
        synthetic_study.build(
            root / "one", [names[-1]], arms=({"name": "other", "recipe": "rtn:bits=4"},), size=24, replicates=20
        )
        yield root


def asked(root: Path, conversation: Callable[[Any], Coroutine[Any, Any, Any]], **options: Any) -> Any:
    """What a client in this process gets from the server."""
    client = pytest.importorskip("mcp.client", reason=REASON)
    from crushtest.cli.agents import make_server

    async def talk() -> Any:
        async with client.Client(make_server(root, **options)) as connected:
            return await conversation(connected)

    return asyncio.run(talk())


def test_the_tools_only_read(root: Path) -> None:
    tools = asked(root, lambda client: client.list_tools()).tools
    assert {tool.name for tool in tools} == {"list_studies", "contrasts", "gate", "why"}
    for tool in tools:
        assert tool.annotations.read_only_hint
        assert not tool.annotations.destructive_hint
        assert tool.description


CALLS = [
    ("list_studies", {}),
    ("contrasts", {"study": "one", "verdict": "no clear difference", "limit": 3}),
    ("gate", {"study": "one", "policy": "standard"}),
    ("why", {"study": "one", "arm": "other", "task": "probe_facts", "metric": "accuracy"}),
]


@pytest.mark.parametrize(("tool", "arguments"), CALLS, ids=[tool for tool, _ in CALLS])
def test_a_client_gets_what_the_study_says(root: Path, tool: str, arguments: dict[str, Any]) -> None:
    result = asked(root, lambda client: client.call_tool(tool, arguments))
    assert not result.is_error
    assert result.structured_content == getattr(stored(root), tool)(**arguments)


def test_an_error_is_our_line_and_the_server_goes_on(root: Path) -> None:
    async def conversation(client: Any) -> list[Any]:
        wrong = await client.call_tool("why", {**CALLS[3][1], "arm": "othr"})
        outside = await client.call_tool("contrasts", {"study": "../one"})
        return [wrong, outside, await client.call_tool("list_studies", {})]

    wrong, outside, right = asked(root, conversation)
    assert wrong.is_error
    assert "did you mean 'other'?" in wrong.content[0].text
    assert outside.is_error
    assert not right.is_error


def test_a_wrong_policy_is_refused_before_anything_is_served(root: Path) -> None:
    pytest.importorskip("mcp.client", reason=REASON)
    from crushtest.cli.agents import make_server

    with pytest.raises(UsageError, match="no such file"):
        make_server(root, "gone.yaml")


def test_without_the_extra_the_command_names_it(root: Path) -> None:
    script = (
        "import sys; sys.modules['mcp'] = None; from crushtest.cli.app import main;"
        f"sys.argv = ['crushtest', 'mcp', {str(root)!r}]; main()"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "pip install 'crushtest[mcp]'" in result.stderr
    assert not result.stdout
