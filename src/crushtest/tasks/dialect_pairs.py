"""dialect_pairs: the same sentence in a dialect and in mainstream English; what does the dialect cost?"""

from __future__ import annotations

from crushtest.data.sources import read_text
from crushtest.data.user_files import read_plain, require
from crushtest.errors import DataError
from crushtest.records import Choices, Item
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.shared.dialect_metrics import (
    DIALECT_SIDE,
    bits_gaps,
    less_likely_rate,
    log_likelihood_gap,
    of_pair,
    perplexity_gaps,
    side_bits,
)

HABITUAL = "data/pairs/habitual.txt"


@task(
    "dialect_pairs",
    dimension="language and dialect",
    source="doi:10.1038/s41586-024-07856-5; github valentinhofmann/dialect-prejudice",
    licence="MIT",
    items=699,
)
def dialect_pairs(*, path: str | None = None) -> Task:
    """Meaning-matched sentences in African American and mainstream English: what does the dialect cost a model?

    Items: 699 pairs of one feature, habitual be ("she be loving" / "she's usually loving"), which Hofmann et al. 2024
    published; or the pairs of `path`, a file of lines `dialect<TAB>mainstream` without a header, with an optional third
    column that names the feature. The AAVE / SAE tweets of Groenwold et al. 2020 are available from their authors and
    can be given there.
    A pair is one item. Each side is scored separately after the model's start token and does not depend on the other
    side or on any other pair. Groups: `feature`. Clusters: published pairs with the same verb (he / she / they be
    loving); each pair of your own.

    Metrics, over all pairs and per feature:
    dialect_gap_bits, dialect_ratio, dialect_log_ratio
        bits per byte of the dialect sides against the mainstream sides: difference, ratio, difference of logarithms
    dialect_gap_perplexity, dialect_perplexity_ratio, dialect_perplexity_log_ratio
        the same for perplexity per token, to compare with published numbers
    dialect_less_likely_rate
        share of pairs whose dialect side needs more bits per byte
    log_likelihood_gap
        mean nats by which the whole mainstream sentence is the likelier
    bits_per_byte_dialect, bits_per_byte_mainstream
        bits per byte of each side
    A difference of 0 or a ratio of 1 means that the dialect costs nothing extra. The `difference` of the contrasts, a
    difference in differences, says what compression did. Read all three forms of it. When both sides get harder, a gap
    in perplexity can grow while the ratio shrinks: in the published tables of Xu et al. 2024 the gap is larger than the
    dense model's in 123 of 128 pruned models, the ratio in 76.

    Known problems: three words without a context are not natural text. The mainstream sides spell out "usually", which
    the dialect expresses in its grammar, so whole-sentence likelihoods favour the shorter dialect side. Bits per byte
    do not.
    """
    metrics = (
        *bits_gaps(of_pair),
        *perplexity_gaps(of_pair),
        less_likely_rate(),
        log_likelihood_gap(),
        *side_bits(DIALECT_SIDE),
    )
    return Task("choices", lambda: published_or_own(path, task="dialect_pairs"), metrics)


def published_or_own(path: str | None, *, task: str) -> list[Item]:
    """Return the published pairs or the user's own as items with two options: mainstream, dialect."""
    if path is None:
        return pair_items(read_text("dialect-prejudice", HABITUAL), HABITUAL, feature="habitual_be")
    file = require(path, task=task, because="")
    return pair_items(read_plain(file), str(file))


def pair_items(text: str, file: str, *, feature: str | None = None) -> list[Item]:
    """Return one item per line of `dialect<TAB>mainstream[<TAB>feature]`, skipping empty lines.

    `feature` marks the published lines, which cluster by what follows the pronoun of the dialect side.

    Raises DataError that names the line for a header, for a line that is not a pair, and for two equal sides.
    """
    items: list[Item] = []
    # Not splitlines: it also cuts at characters that a sentence may hold.
    for number, line in enumerate(text.split("\n")):
        if not line.strip():
            continue
        sides = [part.strip() for part in line.split("\t")]
        where = f"{file}, line {number + 1}"
        if not 2 <= len(sides) <= 3 or not all(sides[:2]):
            raise DataError(f"{where}: needs dialect<TAB>mainstream, perhaps <TAB>feature (got {line!r})")
        dialect, mainstream, *named = sides
        if not items and (dialect.lower(), mainstream.lower()) == ("dialect", "mainstream"):
            raise DataError(f"{where} is a header; remove it")
        if dialect == mainstream:
            raise DataError(f"{where}: both sides are the same text ({dialect!r})")
        features = [feature] if feature else [name for name in named if name]
        cluster = dialect.partition(" ")[2] if feature else str(number)
        request = Choices("", (mainstream, dialect))
        items.append(Item(str(number), tuple(f"feature={name}" for name in features), cluster, request))
    return items
