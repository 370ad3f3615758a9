"""hf: any text classifier of the hub, or in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crushtest.errors import ModelError, UnknownName
from crushtest.models.checkpoint import read_config
from crushtest.records import Exchange, Score
from crushtest.registry import scorer
from crushtest.scorers.classifiers import ClassifierSpec, Device, Dtype, labels_of, probabilities, scores_of


def _facts(*, classifier: str, device: Device, dtype: Dtype, allow_pickle: bool) -> dict[str, Any]:
    spec, label = _parse(classifier, device, dtype, allow_pickle)
    facts = spec.facts("hf")
    if label not in facts["labels"]:
        raise UnknownName("label", label, facts["labels"], where=f"scorer 'hf': {spec.name}")
    return facts


@scorer(
    "hf",
    source="a text classifier of the hub or of your own",
    measures="probability, 0 to 1, of one label of the classifier",
    facts=_facts,
)
def hf(
    exchanges: Sequence[Exchange],
    *,
    classifier: str = "",
    device: Device = "auto",
    dtype: Dtype = "float32",
    allow_pickle: bool = False,
) -> list[Score]:
    """Return the probability of a label from any text classifier: `hf:ID#LABEL`, `hf:FOLDER#LABEL`.

    `hf:unitary/toxic-bert#toxic`, `hf:org/name@revision#LABEL_1`. The prompt is not scored. Each label
    has its own probability if the classifier's config says so (`multi_label_classification`), else the labels share
    one. A completion longer than the classifier reads is unscored, not cut.

    Measure its quality on text that people have labelled before you rely on it (docs/scorers.md).
    """
    if not exchanges:
        return []
    spec, label = _parse(classifier, device, dtype, allow_pickle)
    labels = labels_of(read_config(spec.find("hf").folder))
    if label not in labels:
        raise UnknownName("label", label, labels, where=f"scorer 'hf': {spec.name}")
    return scores_of(probabilities(spec, "hf", [exchange.completion for exchange in exchanges]), label)


def _parse(classifier: str, device: Device, dtype: Dtype, allow_pickle: bool) -> tuple[ClassifierSpec, str]:
    name, _, label = classifier.rpartition("#")
    if not name or not label:
        raise ModelError("scorer 'hf': name a classifier and one of its labels: hf:ID#LABEL or hf:FOLDER#LABEL")
    return ClassifierSpec(name, device, dtype, allow_pickle), label
