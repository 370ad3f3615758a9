"""Loading models as a study's settings say: in its dtype, on its device, trusting what it trusts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crushtest.study.plan import StudySpec

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

    from crushtest.models.load import LoadedModel


def load_for(spec: StudySpec, model: str) -> LoadedModel:
    """A model in memory. Raises as `load_model` does."""
    from crushtest.models.load import load_model

    return load_model(model, dtype=spec.dtype, device=spec.device, **_trust(spec))


def config_for(spec: StudySpec, model: str) -> PreTrainedConfig:
    """A model's configuration; no weight is read. Raises as `load_config` does."""
    from crushtest.models.load import load_config

    return load_config(model, **_trust(spec))


def tokenizer_for(spec: StudySpec, model: str) -> PreTrainedTokenizerBase:
    """A model's tokenizer; no weight is read. Raises as `load_tokenizer` does."""
    from crushtest.models.load import load_tokenizer

    return load_tokenizer(model, **_trust(spec))


def _trust(spec: StudySpec) -> dict[str, bool]:
    return {"trust_remote_code": spec.trust_remote_code, "allow_pickle": spec.allow_pickle}
