"""Read a checkpoint's weights and tokenizer through transformers, and refuse whatever it would make up or leave out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from logging import ERROR, getLogger
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from weakref import finalize

from crushtest.errors import ModelError
from crushtest.files.cache import cache_folder
from crushtest.models.checkpoint import Checkpoint
from crushtest.models.foreign import file_at_fault, reading
from crushtest.models.gguf_settings import read_gguf_config, refuse_unread_tensors
from crushtest.models.gguf_tokenizer import mend_tokenizer
from crushtest.models.notes import rounds_weights_alone, unpacks_in_sixteen_bits
from crushtest.models.placement import Placement
from crushtest.models.quantization import READERS, refuse_unused_parts, unused_note
from crushtest.models.quantized.weights import plain_weights

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class ReadModel(NamedTuple):
    """What was read; `unused` says which tensors of the files it has no use for, and is mostly empty."""

    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    unused: str


def read_model(
    spec: str, checkpoint: Checkpoint, *, dtype: torch.dtype | str, placement: Placement, trust_remote_code: bool
) -> ReadModel:
    """Return the model and its tokenizer. The many ways in which transformers fails become ModelError."""
    device = placement.device
    options: dict[str, Any] = {"dtype": dtype, "device_map": placement.for_transformers}
    folder = offload_folder() if placement.on_disk else None
    options |= {} if folder is None else {"offload_folder": folder}
    with quiet(), reading(f"model {spec!r}: transformers cannot load it", lambda: suspect(checkpoint)):
        tokenizer = read_tokenizer(checkpoint, trust_remote_code=trust_remote_code)
        if _is_dequantized_here(checkpoint, device):
            network, report = _read_dequantized(spec, checkpoint, options, trust_remote_code)
        else:
            network, report = _read_network(checkpoint, options, trust_remote_code)
    if folder is not None:
        finalize(network, rmtree, folder, ignore_errors=True)
    unused = refuse_unused_parts(spec, report["unexpected_keys"], checkpoint.quantization)
    # transformers would fill the tensors that a checkpoint lacks with random numbers.
    lacking = sorted(map(str, {*report["missing_keys"], *report["mismatched_keys"]}))
    if lacking:
        raise ModelError(f"model {spec!r}: {len(lacking)} tensors missing or misshapen, first {lacking[0]}")
    if unpacks_in_sixteen_bits(checkpoint.quantization):
        _unpack_in_one_dtype(network)
    if checkpoint.gguf and checkpoint.header:
        refuse_unread_tensors(checkpoint.weights[0], checkpoint.header, network)
        _forget_quantization(network)
    return ReadModel(network.eval().requires_grad_(False), tokenizer, unused_note(unused))


def offload_folder() -> Path:
    """Return a new folder for weights that stay on the disk in another form than the checkpoint's (packed experts).

    All others are read from the checkpoint's own files. It is removed with the network.
    """
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    return Path(mkdtemp(prefix="offload-", dir=cache))


def suspect(checkpoint: Checkpoint) -> str:
    """Return the file of a checkpoint that cannot be read by itself; empty if that cannot be said."""
    return str(checkpoint.weights[0]) if checkpoint.gguf else file_at_fault(checkpoint.folder)


def _read_network(checkpoint: Checkpoint, options: dict[str, Any], trust_remote_code: bool) -> tuple[Any, Any]:
    """Return the network, and transformers' report of tensors that are missing, misshapen or unexpected."""
    from transformers import AutoModelForCausalLM

    models: Any = AutoModelForCausalLM  # its annotations do not know that it can return two things
    source = {"trust_remote_code": trust_remote_code, "output_loading_info": True, **options}
    if checkpoint.gguf and checkpoint.header:
        config = read_gguf_config(checkpoint.weights[0], checkpoint.header, trust_remote_code=trust_remote_code)
        source |= _dequantizing() | {"config": config}
        result = models.from_pretrained(checkpoint.folder, gguf_file=checkpoint.gguf, **source)
    else:
        if rounds_weights_alone(checkpoint.quantization):
            source["config"] = _dequantizing_config(checkpoint, trust_remote_code)
        safe = checkpoint.format == "safetensors"
        result = models.from_pretrained(checkpoint.folder, use_safetensors=safe, **source)
    return cast("tuple[Any, Any]", result)


def _is_dequantized_here(checkpoint: Checkpoint, device: str) -> bool:
    """Say whether our own reader makes the weights plain ones; of FP8 only for want of a GPU that computes in it."""
    method = checkpoint.quantization.format.method if checkpoint.quantization else ""
    return method in READERS and not (method == "fp8" and _computes_in_fp8(device))


def _computes_in_fp8(device: str) -> bool:
    import torch

    return device.startswith("cuda") and torch.cuda.get_device_capability(device) >= (8, 9)


def _read_dequantized(
    spec: str, checkpoint: Checkpoint, options: dict[str, Any], trust_remote_code: bool
) -> tuple[Any, Any]:
    """Return what `_read_network` does, of weights that our own reader dequantized."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    config: Any = AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=trust_remote_code)
    for name in ("quantization_config", "quantization"):
        if hasattr(config, name):
            delattr(config, name)
    dtype = config.dtype if options["dtype"] == "auto" else options["dtype"]
    weights = plain_weights(spec, checkpoint, dtype)
    models: Any = AutoModelForCausalLM
    with torch.device("meta"):  # only to learn its class: the automatic one takes no weights without a folder
        kind: Any = type(models.from_config(config, trust_remote_code=trust_remote_code))
    network, report = kind.from_pretrained(
        None, config=config, state_dict=weights, output_loading_info=True, **(options | {"dtype": dtype})
    )
    transposed = [name for name, module in network.named_modules() if type(module).__name__ == "Conv1D"]
    if transposed:
        raise ValueError(f"layer {transposed[0]} keeps its weight transposed, which quantized checkpoints do not say")
    if (checkpoint.folder / "generation_config.json").is_file():
        network.generation_config = GenerationConfig.from_pretrained(checkpoint.folder)
    return network, report


def _dequantizing_config(checkpoint: Checkpoint, trust_remote_code: bool) -> Any:
    """Return a configuration that has compressed-tensors make plain weights, each from its codes, in the model's dtype.

    Otherwise transformers takes no packed zero points, and floats of 4 bits are unpacked in bfloat16.
    """
    from transformers import AutoConfig

    config: Any = AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=trust_remote_code)
    if isinstance(
        stated := getattr(config, "quantization_config", None), dict
    ):  # some state it for a part of the model
        stated["dequantize"] = True
    return config


def _dequantizing() -> dict[str, Any]:
    """Return the option that keeps transformers from computing with a GGUF file's blocks; older releases never do."""
    import transformers

    config = getattr(transformers, "GgufConfig", None)
    return {} if config is None else {"quantization_config": config(dequantize=True)}


def read_tokenizer(checkpoint: Checkpoint, *, trust_remote_code: bool) -> PreTrainedTokenizerBase:
    """Return the tokenizer; that of a GGUF file cuts text as llama.cpp does. Raises whatever transformers raises."""
    from transformers import AutoTokenizer

    source: dict[str, Any] = {"gguf_file": checkpoint.gguf} if checkpoint.gguf else {}
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        checkpoint.folder, trust_remote_code=trust_remote_code, **source
    )
    if checkpoint.header:
        mend_tokenizer(tokenizer, checkpoint.weights[0], checkpoint.header)
    return tokenizer


def _unpack_in_one_dtype(network: PreTrainedModel) -> None:
    """Give linear layers the model's dtype once compressed-tensors has unpacked them.

    It unpacks as the first forward pass begins, and floats of 4 bits in bfloat16.
    """
    import torch

    def cast(model: PreTrainedModel, _: Any) -> None:
        hook.remove()
        for module in model.modules():
            if isinstance(module, torch.nn.Linear) and module.weight.dtype == torch.bfloat16:
                # Not assigned: its parameters are kept in a cache that copies into what it has.
                module.weight.data = module.weight.data.to(model.dtype)

    hook = network.register_forward_pre_hook(cast)  # theirs was registered before, and runs before


def _forget_quantization(network: PreTrainedModel) -> None:
    """Remove the marks that keep a model from being saved: its weights are plain numbers once loaded."""
    if hasattr(network.config, "quantization_config"):
        del network.config.quantization_config
    network.__dict__.pop("hf_quantizer", None)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' progress bars, log lines and warnings; what matters of them is checked and raised."""
    gguf_loading: Any = import_module("transformers.modeling_gguf_pytorch_utils")
    logging: Any = import_module("transformers.utils.logging")
    placing = getLogger("accelerate.big_modeling")  # warns of weights that wait elsewhere, as they were asked to
    verbosity, bars, placing_level = logging.get_verbosity(), logging.is_progress_bar_enabled(), placing.level
    placing.setLevel(ERROR)
    gguf_bar = gguf_loading.tqdm
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    # The GGUF reader draws a bar of its own, which does not ask whether bars are wanted.
    gguf_loading.tqdm = logging.tqdm
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        placing.setLevel(placing_level)
        gguf_loading.tqdm = gguf_bar
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
