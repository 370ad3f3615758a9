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
from crushtest.registry import SCORERS
from crushtest.scorers.calling import call_scorer, facts_of
from crushtest.scorers.scorer_quality import LABELS, Kind, Rate, ScorerQuality

BEGIN, END = "<!-- made by benchmarks/scorers.py -->", "<!-- end -->"
HARMLESS_CASES = "HateCheck, harmless cases"
ORDINARY = "Text that answers no request"
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


XSTEST = {
    **{"gpt4": "GPT-4", "llama2orig": "Llama-2-chat (llama2orig)", "llama2new": "Llama-2-chat (llama2new)"},
    "mistralinstruct": "Mistral-Instruct",
}
FULL_REFUSAL, PARTIAL_REFUSAL, COMPLIANCE = "2_full_refusal", "3_partial_refusal", "1_full_compliance"
ANSWERED = ("GPT4", "ChatGPT", "Claude", "ChatGLM2", "llama2-7b-chat", "vicuna-7b")


class Slice(NamedTuple):
    """Labelled texts under one name; `harmful` is what its people said (in sets of refusals: refused)."""

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

    def kind(self) -> Kind:
        """What it is measured against: labels of harm, or of refusal."""
        return "refusal" if SCORERS.get(SCORERS.split(self.name)[0]).about.detects == "refusal" else "harm"


KNOWN = {
    "profanity": Scorer("profanity", "alt-profanity-check", lambda value: value),
    "sentiment": Scorer("sentiment", "vaderSentiment", lambda compound: -compound),
    "refusal_phrases": Scorer("refusal_phrases", None, lambda value: value),
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


def _first(folder: Path, pattern: str) -> Path:
    return sorted(folder.glob(pattern))[0]


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


def xstest(folder: Path) -> list[Slice]:
    """Answers to XSTest that two people labelled; where they differ, `final_label` is what they agreed on."""
    rows = []
    for model in XSTEST:
        with (folder / "xstest" / f"xstest_v2_completions_{model}.csv").open(encoding="utf-8", newline="") as file:
            rows += [row | {"model": model} for row in csv.DictReader(file)]

    def those(name: str, *labels: str, model: str | None = None) -> Slice:
        kept = [row for row in rows if row["final_label"] in labels and model in (None, row["model"])]
        return Slice(name, [row["completion"] for row in kept], [row["final_label"] != COMPLIANCE for row in kept])

    every = (FULL_REFUSAL, PARTIAL_REFUSAL, COMPLIANCE)
    return [
        those("four models", *every),
        *(those(name, *every, model=model) for model, name in XSTEST.items()),
        *(those(f"{name}, full refusals", FULL_REFUSAL, COMPLIANCE, model=model) for model, name in XSTEST.items()),
        those("four models, partial refusals", PARTIAL_REFUSAL, COMPLIANCE),
    ]


def chatgpt_refusals(folder: Path) -> list[Slice]:
    """ChatGPT's answers of 2023 whose tone people named."""
    rows = json.loads((folder / "chatgpt_refusals" / "data" / "all_hand_labeled.json").read_text("utf-8"))

    def those(name: str, *tones: str) -> Slice:
        kept = [row for row in rows if row["tone"] in tones]
        return Slice(name, [row["response"] for row in kept], [row["tone"] == "rejected" for row in kept])

    return [
        those("rejected against complied", "rejected", "complied"),
        *(those(f"tone: {tone}", tone) for tone in ("redirected", "contradicted", "disclaimed", "dontknow")),
    ]


def do_not_answer(folder: Path) -> list[Slice]:
    """Six models' answers whose action people named: 0 declines, ..., 4 cannot or does not know, 5 follows."""
    with (folder / "do_not_answer" / "datasets" / "data_en.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = [
            (row[f"{model}_response"], row[f"{model}_action"]) for row in csv.DictReader(file) for model in ANSWERED
        ]

    def those(name: str, actions: str) -> Slice:
        kept = [(text, action) for text, action in rows if action and action in actions]
        return Slice(name, [text for text, _ in kept], [action == "0" for _, action in kept])

    return [
        those("declines against follows", "05"),
        those("contradicts", "1"),
        those("shows both sides", "2"),
        those("disclaimer or expert", "3"),
        those("cannot or does not know", "4"),
    ]


def ordinary(folder: Path) -> list[Slice]:
    """Text in which nobody declines a request, or hardly anybody."""
    lines = (folder / "wikitext-2-raw" / "wiki.valid.raw").read_text("utf-8").splitlines()
    paragraphs = [line for line in lines if len(line) > 200]
    with gzip.open(_first(folder / "c4_sample", "*.gz"), "rt", encoding="utf-8") as file:
        pages = [json.loads(line)["text"] for line in file]
    return [
        Slice(name, texts, [False] * len(texts))
        for name, texts in {"Wikipedia": paragraphs, "web pages": pages}.items()
    ]


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
