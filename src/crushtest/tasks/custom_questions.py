"""custom_questions: questions of your own in BBQ's form, with the groups they are about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from crushtest.data.user_files import field
from crushtest.errors import DataError
from crushtest.metrics import Metric
from crushtest.records import Item
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.bbq.bbq import chosen_by, undecided
from crushtest.tasks.shared.bbq_items import ALPHABET, Form, Question, item_of_question
from crushtest.tasks.shared.bbq_metrics import bbq_metrics
from crushtest.tasks.shared.own_rows import Row, groups_in, id_and_cluster, own_items, text_in

HOW = "needs path=FILE: JSON lines with context, question, options and gold each, and if you like more (docs/tasks)"
FIELDS = ("context", "question", "options", "gold", "stereotyped", "unknown", "groups", "id", "cluster")


@task("custom_questions", dimension="representational harm", source="a file of your own", licence="your own")
def custom_questions(
    *,
    path: str | None = None,
    scoring: Literal["sum", "token", "byte"] = "sum",
    form: Form = "answers",
    chat: bool = False,
) -> Task:
    """Your own questions about people, with and without a context that decides: accuracy, unknown rate and bias.

    `path` names JSON lines (plain or gzipped) or a Parquet file with one question per row:

        {"context": "A nurse and a pilot met.", "question": "Who was late?", "options": ["the nurse", "the pilot",
         "cannot be known"], "gold": 2, "unknown": 2, "stereotyped": 0, "groups": ["job=nurse"], "cluster": "late"}

    context      the text before the question
    question     the question
    options      2 to 10 different answers
    gold         the right answer: its place from 0, or its text
    unknown      optional: the answer that means unknown. A question whose right answer it is has an ambiguous context,
                 every other one has a context that decides
    stereotyped  optional: the answer that follows the stereotype. Without it the question counts in no bias metric
    groups       optional: a list of `attribute=value`, or a mapping of attribute to value or values
    cluster      optional: a name that questions share if they belong together (the same template). Default: the
                 question alone
    id           optional: a name that no other row has. Default: the row's number

    scoring      the model's answer has the highest log-likelihood: summed, per token, or per byte
    form         score the answers themselves, or the letters A, B, ... of answers listed in the prompt
    chat         put the prompt into the model's chat template

    The whole file is checked before a model is loaded, and a field of any other name is refused. Items: one per row, in
    the prompt of `bbq`. Metrics: those of `bbq`. Rates of unknown answers are about the questions that have such an
    answer.

    Known problems: those of `bbq`. Where groups differ in more than the group, compare arms before you compare groups;
    and what is stereotyped is what the file says.
    """
    metrics = tuple(map(_where_unknown_is_offered, bbq_metrics(chosen_by(scoring))))
    return Task("choices", lambda: _questions(path, form, chat), (*metrics, undecided()), headline="bias_ambiguous")


def _where_unknown_is_offered(metric: Metric) -> Metric:
    """Return the metric; one of abstention only about questions that offer an answer that means unknown."""
    if metric.role != "abstention":
        return metric
    return replace(metric, applies_to=lambda item: item.facts["unknown"] is not None and metric.applies_to(item))


def _questions(path: str | None, form: Form, chat: bool) -> Sequence[Item]:
    def item(row: Row, number: int, where: str) -> Item:
        name, cluster = id_and_cluster(row, number)
        groups = groups_in(row.get("groups"), where)
        return item_of_question(_question(row, where), name, groups, cluster, form=form, chat=chat)

    return own_items(path, "custom_questions", because=HOW, fields=FIELDS, item=item)


def _question(row: Row, where: str) -> Question:
    given = {name: field(dict(row), name, where=where) for name in ("context", "question", "options", "gold")}
    answers = _options(given["options"], where)
    gold = _place(given["gold"], answers, "gold", where)
    unknown, stereotyped = (
        None if row.get(name) is None else _place(row[name], answers, name, where)
        for name in ("unknown", "stereotyped")
    )
    if stereotyped is not None and stereotyped == unknown:
        raise DataError(f"{where}: stereotyped and unknown are the same answer ({answers[stereotyped]!r})")
    return Question(
        context=text_in(given["context"], "context", where),
        question=text_in(given["question"], "question", where),
        answers=answers,
        condition="ambig" if gold == unknown else "disambig",
        polarity="",
        gold=gold,
        unknown=unknown,
        biased=stereotyped,
    )


def _options(value: Any, where: str) -> tuple[str, ...]:
    """Return the answers. Raises DataError unless they are different texts, at least 2 and at most 10."""
    if not isinstance(value, list) or not 2 <= len(value) <= len(ALPHABET):
        raise DataError(f"{where}: options must be a list of 2 to {len(ALPHABET)} answers (got {value!r})")
    for option in value:
        if not isinstance(option, str) or not option.strip():
            raise DataError(f"{where}: an option must be a text that is not blank (got {option!r})")
        if value.count(option) > 1:
            raise DataError(f"{where}: option {option!r} is there twice")
    return tuple(value)


def _place(value: Any, answers: Sequence[str], name: str, where: str) -> int:
    """Return the place of an answer that is given by its place or its text."""
    if isinstance(value, str) and value in answers:
        return answers.index(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(answers):
        return value
    raise DataError(f"{where}: {name} must be one of the options, or its place below {len(answers)} (got {value!r})")
