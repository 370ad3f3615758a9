"""Classifiers as scorers: by hand, against transformers' own pipeline, and what is said where weights are missing."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from crushtest.engines.fake.engine import FakeEngine
from crushtest.errors import ModelError, UsageError
from crushtest.records import Exchange, Score
from crushtest.scorers.calling import call_scorer, facts_of
from crushtest.scorers.classifiers import ClassifierSpec, _batches, probabilities
from crushtest.scorers.regard import first_sentence
from support.tiny_classifier import make_classifier

TEXTS = ["the man is good", "a vile person", "they had a good day, a kind day!", "the lake", "bad " * 40, "good"]
HOSTILE = [
    "a\x00b bad",
    "\U0001f600\U0001f389",
    "\u202eright to left\u202c",
    "\ud800 half",
    "\u0645\u0631\u062d\u0628\u0627",
]


def scored(spec: str, texts: Sequence[str], **about: Any) -> list[Score]:
    return call_scorer(spec, [Exchange("Once", text, **about) for text in texts], lambda model, engine: FakeEngine())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random classifier of two labels."""
    return make_classifier(tmp_path_factory.mktemp("random"))


def test_labels_that_share_a_probability_are_a_softmax(tmp_path: Path) -> None:
    made = make_classifier(tmp_path, ("fine", "hateful"), logits=(0.0, math.log(3)))
    assert scored(f"hf:{made}#hateful", ["a man"])[0].value == pytest.approx(3 / 4)
    assert scored(f"hf:{made}#fine", ["a man"])[0].value == pytest.approx(1 / 4)
    assert scored(f"toxigen-roberta:{made}", ["a man"])[0].value == pytest.approx(3 / 4)


def test_labels_with_probabilities_of_their_own_are_sigmoids(tmp_path: Path) -> None:
    made = make_classifier(tmp_path, ("toxic", "threat"), logits=(math.log(3), math.log(1 / 4)), independent=True)
    assert scored(f"hf:{made}#toxic", ["a man"])[0].value == pytest.approx(3 / 4)
    assert scored(f"hf:{made}#threat", ["a man"])[0].value == pytest.approx(1 / 5)


def test_detoxify_is_a_sigmoid_and_renames_the_first_checkpoints_labels(
    tmp_path: Path,
) -> None:
    made = make_classifier(tmp_path, ("toxic", "identity_hate"), logits=(math.log(4), 0.0))
    assert scored(f"detoxify:original,folder={made}", ["a man"])[0].value == pytest.approx(4 / 5)
    assert scored(f"detoxify:original,label=identity_attack,folder={made}", ["a"])[0].value == pytest.approx(1 / 2)
    with pytest.raises(UsageError, match="did you mean 'toxicity'"):
        facts_of(f"detoxify:original,label=toxicty,folder={made}")


@pytest.fixture(scope="module")
def regarding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of regard that finds everything negative with 0.4, neutral 0.3, positive 0.2, other 0.1."""
    logits = tuple(math.log(share) for share in (0.4, 0.3, 0.2, 0.1))
    return make_classifier(
        tmp_path_factory.mktemp("regard"), ("negative", "neutral", "positive", "other"), logits=logits
    )


def test_regard_counts_the_likeliest_label_or_gives_its_probability(regarding: Path) -> None:
    assert scored(f"regard:classifier={regarding}", ["a man"]) == [Score(1.0)]
    assert scored(f"regard:positive,classifier={regarding}", ["a man"]) == [Score(0.0)]
    [score] = scored(f"regard:positive,value=probability,classifier={regarding}", ["a man"])
    assert score.value == pytest.approx(0.2)


def test_regard_reads_the_first_sentence_with_its_subject_masked(regarding: Path) -> None:
    asked = Exchange("The gay person was known for", " his songs. He is bad.", "The gay person")
    assert first_sentence(asked) == "XYZ was known for his songs."
    assert first_sentence(Exchange("The man worked as", " a cook")) == "The man worked as a cook."
    assert scored(f"regard:classifier={regarding}", ["", "\x00"]) == [Score(None, "empty completion")] * 2


def test_a_classifier_of_other_labels_is_not_taken_for_one_of_regard(folder: Path) -> None:
    with pytest.raises(ModelError, match="must have the labels negative, neutral, positive, other"):
        facts_of(f"regard:classifier={folder}")


def test_probabilities_are_those_of_transformers_own_pipeline(folder: Path) -> None:
    from transformers import pipeline

    theirs = pipeline("text-classification", model=str(folder), top_k=None, device="cpu")
    ours = probabilities(ClassifierSpec(str(folder)), "hf", TEXTS)
    for text, mine in zip(TEXTS, ours, strict=True):
        expected = {row["label"]: row["score"] for row in theirs([text])[0]}
        assert mine == pytest.approx(expected, abs=1e-6)


def test_a_text_has_its_score_whatever_stands_beside_it(folder: Path) -> None:
    spec = f"hf:{folder}#1"
    together = scored(spec, [*TEXTS, *HOSTILE, ""])
    alone = [scored(spec, [text])[0] for text in [*TEXTS, *HOSTILE, ""]]
    for one, other in zip(together, alone, strict=True):
        assert one.reason == other.reason
        assert one.value == pytest.approx(other.value, abs=1e-6)
    assert len({round(score.value or 0, 6) for score in together[:6]}) == 6, "unlike texts have unlike scores"


def test_a_text_longer_than_the_classifier_reads_is_not_cut_but_unscored(folder: Path) -> None:
    short, long, endless = scored(f"hf:{folder}#1", ["bad " * 62, "bad " * 63, "x" * 100_000])
    assert short.value is not None
    assert long == Score(None, "longer than the 64 tokens that the classifier reads")
    assert endless == Score(None, "longer than 20000 characters")


def test_batches_hold_every_text_that_fits_once_the_longest_first() -> None:
    lengths = [3, 500, 20, 513, 1, 20]
    batches = _batches(lengths, 512)
    assert sorted(index for batch in batches for index in batch) == [0, 1, 2, 4, 5]
    assert batches[0][0] == 1
    assert all(len(batch) * max(lengths[index] for index in batch) <= 8192 for batch in batches)


def test_half_precision_is_near_full_precision(folder: Path) -> None:
    full, half = scored(f"hf:{folder}#1", TEXTS), scored(f"hf:{folder}#1,dtype=bfloat16", TEXTS)
    for one, other in zip(full, half, strict=True):
        assert other.value == pytest.approx(one.value, abs=0.05)


def test_the_manifest_names_classifier_and_labels(folder: Path) -> None:
    facts = facts_of(f"hf:{folder}#1")
    assert (facts["classifier"], facts["labels"], facts["threshold"]) == (str(folder), ["0", "1"], 0.5)


def test_the_manifest_tells_the_weights_of_a_folder_from_others(tmp_path: Path) -> None:
    made = make_classifier(tmp_path, logits=(0.0, 0.0))
    weights = made / "model.safetensors"
    before = facts_of(f"hf:{made}#1")
    assert before["sha256"] == {"model.safetensors": hashlib.sha256(weights.read_bytes()).hexdigest()}
    assert "revision" not in before
    make_classifier(tmp_path, logits=(0.0, 1.0))
    assert facts_of(f"hf:{made}#1")["sha256"] != before["sha256"]


@pytest.mark.parametrize("spec", ["toxigen-roberta", "detoxify:original", "regard", "hf:unitary/toxic-bert#toxic"])
def test_without_the_hub_it_says_which_files_to_place_where(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(name: str, **options: Any) -> None:
        raise ModelError(f"model {name!r}: not in the hub's cache, and the hub cannot be reached")

    monkeypatch.setattr("crushtest.models.hub.fetch", unreachable)
    with pytest.raises(ModelError) as error:
        facts_of(spec)
    for part in ("config.json", "model.safetensors", "tokenizer.json", "folder in place of the id"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_label_is_an_error_with_the_nearest(folder: Path) -> None:
    with pytest.raises(UsageError, match="unknown label"):
        facts_of(f"hf:{folder}#2")
    with pytest.raises(ModelError, match="hf:ID#LABEL"):
        facts_of("hf:unitary/toxic-bert")


def test_pickled_weights_are_read_only_when_that_is_asked_for(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    made = make_classifier(tmp_path, logits=(0.0, 0.0))
    torch.save(load_file(made / "model.safetensors"), made / "pytorch_model.bin")
    (made / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="pickled"):
        facts_of(f"toxigen-roberta:{made}")
    assert scored(f"toxigen-roberta:{made},allow_pickle=true", ["a man"])[0].value == pytest.approx(0.5)
