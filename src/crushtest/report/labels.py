"""What the metrics of the registered tasks are called on a page, and what their numbers mean."""

from __future__ import annotations

from typing import NamedTuple


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
    "repetition_rate": Label(
        "repeating completions",
        "Share of completions that go round in circles: a third of their 4-grams occurred before. Counted over runs of "
        "at most 8 letters and single other signs, not over words.",
    ),
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
    "accuracy_normalised": Label(
        "accuracy, normalised", "The same, options compared by their log-likelihood per character."
    ),
    "decision_margin": Label(
        "lead of the right answer", "Mean nats by which the right option leads the best wrong one."
    ),
    "mc1": Label("truthful, best answer", "Share of questions whose most likely answer is the best true one."),
    "mc2": Label("truthful, probability", "Probability given to all true answers together; 1: all of it."),
    "binary": Label("truthful, of two answers", "Share of questions whose true answer is likelier than the false one."),
    "binary_first_rate": Label(
        "first of two answers", "Share of answers that name the option listed first; 50%: no habit."
    ),
    "rouge1": Label("ROUGE-1", "Overlap of words with the reference summary; 1: all."),
    "rouge2": Label("ROUGE-2", "Overlap of word pairs with the reference summary; 1: all."),
    "rougeL": Label("ROUGE-L", "Longest sequence of words in common with the reference summary; 1: all."),
    "undecided_rate": Label("items left out of bias", "Share of items whose stereotyped answer is not known."),
    "stereotype_rate": Label("stereotyping sentence likelier", "Share of pairs; 50%: neither is preferred."),
    "stereotype_bias": Label(
        "stereotyping", "+1: the stereotyping sentence is always likelier, −1: never, 0: as often as not."
    ),
    "stereotype_gap": Label("stereotyping gap", "Accuracy where the stereotype helps minus where it hurts; 0: no gap."),
    "accuracy_pro": Label(
        "accuracy, with the stereotype", "Share of right answers where the stereotype points to them."
    ),
    "accuracy_anti": Label(
        "accuracy, against it", "Share of right answers where the stereotype points away from them."
    ),
    "occupation_gender_gap": Label(
        "occupation and gender",
        "How often a female pronoun is taken for the occupation, minus how often a male one; 0: alike.",
    ),
    "language_model_score": Label("meaningful over meaningless", "Share of items; 1: always the meaningful one."),
    "stereotype_score": Label("stereotype over anti-stereotype", "Share of items; 0.5: neither is preferred."),
    "icat_score": Label(
        "idealised score", "Meaningful sentences likelier, stereotypes not; 1: ideal, 0: always or never stereotyping."
    ),
    "likelihood_difference": Label(
        "log-likelihood difference", "Mean nats by which the stereotyping sentence is likelier."
    ),
    "mu": Label("intensity of bias", "Mean over subjects of the largest preference that an attribute draws; 0: none."),
    "eta": Label(
        "consistency of bias",
        "How often a subject wins or loses whatever the rival; 0: as often as not, 1: always the same.",
    ),
    "eta_debiased": Label("consistency of bias, debiased", "The same minus what random signs would give."),
    "eta_null": Label("consistency of random signs", "What a sample of this size would give without any bias."),
    "gamma": Label("preference for a subject", "Mean comparative score over its pairs; 0: none."),
    "subject_eta": Label("consistency for a subject", "+1: the subject wins every time, −1: it loses every time."),
    "delta": Label("position error", "Mean change of an answer's probability when the subjects are swapped; 0: none."),
    "epsilon": Label(
        "attribute error", "Mean difference between an answer and the other one for the negated question; 0: none."
    ),
    "favourability_slope": Label("favourable words, by guise", "How far favour changes with the dialect; 0: not."),
    "stereotype_association": Label("covert stereotypes", "Mean nats by which a guise draws an adjective; 0: not."),
    "convicted_rate_gap": Label(
        "convictions, by guise", "Share of dialect speakers convicted, minus mainstream speakers'; 0: alike."
    ),
    "death_rate_gap": Label(
        "death sentences, by guise",
        "Share of dialect speakers sentenced to death, minus mainstream speakers'; 0: alike.",
    ),
    "dialect_gap_perplexity": Label(
        "dialect gap in perplexity", "Perplexity of the dialect minus mainstream; 0: none."
    ),
    "dialect_perplexity_ratio": Label(
        "dialect ratio of perplexities", "Perplexity of the dialect / mainstream; 1: equal."
    ),
    "dialect_log_ratio": Label("dialect log ratio", "Logarithm of the ratio of bits per byte; 0: equal."),
    "dialect_perplexity_log_ratio": Label("dialect log ratio of perplexities", "Logarithm of the ratio; 0: equal."),
    "bits_per_byte_dialect": Label("bits per byte, dialect", "Bits the model needs for a byte of text."),
    "sentiment_positive_rate": Label("positive completions", "Share of completions that VADER calls positive."),
    "sentiment_negative_rate": Label("negative completions", "Share of completions that VADER calls negative."),
    "short_rate": Label("short completions", "Share of completions of a few words only."),
    "no_language_rate": Label("completions without language", "Share of completions that are not words."),
    "degenerate_rate": Label(
        "degenerate completions", "Share of completions that are empty, repeating or no language."
    ),
    "completion_perplexity": Label(
        "perplexity of completions", "How surprised the dense model is by what was written."
    ),
    "kl_mean": Label("KL from dense", "Mean nats a token by which its next-token probabilities differ; 0: not at all."),
    "kl_p99": Label("KL from dense, 99th percentile", "Nats that 99 of 100 tokens stay below, within 15%."),
    "kl_mean_at_least": Label(
        "KL from dense, at least",
        "A lower bound of the mean nats a token, from dense's likeliest tokens.",
    ),
    "kl_p99_at_least": Label(
        "KL from dense, 99th percentile, at least", "A lower bound, from dense's likeliest tokens; read within 15%."
    ),
    "kl_mean_at_most": Label("KL from dense, at most", "An upper bound of the mean nats a token; often far above it."),
    "top1_agreement": Label("same first choice as dense", "Share of tokens; 1: all."),
}
