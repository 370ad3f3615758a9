"""How models are loaded: in which dtype, on which device, and what of theirs is trusted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from crushtest.models import load

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

    from crushtest.models.load import LoadedModel


@dataclass(frozen=True)
class ModelOptions:
    """The options of `load_model`, resolved once and handed to whatever loads a model."""

    dtype: str = "float32"
    device: str = "auto"
    trust_remote_code: bool = False
    allow_pickle: bool = False

    def load(self, model: str) -> LoadedModel:
        """Return the model in memory. Raises as `load_model` does."""
        return load.load_model(model, **asdict(self))

    def fetch(self, model: str) -> None:
        """Fetch the model's files, or convert the demo's, if they are not here yet. Raises as `load_model` does."""
        load.find_checkpoint(model, **self._trust)

    def load_config(self, model: str) -> PreTrainedConfig:
        """Return the model's configuration; no weight is read. Raises as `load_model` does."""
        return load.load_config(model, **self._trust)

    def load_tokenizer(self, model: str) -> PreTrainedTokenizerBase:
        """Return the model's tokenizer; no weight is read. Raises as `load_model` does."""
        return load.load_tokenizer(model, **self._trust)

    @property
    def _trust(self) -> dict[str, bool]:
        return {"trust_remote_code": self.trust_remote_code, "allow_pickle": self.allow_pickle}
