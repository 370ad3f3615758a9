"""refusal_hub: which label of a classifier is the refusal, and what becomes of its probability."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from crushtest.engines.load import only_named
from crushtest.errors import UsageError
from crushtest.records import Exchange, Score
from crushtest.registry import SCORERS
from crushtest.scorers.calling import call_scorer, facts_of
from support.tiny_classifier import make_classifier


def scored(spec: str, *texts: str) -> list[Score]:
    return call_scorer(spec, [Exchange("Once", text) for text in texts], only_named)


@pytest.mark.parametrize("labels", [("refusal", "non-refusal"), ("REJECTION", "NORMAL")])
def test_the_label_for_a_refusal_is_a_whole_name(tmp_path: Path, labels: tuple[str, str]) -> None:
    refusing = make_classifier(tmp_path / "refusing", labels, logits=(math.log(3), 0.0))
    other = make_classifier(tmp_path / "other", labels, logits=(0.0, math.log(3)))
    assert scored(f"refusal_hub:{refusing}", "a man", "") == [Score(1.0), Score(None, "empty completion")]
    assert scored(f"refusal_hub:{other}", "a man") == [Score(0.0)]
    assert facts_of(f"refusal_hub:{other}")["label"] == labels[0]


def test_another_label_must_be_named_and_exist(tmp_path: Path) -> None:
    folder = make_classifier(tmp_path, ("LABEL_0", "LABEL_1"), logits=(0.0, 1.0))
    assert scored(f"refusal_hub:{folder},label=LABEL_1", "a man") == [Score(1.0)]
    for spec in (f"refusal_hub:{folder}", f"refusal_hub:{folder},label=refusal"):
        with pytest.raises(UsageError, match="LABEL_1"):
            facts_of(spec)


def test_a_long_answer_is_read_by_its_beginning(tmp_path: Path) -> None:
    folder = make_classifier(tmp_path, ("refusal", "non-refusal"), logits=(1.0, 0.0), positions=512)
    assert scored(f"refusal_hub:{folder}", "the man is good " * 1000) == [Score(1.0)]
    assert SCORERS.get("refusal_hub").about.detects == "refusal"
