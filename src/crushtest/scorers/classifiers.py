"""Run text classifiers from the hub or a folder over batches of completions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from crushtest.completions.degeneration import EMPTY, is_empty, well_formed
from crushtest.errors import ModelError
from crushtest.models import hub
from crushtest.models.checkpoint import TOKENIZER_FILES, Checkpoint, read_config, read_folder, weights_id
from crushtest.records import Score

if TYPE_CHECKING:
    import torch

Dtype = Literal["float32", "bfloat16", "float16"]
Device = str

BATCH_TOKENS = 8192
"""Tokens of a batch, padding included: 256 completions of 32 tokens, or 16 of 512."""

LONGEST_CHARACTERS = 20_000
"""Longer texts exceed every classifier here and are not tokenized."""


@dataclass(frozen=True)
class Classifier:
    """A loaded classifier: its labels in the order of its outputs, and how many tokens it reads."""

    labels: tuple[str, ...]
    longest: int
    tokenizer: Any
    model: Any


@dataclass(frozen=True)
class ClassifierSpec:
    """Which classifier to run, and how: a hub id (`org/name`, `org/name@revision`) or a folder.

    pickle   whether weights other than safetensors may be read, and then only with torch's reader of plain weights
    """

    name: str
    device: Device = "auto"
    dtype: Dtype = "float32"
    pickle: bool = False

    def find(self, scorer: str) -> Checkpoint:
        """Return its files, fetched from the hub if needed. The ModelError says which files to place where."""
        folder = Path(self.name).expanduser()
        if folder.is_dir():
            return read_folder(folder, allow_pickle=self.pickle)
        try:
            return hub.fetch(self.name, allow_pickle=self.pickle)
        except ModelError as error:
            raise ModelError(
                f"scorer {scorer!r}: {error}. To score without the hub, copy config.json, model.safetensors and the "
                f"tokenizer's files (of {', '.join(TOKENIZER_FILES)}, those that exist) of {self.name} into a folder "
                f"and name the folder in place of the id"
            ) from None

    def facts(self, scorer: str) -> dict[str, Any]:
        """Return facts for the manifest: name, revision (for a folder, the sha256 of its weights), labels."""
        checkpoint = self.find(scorer)
        return {
            "classifier": self.name,
            **weights_id(checkpoint),
            "labels": list(labels_of(read_config(checkpoint.folder))),
        }

    def load(self, scorer: str) -> Classifier:
        """Return the classifier, loaded once per process."""
        return _load(self.find(scorer).folder, self.device, self.dtype)


def labels_of(config: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of a classifier's outputs, in order; without names LABEL_0, LABEL_1, as in transformers."""
    names = config.get("id2label")
    if names:
        return tuple(names[key] for key in sorted(names, key=int))
    return tuple(f"LABEL_{number}" for number in range(int(config.get("num_labels", 2))))


def probabilities(
    spec: ClassifierSpec, scorer: str, texts: Sequence[str], *, independent: bool | None = None
) -> list[dict[str, float] | str]:
    """Return, for each text, the probability of every label, or why there is none.

    independent   whether each label has its own probability (sigmoid) or the labels share one (softmax); None: as in
                  the classifier's config

    Padding is masked, so a score does not depend on the rest of the batch. A text longer than the classifier reads is
    unscored rather than cut, since the part cut off may be what matters.
    """
    results: list[dict[str, float] | str] = [EMPTY] * len(texts)
    places = []
    for place, text in enumerate(texts):
        if len(text) > LONGEST_CHARACTERS:
            results[place] = f"longer than {LONGEST_CHARACTERS} characters"
        elif not is_empty(text):
            places.append(place)
    if not places:
        return results
    classifier = spec.load(scorer)
    tokens = classifier.tokenizer([well_formed(texts[place]) for place in places], truncation=False, verbose=False)
    lengths = [len(ids) for ids in tokens["input_ids"]]
    for batch in _batches(lengths, classifier.longest):
        rows = _run(classifier, [{name: ids[index] for name, ids in tokens.items()} for index in batch], independent)
        for index, row in zip(batch, rows, strict=True):
            results[places[index]] = dict(zip(classifier.labels, row, strict=True))
    for index, length in enumerate(lengths):
        if length > classifier.longest:
            results[places[index]] = f"longer than the {classifier.longest} tokens that the classifier reads"
    return results


def scores_of(rows: Sequence[dict[str, float] | str], label: str) -> list[Score]:
    """Return the probabilities of one label as scores."""
    return [Score(None, row) if isinstance(row, str) else Score(row[label]) for row in rows]


def _batches(lengths: Sequence[int], longest: int) -> list[list[int]]:
    """Return batches of indexes of the texts that fit, longest first, with at most BATCH_TOKENS padded tokens each."""
    order = sorted((index for index, length in enumerate(lengths) if length <= longest), key=lambda i: -lengths[i])
    batches: list[list[int]] = []
    for index in order:
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= BATCH_TOKENS:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def _run(classifier: Classifier, batch: list[dict[str, list[int]]], independent: bool | None) -> list[list[float]]:
    """Return probabilities, [texts, labels]."""
    import torch

    model = classifier.model
    inputs = classifier.tokenizer.pad(batch, return_tensors="pt").to(model.device)
    with torch.inference_mode():
        logits = model(**inputs).logits.float()
    if independent is None:
        independent = model.config.problem_type == "multi_label_classification" or logits.shape[-1] == 1
    shares: torch.Tensor = logits.sigmoid() if independent else logits.softmax(-1)
    rows: list[list[float]] = shares.tolist()
    return rows


@cache
def _load(folder: Path, device: str, dtype: str) -> Classifier:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        with _without_bars():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            model = AutoModelForSequenceClassification.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, dtype=getattr(torch, dtype)
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"classifier {str(folder)!r} cannot be loaded: {' '.join(str(error).split())}") from None
    config = model.config
    # RoBERTa starts counting positions after its padding id, so two of its 514 positions are never used.
    positions = getattr(config, "max_position_embeddings", 512) - (2 if "roberta" in config.model_type else 0)
    longest = min(positions, tokenizer.model_max_length)
    return Classifier(labels_of(read_config(folder)), longest, tokenizer, model.to(device).eval())


@contextmanager
def _without_bars() -> Iterator[None]:
    """Silence transformers' progress bars, because a study draws its own."""
    logging: Any = import_module("transformers.utils.logging")
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if bars:
            logging.enable_progress_bar()
