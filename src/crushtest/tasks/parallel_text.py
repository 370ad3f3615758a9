"""parallel_text: one text in several languages: which language pays for compression?

What the demo gives (SmolLM2-135M, `limit: 60`, `rtn:bits=3,group_size=64`), in bits per byte: English 1.07 -> 1.37,
Spanish 1.94 -> 2.91, Dutch 2.53 -> 3.39, Turkish 2.79 -> 3.98. The gaps to English grow by 0.67 (0.60 to 0.75), 0.56
(0.50 to 0.62) and 0.89 (0.84 to 0.95), and the ratios grow as well, by 0.31, 0.11 and 0.29. English pays least. This
model was made for English and hardly knows the others, so these numbers are not those of a multilingual model. In
another run of English and Spanish the gap grew by 0.13 bits (0.11 to 0.15) with 4 bits, by 0.21 (0.17 to 0.26) with
magnitude at 30% and by 0.64 (0.59 to 0.70) with wanda at 50%.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from annotated_types import MinLen

from crushtest.data.user_files import cluster_field, read_rows, require, text_field
from crushtest.errors import UsageError
from crushtest.records import Choices, Item
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.mbbq.alignment import english_counterparts
from crushtest.tasks.mbbq.mbbq import LANGUAGES, Category, Language
from crushtest.tasks.mbbq.mbbq import read_rows as read_questions
from crushtest.tasks.shared.parallel_metrics import parallel_metrics

CATEGORIES: tuple[Category, ...] = (
    "Age",
    "Disability_status",
    "Gender_identity",
    "Physical_appearance",
    "Sexual_orientation",
)
"""Those whose texts are translated in every file. The Turkish SES file is about other people than the English one."""


@task(
    "parallel_text",
    dimension="language and dialect",
    source="github.com/Veranep/MBBQ, or a file of your own",
    licence="none stated: fetched, never shipped",
    items=3162,
)
def parallel_text(
    *,
    languages: Annotated[tuple[str, ...], MinLen(2)] = LANGUAGES,
    path: str | None = None,
    cluster: str | None = None,
) -> Task:
    """One text in several languages: how many bits each language costs, against the first.

    languages  the first is the one that the others are compared with. Without `path`, some of en, es, nl and tr
    path       JSON lines (gzipped or not) or Parquet of your own, with a column per language, named as in `languages`
    cluster    a column of that file: rows with the same value are resampled together. A row without one is its own
               cluster. None: each row is

    Items: the contexts of MBBQ's questions in five of its six categories, each once, where all of these languages have
    it; or the rows of `path`. Each text is scored separately after the model's start token. Groups: `category` (of
    MBBQ). Clusters: the template.

    language_gap_bits_<language>, language_ratio_<language>
        bits per byte minus those of the first language, and divided by them; 0 and 1: no difference
    language_text_ratio_<language>
        bits for all texts divided by the bits for the same texts in the first language. Translations share their
        content, so this compares languages whose bytes and characters do not
    bits_per_byte_<language>, bits_per_character_<language>
        each language alone

    The `difference` of the contrasts of a gap says what compression did to the language beyond what it did to the
    first. Read the ratios beside it: when both get harder, a gap can grow while the ratio shrinks.

    Known problems: translations are not written by speakers for speakers, and they are simpler; a model that hardly
    knows a language has little left to lose, so a small change there is no good news.
    """
    if len(set(languages)) < len(languages):
        raise UsageError(f"task 'parallel_text': a language is named twice ({', '.join(languages)})")
    if odd := [language for language in languages if not language.isidentifier()]:
        raise UsageError(f"task 'parallel_text': a language must be letters, digits and _ (got {odd[0]!r})")
    unknown = [language for language in languages if language not in LANGUAGES]
    if path is None and unknown:
        raise UsageError(
            f"task 'parallel_text': without path, languages must be of {', '.join(LANGUAGES)} (got {unknown[0]!r})"
        )
    if path is None:
        return Task("choices", lambda: contexts(languages), parallel_metrics(languages))  # type: ignore[arg-type]
    return Task("choices", lambda: _own(path, languages, cluster), parallel_metrics(languages))


def contexts(languages: Sequence[Language]) -> list[Item]:
    """Return the different contexts of MBBQ that all these languages have, under the number of the English question."""
    items = []
    for category in CATEGORIES:
        texts = {language: _by_english(category, language) for language in languages}
        seen: set[tuple[str, ...]] = set()
        for row in read_questions(category, "en"):
            number = row["example_id"]
            if any(number not in texts[language] for language in languages):
                continue
            options = tuple(texts[language][number] for language in languages)
            if options in seen or len(set(options)) < len(options):
                continue
            seen.add(options)
            groups, cluster = (f"category={category}",), f"{category}/{row['question_index']}"
            items.append(Item(f"{category}/{number}", groups, cluster, Choices("", options)))
    return items


def _by_english(category: Category, language: Language) -> dict[int, str]:
    """Return the contexts of a language by the number of the English question that they translate."""
    rows = read_questions(category, language)
    pairs = english_counterparts(rows, read_questions(category, "en"))
    return {pairs[row["example_id"]]["example_id"]: row["context"] for row in rows if row["example_id"] in pairs}


def _own(path: str, languages: Sequence[str], cluster: str | None) -> list[Item]:
    file = require(path, task="parallel_text", because="")
    items = []
    for number, row in enumerate(read_rows(file)):
        where = f"{file}, row {number + 1}"
        texts = tuple(text_field(row, language, where=where) for language in languages)
        together = str(number) if cluster is None else cluster_field(row, cluster, number=number, where=where)
        items.append(Item(str(number), (), together, Choices("", texts)))
    return items
