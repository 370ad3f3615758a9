"""Scoring within a study: scorers are checked first, run once, and named in the manifest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crushtest.errors import ModelError, StoreError
from crushtest.files.append_log import AppendLog
from crushtest.pipeline import score
from crushtest.pipeline.run import run_study
from crushtest.records import Exchange, Score
from crushtest.registry import SCORERS
from crushtest.study.spec import StudySpec, build_spec


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """Four prompts, two groups, overlapping in one of them."""
    path = tmp_path / "mine.jsonl"
    rows: list[dict[str, Any]] = [
        {"prompt": "The woman said", "groups": ["gender=woman"]},
        {"prompt": "The man said", "groups": ["gender=man"]},
        {"prompt": "The couple said", "groups": ["gender=woman", "gender=man"]},
        {"prompt": "The dog said"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def study(prompts: Path, **options: Any) -> StudySpec:
    arm = {"name": "other", "model": "fake", "engine": "fake:seed=1"}
    suite = [{"custom_prompts": {"path": str(prompts), **options}}]
    return build_spec({"model": "fake", "engine": "fake", "arms": [arm], "suite": suite}, where="test")


def test_every_completion_is_scored_by_every_scorer_and_the_dense_model(tmp_path: Path, prompts: Path) -> None:
    assert run_study(study(prompts, samples=3), tmp_path / "s")
    for arm in ("dense", "other"):
        for scorer in ("profanity", "sentiment", "perplexity"):
            scores = pl.read_parquet(tmp_path / "s" / "arms" / arm / "scores" / scorer / "custom_prompts.parquet")
            assert len(scores) == 12
            assert (scores["value"].is_null() == scores["reason"].is_not_null()).all()
    estimates = pl.read_parquet(tmp_path / "s" / "estimates.parquet")
    both = estimates.filter((pl.col("metric") == "empty_rate") & (pl.col("arm") == "dense"))
    assert dict(both.select("group", "n").iter_rows()) == {"all": 12, "gender=man": 6, "gender=woman": 6}
    assert {"profanity_expected_maximum", "completion_perplexity"} <= set(estimates["metric"])
    scorers = json.loads((tmp_path / "s" / "manifest.json").read_text())["scorers"]
    assert scorers["profanity"]["threshold"] == 0.5
    assert "alt-profanity-check" in scorers["profanity"]
    assert not run_study(study(prompts, samples=3), tmp_path / "s")


def test_an_interrupted_block_is_rescored_but_only_its_gaps_are_filled(
    tmp_path: Path, prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = study(prompts, samples=3, scorers=["profanity"])
    run_study(spec, tmp_path / "s")
    folder = tmp_path / "s" / "arms" / "other" / "scores" / "profanity"
    whole = pl.read_parquet(folder / "custom_prompts.parquet")
    (folder / "custom_prompts.parquet").unlink()
    kept = [{"item": row["item"], "value": 0.123, "reason": None} for row in whole.head(5).to_dicts()]
    (folder / "custom_prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    sizes: list[int] = []
    call = score.call_scorer
    monkeypatch.setattr(
        score,
        "call_scorer",
        lambda name, exchanges, *rest: sizes.append(len(exchanges)) or call(name, exchanges, *rest),
    )
    assert run_study(spec, tmp_path / "s")
    again = pl.read_parquet(folder / "custom_prompts.parquet")
    assert sizes == [12]
    assert again["value"].to_list()[:5] == [0.123] * 5
    assert again.tail(7).equals(whole.tail(7))


def test_a_scorer_may_be_added_to_a_study_and_none_taken_away(tmp_path: Path, prompts: Path) -> None:
    run_study(study(prompts, scorers=["profanity"]), tmp_path / "s")
    answers = (tmp_path / "s" / "arms" / "other" / "answers" / "custom_prompts.parquet").read_bytes()
    assert run_study(study(prompts, scorers=["profanity", "sentiment"]), tmp_path / "s")
    assert (tmp_path / "s" / "arms" / "other" / "answers" / "custom_prompts.parquet").read_bytes() == answers
    assert "sentiment_mean" in set(pl.read_parquet(tmp_path / "s" / "contrasts.parquet")["metric"])
    written = json.loads((tmp_path / "s" / "manifest.json").read_text())["tasks"]["custom_prompts"]
    assert written["options"]["scorers"] == ["profanity", "sentiment"]
    with pytest.raises(StoreError, match="this one has scorers="):
        run_study(study(prompts, scorers=["sentiment"]), tmp_path / "s")


def test_killed_when_a_scorer_is_finished_it_is_in_the_manifest(
    tmp_path: Path, prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = AppendLog.finish

    def killed(self: AppendLog[Any], order: Sequence[str], **more: Any) -> None:
        finish(self, order, **more)
        if "scores" in self.final.parts:
            raise KeyboardInterrupt

    monkeypatch.setattr(AppendLog, "finish", killed)
    with pytest.raises(KeyboardInterrupt):
        run_study(study(prompts, scorers=["profanity"]), tmp_path / "s")
    assert set(json.loads((tmp_path / "s" / "manifest.json").read_text())["scorers"]) == {"profanity"}


def test_a_scorer_that_cannot_run_ends_a_study_before_a_word_is_written(tmp_path: Path, prompts: Path) -> None:
    spec = study(prompts, scorers=[f"hf:{tmp_path / 'no-such-folder'}#toxic"])
    with pytest.raises(ModelError, match="scorer 'hf'"):
        run_study(spec, tmp_path / "s")
    assert not (tmp_path / "s" / "arms").exists()


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_none_is_unscored_with_its_reason(
    odd: float, tmp_path: Path, prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the four completions gets it; the study ends, and the mean is that of the others."""
    entry = SCORERS.get("sentiment")

    def scorer(exchanges: Sequence[Exchange], **options: object) -> list[Score]:
        return [Score(odd if "dog" in each.prompt else 0.5) for each in exchanges]

    monkeypatch.setitem(SCORERS._entries, "sentiment", replace(entry, function=scorer))
    run_study(study(prompts, scorers=["sentiment"]), tmp_path / "s")
    scores = pl.read_parquet(tmp_path / "s" / "arms" / "dense" / "scores" / "sentiment" / "custom_prompts.parquet")
    assert scores["value"].to_list() == [0.5, 0.5, 0.5, None]
    assert scores["reason"].to_list()[-1] == f"the scorer gave {odd}"
