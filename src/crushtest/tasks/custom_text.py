"""custom_text: texts of your own, with or without groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from annotated_types import Ge

from crushtest.data.user_files import cluster_field, read_rows, require, text_field, value_field
from crushtest.errors import UnknownName, UsageError
from crushtest.metrics import Metric, bits_per_byte, perplexity
from crushtest.records import Item
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.shared.dialect_metrics import DIALECT, MAINSTREAM, corpus_gaps
from crushtest.tasks.shared.divergence_metrics import Divergence, passages_task
from crushtest.tasks.shared.documents import WINDOW, Document, document_items

HOW = "needs path=FILE: JSON lines (gzipped or not) or Parquet, with a text per row"


@task("custom_text", dimension="language and dialect", source="a file of your own", licence="your own")
def custom_text(
    *,
    path: str | None = None,
    text: str = "text",
    group: str | None = None,
    cluster: str | None = None,
    dialect: str | None = None,
    mainstream: str | None = None,
    window: Annotated[int, Ge(2)] = WINDOW,
    divergence: Divergence = False,
) -> Task:
    """Perplexity and bits per byte of your own texts, per group, and the gap between two of the groups.

    Items: the rows of the file that `path` names; `text`, `group` and `cluster` name its columns. Each text is scored
    separately after the model's start token. Groups: the values of the column `group`. A row without a value there
    (null or blank) has no group and counts only over all rows. Texts with the same value of `cluster` (an author, a
    thread) are resampled together. A text without one is its own cluster. Metrics per group: `perplexity` (per token,
    so it compares only between models with one tokenizer) and `bits_per_byte` (which compares between any).

    `divergence` adds how far the next-token distributions are from the dense model's (see `divergence_metrics`).

    With `dialect` and `mainstream`, two values of the group, the task also measures how much more the dialect costs: as
    gap, ratio and difference of logarithms, in bits per byte and in perplexity (see dialect_pairs).

    Known problems: unlike the sides of pairs, the texts of two groups differ in more than dialect, so read the change
    from dense to arm and not the level.
    """
    if (dialect is None) != (mainstream is None) or (dialect and group is None):
        raise UsageError("task 'custom_text': dialect and mainstream are two values of the column that `group` names")
    if dialect is not None and dialect == mainstream:
        raise UsageError(f"task 'custom_text': dialect and mainstream must differ (got {dialect!r} twice)")
    metrics: tuple[Metric, ...] = (perplexity(), bits_per_byte())
    if dialect is not None:
        metrics = (*metrics, *corpus_gaps())
    sides = {} if dialect is None or mainstream is None else {dialect: DIALECT, mainstream: MAINSTREAM}

    def items() -> Sequence[Item]:
        documents = _documents(path, text, group, cluster, sides)
        return document_items(documents, window=window)

    return passages_task(items, metrics, divergence, headline=None if dialect is None else "dialect_gap_bits")


def _documents(
    path: str | None, text: str, group: str | None, cluster: str | None, sides: dict[str, int]
) -> Sequence[Document]:
    file = require(path, task="custom_text", because=HOW)
    documents = []
    for number, row in enumerate(read_rows(file)):
        where = f"{file}, row {number + 1}"
        value = None if group is None else value_field(row, group, where=where)
        documents.append(
            Document(
                str(number),
                text_field(row, text, where=where),
                () if value is None else (f"{group}={value}",),
                None if cluster is None else cluster_field(row, cluster, number=number, where=where),
                None if value is None else sides.get(value),
            )
        )
    _check_sides(documents, sides, group)
    return documents


def _check_sides(documents: Sequence[Document], sides: dict[str, int], group: str | None) -> None:
    """Raise UnknownName if a side has no text."""
    present = {name.partition("=")[2] for document in documents for name in document.groups}
    for value in sides:
        if value not in present:
            raise UnknownName(f"value of {group}", value, present, where="task 'custom_text'")
