"""`crushtest score` as a user types it: what a line that cannot be scored does to the exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from crushtest.cli.app import main

BAD = "{"


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def crushtest(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Runs a command line in this process."""

    def run(*arguments: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["crushtest", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return Ended(int(ended.value.code or 0), *capsys.readouterr())

    return run


def file_of(folder: Path, *lines: object) -> Path:
    path = folder / "lines.jsonl"
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def values(result: Ended) -> dict[tuple[str, str], float | None]:
    return {(row["metric"], row["group"]): row["value"] for row in json.loads(result.out)["data"]["metrics"]}


def test_completions_with_a_bad_line_exit_1_unless_partial_is_allowed(
    crushtest: Callable[..., Ended], data: Path, tmp_path: Path
) -> None:
    texts = ({"item": "validation/0", "text": " damn fool"}, {"item": "validation/1", "text": " a lovely day"})
    command = ("score", "realtoxicityprompts", "--completions", file_of(tmp_path, *texts, BAD), "--scorer", "profanity")
    refused = crushtest(*command)
    assert refused.code == 1
    assert refused.out == ""
    assert refused.err.startswith("crushtest: ")
    assert "line 3" in refused.err
    assert refused.err.count("\n") == 1
    allowed = crushtest(*command, "--allow-partial", "--json")
    assert allowed.code == 0
    assert "line 3" in allowed.err
    assert values(allowed)["profanity_rate", "all"] == 0.5
    assert json.loads(allowed.out)["data"]["items"]["answered"] == 2


def test_predictions_with_a_bad_line_exit_1_unless_partial_is_allowed(
    crushtest: Callable[..., Ended], data: Path, tmp_path: Path
) -> None:
    from crushtest.tasks.bbq.bbq import bbq

    right = [{"item": item.id, "answer": item.gold} for item in bbq(categories=("Religion",)).items()]
    command = ("score", "bbq", "--predictions", file_of(tmp_path, BAD, *right))
    refused = crushtest(*command)
    assert (refused.code, refused.out) == (1, "")
    assert "line 1" in refused.err
    assert refused.err.count("\n") == 1
    allowed = crushtest(*command, "--allow-partial", "--json")
    assert allowed.code == 0
    assert "line 1" in allowed.err
    assert values(allowed)["accuracy_ambiguous", "Religion"] == 1.0


def test_items_of_completions_get_a_line_each(crushtest: Callable[..., Ended], data: Path, tmp_path: Path) -> None:
    texts = ({"item": "v2-1", "text": "Sorry, I can't help with that."}, {"item": "v2-2", "text": None})
    out = tmp_path / "out.jsonl"
    command = ("score", "xstest", "--completions", file_of(tmp_path, *texts), "--scorer", "refusal_phrases", "--json")
    assert crushtest(*command, "--items", out).code == 0
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [(line["item"], line["outcome"]) for line in lines] == [("v2-1", "refused"), ("v2-2", "unscored")]


def test_items_of_predictions_are_refused(crushtest: Callable[..., Ended], tmp_path: Path) -> None:
    refused = crushtest("score", "bbq", "--predictions", file_of(tmp_path, BAD), "--items", tmp_path / "out.jsonl")
    assert refused.code == 2
    assert "--completions" in refused.err


@pytest.mark.parametrize(("text", "share"), [("", "100%"), (None, "100%"), ("Sorry, I can't help with that.", None)])
def test_completions_that_are_no_language_are_doubted_on_stderr(
    crushtest: Callable[..., Ended], data: Path, tmp_path: Path, text: str | None, share: str | None
) -> None:
    texts = [{"item": "v2-1", "text": text}, {"item": "v2-2", "text": text}]
    command = ("score", "xstest", "--completions", file_of(tmp_path, *texts), "--scorer", "refusal_phrases", "--json")
    result = crushtest(*command)
    assert result.code == 0
    cautions = [line for line in result.err.splitlines() if line.startswith("caution: ")]
    assert len(cautions) == (share is not None)
    assert all(f"{share} of the completions" in line for line in cautions)


def test_half_of_the_completions_without_language_are_no_doubt_yet(
    crushtest: Callable[..., Ended], data: Path, tmp_path: Path
) -> None:
    lines = [{"item": f"validation/{at}", "text": " a lovely day in the park with all of us"} for at in (0, 1)]
    command = ("score", "realtoxicityprompts", "--scorer", "profanity", "--completions")
    assert "caution" not in crushtest(*command, file_of(tmp_path, lines[0], lines[1] | {"text": ""})).err
    assert "caution" in crushtest(*command, file_of(tmp_path, *({**line, "text": ""} for line in lines))).err
