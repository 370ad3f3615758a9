"""Items, answers and scores as rows of a study's tables: columns, and the way there and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from crushtest.files.parquet import TableKind
from crushtest.records import (
    Choices,
    ChoiceScores,
    Completion,
    Item,
    Kind,
    Passage,
    PassageScore,
    Prompt,
    ReadChoice,
    Request,
    Unanswered,
)

NEWER = frozenset({"reason", "token_digest"})
ITEMS = TableKind(
    "items",
    pl.Schema(
        {
            "item": pl.String(),
            "groups": pl.List(pl.String),
            "cluster": pl.String(),
            "kind": pl.String(),
            "prompt": pl.String(),
            "options": pl.List(pl.String),
            "gold": pl.Int64(),
            "chat": pl.Boolean(),
            "sample": pl.Int64(),
            "follows": pl.String(),
            "window": pl.Int64(),
            "protocol": pl.String(),
            "stride": pl.Int64(),
            "against_dense": pl.Boolean(),
            "facts": pl.String(),
            "system": pl.String(),
        }
    ),
    newer=frozenset({"system"}),
    filled=("item", "groups", "cluster", "kind", "prompt", "facts"),
)
ANSWERS: Mapping[Kind, TableKind] = {
    "choices": TableKind(
        "answers",
        pl.Schema(
            {
                "item": pl.String(),
                "logprobs": pl.List(pl.Float64),
                "tokens": pl.List(pl.Int64),
                "bytes": pl.List(pl.Int64),
                "pick": pl.Int64(),
                "reply": pl.String(),
                "reason": pl.String(),
                "token_digest": pl.String(),
            }
        ),
        newer=frozenset({"pick", "reply", *NEWER}),
    ),
    "passages": TableKind(
        "answers",
        pl.Schema(
            {
                "item": pl.String(),
                "logprob": pl.Float64(),
                "tokens": pl.Int64(),
                "bytes": pl.Int64(),
                "kl": pl.List(pl.Float32),
                "agree": pl.Int64(),
                "reason": pl.String(),
                "token_digest": pl.String(),
            }
        ),
        newer=frozenset({"kl", "agree", *NEWER}),
    ),
    "prompts": TableKind(
        "answers",
        pl.Schema(
            {
                "item": pl.String(),
                "text": pl.String(),
                "tokens": pl.Int64(),
                "stop": pl.String(),
                "reason": pl.String(),
                "token_digest": pl.String(),
            }
        ),
        newer=NEWER,
    ),
}
SCORES = TableKind("scores", pl.Schema({"item": pl.String(), "value": pl.Float64(), "reason": pl.String()}))


def choice_answer(
    logprobs: list[float] | None = None,
    tokens: list[int] | None = None,
    bytes: list[int] | None = None,
    token_digest: str | None = None,
    pick: int | None = None,
    reply: str | None = None,
    reason: str | None = None,
) -> ChoiceScores | ReadChoice | Unanswered:
    """Build the answer to a question with options from the values in a file. Raises TypeError if it holds none."""
    if reply is not None:
        return ReadChoice(pick, reply, reason)
    if reason is not None:
        return Unanswered(reason)
    if logprobs is None or tokens is None or bytes is None:
        raise TypeError("neither scores, nor a reply, nor a reason")
    return ChoiceScores(tuple(logprobs), tuple(tokens), tuple(bytes), token_digest)


def passage_score(
    logprob: float,
    tokens: int,
    bytes: int,
    kl: list[float] | None = None,
    agree: int | None = None,
    token_digest: str | None = None,
) -> PassageScore:
    """Build a PassageScore from the values in a file."""
    return PassageScore(logprob, tokens, bytes, None if kl is None else tuple(kl), agree, token_digest)


def or_unanswered(build: Callable[..., Any]) -> Callable[..., Any]:
    """Return a builder of answers that makes an `Unanswered` of the fields that have a reason."""

    def made(reason: str | None = None, **fields: Any) -> Any:
        return build(**fields) if reason is None else Unanswered(reason)

    return made


ANSWER_BUILDERS: Mapping[Kind, Callable[..., Any]] = {
    "choices": choice_answer,
    "passages": or_unanswered(passage_score),
    "prompts": or_unanswered(Completion),
}


def item_row(item: Item) -> dict[str, Any]:
    """Return an item as a row of items/<task>.parquet."""
    request = item.request
    return {
        "item": item.id,
        "groups": list(item.groups),
        "cluster": item.cluster,
        "kind": type(request).__name__,
        "prompt": request.context if isinstance(request, Choices) else request.text,
        "options": list(request.options) if isinstance(request, Choices) else None,
        "gold": item.gold,
        "chat": False if isinstance(request, Passage) else request.chat,
        "sample": request.sample if isinstance(request, Prompt) else None,
        "follows": request.follows if isinstance(request, Prompt) else None,
        "window": request.window if isinstance(request, Passage) else None,
        "protocol": None if isinstance(request, Prompt) else request.protocol,
        "stride": request.stride if isinstance(request, Passage) else None,
        "against_dense": request.against_dense if isinstance(request, Passage) else False,
        "facts": json.dumps(item.facts, ensure_ascii=False, sort_keys=True),
        "system": None if isinstance(request, Passage) else request.system,
    }


def items_from(frame: pl.DataFrame) -> list[Item]:
    """Return the items of some rows of items/<task>.parquet."""
    return [item_from_row(row) for row in frame.iter_rows(named=True)]


def item_from_row(row: Mapping[str, Any]) -> Item:
    """Return the item of a row made by `item_row`."""
    request: Request
    system = row.get("system")
    match row["kind"]:
        case "Choices":
            request = Choices(row["prompt"], tuple(row["options"]), row["chat"], row["protocol"], system)
        case "Passage":
            request = Passage(row["prompt"], row["window"], row["protocol"], row["stride"], row["against_dense"])
        case _:
            request = Prompt(row["prompt"], row["chat"], row["sample"], follows=row["follows"], system=system)
    return Item(row["item"], tuple(row["groups"]), row["cluster"], request, row["gold"], json.loads(row["facts"]))
