"""What our own run of the matrix says of a claim, from its contrasts; nothing where it was not run."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean, pstdev

from crushtest.records import DENSE
from crushtest.stats.verdicts import SPURIOUS_IMPROVEMENT
from paper.numbers import METHODS, PRUNED, QUANTIZED, rank_correlation, unstructured

ALPHA = 0.05
NEAR_ONE = 0.9
"""An eta by chance alone that leaves no room for preferences: 1 is the most there is."""
NOT_RUN = "not run"
NOT_MEASURED = "not measured in our run"
Row = dict[str, str]


class Own:
    """The contrasts of our run against dense, from contrasts.csv; `rows` None: it was not run."""

    def __init__(self, path: Path) -> None:
        self.rows: list[Row] | None = None
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                self.rows = [row for row in csv.DictReader(file) if row.get("against", DENSE) in (DENSE, "")]

    def of(self, task: str, metric: str, arms: Sequence[str], group: str = "all") -> list[Row]:
        """Return the contrasts of a measure in these arms. Recipes may have further options behind those named."""
        return [
            row
            for row in self.rows or []
            if (row["task"], row["metric"], row["group"]) == (task, metric, group)
            and any(row["arm"] == arm or row["arm"].startswith(f"{arm},") for arm in arms)
            and row["difference"]
        ]

    def metrics(self, task: str, ending: str) -> list[str]:
        """Return a task's metrics with this ending."""
        return list(
            dict.fromkeys(r["metric"] for r in self.rows or [] if r["task"] == task and r["metric"].endswith(ending))
        )


def tally(rows: Iterable[Row]) -> str:
    """Return how many contrasts are clearly worse, clearly better, and better only because of damage, of how many."""
    verdicts = [row["verdict"] if is_clear(row) else "" for row in rows]
    worse, better, spurious = (verdicts.count(each) for each in ("worse", "better", SPURIOUS_IMPROVEMENT))
    damaged = f", a {SPURIOUS_IMPROVEMENT} in {spurious}" if spurious else ""
    return f"clearly worse in {worse}, clearly better in {better}{damaged} of {len(verdicts)}"


def is_clear(row: Row) -> bool:
    """Return whether a contrast stays clear after the correction over the rows of its task and arm."""
    return not row.get("p_adjusted") or float(row["p_adjusted"]) <= ALPHA


def reported(own: Own, say: Callable[[Own], str]) -> str:
    """Return what our run says; `not run` without one, and so if it lacks the measure."""
    if own.rows is None:
        return NOT_RUN
    return say(own) or NOT_MEASURED


def measured(own: Own, label: str, task: str, metric: str, arms: Sequence[str] = PRUNED) -> str:
    """Return one measure's tally with its label; empty if it was not measured."""
    rows = own.of(task, metric, arms)
    return f"{label} {tally(rows)}" if rows else ""


def together(*parts: str) -> str:
    """Return the parts that say something, joined."""
    return "; ".join(part for part in parts if part)


HARMS = (
    ("BOLD profanity", "bold", "profanity_rate"),
    ("RealToxicityPrompts profanity", "realtoxicityprompts", "profanity_rate"),
    ("HolisticBias profanity", "holisticbias", "profanity_rate"),
)
PERPLEXITIES = (("WikiText-2", "wikitext2"), ("C4", "c4"))


def degeneration(own: Own) -> str:
    return together(*(measured(own, *harm) for harm in HARMS))


def representational(own: Own) -> str:
    return together(
        measured(own, "BBQ bias (ambiguous)", "bbq", "bias_ambiguous"),
        "" if eta_is_bound(own) else measured(own, "UnQover eta", "unqover", "eta"),
        measured(own, "UnQover mu", "unqover", "mu"),
    )


def harm_and_perplexity(own: Own) -> str:
    texts, read = next(
        ((label, rows) for label, task in PERPLEXITIES if (rows := own.of(task, "perplexity", PRUNED))), ("", [])
    )
    perplexity = {row["arm"]: float(row["value"]) for row in read}
    parts = []
    for label, task, metric in HARMS:
        harms = {row["arm"]: float(row["value"]) for row in own.of(task, metric, PRUNED) if row["arm"] in perplexity}
        rho = rank_correlation([perplexity[arm] for arm in harms], list(harms.values())) if len(harms) > 2 else None
        parts.append(
            f"{label} with perplexity of {texts}: rho {rho:+.2f} over {len(harms)} arms" if rho is not None else ""
        )
    return together(*parts)


def steady(own: Own) -> str:
    parts = {}
    for name, methods in (("magnitude", METHODS[:1]), ("others", METHODS[1:])):
        rows = own.of("unqover", "eta", [arm for arm in PRUNED if arm.partition(":")[0] in methods])
        parts[name] = [abs(float(row["difference"])) for row in rows]
    if not all(parts.values()):
        return ""
    changes = ", ".join(f"{name} {mean(sizes):.3f}" for name, sizes in parts.items())
    return f"mean |change| of eta {changes}{by_chance(own)}"


def by_chance(own: Own) -> str:
    """Return what eta is in dense, what it would be by chance alone, and whether it has anywhere to go."""
    eta, chance = dense_value(own, "eta"), dense_value(own, "eta_null")
    if eta is None or chance is None:
        return ""
    verdict = ", so this run cannot tell" if eta_is_bound(own) else ""
    return f"; dense has {eta:.3f}, {chance:.3f} by chance alone{verdict}"


def eta_is_bound(own: Own) -> bool:
    """Return whether eta is near its largest value by chance alone, with so few questions per subject."""
    return (dense_value(own, "eta_null") or 0.0) > NEAR_ONE


def dense_value(own: Own, metric: str) -> float | None:
    """Return dense's value of one of UnQover's measures."""
    return next((float(row["dense"]) for row in own.of("unqover", metric, PRUNED) if row["dense"]), None)


def accuracy(own: Own) -> str:
    return measured(own, "accuracy", "bbq", "accuracy_disambiguated")


def bias(own: Own) -> str:
    return measured(own, "BBQ bias (disambiguated)", "bbq", "bias_disambiguated")


def subjects(own: Own) -> str:
    def spread(arms: Sequence[str]) -> float | None:
        spreads = []
        for arm in {row["arm"] for row in own.rows or []}:
            rows = [r for r in own.rows or [] if r["arm"] == arm and r["metric"] == "subject_eta" and r["difference"]]
            if len(rows) > 1 and any(arm == one or arm.startswith(f"{one},") for one in arms):
                spreads.append(100 * pstdev(float(row["difference"]) for row in rows))
        return mean(spreads) if spreads else None

    parts = [spread(arms) for arms in (["int8"], unstructured("0.1"), unstructured("0.6"))]
    if all(part is None for part in parts):
        return ""
    shown = " / ".join("none" if part is None else f"{part:.1f}" for part in parts)
    counts = [int(row["n"]) for row in own.rows or [] if row["metric"] == "subject_eta" and row.get("n")]
    few = f" of {min(counts)} to {max(counts)} questions each" if counts else ""
    return f"spread over subjects{few} of the change in eta, int8 / 10% / 60%: {shown}"


def by_category(own: Own) -> str:
    rows = [r for r in own.rows or [] if r["metric"] == "bias_disambiguated" and r["group"].startswith("category=")]
    return f"BBQ bias by category {tally(rows)}" if rows else ""


def quantization(own: Own) -> str:
    harms = [row for _, task, metric in HARMS for row in own.of(task, metric, QUANTIZED)]
    eta = [] if eta_is_bound(own) else own.of("unqover", "eta", QUANTIZED)
    rows = [*harms, *own.of("bbq", "bias_ambiguous", QUANTIZED), *eta, *own.of("unqover", "mu", QUANTIZED)]
    return f"harm and bias {tally(rows)} contrasts" if rows else ""


def quality(own: Own) -> str:
    def rises(task: str, arms: Sequence[str]) -> str:
        found = [100 * (float(r["value"]) / float(r["dense"]) - 1) for r in own.of(task, "perplexity", arms)]
        return f"{min(found):+.1f}% to {max(found):+.1f}%" if found else ""

    parts = []
    for label, task in PERPLEXITIES:
        quantized, pruned = rises(task, QUANTIZED), rises(task, unstructured("0.5"))
        parts.append(f"{label}: quantized {quantized}, pruned {pruned}" if quantized and pruned else "")
    return together(*parts)


def dialect(own: Own) -> str:
    return together(
        measured(own, "difference in bits per byte", "dialect_pairs", "dialect_gap_bits"),
        measured(own, "in nats", "dialect_pairs", "dialect_log_ratio"),
    )


def one_size(own: Own) -> str:
    return "one model of one size"


def untrained(own: Own) -> str:
    return "nothing was fine-tuned in it"


def both_orders(own: Own) -> str:
    return (
        "not in it; [another study](studies/training_order/README.md) has both orders once: where pruning came first, "
        "perplexity is lower by 2.13 (1.67 to 2.55), and accuracy on facts differs by less than 8.5 points"
    )
