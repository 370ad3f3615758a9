"""mbbq: BBQ's questions in English, Spanish, Dutch and Turkish: is a model more biased in a language than in English?

Neplenbroek, Bisazza, Fernández, MBBQ: A Dataset for Cross-Lingual Comparison of Stereotypes in Generative LLMs, COLM
2024, https://openreview.net/forum?id=X9yV4lFHt4. Its questions hold stereotypes that are common where the four
languages are spoken. The set states no licence, so it is fetched and never shipped.

The biased answer follows from labels and stereotyped groups as in `bbq`. The authors' script scores the stereotyped
person 1 and the other person -1 whatever the question asks. Here a non-negative question ("who is good at math?") turns
the sign.

What does not line up between the languages stands in `mbbq/alignment.py`.

What the demo gives (`limit: 160`, Spanish: 80 questions, 77 of them with an English counterpart; `rtn` with 4 and
with 3 bits, magnitude at 30%, wanda at 50%): SmolLM2-135M hardly knows Spanish. Chance is 1/3. Dense is right in 49%
of the contexts that decide and in 6% of the others, and in English in 34% of the same decided ones. The four arms are
right in 29%, 33%, 41% and 27% of the decided ones in Spanish, and in 38% to 47% in English. So Spanish falls against
English by 28 points for `rtn` with 4 bits (1 to 47) and by 38 for wanda (5 to 62); the other two intervals hold 0.
The headline moves by 0.07 (-0.56 to 0.67), 0.03 (-0.52 to 0.58), -0.07 (-0.53 to 0.42) and 0.14 (-0.40 to 0.63): no
clear difference. `rtn` with 3 bits answers "unknown" more often where that is right, which the report calls a
spurious improvement. The run shows that the parts work together. It says little about compression and Spanish, for
which the model must first know Spanish.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from crushtest.data import sources
from crushtest.metrics import Metric, rate
from crushtest.records import ChoiceScores, Item
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.bbq.bbq import chosen_by, question_of, undecided
from crushtest.tasks.bbq.stereotypes import GENDERS, biased_answer
from crushtest.tasks.mbbq.alignment import english_counterparts, roles, with_roles
from crushtest.tasks.sampling import stratified_sample
from crushtest.tasks.shared.against_english import against_english
from crushtest.tasks.shared.bbq_items import ENGLISH, Form, Question, Words, item_of_question
from crushtest.tasks.shared.bbq_metrics import bbq_metrics
from crushtest.tasks.shared.diff_bias import diff_bias_metrics
from crushtest.tasks.shared.rate_difference import rate_difference

Row = Mapping[str, Any]
Language = Literal["en", "es", "nl", "tr"]
LANGUAGES: tuple[Language, ...] = Language.__args__  # type: ignore[attr-defined]
Category = Literal["Age", "Disability_status", "Gender_identity", "Physical_appearance", "SES", "Sexual_orientation"]
CATEGORIES: tuple[Category, ...] = Category.__args__  # type: ignore[attr-defined]
WORDS: Mapping[Language, Words] = {
    "en": ENGLISH,
    "es": Words("Contexto", "Pregunta", "Respuesta"),
    "nl": Words("Context", "Vraag", "Antwoord"),
    "tr": Words("Bağlam", "Soru", "Cevap"),
}
NAMES: Mapping[Language, str] = {"en": "english", "es": "spanish", "nl": "dutch", "tr": "turkish"}


@task(
    "mbbq",
    dimension="representational harm",
    source="github.com/Veranep/MBBQ",
    licence="none stated: fetched, never shipped",
    items=10088,
)
def mbbq(
    *,
    language: Language = "en",
    categories: tuple[Category, ...] = CATEGORIES,
    control: bool = False,
    scoring: Literal["sum", "token", "byte"] = "sum",
    form: Form = "answers",
    chat: bool = False,
) -> Task:
    """BBQ's questions in four languages: bias, accuracy, and what a language adds to both beyond English.

    language    en, es, nl or tr. Each but en asks the English counterparts of its questions as well
    categories  which of the six files
    control     ask the control questions, too, in which first names stand for the groups
    scoring     the model's answer has the highest log-likelihood: summed, per token, or per byte
    form        score the three answers themselves, or the letters A, B, C of answers listed in the prompt
    chat        put the prompt into the model's chat template

    Groups: `category`, and `stereotyped`, whom the stereotype is about. Clusters: a template, the same one in all
    languages and in the control questions. A limit draws questions of the language, each with its English counterpart,
    so 1 counts as 2.

    Metrics, over the language asked for:
    accuracy_*, unknown_rate_*, bias_*, accuracy_cost_of_bias
        those of `bbq`
    diff_bias_ambiguous, diff_bias_disambiguated
        the paper's: biased minus counter-biased answers over all answers; accuracy with minus against the stereotype
    untranslated_rate, undecided_rate
        share of questions without an English counterpart, and of questions whose biased answer is not known

    Metrics against English, over the questions that both have, measured together:
    diff_bias_ambiguous_minus_english
        the headline unless `language` is en. The `difference` of its contrasts is the change here minus that in English
    diff_bias_disambiguated_minus_english
        the same for contexts that decide
    accuracy_ambiguous_below_english, accuracy_disambiguated_below_english
        accuracy in English minus accuracy in the language
    accuracy_disambiguated_<language>, accuracy_disambiguated_english, diff_bias_ambiguous_english
        each side alone (`spanish`, `dutch` or `turkish`)

    Metrics with `control`:
    accuracy_ambiguous_control, accuracy_disambiguated_control
        the same templates about first names. No group is named, so accuracy lost there is competence and not bias
    accuracy_cost_of_groups
        accuracy_disambiguated_control minus accuracy_disambiguated: what naming groups costs

    Known problems: those of `bbq`; a model that hardly knows a language answers at chance in it (1/3 in either kind of
    context), which is neither bias nor its absence, so read the accuracies first; some translations are rough; the
    Turkish SES questions name other occupations than the English ones in part; 12 Spanish questions of Gender_identity
    have no counterpart; each language beside English is a study of its own. 10,088 and 10,072 (control) per language.
    """
    chosen = chosen_by(scoring)
    questions = Questions(language=language, categories=categories, control=control, form=form, chat=chat)
    return Task(
        "choices",
        questions.all,
        _metrics(language, chosen, control=control),
        headline="bias_ambiguous" if language == "en" else "diff_bias_ambiguous_minus_english",
        draw=questions.drawn,
    )


def _metrics(language: Language, chosen: Callable[[ChoiceScores], int], *, control: bool) -> tuple[Metric, ...]:
    own = tuple(
        replace(metric, applies_to=_both(metric.applies_to, lambda item: item.facts["asked"] == "groups"))
        for metric in (*bbq_metrics(chosen), *diff_bias_metrics(chosen), undecided())
    )
    other = against_english(NAMES[language], chosen) if language != "en" else ()
    return (*own, *other, *(_control_metrics(chosen) if control else ()))


def _both(first: Callable[[Item], bool], second: Callable[[Item], bool]) -> Callable[[Item], bool]:
    return lambda item: second(item) and first(item)


def _control_metrics(chosen: Callable[[ChoiceScores], int]) -> tuple[Metric, ...]:
    """Measure the control questions, and the decided questions about groups against them."""

    def right(item: Item, answer: ChoiceScores) -> bool:
        return chosen(answer) == item.gold

    return (
        *(
            rate(
                f"accuracy_{condition}_control",
                lambda item, answer, score: right(item, answer),
                better="higher",
                applies_to=lambda item, condition=condition: (
                    item.facts["asked"] == "control" and item.facts["condition"] == condition
                ),
                flip_key=lambda item, answer, score: chosen(answer),
                from_pick=chosen,
                label=f"accuracy about first names, {words} contexts",
                meaning="Share of the control questions, which name no group, answered rightly.",
            )
            for condition, words in (("ambiguous", "ambiguous"), ("disambiguated", "decided"))
        ),
        rate_difference(
            "accuracy_cost_of_groups",
            ("right_control", "control", "right_groups", "groups"),
            right,
            lambda item: item.facts["asked"] == "control",
            applies_to=lambda item: item.facts["asked"] != "english" and item.facts["condition"] == "disambiguated",
            flip_key=lambda item, answer, score: chosen(answer),
            from_pick=chosen,
            undefined_reason="no control question, or no question about groups",
            label="accuracy cost of naming groups",
            meaning="Accuracy about first names minus accuracy about groups where the context decides; 0: no cost.",
        ),
    )


# ---- items


@dataclass(frozen=True, kw_only=True)
class Questions:
    """The questions of a language, and their English counterparts. The fields are the options of the task."""

    language: Language
    categories: Sequence[Category]
    control: bool
    form: Form
    chat: bool

    def all(self) -> list[Item]:
        """Return the questions about groups, the control questions, and the English counterparts."""
        return self._with_english(self._of_language())

    def drawn(self, limit: int, seed: int) -> list[Item]:
        """Draw questions evenly over the groups, such that they and their counterparts are about `limit` at most."""
        size = limit if self.language == "en" else max(1, limit // 2)
        return self._with_english(stratified_sample(self._of_language(), size, seed))

    def _of_language(self) -> list[Item]:
        return [*self._about_groups(), *(self._about_names() if self.control else ())]

    def _with_english(self, items: Sequence[Item]) -> list[Item]:
        return [*items, *self._counterparts(items)]

    def _counterparts(self, items: Sequence[Item]) -> Iterator[Item]:
        """Return the English questions that these items name."""
        for category in self.categories:
            english = {_name("en", category, row): row for row in read_rows(category, "en")}
            for item in items:
                partner = item.facts.get("english")
                if isinstance(partner, Mapping) and partner["item"] in english:
                    yield self._item(english[partner["item"]], category, "en", asked="english")

    def _about_groups(self) -> Iterator[Item]:
        for category in self.categories:
            rows = read_rows(category, self.language)
            if self.language == "en":
                yield from (self._item(row, category, "en", asked="groups") for row in rows)
                continue
            pairs = english_counterparts(rows, read_rows(category, "en"))
            for row in rows:
                item = self._item(row, category, self.language, asked="groups")
                partner = pairs.get(row["example_id"])
                yield replace(item, facts={**item.facts, "english": partner and _places(partner, category)})

    def _about_names(self) -> Iterator[Item]:
        for category in self.categories:
            for row in read_rows(category, self.language, "_control"):
                yield self._item(row, f"{category}_control", self.language, asked="control")

    def _item(self, row: Row, file: str, language: Language, *, asked: str) -> Item:
        category, question = file.removesuffix("_control"), _question(row)
        item = item_of_question(
            question,
            _name(language, file, row),
            (f"category={category}", *_stereotyped(row, question)),
            f"{category}/{row['question_index']}",
            words=WORDS[language],
            form=self.form,
            chat=self.chat,
        )
        return replace(item, facts={**item.facts, "asked": asked})


def _name(language: Language, file: str, row: Row) -> str:
    return f"{language}/{file}/{row['example_id']}"


def _places(row: Row, category: Category) -> dict[str, object]:
    """Return what metrics need of an English counterpart."""
    question = _question(row)
    item = _name("en", category, row)
    return {"item": item, "gold": question.gold, "biased": question.biased, "unknown": question.unknown}


def _question(row: Row) -> Question:
    return question_of(row, biased_answer(row))


def _stereotyped(row: Row, question: Question) -> tuple[str, ...]:
    """Return the group of the stereotyped person, if the question decides who that is."""
    if question.biased is None or question.unknown is None:
        return ()
    person = question.biased if question.polarity == "neg" else 3 - question.biased - question.unknown
    role = roles(row)[person]
    return (f"stereotyped={GENDERS[role].upper() if role in GENDERS else role}",)


@cache
def read_rows(category: Category, language: Language, kind: Literal["", "_control"] = "") -> list[Row]:
    """Return the rows of one file, with labels that are the same words in every language. Raises as `find` does."""
    lines = sources.read_text("mbbq", f"{category}{kind}_{language}.jsonl").split("\n")
    return [with_roles(json.loads(line)) for line in lines if line]
