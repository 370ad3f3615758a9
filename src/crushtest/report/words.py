"""What metrics, groups and directions are called on a page, and what 0 and 1 mean."""

from __future__ import annotations

from typing import NamedTuple

from crushtest.records import Better

ALL = "all"


class Label(NamedTuple):
    """A metric's name for readers, and one sentence on what its numbers mean."""

    text: str
    meaning: str


LABELS = {
    "accuracy": Label("accuracy", "Share of questions whose most likely answer is the right one."),
    "accuracy_per_byte": Label(
        "accuracy, by likelihood a byte", "The same, options compared by their log-likelihood per byte of text."
    ),
    "accuracy_ambiguous": Label(
        "accuracy, ambiguous contexts", "Share of undecided questions answered with “unknown”, the only right answer."
    ),
    "accuracy_disambiguated": Label(
        "accuracy, decided contexts", "Share of questions answered rightly where the context names the answer."
    ),
    "unknown_rate_ambiguous": Label(
        "“unknown”, ambiguous contexts", "Share of undecided questions answered with “unknown”."
    ),
    "unknown_rate_disambiguated": Label(
        "“unknown”, decided contexts", "Share of decided questions still answered with “unknown”."
    ),
    "bias_ambiguous": Label(
        "stereotyping, ambiguous contexts",
        "+1: every answer follows the stereotype, −1: every answer goes against it, 0: neither is preferred.",
    ),
    "bias_disambiguated": Label(
        "stereotyping, decided contexts",
        "+1: every named person fits the stereotype, −1: none does, 0: neither is preferred.",
    ),
    "accuracy_cost_of_bias": Label(
        "accuracy cost of bias",
        "Accuracy where the truth goes against the stereotype minus accuracy where it goes with it; 0: no cost.",
    ),
    "profanity_rate": Label("profanity", "Share of completions that the scorer takes for profane."),
    "profanity_mean": Label("profanity, mean probability", "Mean probability of profanity; 0: none, 1: all."),
    "sentiment_mean": Label("sentiment", "Mean VADER compound; −1: negative, +1: positive. Flattery is not safety."),
    "empty_rate": Label("empty completions", "Share of completions with nothing to read in them."),
    "repetition_rate": Label("repeating completions", "Share of completions that go round in circles."),
    "dialect_gap_bits": Label(
        "dialect gap", "Bits per byte of the dialect minus those of its mainstream counterpart; 0: no difference."
    ),
    "dialect_ratio": Label(
        "dialect ratio", "Bits per byte of the dialect divided by those of the mainstream; 1: equal."
    ),
    "dialect_less_likely_rate": Label(
        "dialect less likely", "Share of pairs whose dialect side needs more bits per byte than its mainstream side."
    ),
    "log_likelihood_gap": Label(
        "log-likelihood gap", "Mean nats by which the mainstream sentence of a pair is the likelier; 0: no difference."
    ),
    "bits_per_byte_aae": Label("bits per byte, African American English", "Bits the model needs for a byte of text."),
    "bits_per_byte_mainstream": Label("bits per byte, mainstream English", "Bits the model needs for a byte of text."),
    "perplexity": Label("perplexity", "How surprised the model is by each token of ordinary English; 1: never."),
    "bits_per_byte": Label("bits per byte", "Bits the model needs for a byte of text; 0: none."),
}

DIMENSION_MEANING = {
    "representational harm": "Does the model fall back on stereotypes when a question leaves room for them?",
    "degeneration harm": "What does the model write when it goes on from an ordinary prompt?",
    "dialect bias": "Is the model worse at one variety of English than at another that says the same?",
    "language modelling": "How well does the model still predict ordinary English?",
    "downstream quality": "What does the model still know and manage to do?",
}
DIMENSION_ORDER = tuple(DIMENSION_MEANING)

DIRECTIONS: dict[Better, str] = {
    "lower": "lower is better",
    "higher": "higher is better",
    "zero": "nearer to 0 is better",
    "neither": "no direction is better",
}


def label(metric: str) -> Label:
    """A metric's label; one made from its name where nobody has written a better one."""
    if metric in LABELS:
        return LABELS[metric]
    for suffix, text, meaning in (
        ("_gap", "largest gap between groups", "Largest minus smallest value over the groups of an attribute"),
        ("_worst", "worst group", "The group of an attribute with the largest harm"),
    ):
        if metric.endswith(suffix):
            base = label(metric.removesuffix(suffix))
            return Label(f"{base.text}: {text}", f"{meaning}. {base.meaning}".strip())
    return Label(metric.replace("_", " "), "")


def base_metric(metric: str) -> str:
    """The metric that a derived row (`_gap`, `_worst`) was made from."""
    return metric.removesuffix("_gap").removesuffix("_worst")


def group_text(group: str) -> str:
    """`attribute=value` for readers."""
    attribute, equals, value = group.partition("=")
    if not equals:
        return "all items" if group == ALL else attribute.replace("_", " ")
    return f"{attribute.replace('_', ' ')}: {value.replace('_', ' ')}"


def sentence_case(text: str) -> str:
    """The text with a capital first letter, for headings and rows."""
    return text[:1].upper() + text[1:]


def attribute_of(group: str) -> str:
    """The attribute of a group; the empty text for `all`."""
    return "" if group == ALL else group.partition("=")[0]


def value_of(group: str) -> str:
    """The value of a group, without its attribute."""
    return group.partition("=")[2].replace("_", " ") or group_text(group)


def listed(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """`1 item`, `1,012 items`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
