"""How good the scorers are: AUC and false alarms on text that people have labelled, per target group.

    CRUSHTEST_DATA=... python benchmarks/scorers.py [SCORER]... [--write docs/scorers.md | --check docs/scorers.md]

Prints the tables of docs/scorers.md; with --write it puts them there, and into the package for the report to show; with
--check it exits 1 where either says something else. Half a minute on two cores for the built-in scorers.

AUC is the chance that a harmful text has a riskier score than a harmless one, ties counting half; its interval is
Hanley and McNeil's (Radiology 1982). A text that a scorer leaves unscored is left out, and counted.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from crushtest.engines.load import only_named
from crushtest.errors import CrushtestError, UsageError
from crushtest.records import Exchange
from crushtest.scorers.calling import call_scorer, facts_of
from crushtest.scorers.scorer_quality import Rate, ScorerQuality

BEGIN, END = "<!-- made by benchmarks/scorers.py -->", "<!-- end -->"
HARMLESS_CASES = "HateCheck, harmless cases"
SHIPPED = Path(__file__).parents[1] / "src" / "crushtest" / "scorers" / "scorer_quality.csv"
CATEGORIES = {
    **{"S": "sexual", "S3": "sexual, minors", "H": "hate", "H2": "hate, threatening", "HR": "harassment"},
    **{"SH": "self-harm", "V": "violence", "V2": "violence, graphic"},
}
TARGETS = ("black people", "disabled people", "gay people", "immigrants", "Muslims", "trans people", "women")
HARMLESS = {
    "ident_neutral_nh": "a group is named, neutrally",
    "ident_pos_nh": "a group is named, with praise",
    "profanity_nh": "profanity that hurts nobody",
    "slur_reclaimed_nh": "slurs used by those they were meant for",
    "slur_homonym_nh": "words that only look like slurs",
    "negate_neg_nh": "hate that is negated",
    "counter_quote_nh": "counter speech that quotes hate",
    "counter_ref_nh": "counter speech that refers to hate",
    "target_obj_nh": "abuse of things",
    "target_indiv_nh": "abuse of a person without a group",
    "target_group_nh": "abuse of groups that are not protected",
}


class Slice(NamedTuple):
    """Labelled texts under one name; `harmful` is what its people said."""

    name: str
    texts: list[str]
    harmful: list[bool]


class Scorer(NamedTuple):
    """A scorer, named as in a study, and how it warns: `risk` is higher for worse, an alarm from 0.5 on."""

    name: str
    package: str | None
    risk: Callable[[float], float]

    def version(self) -> str:
        """What was measured: a package's version, or a classifier and its revision."""
        if self.package is not None:
            return f"{self.package} {version(self.package)}"
        facts = facts_of(self.name)
        named = (facts.get(key) for key in ("classifier", "revision", "model"))
        return " ".join(str(fact) for fact in named if fact is not None)


KNOWN = {
    "profanity": Scorer("profanity", "alt-profanity-check", lambda value: value),
    "sentiment": Scorer("sentiment", "vaderSentiment", lambda compound: -compound),
}


# ---- the labelled sets -----------------------------------------------------------------------------


def hatecheck(folder: Path) -> tuple[list[Slice], list[Slice]]:
    """(all and per target group; harmless cases alone: per target group that is only named, per kind)."""
    with (folder / "hatecheck" / "test_suite_cases.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    def those(name: str, kept: list[dict[str, str]]) -> Slice:
        return Slice(name, [row["test_case"] for row in kept], [row["label_gold"] == "hateful" for row in kept])

    per_target = {target: [row for row in rows if row["target_ident"] == target] for target in TARGETS}
    only_named = [
        those(f"{target}, only named", [row for row in mine if row["functionality"].startswith("ident_")])
        for target, mine in per_target.items()
    ]
    kinds = [those(words, [row for row in rows if row["functionality"] == kind]) for kind, words in HARMLESS.items()]
    return [those("all", rows), *(those(target, mine) for target, mine in per_target.items())], [*only_named, *kinds]


def openai_moderation(folder: Path) -> list[Slice]:
    """Any category against none (a label that is not given counts as none), then each against its given 0s."""
    with gzip.open(folder / "openai_moderation" / "samples-1680.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    slices = [Slice("any category", [r["prompt"] for r in rows], [any(r.get(c) for c in CATEGORIES) for r in rows])]
    for category, words in CATEGORIES.items():
        given = [row for row in rows if category in row]
        slices.append(Slice(words, [row["prompt"] for row in given], [bool(row[category]) for row in given]))
    return slices


def davidson(folder: Path) -> list[Slice]:
    """Tweets that most of three people or more called hate speech (0), offensive (1) or neither (2)."""
    with (folder / "davidson" / "labeled_data.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    def those(name: str, harmful: str, harmless: str) -> Slice:
        kept = [row for row in rows if row["class"] in harmful + harmless]
        return Slice(name, [row["tweet"] for row in kept], [row["class"] in harmful for row in kept])

    return [
        those("hate or offensive against neither", "01", "2"),
        those("hate against neither", "0", "2"),
        those("hate against offensive", "0", "1"),
    ]


# ---- measuring -------------------------------------------------------------------------------------


def measure(data: str, texts: Slice, scorer: Scorer) -> ScorerQuality:
    """AUC, share of harmful texts found, share of harmless texts that raise an alarm."""
    scores = call_scorer(scorer.name, [Exchange("", text) for text in texts.texts], only_named)
    risks: tuple[list[float], list[float]] = ([], [])
    for score, is_harmful in zip(scores, texts.harmful, strict=True):
        if score.value is not None:
            risks[is_harmful].append(scorer.risk(score.value))
    harmless, harmful = risks
    area, half_width = auc(harmful, harmless) if harmless and harmful else (None, None)
    return ScorerQuality(
        data,
        texts.name,
        scorer.name,
        scorer.version(),
        sum(texts.harmful),
        len(texts.harmful) - sum(texts.harmful),
        area,
        half_width,
        alarms(harmful),
        alarms(harmless),
        len(scores) - len(harmless) - len(harmful),
    )


def measure_all(folder: Path, scorers: Sequence[Scorer]) -> list[ScorerQuality]:
    """Every scorer on every slice of every data set."""
    full, harmless = hatecheck(folder)
    sets = {
        "HateCheck": full,
        HARMLESS_CASES: harmless,
        "OpenAI's moderation set": openai_moderation(folder),
        "Davidson's tweets": davidson(folder),
    }
    return [measure(data, texts, scorer) for data, slices in sets.items() for texts in slices for scorer in scorers]


def auc(harmful: Sequence[float], harmless: Sequence[float]) -> tuple[float, float]:
    """(area, half of its 95% interval)"""
    from scipy.stats import rankdata

    n, m = len(harmful), len(harmless)
    area = float((rankdata([*harmful, *harmless])[:n].sum() - n * (n + 1) / 2) / (n * m))
    two_harmful, two_harmless = area / (2 - area), 2 * area**2 / (1 + area)
    spread = (n - 1) * (two_harmful - area**2) + (m - 1) * (two_harmless - area**2)
    return area, 1.96 * ((area * (1 - area) + spread) / (n * m)) ** 0.5


def alarms(risks: Sequence[float]) -> Rate | None:
    """Share of texts at or above the threshold, with Wilson's interval."""
    if not risks:
        return None
    count = sum(risk >= 0.5 for risk in risks)
    from scipy.stats import binomtest

    interval = binomtest(count, len(risks)).proportion_ci(method="wilson")
    return Rate(count / len(risks), float(interval.low), float(interval.high))


# ---- writing ---------------------------------------------------------------------------------------


def report(rows: Sequence[ScorerQuality]) -> Iterator[str]:
    """The tables, line by line."""
    versions = dict.fromkeys(f"{row.scorer}: {row.measured_with}" for row in rows)
    yield f"Measured with {', '.join(versions)}."
    for data in dict.fromkeys(row.data for row in rows):
        columns = FALSE_ALARMS if data == HARMLESS_CASES else FULL
        yield from ("", f"### {data}", "", *table([row for row in rows if row.data == data], columns))


def table(rows: Sequence[ScorerQuality], columns: Sequence[str]) -> Iterator[str]:
    """A Markdown table: a row per slice and scorer."""
    yield "| texts | harmful | harmless | scorer | " + " | ".join(columns) + " |"
    yield "| --- | ---: | ---: | --- |" + " ---: |" * len(columns)
    for row in rows:
        cells = [COLUMNS[column](row) for column in columns]
        yield f"| {row.texts} | {row.harmful} | {row.harmless} | {row.scorer} | {' | '.join(cells)} |"


def as_csv(rows: Sequence[ScorerQuality]) -> str:
    """scorer_quality.csv"""
    text = io.StringIO()
    writer = csv.DictWriter(text, ScorerQuality._fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.row() for row in rows)
    return text.getvalue()


def _rate(rate: Rate | None) -> str:
    return "" if rate is None else f"{rate[0]:.0%} ({rate[1]:.0%} to {rate[2]:.0%})"


COLUMNS: dict[str, Callable[[ScorerQuality], str]] = {
    "AUC": lambda q: "" if q.auc is None or q.auc_half_width is None else f"{q.auc:.2f} ± {q.auc_half_width:.2f}",
    "found": lambda q: _rate(q.found),
    "false alarms": lambda q: _rate(q.false_alarms),
    "unscored": lambda q: str(q.unscored),
}
FULL = ("AUC", "found", "false alarms", "unscored")
FALSE_ALARMS = ("false alarms", "unscored")


def _other(name: str) -> Scorer:
    """A scorer that is not built in; its threshold is moved to 0.5."""
    threshold = facts_of(name)["threshold"]
    if not isinstance(threshold, float):
        raise UsageError(f"scorer {name!r} has no threshold: there is nothing to count as an alarm")
    return Scorer(name, None, lambda value: value - threshold + 0.5)


def main() -> int:
    """Print the tables, or put them into a page, or compare them with it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "scorer", nargs="*", default=list(KNOWN), help=f"by default {', '.join(KNOWN)}; any other, as a study names it"
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("CRUSHTEST_DATA"))
    parser.add_argument("--write", type=Path)
    parser.add_argument("--check", type=Path)
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder of data sets with CRUSHTEST_DATA or --data")
    try:
        scorers = [KNOWN.get(name) or _other(name) for name in options.scorer]
    except CrushtestError as error:
        parser.error(str(error))
    rows = measure_all(options.data, scorers)
    lines = "\n".join(report(rows))
    page = options.write or options.check
    if page is None:
        print(lines)
        return 0
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    now = f"{before}{BEGIN}\n{lines}\n{END}{rest.partition(END)[2]}"
    if options.check:
        return int(now != page.read_text("utf-8") or as_csv(rows) != SHIPPED.read_text("utf-8"))
    page.write_text(now, "utf-8")
    SHIPPED.write_text(as_csv(rows), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
