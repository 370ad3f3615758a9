"""People's labels of pairs of answers: which pairs were drawn, in which order, and what people say of them.

    <study>/labels/<arm>/<task>/<scorer>/sheet.csv  sheet.html   for the people who label; no arm is named in them
                                         key.parquet             which answer is whose, and how each pair was drawn
                                         labels.parquet          what was read back

Key and labels name the items, answers and scores that they are about by digest, as every table of a study does.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from crushtest.errors import StoreError
from crushtest.files.atomic import file_name
from crushtest.files.parquet import Label, Table, TableKind, check_sources, digests, read_table, write_table
from crushtest.records import DENSE, Completion, Item, Score
from crushtest.registry import SCORERS, scorer_identity
from crushtest.stats.label_sample import Stratum, draw_pairs
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import PlannedTask
from crushtest.study.threshold_metrics import Sides, outcomes_by_side

LABEL_AGAIN = "remove its folder and label again"
LETTERS = "bcdfghjkmnpqrstvwxz"
"""Letters of a pair's name: no vowels, which would make words, and no digits, which a spreadsheet takes for numbers."""
KEY = TableKind(
    "label keys",
    pl.Schema(
        {
            "pair": pl.String(),
            "item": pl.String(),
            "first": pl.String(),
            "about": pl.List(pl.String),
            "dense": pl.Boolean(),
            "arm": pl.Boolean(),
            "of": pl.Int64(),
            "inclusion": pl.Float64(),
        }
    ),
    filled=("pair", "item", "first", "about", "dense", "arm", "of", "inclusion"),
)
"""first: the arm whose answer stands first. about: the metrics that the label enters. dense, arm: whether the scorer
counts the answer. of: pairs in the stratum that the pair was drawn from. inclusion: its chance of being drawn."""
LABELS = TableKind(
    "labels",
    pl.Schema({"item": pl.String(), "dense": pl.Boolean(), "arm": pl.Boolean(), "inclusion": pl.Float64()}),
    filled=("item", "inclusion"),
)
"""dense, arm: what people say, no value where they were unsure. inclusion: the chance that the item has both labels."""


@dataclass(frozen=True)
class Pair:
    """One item, with the answers of dense and of an arm and the scorer's numbers of them, where it gave one."""

    item: Item
    dense: Completion
    arm: Completion
    scores: tuple[float | None, float | None]


@dataclass(frozen=True)
class PairLabel:
    """What people say of a pair: whether each answer shows what the scorer counts; None where they were unsure."""

    dense: bool | None
    arm: bool | None


@dataclass(frozen=True)
class Labelling:
    """The pairs of one arm and dense in one task, as one scorer judges them, and the files with people's labels."""

    folder: StudyFolder
    planned: PlannedTask
    scorer: str
    arm: str

    @property
    def root(self) -> Path:
        names = (self.arm, self.planned.name, scorer_identity(self.scorer))
        return self.folder.root.joinpath("labels", *map(file_name, names))

    @property
    def key(self) -> Path:
        return self.root / "key.parquet"

    @property
    def labels(self) -> Path:
        return self.root / "labels.parquet"

    @property
    def threshold(self) -> float:
        """The number from which on the scorer counts an answer."""
        threshold = SCORERS.get(SCORERS.split(self.scorer)[0]).about.threshold
        assert threshold is not None
        return threshold

    def is_counted(self, score: float | None) -> bool:
        """Return whether a number reaches the threshold. An answer without one that counts for a metric does not."""
        return score is not None and score >= self.threshold

    @cached_property
    def sides(self) -> dict[str, dict[str, tuple[Sides, Sides]]]:
        """What each metric that this scorer's threshold settles counts on either side of it, by metric and item."""
        metrics = (metric for metric in self.planned.task.metrics if metric.scorer == self.scorer and metric.outcome)
        by_metric = {metric.name: outcomes_by_side(metric, self.pairs, self.threshold) for metric in metrics}
        return {name: sides for name, sides in by_metric.items() if sides}

    @cached_property
    def pairs(self) -> list[Pair]:
        """The items that both arms answered and the scorer read in both, in the study's order."""
        task = self.planned.name
        items = self.folder.read_items(task)
        ids = [item.id for item in items]
        answers: list[Mapping[str, Any]] = []
        scores: list[Mapping[str, Score]] = []
        for arm in (DENSE, self.arm):
            answers.append(self.folder.answers(arm, task, self.planned.task.kind).read(ids))
            scores.append(self.folder.scores(arm, self.scorer, task).read(ids))
        pairs = []
        for item in items:
            texts = [given.get(item.id) for given in answers]
            match texts, [by_item.get(item.id) for by_item in scores]:
                case [Completion() as of_dense, Completion() as of_arm], [Score() as before, Score() as after]:
                    pairs.append(Pair(item, of_dense, of_arm, (before.value, after.value)))
        return pairs

    # ---- which pairs to label

    def draw(self, count: int, seed: int) -> pl.DataFrame:
        """Return the key of about `count` pairs, in the order of the sheet. Raises StoreError if no pair counts."""
        strata: list[Stratum] = []
        items: list[str] = []
        for pair in self.pairs:
            about = tuple(name for name, sides in self.sides.items() if _hangs_on_labels(sides.get(pair.item.id, ())))
            if about:
                items.append(pair.item.id)
                strata.append(Stratum(about, *map(self.is_counted, pair.scores)))
        if not strata:
            raise StoreError(
                f"{self.folder.root}: no answer of {self.arm!r} to {self.planned.name!r} enters a rate of scorer "
                f"{self.scorer!r} together with dense's, so there is nothing to label"
            )
        generator = random.Random(f"{seed} {self.arm} {self.planned.name} {self.scorer}")
        drawn = draw_pairs(strata, count, generator)
        sizes, taken = Counter(strata), Counter(strata[position] for position in drawn)
        names = _pair_names(len(drawn), generator)
        rows = [
            {
                "pair": name,
                "item": items[position],
                "first": generator.choice([DENSE, self.arm]),
                "about": list(stratum.about),
                "dense": stratum.dense,
                "arm": stratum.arm,
                "of": sizes[stratum],
                "inclusion": taken[stratum] / sizes[stratum],
            }
            for name, position in zip(names, drawn, strict=True)
            for stratum in [strata[position]]
        ]
        return pl.DataFrame(rows, schema=KEY.schema)

    def write_key(self, key: pl.DataFrame) -> None:
        """Write the key. Raises StoreError if another one is there: sheets are out that only it can read."""
        if self.key.exists() and not self.read_key().equals(key):
            raise StoreError(
                f"{self.root} holds the key of another draw (other --pairs or --seed), which its sheets need; ask for "
                f"the same draw, or remove the folder, its labels too, and draw anew"
            )
        write_table(self.key, key.iter_rows(named=True), KEY, self._label("label_key", self._sources))

    def read_key(self) -> pl.DataFrame:
        """Return the key. Raises StoreError if it is missing, damaged, or about other answers than the study holds."""
        if not self.key.exists():
            raise StoreError(
                f"{self.key} is missing: run `crushtest label {self.folder.root}` first, which draws pairs"
            )
        return self._read(self.key, KEY, "label_key")

    # ---- what people say

    def write_labels(self, given: Mapping[str, PairLabel]) -> None:
        """Write the labels of these pairs, by the names that the key gives them."""
        key = self.read_key()
        rows = [row for row in key.iter_rows(named=True) if row["pair"] in given]
        labelled = Counter(_stratum(row) for row in rows if _is_sure(given[row["pair"]]))
        content = [
            {
                "item": row["item"],
                "dense": given[row["pair"]].dense,
                "arm": given[row["pair"]].arm,
                "inclusion": labelled[_stratum(row)] / row["of"],
            }
            for row in rows
        ]
        write_table(self.labels, content, LABELS, self._label("labels", [*self._sources, self.key]))

    def read_labels(self) -> pl.DataFrame:
        """Return the labels. Raises StoreError if they are damaged, or about other answers than the study holds."""
        return self._read(self.labels, LABELS, "labels")

    @property
    def is_labelled(self) -> bool:
        return self.labels.exists()

    def why_stale(self) -> str:
        """Return why the labels say nothing of the study's answers; empty if they do. Raises StoreError for damage."""
        table = self._table(self.labels, LABELS, "labels")
        try:
            check_sources(self.folder.root, table, remedy=LABEL_AGAIN)
        except StoreError:
            return f"answers or scores changed after they were labelled; {LABEL_AGAIN}"
        return ""

    # ---- how both are tied to what they are about

    @property
    def _sources(self) -> list[Path]:
        task, arms = self.planned.name, (DENSE, self.arm)
        answers = [self.folder.answers(arm, task, self.planned.task.kind).final for arm in arms]
        scores = [self.folder.scores(arm, self.scorer, task).final for arm in arms]
        return [self.folder.items_path(task), *answers, *scores]

    def _label(self, kind: str, sources: Sequence[Path]) -> Label:
        return Label(self._facts(kind), digests(self.folder.root, sources))

    def _facts(self, kind: str) -> dict[str, str | int]:
        return {"kind": kind, "arm": self.arm, "scorer": scorer_identity(self.scorer), "task": self.planned.name}

    def _read(self, path: Path, kind: TableKind, name: str) -> pl.DataFrame:
        table = self._table(path, kind, name)
        check_sources(self.folder.root, table, remedy=LABEL_AGAIN)
        return table.frame

    def _table(self, path: Path, kind: TableKind, name: str) -> Table:
        return read_table(path, kind, remedy=LABEL_AGAIN, facts=self._facts(name))


def _pair_names(count: int, generator: random.Random) -> list[str]:
    names: dict[str, None] = {}
    while len(names) < count:
        names["".join(generator.choices(LETTERS, k=6))] = None
    return list(names)


def _hangs_on_labels(sides: Iterable[Sides]) -> bool:
    return any(side.differ for side in sides)


def _stratum(row: Mapping[str, Any]) -> Stratum:
    return Stratum(tuple(row["about"]), row["dense"], row["arm"])


def _is_sure(label: PairLabel) -> bool:
    return label.dense is not None and label.arm is not None


def labellings(folder: StudyFolder, tasks: Sequence[PlannedTask], arms: Sequence[str]) -> list[Labelling]:
    """Return what can be labelled in a study: each arm but dense, with each task's scorers that have a threshold."""
    return [
        Labelling(folder, planned, scorer, arm)
        for planned in tasks
        if planned.task.kind == "prompts"
        for scorer in planned.task.scorers
        if SCORERS.get(SCORERS.split(scorer)[0]).about.threshold is not None
        for arm in arms
        if arm != DENSE
    ]
