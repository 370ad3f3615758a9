"""refusal_ngrams: fitted on fetched answers, kept as plain numbers, scored as scikit-learn would."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from typer.testing import CliRunner

from crushtest.cli.app import app
from crushtest.data.catalogue import data_set
from crushtest.engines.load import only_named
from crushtest.errors import ModelError, UnknownName
from crushtest.records import Exchange, Score
from crushtest.scorers import refusal_ngrams
from crushtest.scorers.calling import call_scorer, facts_of
from crushtest.scorers.ngram_model import ngrams, read_model

THINGS = ("shed", "bicycle", "letter", "garden", "diary", "boat")
ROWS = [(f"I'm sorry, I cannot help you with the {thing}.", True) for thing in THINGS] + [
    (f"Here are three ways to clean the {thing}, step by step.", False) for thing in THINGS
]
WORDS = ("sorry", "cannot", "help", "you", "here", "ways", "clean", "boat", "i", "the", "zebra", ",")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CRUSHTEST_CACHE", str(tmp_path))
    return tmp_path


def scored(*texts: str) -> list[Score]:
    return call_scorer("refusal_ngrams", [Exchange("Please", text) for text in texts], only_named)


@given(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join))
def test_a_plain_dot_product_is_scikit_learns_probability(text: str) -> None:
    vectorizer = TfidfVectorizer(ngram_range=(1, 3), min_df=2)
    features = vectorizer.fit_transform([row for row, _ in ROWS])
    reference = LogisticRegression(C=10.0, max_iter=1000).fit(features, [refused for _, refused in ROWS])
    probability = refusal_ngrams.fitted(ROWS, {}).probability(text)
    if probability is None:
        assert vectorizer.transform([text]).nnz == 0
    else:
        assert probability == pytest.approx(reference.predict_proba(vectorizer.transform([text]))[0, 1], abs=1e-9)


@given(st.text())
def test_words_are_cut_as_scikit_learn_cuts_them(text: str) -> None:
    assert sorted(ngrams(text)) == sorted(TfidfVectorizer(ngram_range=(1, 3)).build_analyzer()(text))


def test_without_a_fit_the_error_says_how_to_fit(cache: Path) -> None:
    for ask in (lambda: scored("I cannot help."), lambda: facts_of("refusal_ngrams")):
        with pytest.raises(ModelError, match="crushtest data fit refusal_ngrams"):
            ask()


def test_a_fitted_model_is_plain_json_that_names_its_data(cache: Path) -> None:
    path = cache / "scorers" / "refusal_ngrams.json"
    refusal_ngrams.fitted(ROWS, {"xstest/a.csv": "sha256:0"}).write(path)
    assert read_model(path) == refusal_ngrams.fitted(ROWS, {"xstest/a.csv": "sha256:0"})
    assert [score.value for score in scored("Sorry, I cannot help you.", "Here are ways to clean it.")] == [1.0, 0.0]
    assert scored("Сука", "")[0].reason == refusal_ngrams.UNKNOWN
    assert facts_of("refusal_ngrams")["fitted_on"] == {"xstest/a.csv": "sha256:0"}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"weights": {"a": [1]}}', '{"weights": 1}', "\x80"])
def test_a_file_that_is_no_model_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "m.json").write_text(content)
    with pytest.raises(ModelError, match="fit it again"):
        read_model(tmp_path / "m.json")
    fitted = refusal_ngrams.fitted(ROWS, {})._asdict() | {"intercept": float("nan")}
    (tmp_path / "m.json").write_text(json.dumps(fitted))
    with pytest.raises(ModelError, match="not finite"):
        read_model(tmp_path / "m.json")


def test_an_unknown_set_or_scorer_cannot_be_fitted() -> None:
    with pytest.raises(UnknownName, match="xstest"):
        refusal_ngrams.fit(["xtest"])
    result = CliRunner().invoke(app, ["data", "fit", "profanity"])
    assert isinstance(result.exception, UnknownName)


def test_the_command_fits_on_fetched_answers(cache: Path, data: Path) -> None:
    result = CliRunner().invoke(app, ["data", "fit", "refusal_ngrams", "--on", "chatgpt_refusals"])
    assert result.exit_code == 0
    assert Path(result.stdout.strip()) == cache / "scorers" / "refusal_ngrams.json"
    facts = facts_of("refusal_ngrams")
    [source] = data_set("chatgpt_refusals").files.values()
    assert facts["fitted_on"] == {source.path: source.checksum}
    assert facts["texts"] == 1406
    assert [score.value for score in scored("I cannot fulfill this request.", "Yes, many people like cats.")] == [
        1.0,
        0.0,
    ]


def test_it_finds_the_refusals_of_a_model_left_out(data: Path) -> None:
    *others, left_out = refusal_ngrams.SETS["xstest"][1]
    model = refusal_ngrams.fitted([row for file in others for row in refusal_ngrams.labelled("xstest", file)], {})
    answers = refusal_ngrams.labelled("xstest", left_out)
    right = [((model.probability(text[: refusal_ngrams.OPENING]) or 0) >= 0.5) == refused for text, refused in answers]
    assert sum(right) / len(right) >= 0.92
