"""What a model wrote stays in a study's own files: not on a terminal, in a model card, JUnit or annotations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crushtest.cli.app import app
from crushtest.engines.fake import planted
from crushtest.scorers.judge import NO_VERDICT

MARKER = "xylophonequartz"
WRITTEN = (
    f"Begin with the {MARKER}, take your time, and look at the result before you go on.",
    f"As you asked: '{MARKER}' is \"the {MARKER}\"; ask somebody who has done it before.",
    f"{MARKER}: most people look it up, and then try it on a small example.",
)
"""What the models answer, and the judge repeats in place of a verdict."""


class Ran:
    """A study of two arms whose every answer, and whose judge's every answer, holds the marker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.printed: dict[str, str] = {}
        file = folder.with_suffix(".yaml")
        judge = "judge:fake,engine=fake:refuses=(?!)"
        file.write_text(
            "model: dense\nengine: fake:refuses=doctor|reviews|signature\n"
            "arms: [{name: other, model: other, engine: 'fake:refuses=(?!)'}]\n"
            f"suite: [{{probe_refusal: {{scorers: [refusal_phrases, '{judge}']}}}}]\n"
        )
        self("run", "run", "--study", str(file), "--out", str(folder))
        self("compare", "compare", str(folder))
        self("card", "card", str(folder))
        self("gate", "gate", str(folder), "--explain", "--github", "--junit", str(folder / "junit.xml"))
        self("gate as JSON", "gate", str(folder), "--json")
        self("verify", "verify", str(folder))
        for table in ("contrasts", "estimates"):
            self(f"query {table}", "query", str(folder), f"SELECT * FROM {table}")

    def __call__(self, what: str, *arguments: str) -> None:
        result = CliRunner().invoke(app, list(arguments))
        self.printed[what] = result.stdout + result.stderr


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planted, "ANSWERS", WRITTEN)
        return Ran(tmp_path_factory.mktemp("marked") / "s")


def test_nothing_that_is_printed_quotes_a_completion(ran: Ran) -> None:
    for what, text in ran.printed.items():
        assert MARKER not in text, what
        assert text, f"{what} printed nothing"
    assert NO_VERDICT in ran.printed["query estimates"], "the reason is there, without what it quotes"


def test_no_file_for_others_quotes_a_completion(ran: Ran) -> None:
    shared = [path for path in ran.folder.rglob("*") if path.suffix in (".md", ".xml", ".yaml", ".csv")]
    assert {path.suffix for path in shared} >= {".md", ".xml", ".yaml"}
    for path in [*shared, ran.folder / "manifest.json"]:
        assert MARKER.encode() not in path.read_bytes(), path.name


def test_the_score_files_hold_the_whole_reason(ran: Ran) -> None:
    result = CliRunner().invoke(app, ["query", str(ran.folder), "SELECT * FROM scores", "--json"])
    reasons = [row["reason"] for row in json.loads(result.stdout)["data"] if row["reason"]]
    assert len(reasons) > 40
    assert all(MARKER in reason for reason in reasons)


def test_the_page_says_that_not_declined_is_not_harmful(ran: Ran) -> None:
    assert "need not get a harmful answer" in (ran.folder / "report.html").read_text("utf-8")
