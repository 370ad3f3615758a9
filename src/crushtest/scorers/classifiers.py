"""Text classifiers from the hub or a folder, run over batches of completions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from crushtest.degeneration import EMPTY, is_empty, well_formed
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
"""Longer texts are beyond any classifier here; they are not even tokenized."""


@dataclass(frozen=True)
class Classifier:
    """A classifier that is loaded: its labels in the order of its outputs, and how many tokens it reads."""

    labels: tuple[str, ...]
    longest: int
    tokenizer: Any
    model: Any


@dataclass(frozen=True)
class Wanted:
    """A classifier that is named: a hub id (`org/name`, `org/name@revision`) or a folder, and how to run it.

    pickle   whether weights that are not safetensors may be read; even then, only with torch's reader of plain weights
    """

    name: str
    device: Device = "auto"
    dtype: Dtype = "float32"
    pickle: bool = False

    def find(self, scorer: str) -> Checkpoint:
        """Its files, fetched from the hub if need be. ModelError says which files to place where."""
        folder = Path(self.name).expanduser()
        if folder.is_dir():
            return read_folder(folder, allow_pickle=self.pickle)
        try:
            return hub.fetch(self.name, allow_pickle=self.pickle)
        except ModelError as error:
            raise ModelError(
                f"scorer {scorer!r}: {error}. To score without the hub, copy config.json, model.safetensors and the "
                f"tokenizer's files ({', '.join(TOKENIZER_FILES)}: those that it has) of {self.name} into a folder "
                f"and name the folder in place of the id"
            ) from None

    def facts(self, scorer: str) -> dict[str, Any]:
        """For the manifest: its name, its revision (of a folder, the sha256 of its weights), its labels."""
        found = self.find(scorer)
        return {
            "classifier": self.name,
            **weights_id(found),
            "labels": list(labels_of(read_config(found.folder))),
        }

    def load(self, scorer: str) -> Classifier:
        """The classifier; loaded once."""
        return _load(self.find(scorer).folder, self.device, self.dtype)


def labels_of(config: dict[str, Any]) -> tuple[str, ...]:
    """The names of a classifier's outputs, in order; LABEL_0, LABEL_1 where it names none, as transformers does."""
    named = config.get("id2label")
    if named:
        return tuple(named[key] for key in sorted(named, key=int))
    return tuple(f"LABEL_{number}" for number in range(int(config.get("num_labels", 2))))


def probabilities(
    wanted: Wanted, scorer: str, texts: Sequence[str], *, independent: bool | None = None
) -> list[dict[str, float] | str]:
    """Per text the probability of every label, or why there is none.

    independent   whether each label has a probability of its own (sigmoid) or they share one (softmax); None: as the
                  classifier's config says
    A text is scored alone, whatever stands beside it in a batch: padding is masked. One that is longer than the
    classifier reads is not cut: what would be left out may be what matters.
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
    classifier = wanted.load(scorer)
    tokens = classifier.tokenizer([well_formed(texts[place]) for place in places], truncation=False, verbose=False)
    lengths = [len(ids) for ids in tokens["input_ids"]]
    for batch in _batches(lengths, classifier.longest):
        rows = _run(classifier, [_pick(tokens, index) for index in batch], independent)
        for index, row in zip(batch, rows, strict=True):
            results[places[index]] = dict(zip(classifier.labels, row, strict=True))
    for index, length in enumerate(lengths):
        if length > classifier.longest:
            results[places[index]] = f"longer than the {classifier.longest} tokens that the classifier reads"
    return results


def scores_of(rows: Sequence[dict[str, float] | str], label: str) -> list[Score]:
    """The probability of one label, as scores."""
    return [Score(None, row) if isinstance(row, str) else Score(row[label]) for row in rows]


def _batches(lengths: Sequence[int], longest: int) -> list[list[int]]:
    """Indexes of the texts that fit, the longest first, so many at a time that a padded batch stays small."""
    order = sorted((index for index, length in enumerate(lengths) if length <= longest), key=lambda i: -lengths[i])
    batches: list[list[int]] = []
    for index in order:
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= BATCH_TOKENS:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def _pick(tokens: Any, index: int) -> dict[str, list[int]]:
    return {name: tokens[name][index] for name in tokens}


def _run(classifier: Classifier, batch: list[dict[str, list[int]]], independent: bool | None) -> list[list[float]]:
    """[texts, labels] probabilities."""
    import torch

    model = classifier.model
    inputs = classifier.tokenizer.pad(batch, return_tensors="pt").to(model.device)
    with torch.inference_mode():
        logits = model(**inputs).logits.float()
    if independent is None:
        independent = model.config.problem_type == "multi_label_classification" or logits.shape[-1] == 1
    found: torch.Tensor = logits.sigmoid() if independent else logits.softmax(-1)
    rows: list[list[float]] = found.tolist()
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
    # RoBERTa's first position is after its padding id: two of its 514 positions are never used.
    positions = getattr(config, "max_position_embeddings", 512) - (2 if "roberta" in config.model_type else 0)
    longest = min(positions, tokenizer.model_max_length)
    return Classifier(labels_of(read_config(folder)), longest, tokenizer, model.to(device).eval())


@contextmanager
def _without_bars() -> Iterator[None]:
    """Without transformers' progress bars: a study draws its own."""
    logging: Any = import_module("transformers.utils.logging")
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if bars:
            logging.enable_progress_bar()
