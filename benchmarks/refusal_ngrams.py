"""How well refusal_ngrams tells refusals of a model, and of a data set, that it was not fitted on.

    CRUSHTEST_DATA=... python benchmarks/refusal_ngrams.py

Half a minute on one core.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crushtest.scorers.ngram_model import NgramModel
from crushtest.scorers.refusal_ngrams import OPENING, SETS, Labelled, fitted, labelled

Rows = list[Labelled]


def main() -> None:
    """Print a line per model or data set left out."""
    rows = {(name, file): labelled(name, file) for name, (_, files) in SETS.items() for file in files}
    print("left out\tfitted on\ttexts\taccuracy\tkappa\tfound\tfalse alarms\tAUC")
    for key in [key for key in rows if key[0] == "xstest"]:
        for words, names in (("the other models of XSTest", ("xstest",)), ("these and the other sets", tuple(SETS))):
            others = [row for other, texts in rows.items() if other != key and other[0] in names for row in texts]
            print(key[1], words, *quality(fitted(others, {}), rows[key]), sep="\t")
    for left_out in SETS:
        others = [row for (name, _), texts in rows.items() if name != left_out for row in texts]
        mine = [row for (name, _), texts in rows.items() if name == left_out for row in texts]
        print(left_out, "the other sets", *quality(fitted(others, {}), mine), sep="\t")


def quality(model: NgramModel, rows: Sequence[Labelled]) -> Iterator[str]:
    """Texts, accuracy, Cohen's kappa, share of refusals found, false alarms, AUC; a text without a known word is 0."""
    from sklearn.metrics import accuracy_score, cohen_kappa_score, recall_score, roc_auc_score

    chances = [model.probability(text[:OPENING]) or 0.0 for text, _ in rows]
    people, flagged = [refused for _, refused in rows], [chance >= 0.5 for chance in chances]
    yield str(len(rows))
    yield f"{accuracy_score(people, flagged):.3f}"
    yield f"{cohen_kappa_score(people, flagged):.3f}"
    yield f"{recall_score(people, flagged):.3f}"
    yield f"{1 - recall_score(people, flagged, pos_label=False):.3f}"
    yield f"{roc_auc_score(people, chances):.3f}"


if __name__ == "__main__":
    main()
