"""How an arm's option probabilities moved, item by item: decision margins and KL divergence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crushtest.metrics import Array
from crushtest.records import ChoiceScores, Item
from crushtest.results import OptionChange
from crushtest.stats.clusters import Index
from crushtest.stats.item_sums import Answers
from crushtest.stats.stored_choices import StoredChoices


def option_changes(items: Sequence[Item], dense: Answers, arm: Answers) -> Array | None:
    """Return [items, 3]: dense's lead of its chosen option, the arm's lead of that same option, KL(dense || arm).

    NaN for items without two scored options in both arms, with a log-probability that is not finite, or where dense
    chooses none because options are tied. None for tasks without options.
    """
    changes = np.full((len(items), 3), np.nan)
    options = np.minimum(*(_options(items, answers) for answers in (dense, arm)))
    for count in np.unique(options[options > 1]).tolist():
        rows = np.flatnonzero(options == count)
        changes[rows] = _changes(*(_logprobs(items, rows, answers, count) for answers in (dense, arm)))
    return None if np.isnan(changes).all() else changes


def mean_changes(items: Sequence[Item], pairs: Sequence[tuple[Answers, Answers]]) -> Array | None:
    """Return `option_changes`, averaged over pairs of draws that have a number for an item; None if no item has one."""
    each = [changes for dense, arm in pairs if (changes := option_changes(items, dense, arm)) is not None]
    if len(each) < 2:
        return each[0] if each else None
    defined = [~np.isnan(changes) for changes in each]
    count, total = np.sum(defined, axis=0), np.nansum(each, axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def mean_change(changes: Array | None, rows: Index) -> OptionChange | None:
    """Return the means over these items, those without a number left out; None if all are without."""
    if changes is None:
        return None
    defined = changes[rows]
    defined = defined[~np.isnan(defined).any(axis=1)]
    if not len(defined):
        return None
    margin_dense, margin, kl = defined.mean(axis=0).tolist()
    return OptionChange(margin_dense=margin_dense, margin=margin, kl=kl)


def _options(items: Sequence[Item], answers: Answers) -> Index:
    """Return [items] how many options have a score; 0 for an item that has no scores."""
    if isinstance(answers, StoredChoices):
        return answers.options(items)
    given = (answers.get(item.id) for item in items)
    return np.array([len(each.logprobs) if isinstance(each, ChoiceScores) else 0 for each in given], np.int64)


def _logprobs(items: Sequence[Item], rows: Index, answers: Answers, count: int) -> Array:
    """Return the log-probabilities [rows, options] of the answers to some items, which all have `count` options."""
    if isinstance(answers, StoredChoices):
        return np.ascontiguousarray(answers.logprobs[answers.rows(items)[rows], :count])
    return np.array([answers[items[row].id].logprobs for row in rows.tolist()])  # type: ignore[union-attr]


def _changes(dense: Array, arm: Array) -> Array:
    """Return [items, 3] from two arms' log-probabilities [items, options]."""
    usable = np.isfinite(dense).all(axis=1) & np.isfinite(arm).all(axis=1)
    usable &= (dense == dense.max(axis=1, keepdims=True)).sum(axis=1) == 1
    changes = np.full((len(dense), 3), np.nan)
    dense, arm = dense[usable], arm[usable]
    chosen = dense.argmax(axis=1)
    p, q = dense - _log_total(dense), arm - _log_total(arm)
    kl = np.maximum((np.exp(p) * (p - q)).sum(axis=1), 0.0)
    changes[usable] = np.stack([_lead(dense, chosen), _lead(arm, chosen), kl], axis=1)
    return changes


def _lead(logprobs: Array, chosen: Index) -> Array:
    """Return [items] by how much the chosen option leads the best other one, of logprobs [items, options]."""
    rows = np.arange(len(logprobs))
    others = logprobs.copy()
    others[rows, chosen] = -np.inf
    lead: Array = logprobs[rows, chosen] - others.max(axis=1)
    return lead


def _log_total(logprobs: Array) -> Array:
    """Return log(sum(exp(logprobs))) [items, 1] of [items, options]; subtract the top first, so that exp is not 0."""
    top = logprobs.max(axis=1, keepdims=True)
    total: Array = top + np.log(np.exp(logprobs - top).sum(axis=1, keepdims=True))
    return total
