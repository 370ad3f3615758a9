"""A model laid out without memory for its weights, for work that reads them from the files a part at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crushtest.errors import ModelError
from crushtest.models.dtypes import loaded_dtype
from crushtest.models.find import model_kind
from crushtest.models.foreign import reading
from crushtest.models.load import LoadedModel, find_checkpoint, load_config
from crushtest.models.merging import Merging
from crushtest.models.reader import quiet, suspect
from crushtest.models.tensor_files import TensorFiles

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def load_skeleton(spec: str, *, dtype: str = "float32", trust_remote_code: bool = False) -> LoadedModel:
    """Return the model with parameters that have no memory (on `meta`), and where to read them; buffers are real.

    ModelError as from `load_model`, for weights that are not in safetensors files, and for dtype `auto` where the
    config does not say what it is.
    """
    import torch
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    checkpoint = find_checkpoint(spec, trust_remote_code=trust_remote_code, allow_pickle=False)
    if checkpoint.format != "safetensors":
        raise ModelError(
            f"model {spec!r}: weights can stay on disk in safetensors files only (got {checkpoint.format})"
        )
    config = load_config(spec, trust_remote_code=trust_remote_code)
    named = loaded_dtype(model_kind(spec), checkpoint, dtype)
    chosen = config.dtype if named == "auto" else named
    if chosen is None:
        raise ModelError(f"model {spec!r}: its config names no dtype; name one instead of auto")
    models: Any = AutoModelForCausalLM
    with reading(f"model {spec!r}: transformers cannot lay it out", lambda: suspect(checkpoint)):
        with quiet(), init_empty_weights(include_buffers=False), torch.no_grad():
            network = models.from_config(config, dtype=chosen, trust_remote_code=trust_remote_code)
        tokenizer = AutoTokenizer.from_pretrained(checkpoint.folder, trust_remote_code=trust_remote_code)
        if (checkpoint.folder / "generation_config.json").is_file():
            network.generation_config = GenerationConfig.from_pretrained(checkpoint.folder)
    facts = {"kind": model_kind(spec), "format": checkpoint.format, "dtype": str(network.dtype).removeprefix("torch.")}
    stored = TensorFiles(checkpoint.weights).names
    tensors = TensorFiles(checkpoint.weights, _names_in_files(network), Merging(network, stored))
    return LoadedModel(network.eval().requires_grad_(False), tokenizer, spec, facts, tensors)


def _names_in_files(network: PreTrainedModel) -> dict[str, str]:
    """Return the names that checkpoints have for tensors which transformers renames as it loads them."""
    from transformers.core_model_loading import revert_weight_conversion

    state = network.state_dict(keep_vars=True)
    stored = {id(tensor): name for name, tensor in revert_weight_conversion(network, dict(state)).items()}
    return {name: stored[id(tensor)] for name, tensor in state.items() if stored.get(id(tensor), name) != name}
