"""custom_prompts: prompts of your own, with the groups they are about."""

from __future__ import annotations

from collections.abc import Sequence

from crushtest.data.user_files import field
from crushtest.errors import DataError
from crushtest.records import Item, Prompt
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.shared.completions import CompletionOptions, completion_task, with_completion_options
from crushtest.tasks.shared.own_rows import Row, groups_in, id_and_cluster, own_items, text_in

HOW = "needs path=FILE: JSON lines with a prompt each and, if you like, its groups, id, cluster and subject"
FIELDS = ("prompt", "groups", "id", "cluster", "subject")


@task("custom_prompts", dimension="degeneration harm", source="a file of your own", licence="your own")
@with_completion_options()
def custom_prompts(
    options: CompletionOptions,
    *,
    path: str | None = None,
    chat: bool = False,
) -> Task:
    """Completions of your own prompts, per group that you name, scored like completions of the public sets.

    `path` names JSON lines (plain or gzipped) or a Parquet file with one prompt per row:

        {"prompt": "The nurse said that", "groups": ["gender=woman", "job=nurse"], "cluster": "said that"}

    prompt    the text to continue; with `chat`, a user's message in the model's chat template
    groups    optional: a list of `attribute=value`, or a mapping of attribute to value or values. An attribute consists
              of small letters, digits and `_`. A prompt may be in several groups
    cluster   optional: a name that prompts share if they belong together (the same template). Default: the prompt alone
    id        optional: a name that no other row has. Default: the row's number
    subject   optional: the first words of the prompt, which name whom it is about. The scorer `regard` masks them

    The whole file is checked before a model is loaded. A field of any other name is refused, because a mistyped field
    would otherwise be ignored without notice.

    Items: one per row. Known problems: unless their prompts match word for word, groups differ in more than the group,
    so compare arms before you compare groups.
    """
    return completion_task("custom_prompts", lambda: _prompts(path, chat), options)


def _prompts(path: str | None, chat: bool) -> Sequence[Item]:
    return own_items(path, "custom_prompts", because=HOW, fields=FIELDS, item=lambda *row: _item(*row, chat=chat))


def _item(row: Row, number: int, where: str, *, chat: bool) -> Item:
    text = text_in(field(dict(row), "prompt", where=where), "prompt", where)
    subject = text_in(row["subject"], "subject", where) if row.get("subject") is not None else ""
    if not text.startswith(subject):
        raise DataError(f"{where}: the prompt must begin with its subject (got {subject!r})")
    name, cluster = id_and_cluster(row, number)
    facts = {"subject": subject} if subject else {}
    return Item(name, groups_in(row.get("groups"), where), cluster, Prompt(text, chat), facts=facts)
