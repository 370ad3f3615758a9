"""Try whether a model can be loaded, as far as that shows without reading a weight."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from crushtest.errors import ModelError
from crushtest.models.dtypes import loaded_dtype
from crushtest.models.find import model_kind
from crushtest.models.foreign import reading
from crushtest.models.load import find_checkpoint, load_config, placement_of, without_weights
from crushtest.models.options import ModelOptions
from crushtest.models.places import read_places
from crushtest.models.quantization import Format
from crushtest.models.reader import quiet, suspect


def try_out(spec: str, options: ModelOptions) -> None:
    """Raise ModelError for what would keep a model from being loaded: its package, config or architecture.

    A hub model is fetched if it is not here yet. Any is laid out without memory for its weights. Its tokenizer is tried
    with those of all arms (`pipeline.prepare.check_tokenizers`).
    """
    import torch
    from transformers import AutoModelForCausalLM

    trust = {"trust_remote_code": options.trust_remote_code, "allow_pickle": options.allow_pickle}
    checkpoint = without_weights(spec, **trust)
    if checkpoint.quantization is not None:
        require_package(spec, checkpoint.quantization.format)
    config = load_config(spec, **trust)
    models: Any = AutoModelForCausalLM
    message = f"model {spec!r}: transformers cannot lay it out"
    with reading(message, lambda: suspect(checkpoint)), quiet(), torch.device("meta"):
        models.from_config(config, trust_remote_code=options.trust_remote_code)


def check_places(spec: str, options: ModelOptions) -> None:
    """Raise ModelError if a model's weights do not fit the places that its options name. No weight is read.

    What `auto` chooses, or one device without a limit has room for, depends on the memory that is free when the model
    is loaded; nothing is fetched for them.
    """
    places = read_places(options.device)
    if not places or (len(places) == 1 and places[0].limit_bytes is None):
        return
    kind = model_kind(spec)
    find = find_checkpoint if kind == "demo" else without_weights  # the demo's converted copy can be on the disk
    checkpoint = find(spec, trust_remote_code=options.trust_remote_code, allow_pickle=options.allow_pickle)
    dtype = loaded_dtype(kind, checkpoint, options.dtype)
    placement_of(spec, checkpoint, options.device, dtype=dtype, trust_remote_code=options.trust_remote_code)


def require_package(spec: str, quantized: Format) -> None:
    """Raise ModelError if the package that reads a format is not installed."""
    if quantized.package and find_spec(quantized.package.replace("-", "_")) is None:
        raise ModelError(
            f"model {spec!r}: {quantized.title} is read by a package that is not installed; "
            f"`pip install 'crushtest[{quantized.package}]'`"
        )
