"""A study folder: append answers as they come, resume, read back.

    <study>/study.yaml  manifest.json  items/<task>.parquet  estimates.parquet  contrasts.parquet  report.html
    <study>/arms/<arm>/compression.json  answers/<task>.parquet  scores/<scorer>/<task>.parquet
    <study>/arms/dense/likeliest/<task>/<passage>.safetensors      where arms are compared by likeliest tokens
    <study>/noise.parquet  arms/dense/repeats/<number>/answers ... scores ...      where a noise floor was asked for

While a task runs, its answers (and scores) are lines of a `.jsonl` beside the place of the final file. When the last
one is there they become Parquet, in the order of the items. A `.parquet` is always whole: it is written under
another name and renamed.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from crushtest.errors import StoreError
from crushtest.files.append_log import AppendLog, remove_superseded
from crushtest.files.atomic import PARTIAL, file_name, remove_partial, write_parquet
from crushtest.files.parquet import DRAW_AGAIN, read_table
from crushtest.records import (
    DENSE,
    Choices,
    ChoiceScores,
    Completion,
    Contrast,
    Estimate,
    Item,
    Kind,
    NoiseBand,
    Passage,
    PassageScore,
    Prompt,
    Request,
    Score,
    Unanswered,
)

Result = TypeVar("Result", Estimate, Contrast, NoiseBand)

ITEM_SCHEMA = pl.Schema(
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
    }
)
ANSWER_SCHEMAS: Mapping[Kind, pl.Schema] = {
    "choices": pl.Schema(
        {
            "item": pl.String(),
            "logprobs": pl.List(pl.Float64),
            "tokens": pl.List(pl.Int64),
            "bytes": pl.List(pl.Int64),
            "reason": pl.String(),
        }
    ),
    "passages": pl.Schema(
        {
            "item": pl.String(),
            "logprob": pl.Float64(),
            "tokens": pl.Int64(),
            "bytes": pl.Int64(),
            "kl": pl.List(pl.Float32),
            "agree": pl.Int64(),
            "kl_at_most": pl.Float64(),
            "reason": pl.String(),
        }
    ),
    "prompts": pl.Schema(
        {"item": pl.String(), "text": pl.String(), "tokens": pl.Int64(), "stop": pl.String(), "reason": pl.String()}
    ),
}
SCORE_SCHEMA = pl.Schema({"item": pl.String(), "value": pl.Float64(), "reason": pl.String()})


def choice_scores(logprobs: list[float], tokens: list[int], bytes: list[int]) -> ChoiceScores:
    """ChoiceScores from the lists a file gives."""
    return ChoiceScores(tuple(logprobs), tuple(tokens), tuple(bytes))


def passage_score(
    logprob: float,
    tokens: int,
    bytes: int,
    kl: list[float] | None = None,
    agree: int | None = None,
    kl_at_most: float | None = None,
) -> PassageScore:
    """A PassageScore from the values a file gives."""
    return PassageScore(logprob, tokens, bytes, None if kl is None else tuple(kl), agree, kl_at_most)


def or_unanswered(build: Callable[..., Any]) -> Callable[..., Any]:
    """Return a builder of answers that makes an `Unanswered` of the fields that have a reason."""

    def made(reason: str | None = None, **fields: Any) -> Any:
        return build(**fields) if reason is None else Unanswered(reason)

    return made


ANSWER_BUILDERS: Mapping[Kind, Callable[..., Any]] = {
    "choices": or_unanswered(choice_scores),
    "passages": or_unanswered(passage_score),
    "prompts": or_unanswered(Completion),
}


@dataclass(frozen=True)
class StudyFolder:
    """The files of one study."""

    root: Path

    @classmethod
    def existing(cls, root: Path) -> StudyFolder:
        """The folder of a study that has been run; StoreError if it is not one."""
        if not (root / "study.yaml").is_file():
            near = sorted(path.parent.name for path in root.parent.glob("*/study.yaml")) if root.parent.is_dir() else []
            hint = f" (studies beside it: {', '.join(near)})" if near else ""
            raise StoreError(f"{root} is not a study folder: it has no study.yaml{hint}")
        return cls(root)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one process. Raises StoreError if another process writes to it."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreError(f"{self.root}: another run is writing to this study; wait for it or stop it") from None
            remove_partial(self.root)
            remove_superseded(self.root)
            yield

    def is_fresh(self) -> bool:
        """Whether nothing is there, or nothing but what a study leaves that was killed before its first file."""
        return not self.root.exists() or all(
            path.name == ".lock" or path.name.endswith(PARTIAL) for path in self.root.iterdir()
        )

    # ---- paths

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.json"

    @property
    def specification(self) -> Path:
        return self.root / "study.yaml"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def outdated(self) -> Path:
        """There while report.html may be of older results than those in the folder."""
        return self.root / ".report-outdated"

    @property
    def estimates(self) -> Path:
        return self.root / "estimates.parquet"

    @property
    def contrasts(self) -> Path:
        return self.root / "contrasts.parquet"

    @property
    def noise(self) -> Path:
        return self.root / "noise.parquet"

    def arm(self, arm: str, repeat: int = 0) -> Path:
        folder = self.root / "arms" / file_name(arm)
        return folder / "repeats" / str(repeat) if repeat else folder

    def compression(self, arm: str) -> Path:
        return self.arm(arm) / "compression.json"

    def likeliest(self, task: str) -> Path:
        """What the dense arm keeps of its next-token distributions for the other arms."""
        return self.arm(DENSE) / "likeliest" / file_name(task)

    # ---- items

    def items_path(self, task: str) -> Path:
        return self.root / "items" / f"{file_name(task)}.parquet"

    def write_items(self, task: str, items: Sequence[Item]) -> None:
        """Keep the items of a task. Raises StoreError if the folder holds other items under that name."""
        path = self.items_path(task)
        rows = [item_row(item) for item in items]
        if path.exists():
            kept = read_table(path, remedy=DRAW_AGAIN).to_dicts()
            if kept != pl.DataFrame(rows, schema=ITEM_SCHEMA).to_dicts():
                raise StoreError(
                    f"{path}: this study was run on other items of {task!r} "
                    f"({len(kept)} then, {len(rows)} now); use another --out"
                )
        else:
            write_parquet(path, rows, ITEM_SCHEMA)

    def read_items(self, task: str) -> list[Item]:
        """The items of a task, as they were asked."""
        path = self.items_path(task)
        if not path.exists():
            raise StoreError(f"{path} is missing: the study has not asked {task!r} yet")
        return [item_from_row(row) for row in read_table(path, remedy=DRAW_AGAIN).iter_rows(named=True)]

    # ---- answers and scores

    def answers(self, arm: str, task: str, kind: Kind, *, repeat: int = 0) -> AppendLog[Any]:
        """The log of one arm's answers to one task."""
        path = self.arm(arm, repeat) / "answers" / f"{file_name(task)}.parquet"
        return AppendLog(path, ANSWER_SCHEMAS[kind], ANSWER_BUILDERS[kind])

    def scores(self, arm: str, scorer: str, task: str, *, repeat: int = 0) -> AppendLog[Score]:
        """The log of one scorer's numbers for one arm's completions of one task."""
        path = self.arm(arm, repeat) / "scores" / file_name(scorer) / f"{file_name(task)}.parquet"
        return AppendLog(path, SCORE_SCHEMA, Score)

    # ---- results

    def write_results(
        self, estimates: Sequence[Estimate], contrasts: Sequence[Contrast], bands: Sequence[NoiseBand] = ()
    ) -> None:
        """Write estimates.parquet, contrasts.parquet and, where dense was repeated, noise.parquet.

        The report made from older ones stays until `write_report` has a new one, and is marked as outdated.
        """
        self.outdated.touch()
        if bands:
            write_parquet(self.noise, map(asdict, bands), _schema_of(NoiseBand))
        else:
            self.noise.unlink(missing_ok=True)
        write_parquet(self.estimates, map(asdict, estimates), _schema_of(Estimate))
        write_parquet(self.contrasts, map(asdict, contrasts), _schema_of(Contrast))

    def read_estimates(self) -> list[Estimate]:
        return self._records(self.estimates, Estimate)

    def read_contrasts(self) -> list[Contrast]:
        return self._records(self.contrasts, Contrast)

    def read_bands(self) -> list[NoiseBand]:
        """The noise bands; none where the dense arm was not repeated."""
        return self._records(self.noise, NoiseBand) if self.noise.exists() else []

    def estimated_pairs(self) -> set[tuple[str, str]]:
        """The (arm, task) pairs that estimates.parquet speaks of; none where it cannot be read."""
        try:
            pairs = read_table(self.estimates, remedy="", columns=["arm", "task"])
        except StoreError:
            return set()
        return set(pairs.unique().iter_rows())

    def _records(self, path: Path, record: type[Result]) -> list[Result]:
        """The rows of a table of results."""
        if not path.exists():
            raise StoreError(f"{path} is missing: run `crushtest compare {self.root}` first")
        remedy = f"run `crushtest compare {self.root}`, which makes it anew from the answers"
        table = read_table(path, remedy=remedy)
        try:
            return [record(**row) for row in table.iter_rows(named=True)]
        except TypeError:
            raise StoreError(f"{path} was written by another version of crushtest; {remedy}") from None


def _schema_of(record: type[Any]) -> pl.Schema:
    """Columns of a table of records, from the annotations of their fields."""
    types = {"str": pl.String, "float": pl.Float64, "int": pl.Int64, "bool": pl.Boolean, "Better": pl.String}
    return pl.Schema({f.name: types[str(f.type).removesuffix(" | None")] for f in fields(record)})


def item_row(item: Item) -> dict[str, Any]:
    """An item as a row of items/<task>.parquet."""
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
    }


def item_from_row(row: Mapping[str, Any]) -> Item:
    """The item that `item_row` made a row of."""
    request: Request
    match row["kind"]:
        case "Choices":
            request = Choices(row["prompt"], tuple(row["options"]), row["chat"], row["protocol"])
        case "Passage":
            request = Passage(row["prompt"], row["window"], row["protocol"], row["stride"], row["against_dense"])
        case _:
            request = Prompt(row["prompt"], row["chat"], row["sample"], follows=row["follows"])
    return Item(row["item"], tuple(row["groups"]), row["cluster"], request, row["gold"], json.loads(row["facts"]))
