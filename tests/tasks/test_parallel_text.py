"""parallel_text: the same texts in several languages, and what each costs against the first."""

from __future__ import annotations

import json
from math import log
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crushtest.errors import DataError, UsageError
from crushtest.records import Choices, ChoiceScores, Item
from crushtest.tasks.parallel_text import parallel_text
from crushtest.tasks.shared.parallel_metrics import parallel_metrics
from support.respondents import needs_mirror, value_of

TEXTS = [("the cat", "el gato", "kedi"), ("a red house", "una casa roja", "kırmızı bir ev")]


def items() -> list[Item]:
    return [Item(str(number), (), str(number), Choices("", texts)) for number, texts in enumerate(TEXTS)]


def costing(nats_per_byte: tuple[float, ...]) -> dict[str, float]:
    """The metrics of a model to which a byte of each language costs so much."""
    answers = {}
    for item in items():
        assert isinstance(item.request, Choices)
        sizes = tuple(len(text.encode()) for text in item.request.options)
        logprobs = tuple(-cost * size for cost, size in zip(nats_per_byte, sizes, strict=True))
        answers[item.id] = ChoiceScores(logprobs, sizes, sizes)
    return {metric.name: value_of(metric, items(), answers) for metric in parallel_metrics(("en", "es", "tr"))}  # type: ignore[arg-type]


@given(st.tuples(*[st.floats(0.1, 5)] * 3))
def test_gaps_and_ratios_are_those_of_bits_per_byte(costs: tuple[float, float, float]) -> None:
    values = costing(costs)
    english, spanish, turkish = costs
    assert values["bits_per_byte_tr"] == pytest.approx(turkish / log(2))
    assert values["language_gap_bits_es"] == pytest.approx((spanish - english) / log(2))
    assert values["language_ratio_tr"] == pytest.approx(turkish / english)


def test_texts_cost_as_their_bytes_where_a_byte_costs_the_same() -> None:
    values = costing((1.0, 1.0, 1.0))
    sizes = [sum(len(texts[place].encode()) for texts in TEXTS) for place in range(3)]
    assert values["language_gap_bits_es"] == 0
    assert values["language_text_ratio_tr"] == pytest.approx(sizes[2] / sizes[0])
    # Turkish letters beyond ASCII have two bytes
    assert values["bits_per_character_tr"] > values["bits_per_byte_tr"]
    assert values["bits_per_character_en"] == values["bits_per_byte_en"]


@needs_mirror
def test_contexts_are_asked_once_each_in_all_languages() -> None:
    made = parallel_text().items()
    texts = [item.request.options for item in made if isinstance(item.request, Choices)]
    assert len(set(texts)) == len(texts) == 3162
    assert all(len(set(options)) == 4 for options in texts)
    by_language = parallel_text(languages=("en", "tr")).items()
    assert len({item.id for item in by_language}) == len(by_language)


@needs_mirror
def test_a_spanish_text_stands_beside_the_english_one_of_its_meaning() -> None:
    texts = [item.request.options for item in parallel_text(languages=("en", "es")).items()]  # type: ignore[union-attr]
    preschool = [options for options in texts if "preschool" in options[0]]
    assert preschool
    assert all("escuela" in spanish or "preescolar" in spanish for _, spanish in preschool)


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def test_a_file_of_your_own_has_a_column_per_language(tmp_path: Path) -> None:
    path = write(tmp_path / "own.jsonl", [{"fr": "le chat", "de": "die Katze", "who": "Ann"}] * 2)
    made = parallel_text(path=path, languages=("de", "fr"), cluster="who").items()
    assert [item.request for item in made] == [Choices("", ("die Katze", "le chat"))] * 2
    assert [item.cluster for item in made] == ["Ann", "Ann"]


def test_rows_without_a_value_in_the_cluster_column_are_each_their_own(tmp_path: Path) -> None:
    rows = [{"fr": "le chat", "de": "die Katze", "who": who} for who in ("Ann", None, None, " ", "Ann", 2)]
    path = write(tmp_path / "own.jsonl", rows)
    clusters = [item.cluster for item in parallel_text(path=path, languages=("de", "fr"), cluster="who").items()]
    assert (clusters[0], clusters[4], clusters[5]) == ("Ann", "Ann", "2")
    assert len(set(clusters)) == 5


def test_a_cluster_that_is_no_single_value_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "own.jsonl", [{"fr": "le chat", "de": "die Katze", "who": ["Ann", "Bob"]}])
    with pytest.raises(DataError, match="single value"):
        parallel_text(path=path, languages=("de", "fr"), cluster="who").items()


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "own.jsonl", [{"fr": "le chat"}])
    with pytest.raises(DataError, match="'de'"):
        parallel_text(path=path, languages=("fr", "de")).items()


@pytest.mark.parametrize("languages", [("en", "en"), ("en", "xx"), ("en", "pt-BR")])
def test_languages_that_make_no_sense_are_refused(languages: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        parallel_text(languages=languages)
