"""A logistic regression over TF-IDF of word n-grams as plain numbers: read, written and scored without pickles."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from crushtest.errors import ModelError
from crushtest.files.atomic import write_json

LONGEST_NGRAM = 3
_WORD = re.compile(r"\b\w\w+\b")


class NgramModel(NamedTuple):
    """What scoring needs, and what the model was fitted on.

    weights      n-gram -> (inverse document frequency, coefficient)
    fitted_with  package and version
    fitted_on    file of a data set -> checksum
    """

    weights: Mapping[str, tuple[float, float]]
    intercept: float
    texts: int
    fitted_with: str
    fitted_on: Mapping[str, str]

    def probability(self, text: str) -> float | None:
        """Return the probability of the class 1; None for a text without a known n-gram."""
        terms = [(count * self.weights[ngram][0], self.weights[ngram][1])
                 for ngram, count in Counter(ngrams(text)).items() if ngram in self.weights]  # fmt: skip
        if not terms:
            return None
        length = math.sqrt(sum(value**2 for value, _ in terms))
        return 1 / (1 + math.exp(-self.intercept - sum(value * weight for value, weight in terms) / length))

    def write(self, path: Path) -> None:
        """Write the model as JSON."""
        write_json(path, self._asdict())


def ngrams(text: str) -> list[str]:
    """Return a text's words and their n-grams up to 3, as scikit-learn's vectorizer makes them.

    >>> ngrams("I can't help you")
    ['can', 'help', 'you', 'can help', 'help you', 'can help you']
    """
    words = _WORD.findall(text.lower())
    return [
        " ".join(words[start : start + n]) for n in range(1, LONGEST_NGRAM + 1) for start in range(len(words) - n + 1)
    ]


def read_model(path: Path) -> NgramModel:
    """Read a model that `NgramModel.write` wrote. Raises ModelError if the file holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        weights = {str(ngram): (float(idf), float(weight)) for ngram, (idf, weight) in content["weights"].items()}
        fitted_on = {str(file): str(checksum) for file, checksum in content["fitted_on"].items()}
        model = NgramModel(
            weights=weights,
            intercept=float(content["intercept"]),
            texts=int(content["texts"]),
            fitted_with=str(content["fitted_with"]),
            fitted_on=fitted_on,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} holds no fitted n-gram model ({error!r}); fit it again") from None
    if not all(math.isfinite(number) for pair in weights.values() for number in (*pair, model.intercept)):
        raise ModelError(f"{path} holds numbers that are not finite; fit it again")
    return model
