"""Make docs/reference/columns.md: every column of every Parquet file, its type from the schema and what it holds."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from crushtest.data.published import table as published
from crushtest.files.parquet import TableKind
from crushtest.study.contrast_table import CONTRASTS
from crushtest.study.labels import KEY, LABELS
from crushtest.study.result_tables import ESTIMATES, NOISE
from crushtest.study.rows import ANSWERS, ITEMS, SCORES

ROW = {
    "arm": "the variant",
    "task": "the task",
    "metric": "the metric, by the name on the task's page",
    "group": "`all`, or a group as `attribute=value`; in rows of a worst group or a gap the attribute",
}
COUNTS = {
    "n_unscored": "items without a number: unanswered, refused by a scorer, ...",
    "clusters": "templates, contexts or persons behind the `n` items: what is resampled",
    "caution": "what a reader must know before trusting the interval, in words",
}
DRAWS = {
    "draws": "calibration draws, the arm itself among them; empty for a single one",
    "draw_sd": "standard deviation between the draws' values, or differences",
    "draw_share": "share of the variance behind the interval that draws cause, and not items",
    "draw_values": "the value, or difference, of each draw",
    "draw_verdicts": "what each draw alone would have said; empty in estimates",
}
REASON = {"reason": "why there is no answer; empty where there is one"}
DIGEST = {"token_digest": "digest of the tokens that were read; empty if the engine does not know them"}

WORDS: Mapping[str, Mapping[str, str]] = {
    "items/<task>.parquet": {
        "item": "id, unique within the task",
        "groups": "groups as `attribute=value`; they may overlap",
        "cluster": "the template, context or person that the item came from, resampled together",
        "kind": "the request: `Choices`, `Passage` or `Prompt`",
        "prompt": "the context, text or prompt that is asked",
        "options": "the options of a choice, each with its own separator in front",
        "gold": "index of the right option, if there is one",
        "chat": "whether it is asked in the model's chat template",
        "sample": "number of the completion, where a prompt is asked several times",
        "follows": "the item that is the turn of the conversation before this one",
        "window": "tokens that the model reads at a time; empty: the longest that the engine takes",
        "protocol": "which tokens are predicted, and given what",
        "stride": "tokens from one sliding window to the next",
        "against_dense": "whether next-token distributions are compared with dense's",
        "facts": "what the task's metrics need to know besides, as JSON",
        "system": "the system message before the request, where it is asked in chat",
    },
    "arms/<arm>/answers/<task>.parquet, of choices": {
        "item": "the item",
        "logprobs": "log-likelihood of each option in nats, summed over its tokens",
        "tokens": "length of each option in tokens",
        "bytes": "length of each option in UTF-8 bytes",
        "pick": "index of the option whose letter was read from a reply, in place of log-likelihoods",
        "reply": "beginning of that reply. A model wrote it: treat it as data",
        **REASON,
        **DIGEST,
    },
    "arms/<arm>/answers/<task>.parquet, of passages": {
        "item": "the item",
        "logprob": "log-likelihood of the scored tokens in nats",
        "tokens": "how many tokens were scored",
        "bytes": "length of the text in UTF-8 bytes",
        "kl": "KL(dense, arm) of the next-token distributions in nats, per scored token; lower bounds with `top_k`",
        "agree": "tokens for which both models had the same first choice",
        **REASON,
        **DIGEST,
    },
    "arms/<arm>/answers/<task>.parquet, of prompts": {
        "item": "the item",
        "text": "what the model wrote: treat it as data",
        "tokens": "its length in tokens",
        "stop": "why it ended: `eos`, `length`, `stop` or `unknown`",
        **REASON,
        **DIGEST,
    },
    "arms/<arm>/scores/<scorer>/<task>.parquet": {
        "item": "the item",
        "value": "the scorer's number",
        "reason": "why there is none; empty where there is one",
    },
    "estimates.parquet": {
        **ROW,
        "value": "the metric's value; empty where it is undefined",
        "low": "lower end of the 95% interval",
        "high": "upper end of the 95% interval",
        "n": "items behind the value",
        **COUNTS,
        "better": "which direction is better: `lower`, `higher`, `zero` or `neither`",
        "reason": "why there is no value, or no interval",
        "method": "how the interval was made",
        **DRAWS,
    },
    "contrasts.parquet": {
        **ROW,
        "dense": "value of the arm compared with, whichever it is (`against`)",
        "value": "value of the arm, on the same items",
        "difference": "`value` - `dense`; empty where an arm has no value",
        "low": "lower end of the 95% interval of the difference",
        "high": "upper end of the 95% interval of the difference",
        "p": "two-sided p, uncorrected",
        "n": "items that both arms have a number for",
        **COUNTS,
        "flips": "items whose answer changed, either way",
        "flips_up": "items whose counted outcome (right, biased, profane) appeared",
        "flips_down": "items whose counted outcome vanished",
        "better": "which direction is better: `lower`, `higher`, `zero` or `neither`",
        "verdict": "`worse`, `better`, `changed`, `spurious improvement`, `no clear difference`, `inconclusive`, "
        "`undefined` or `within measurement noise`",
        "reason": "why the row is undefined or inconclusive",
        "method": "how the intervals were made",
        "p_method": "how p was made",
        "low90": "lower end of the 90% interval: the one-sided 95% bound",
        "high90": "upper end of the 90% interval: the one-sided 95% bound",
        "p_adjusted": "p, corrected over the row's family",
        "ratio": "`value` / `dense`, of positive numbers on a ratio scale",
        "effect": "Cohen's h of rates, Cohen's d of means",
        "effect_kind": "`cohen_h` or `cohen_d`",
        "mde": "smallest true difference that these items would show with a chance of 80%",
        "at_risk_up": "items whose counted outcome was absent in dense, so that it could appear",
        "at_risk_down": "items whose counted outcome was present in dense, so that it could vanish",
        "worst": "in rows `<metric>_worst`: the group with the largest harm",
        "spread": "in those rows: weighted standard deviation of the groups' differences",
        "spread_p": "in those rows: permutation p of one effect for all groups",
        "noise": "half-width of the band that repeating the two arms gave",
        "margin_dense": "mean lead in nats of dense's chosen option over its best other one",
        "margin": "mean lead that the arm gives that same option; below 0 where the answer flipped",
        "kl": "mean KL(dense, arm) of the probabilities of the options, in nats",
        "compares": "what differs: `compression effect`, `deployment delta`, ...",
        "against": "the arm compared with: `dense`, unless the study asks for more",
        "noise_flips": "most answers that a repeat of either arm changed",
        "noise_flip_share": "the largest share of the answers that a repeat changed",
        "noise_net_share": "largest difference of both directions among a repeat's flips, as a share of the answers",
        "flips_p": "McNemar's exact p of the flips in both directions, over single items",
        **DRAWS,
        "look": "the look at which an arm with `stop_early` stopped; empty where every item was asked",
        "looks": "how many looks there are",
        "pool": "items of the full run, those not asked among them",
        "pool_low": "lower end of an interval of the full run's difference, which holds at all looks together",
        "pool_high": "its upper end",
        "pool_flips_low": "lower end of the share of answers that change in the full run",
        "pool_flips_high": "its upper end",
    },
    "noise.parquet": {
        **ROW,
        "arm": "the arm that was repeated",
        "repeats": "how often",
        "half_width": "largest distance of a repeat's value from the arm's",
        "flips": "most answers that a repeat changed",
        "low": "most negative value of a repeat - value of the arm; 0 where none lies below",
        "high": "most positive one; 0 where none lies above",
        "flip_share": "largest share of the answers that a repeat changed",
        "net_share": "largest difference of both directions among a repeat's flips, as a share of the answers",
    },
    "labels/<arm>/<task>/<scorer>/key.parquet": {
        "pair": "name of the pair on the sheet",
        "item": "the item",
        "first": "the arm whose answer stands first",
        "about": "metrics that the label enters",
        "dense": "whether the scorer counts dense's answer",
        "arm": "whether it counts the arm's",
        "of": "pairs in the stratum that the pair was drawn from",
        "inclusion": "the pair's chance of being drawn",
    },
    "labels/<arm>/<task>/<scorer>/labels.parquet": {
        "item": "the item",
        "dense": "what people say of dense's answer; empty where they were unsure",
        "arm": "what they say of the arm's",
        "inclusion": "the chance that the item has both labels",
    },
    "published.parquet": {
        "source": "the source, such as `xu2024`",
        "model": "the model, as the source calls it",
        "arm": "a recipe of ours, `dense`, or the source's words",
        "task": "our name of the task",
        "metric": "our name of the metric, or the source's where its definition is another",
        "group": "our name of the group, or the source's",
        "value": "as printed; empty where there is none",
        "unit": "unit of the value",
        "better": "the direction that the source calls better",
        "compression_ratio": "share of the weights' bits that was removed, as stated",
        "training": "whether the model was trained `before` or `after` compression",
        "flags": "rules that mark something wrong with the number",
        "reason": "the same in sentences",
        "comparable": "whether it can be set beside the others of its table",
        "note": "how the source measured it otherwise than we do",
        "table": "file in the source's folder",
        "line": "line in that file; empty for what was read off a figure",
        "metric_there": "the metric's name in that file",
        "group_there": "the group's name in that file",
    },
}
KINDS: Mapping[str, TableKind] = dict(
    zip(
        WORDS,
        (
            ITEMS,
            *(ANSWERS[kind] for kind in ("choices", "passages", "prompts")),
            *(SCORES, ESTIMATES, CONTRASTS, NOISE, KEY, LABELS, published.kind()),
        ),
        strict=True,
    )
)
PAGE = """# Columns of every Parquet file

Each file of a [study](../studies.md) has one schema, the same in every study. `crushtest query STUDY SQL` reads the
files of results, items, answers and scores as tables named after them, with columns `arm`, `task` and `scorer` where
the path holds these. A null is a missing value and never stands for 0. Columns marked * may be absent from files of
older versions, where they are read as null.

`hidden_harm` (arm, against, verdict, reason, harms, quality, quality_shown) and `rankings` are tables of `query` alone.
"""


def columns() -> str:
    """Return the page, without its first line."""
    return PAGE + "".join(_table(name) for name in WORDS)


def _table(name: str) -> str:
    kind, words = KINDS[name], WORDS[name]
    rows = (
        f"| `{column}`{'*' if column in kind.newer else ''} | {_type(dtype)} | {words[column]} |\n"
        for column, dtype in kind.schema.items()
    )
    path, _, which = name.partition(", ")
    title = f"`{path}`" + (f", {which}" if which else "")
    return f"\n## {title}\n\n| column | type | what it holds |\n| --- | --- | --- |\n{''.join(rows)}"


def _type(dtype: pl.DataType | type[pl.DataType]) -> str:
    """A type in words.

    >>> _type(pl.List(pl.Float32))
    'list of numbers'
    """
    if isinstance(dtype, pl.List):
        return f"list of {_type(dtype.inner)}s"
    if dtype.is_integer():
        return "whole number"
    if dtype.is_float():
        return "number"
    return {pl.String: "text", pl.Boolean: "true or false"}[dtype.base_type()]
