"""What is wrong in the published tables, each in sentences that a reader can verify, with numbers counted here."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from random import Random
from statistics import mean, median

from crushtest.data.published.point import Point
from crushtest.data.published.xu2024 import bias_score, relabelling
from crushtest.data.published.xu2024.dropped import TABLES as SCORED
from crushtest.data.published.xu2024.dropped import completions
from crushtest.data.published.xu2024.tables import Line, read_lines
from crushtest.records import DENSE
from paper.claims import spread
from paper.numbers import QUANTIZED, TULU, Numbers
from paper.unchanging import NOMINAL, PROTOCOL, SHIFTED, SINGLE

ATTRIBUTES = 50


def defects(points: Sequence[Point]) -> Iterator[tuple[str, str]]:
    """Yield a title and the sentences of every defect, in the order of their numbers."""
    yield "BBQ's bias score counts unknown answers", unknown_answers(read_lines("bbq"))
    yield "Prompts were dropped where a moderation call failed", dropped()
    yield "“% toxic” in the figures is a mean, not a share", toxic_share(points)
    yield "UnQover's eta is far from 0 by chance alone", chance()
    yield "The protocol differs between models and leaks between items", PROTOCOL
    yield "`active_parameters` is nominal", NOMINAL
    yield "The names of UnQover's subjects are wrong in all lines but one", wrong_names(read_lines("unqover"))
    yield "Two checkpoints share the name tulu2_7b", two_checkpoints(points)
    yield "Three lines of advpromptset.csv are shifted", SHIFTED
    yield "One line of perplexity_results.csv has a number twice", doubled(read_lines("perplexity_results"))
    yield "The dense row of Llama-2-13B in BBQ is of other items", other_items(read_lines("bbq"))
    yield "Some arms of Llama-2-7B were probably generated otherwise", other_protocol(points)
    yield "Some arms of Tulu-2 in UnQover were probably prompted otherwise", other_prompt(points)
    yield "Single perplexities are out of line", SINGLE
    yield "Groups can be tiny", tiny(points)
    yield "A figure has wrong titles", wrong_titles(points)


def unknown_answers(lines: Sequence[Line]) -> str:
    constants = {c: bias_score.constant(lines, c) for c in bias_score.categories(lines[0])}
    blind = [category for category, value in constants.items() if value is not None]
    same = [sum(bias_score.difference(line, c) == constants[c] for line in lines) for c in blind]
    return (
        "The scorer takes an answer to a negative question as biased unless its label contains the letters “non” "
        "(`src/evaluate.py`, line 446), and unknown answers count so too, but not in what it divides by. In "
        f"{len(blind)} of 10 categories ({', '.join(blind)}) no label contains them. There every answer to a "
        "negative question "
        "is biased, and with as many negative questions as others the ambiguous score is the ambiguous accuracy "
        "plus a "
        f"constant: `ses_s_ambiguous` less `ses_acc_ambiguous` is {constants['ses']:.6f} in "
        f"{same[blind.index('ses')]} of {len(lines)} "
        "lines. The disambiguated score is u / (1 - u), u being the share of unknown answers, and says nothing of "
        "bias."
    )


def dropped() -> str:
    said = []
    for table, about in SCORED.items():
        lines = read_lines(table)
        counts = [
            completions([v for c in about.shares if (v := line.value(c)) is not None], about.prompts) for line in lines
        ]
        lost = [about.prompts - count for count in counts if count not in (None, about.prompts)]
        said.append(f"{table} {len(lost)} lines, up to {100 * max(lost) / about.prompts:.1f}%")
    return (
        "A failing call dropped its batch of eight completions, also for the scorers that ran after it "
        "(`evaluate_openai` in `src/evaluate.py`). How many were scored is not published, but a share is a whole "
        "number "
        "of completions divided by their count: in line 2 of realtoxicityprompts.csv both shares are whole numbers "
        "of 9,848ths, and of no larger count that is left of 10,000 after whole batches of eight. "
        f"Dropped at least: {'; '.join(said)}."
    )


def toxic_share(points: Sequence[Point]) -> str:
    hate, share = (
        _dense(points, "Llama-2-13B", "advpromptset", metric) for metric in ("openai_toxicity", "openai_toxicity_ratio")
    )
    return (
        "The figures plot the mean of OpenAI's hate score times 100. For Llama-2-13B on AdvPromptSet that is "
        f"{100 * hate:.1f}; the share of completions with a score of 0.5 or more is {100 * share:.1f}%."
    )


def chance() -> str:
    said = ", ".join(f"{_chance(category):.3f} for {category}" for category in relabelling.TOLD_APART)
    return (
        "Eta averages the absolute value of mean signs over some tens of items. If every sign were drawn by coin, "
        "the "
        f"expected eta would be {said}, on the items of their sample; a model without any preference would not "
        "have 0. "
        "So read changes of eta against that, and `eta_debiased` in our task."
    )


def _chance(category: str) -> float:
    """Expected eta of random signs: the mean over subjects and attributes of E|S_n| / n."""
    names = relabelling.subjects(category)
    pairs = list(combinations(names, 2))
    drawn = Random(relabelling.SEED).sample(range(len(pairs) * relabelling.ITEMS_PER_PAIR), relabelling.SAMPLE)
    cells = Counter(
        (name, place % ATTRIBUTES) for place in drawn for name in pairs[place // relabelling.ITEMS_PER_PAIR]
    )
    expected = {name: [_mean_absolute(n) for (who, _), n in cells.items() if who == name] for name in names}
    return mean(mean(each) for each in expected.values())


def _mean_absolute(n: int) -> float:
    """Return E|sum of n signs| / n."""
    half = (n + 1) // 2
    return (
        half * math.comb(n, half) / 2 ** (n - 1) / n
        if n % 2 == 0
        else n * math.comb(n - 1, (n - 1) // 2) / 2 ** (n - 1) / n
    )


def wrong_names(lines: Sequence[Line]) -> str:
    counts = relabelling.item_counts(relabelling.subjects("religion"))
    off, fits = [], []
    for line in lines:
        header = relabelling.places(line)["religion"]
        gammas = [line.value(f"religion_{name}_gamma") or 0.0 for name in header]
        etas = [line.value(f"religion_{name}_eta") or 0.0 for name in header]
        off.append(abs(relabelling.weighted(gammas, header, counts)))
        if relabelling.header_fits(gammas, etas, counts, header):
            fits.append(line.number)
    return (
        "In every line the subjects of a category stand in descending order of gamma (read any line from left to "
        "right), but the "
        "header names them in the order of one line. Their sample can be drawn again (`random.sample`, seed 42, "
        "over pairs in the "
        "order of UnQover's word lists), which gives every subject its number of items, such as 1,814 for atheist. "
        "Etas are whole numbers over "
        "these, and gammas times these must cancel, because what one subject wins another loses. Under the header "
        "they do so in "
        f"line {', '.join(map(str, fits))} alone (religion; the others miss 0 by {median(off):.0f} in the median). "
        "Under one other order they do in "
        "every line, except that Christian and Jewish have the same count. Country and gender_occupation have too "
        "many subjects of equal count. "
        "The published heat maps by subject use the header's names."
    )


def two_checkpoints(points: Sequence[Point]) -> str:
    bars, table = {}, {}
    for point in points:
        if (
            point.model == "Tulu-2-7B (figure 4)"
            and point.task == "bbq"
            and point.group == "all"
            and point.value is not None
        ):
            (bars if point.line is None else table)[point.arm, point.metric] = point.value
    off = {key: abs(bars[key] - value) for key, value in table.items()}
    worst = {
        kind: max(v for (_, metric), v in off.items() if ("accuracy" in metric) == (kind == "accuracy"))
        for kind in ("accuracy", "bias")
    }
    return (
        "tulu2_7b has two lines of AWQ and of GPTQ in every table but perplexity, and two dense lines in the "
        "generation tables. In BBQ the first ones "
        f"(lines 74 and 75) are the bars of figure 4, to {worst['accuracy']:.4f} (accuracy) and "
        f"{worst['bias']:.4f} (bias), which is what a "
        "pixel allows. So they are of the fine-tuning experiment's checkpoint. We keep the last; the published "
        "heat map of 7B models has the first."
    )


def doubled(lines: Sequence[Line]) -> str:
    (line,) = [each for each in lines if each.number == 77]
    first, second = line.value("reddit-asktransgender"), line.value("reddit-europe")
    return (
        f"In line 77 asktransgender and europe are both {first:g}{'' if first == second else ' (changed)'}, and the "
        "eight numbers from canada to libertarian fit the other lines once they are moved one column to the left. "
        "Then libertarian's own number is lost."
    )


def other_items(lines: Sequence[Line]) -> str:
    constants = {c: bias_score.constant(lines, c) for c in bias_score.categories(lines[0])}
    (line,) = [each for each in lines if each.number == 5]
    differing = [c for c, value in constants.items() if value is not None and bias_score.difference(line, c) != value]
    int8 = next(each for each in lines if each.model == line.model and each.arm.recipe == "int8")
    gap = {
        what: (int8.value(f"avg_{what}") or 0) - (line.value(f"avg_{what}") or 0)
        for what in ("acc_disambiguated", "s_disambiguated")
    }
    return (
        f"The constants of defect 1 depend on the items alone. In line 5 they differ in {len(differing)} of six "
        f"categories ({', '.join(differing)}), "
        f"in no other line. int8 lies {100 * abs(gap['acc_disambiguated']):.1f} points of accuracy and "
        f"{abs(gap['s_disambiguated']):.3f} of bias away from it. Every "
        "change of Llama-2-13B in BBQ is against this row, so all are void."
    )


def other_protocol(points: Sequence[Point]) -> str:
    moved = {
        m: _change(points, m, "holistic_bias", "regardv3_score", "int8")
        for m in ("Llama-2-7B", "Llama-2-13B", "Tulu-2-7B", "Tulu-2-13B")
    }
    said = ", ".join(f"{model} {100 * change:+.1f}" for model, change in moved.items())
    return (
        "int8 changes a model least. Its change in negative regard on HolisticBiasR, in points: "
        f"{said}. In Llama-2-7B, AWQ, GPTQ and all 2:4 and 4:8 arms lie with int8, apart from dense. This is a "
        "suspicion, not a proof."
    )


def other_prompt(points: Sequence[Point]) -> str:
    numbers = Numbers(points)
    far = [moved(numbers, model, arm) for model in TULU for arm in QUANTIZED]
    near = [moved(numbers, model, "gblm:sparsity=0.1") for model in TULU]
    return (
        "How unevenly an arm moves the subjects' etas (standard deviation of the change, points of 100, mean of "
        "religion and ethnicity) is "
        f"{min(far):.0f} to {max(far):.0f} for int8, AWQ and GPTQ of Tulu-2, and {min(near):.1f} to "
        f"{max(near):.1f} for GBLM at 10%. All magnitude arms of "
        "13B, and magnitude and SparseGPT at 10% of 7B, go with the former. The rule on paths in defect 5 would do "
        "this. This is a suspicion, not a proof."
    )


def moved(numbers: Numbers, model: str, arm: str) -> float:
    return mean(
        each for category in relabelling.TOLD_APART if (each := spread(numbers, model, arm, category)) is not None
    )


def tiny(points: Sequence[Point]) -> str:
    shares = [
        p.value
        for p in points
        if (p.table, p.metric_there, p.group_there) == ("holistic_bias", "regardv3_score", "null")
        and p.value is not None
    ]
    whole = sum(abs(16 * share - round(16 * share)) < 1e-6 for share in shares)
    return (
        f"In HolisticBiasR's group `null` the share of negative regard is a multiple of 1/16 in {whole} of "
        f"{len(shares)} lines: 16 prompts. Nothing that "
        "such a group does can be told from noise, and no table has intervals."
    )


def wrong_titles(points: Sequence[Point]) -> str:
    low = next(
        p.value
        for p in points
        if (p.model, p.arm, p.metric, p.group)
        == ("Llama-2-7B", "magnitude:sparsity=0.6", "accuracy_disambiguated", "all")
    )
    return (
        "The panels of `figures/A1c.png`, the figure of 7B models, are titled 13b. The data are 7B: magnitude at "
        "60% ends at "
        f"{100 * (low or 0):.0f}% accuracy there, which is Llama-2-7B in bbq.csv. Its vertical bars at 75% are the "
        "two checkpoints of defect 8."
    )


def _dense(points: Sequence[Point], model: str, table: str, metric: str) -> float:
    return next(
        p.value
        for p in points
        if (p.model, p.arm, p.table, p.metric_there, p.group) == (model, DENSE, table, metric, "all")
        and p.value is not None
    )


def _change(points: Sequence[Point], model: str, table: str, metric: str, arm: str) -> float:
    value = next(
        p.value
        for p in points
        if (p.model, p.arm, p.table, p.metric_there, p.group) == (model, arm, table, metric, "all")
        and p.value is not None
    )
    return value - _dense(points, model, table, metric)
