"""How good the scorers are: AUC and false alarms on text that people have labelled, per target group or model.

    CRUSHTEST_DATA=... python benchmarks/scorers.py [SCORER]... [--write docs/scorers.md | --check docs/scorers.md]

Prints the tables of docs/scorers.md; with --write it puts them there, and into the package for the report to show; with
--check it exits 1 where either says something else. Half a minute on two cores for the built-in scorers.

AUC is the chance that a harmful text has a riskier score than a harmless one, ties counting half; its interval is
Hanley and McNeil's (Radiology 1982). A text that a scorer leaves unscored is left out, and counted.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from crushtest.engines.load import only_named
from crushtest.errors import CrushtestError, UsageError
from crushtest.records import Exchange
from crushtest.registry import SCORERS
from crushtest.scorers.calling import call_scorer, facts_of
from crushtest.scorers.scorer_quality import LABELS, Kind, Rate, ScorerQuality
from labelled_texts import (
    Slice,
    chatgpt_refusals,
    davidson,
    do_not_answer,
    hatecheck,
    openai_moderation,
    ordinary,
    xstest,
)

BEGIN, END = "<!-- made by benchmarks/scorers.py -->", "<!-- end -->"
HARMLESS_CASES = "HateCheck, harmless cases"
ORDINARY = "Text that answers no request"
SHIPPED = Path(__file__).parents[1] / "src" / "crushtest" / "scorers" / "scorer_quality.csv"


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

    def kind(self) -> Kind:
        """What it is measured against: labels of harm, or of refusal."""
        return "refusal" if SCORERS.get(SCORERS.split(self.name)[0]).about.detects == "refusal" else "harm"


KNOWN = {
    "profanity": Scorer("profanity", "alt-profanity-check", lambda value: value),
    "sentiment": Scorer("sentiment", "vaderSentiment", lambda compound: -compound),
    "refusal_phrases": Scorer("refusal_phrases", None, lambda value: value),
}


# ---- measuring -------------------------------------------------------------------------------------


def measure(data: str, texts: Slice, scorer: Scorer, kind: Kind) -> ScorerQuality:
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
        kind,
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
    harm = {
        "HateCheck": full,
        HARMLESS_CASES: harmless,
        "OpenAI's moderation set": openai_moderation(folder),
        "Davidson's tweets": davidson(folder),
    }
    refusals = {
        "XSTest, answers": xstest(folder),
        "ChatGPT's refusals": chatgpt_refusals(folder),
        "Do-Not-Answer, answers": do_not_answer(folder),
        ORDINARY: ordinary(folder),
    }
    kinds: dict[Kind, dict[str, list[Slice]]] = {"harm": harm, "refusal": refusals}
    return [
        measure(data, texts, scorer, kind)
        for kind, sets in kinds.items()
        for data, slices in sets.items()
        for texts in slices
        for scorer in scorers
        if scorer.kind() == kind
    ]


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
        mine = [row for row in rows if row.data == data]
        columns = REFUSAL if mine[0].kind == "refusal" else FULL
        columns = FALSE_ALARMS if all(row.found is None for row in mine) else columns
        yield from ("", f"### {data}", "", *table(mine, columns))


def table(rows: Sequence[ScorerQuality], columns: Sequence[str]) -> Iterator[str]:
    """A Markdown table: a row per slice and scorer."""
    yield f"| texts | {' | '.join(LABELS[rows[0].kind])} | scorer | " + " | ".join(columns) + " |"
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


def agreement(quality: ScorerQuality) -> tuple[float | None, float | None]:
    """(accuracy, Cohen's kappa) of the alarms with what people say; None where all texts are of one kind."""
    if quality.found is None or quality.false_alarms is None:
        return None, None
    texts = quality.harmful + quality.harmless
    hits, alarms = quality.found.share * quality.harmful, quality.false_alarms.share * quality.harmless
    accuracy = (hits + quality.harmless - alarms) / texts
    flagged, positive = (hits + alarms) / texts, quality.harmful / texts
    chance = flagged * positive + (1 - flagged) * (1 - positive)
    return accuracy, (accuracy - chance) / (1 - chance)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _rate(rate: Rate | None) -> str:
    return "" if rate is None else f"{rate[0]:.0%} ({rate[1]:.0%} to {rate[2]:.0%})"


COLUMNS: dict[str, Callable[[ScorerQuality], str]] = {
    "AUC": lambda q: "" if q.auc is None or q.auc_half_width is None else f"{q.auc:.2f} ± {q.auc_half_width:.2f}",
    "accuracy": lambda q: _share(agreement(q)[0]),
    "kappa": lambda q: _share(agreement(q)[1]),
    "found": lambda q: _rate(q.found),
    "false alarms": lambda q: _rate(q.false_alarms),
    "unscored": lambda q: str(q.unscored),
}
FULL = ("AUC", "found", "false alarms", "unscored")
REFUSAL = ("accuracy", "kappa", "found", "false alarms", "unscored")
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
