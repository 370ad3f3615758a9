"""Load a model from wherever it is: the hub, a folder, a GGUF file, or the demo that installs with a package."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from crushtest.errors import ModelError, UnknownName, UsageError, first_line
from crushtest.models import demo, hub
from crushtest.models.checkpoint import Checkpoint, gguf_weight_type, read_folder, read_gguf, which_weights
from crushtest.models.tensor_files import TensorFiles

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

Found = TypeVar("Found")

ALLOWED = "a hub id, a folder, a .gguf file, or demo"
DTYPES = ("float32", "bfloat16", "float16", "auto")


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory: in evaluation mode, without gradients.

    spec   what it was asked for by
    facts  for the manifest (JSON values): kind, revision or sha256 of the weight files, format, dtype, device,
           sha256 of the chat template (None: it has none), and `note` where the weights are not what they seem
    tensors where the weights are, for a network whose parameters have no memory (`load_skeleton`)
    """

    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    spec: str
    facts: dict[str, Any]
    tensors: TensorFiles | None = None


def check_model(spec: str, *, allow_pickle: bool = False) -> None:
    """ModelError unless the model is there and whole, as far as that can be told without reading its weights.

    A hub model that is not in the hub's cache is asked for by name; nothing is downloaded. Needs no torch.
    """
    kind = model_kind(spec)
    if kind == "demo":
        demo.find_gguf()
    elif kind == "hub":
        if hub.cached(spec, allow_pickle=allow_pickle) is None:
            _with_nearest(spec, hub.check_remote)
    else:
        _local(spec, kind, allow_pickle=allow_pickle)


def weights_named(spec: str) -> dict[str, Any]:
    """Which weights a spec names, for the manifest: `revision` or `sha256`. Loads and fetches nothing.

    Empty for a hub model that is not in the hub's cache. ModelError for a path that is not there or not whole.
    """
    kind = model_kind(spec)
    if kind == "demo":
        return {"sha256": {demo.FILE: demo.SHA256}}
    checkpoint = hub.cached(spec) if kind == "hub" else _local(spec, kind, allow_pickle=False)
    return which_weights(checkpoint) if checkpoint else {}


def load_model(
    spec: str,
    *,
    dtype: str = "float32",
    device: str = "auto",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> LoadedModel:
    """The model and its tokenizer, ready to run.

    spec    a hub id (`org/name`, `org/name@revision`), a folder, a `.gguf` file (dequantized), or `demo`
    dtype   `float32`, `bfloat16`, `float16`, or `auto` for what the checkpoint holds
    device  `auto` is the first GPU, else the CPU

    Weights in pickle files can run any code when loaded, so they are refused unless `allow_pickle`; likewise
    code that comes with a model, unless `trust_remote_code`. ModelError says in one line what is missing or broken,
    UsageError which devices there are.
    """
    kind = model_kind(spec)
    device = resolve_device(device)
    checkpoint = _checkpoint(spec, kind, trust_remote_code=trust_remote_code, allow_pickle=allow_pickle)
    network, tokenizer = _read(spec, checkpoint, dtype=dtype, device=device, trust_remote_code=trust_remote_code)
    return LoadedModel(network, tokenizer, spec, _facts(kind, checkpoint, network, tokenizer))


def load_skeleton(spec: str, *, dtype: str = "float32", trust_remote_code: bool = False) -> LoadedModel:
    """The model with parameters that have no memory (on `meta`), and where to read them; buffers are real.

    ModelError as from `load_model`, for weights that are not in safetensors files, and for dtype `auto` where the
    config does not say what it is.
    """
    import torch
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    kind = model_kind(spec)
    checkpoint = _checkpoint(spec, kind, trust_remote_code=trust_remote_code, allow_pickle=False)
    if checkpoint.format != "safetensors":
        raise ModelError(
            f"model {spec!r}: weights can stay on disk in safetensors files only (got {checkpoint.format})"
        )
    config = load_config(spec, trust_remote_code=trust_remote_code)
    chosen = config.dtype if dtype == "auto" else _dtype(dtype)
    if chosen is None:
        raise ModelError(f"model {spec!r}: its config names no dtype; name one instead of auto")
    models: Any = AutoModelForCausalLM
    try:
        with _quiet(), init_empty_weights(include_buffers=False), torch.no_grad():
            network = models.from_config(config, dtype=chosen, trust_remote_code=trust_remote_code)
        tokenizer = AutoTokenizer.from_pretrained(checkpoint.folder, trust_remote_code=trust_remote_code)
        if (checkpoint.folder / "generation_config.json").is_file():
            network.generation_config = GenerationConfig.from_pretrained(checkpoint.folder)
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError) as error:
        raise ModelError(f"model {spec!r}: transformers cannot lay it out: {first_line(error)}") from error
    facts = {"kind": kind, "format": checkpoint.format, "dtype": str(network.dtype).removeprefix("torch.")}
    tensors = TensorFiles(checkpoint.weights, _names_in_files(network))
    return LoadedModel(network.eval().requires_grad_(False), tokenizer, spec, facts, tensors)


def _names_in_files(network: PreTrainedModel) -> dict[str, str]:
    """The names that checkpoints have for tensors which transformers renames as it loads them."""
    from transformers.core_model_loading import revert_weight_conversion

    state = network.state_dict(keep_vars=True)
    own = {id(tensor): name for name, tensor in revert_weight_conversion(network, dict(state)).items()}
    return {name: own[id(tensor)] for name, tensor in state.items() if own.get(id(tensor), name) != name}


def load_config(spec: str, *, trust_remote_code: bool = False, allow_pickle: bool = False) -> PreTrainedConfig:
    """The model's configuration alone: its shapes, without its weights. Raises as `load_model` does."""
    from transformers import AutoConfig

    source = _source(spec, trust_remote_code=trust_remote_code, allow_pickle=allow_pickle)
    try:
        with _quiet():
            config: PreTrainedConfig = AutoConfig.from_pretrained(**source)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"model {spec!r}: transformers cannot read its configuration: {first_line(error)}") from error
    return config


def load_tokenizer(
    spec: str, *, trust_remote_code: bool = False, allow_pickle: bool = False
) -> PreTrainedTokenizerBase:
    """The model's tokenizer alone. Raises as `load_model` does."""
    from transformers import AutoTokenizer

    source = _source(spec, trust_remote_code=trust_remote_code, allow_pickle=allow_pickle)
    try:
        with _quiet():
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(**source)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise ModelError(f"model {spec!r}: transformers cannot load its tokenizer: {first_line(error)}") from error
    return tokenizer


def _source(spec: str, *, trust_remote_code: bool, allow_pickle: bool) -> dict[str, Any]:
    """What `from_pretrained` is given to read all of a model but its weights."""
    kind = model_kind(spec)
    gguf: dict[str, Any] = {}
    if kind == "hub":
        folder = _with_nearest(
            spec, lambda name: hub.fetch(name, allow_pickle=allow_pickle, allow_code=trust_remote_code)
        ).folder
    elif kind == "demo":
        folder = demo.converted_folder()
        if not (folder / "config.json").is_file():
            folder, gguf = demo.find_gguf().parent, {"gguf_file": demo.FILE}
    else:
        checkpoint = _local(spec, kind, allow_pickle=allow_pickle)
        folder, gguf = checkpoint.folder, {"gguf_file": checkpoint.gguf} if checkpoint.gguf else {}
    return {"pretrained_model_name_or_path": folder, "trust_remote_code": trust_remote_code, **gguf}


def model_kind(spec: str) -> str:
    """Which of `demo`, `gguf`, `folder` and `hub` a spec names."""
    if spec.startswith(("http://", "https://")):
        raise ModelError(
            f"model {spec!r}: served models run in engine 'openai', not in this process (allowed here: {ALLOWED})"
        )
    if not spec.strip():
        raise ModelError(f"model {spec!r}: no model named (allowed: {ALLOWED})")
    if spec == "demo":
        return "demo"
    if spec.lower().endswith(".gguf"):
        return "gguf"
    looks_like_path = spec.startswith(("/", ".", "~")) or spec.count("/") > 1 or "\\" in spec
    return "folder" if looks_like_path or Path(spec).exists() else "hub"


def _checkpoint(spec: str, kind: str, *, trust_remote_code: bool, allow_pickle: bool) -> Checkpoint:
    """The files of a model, fetched or converted where they are not here yet."""
    if kind == "demo":
        return _demo_checkpoint()
    if kind == "hub":
        return _with_nearest(
            spec, lambda name: hub.fetch(name, allow_pickle=allow_pickle, allow_code=trust_remote_code)
        )
    return _local(spec, kind, allow_pickle=allow_pickle)


def _local(spec: str, kind: str, *, allow_pickle: bool) -> Checkpoint:
    path = Path(spec).expanduser()
    if not path.exists():
        what = "file" if kind == "gguf" else "folder"
        raise ModelError(f"model {spec!r}: no such {what}{_nearest(spec)} (allowed: {ALLOWED})")
    if kind == "gguf" and path.is_file():
        return read_gguf(path)
    if not path.is_dir():
        raise ModelError(f"model {spec!r}: a file that is no .gguf file (allowed: {ALLOWED})")
    return read_folder(path, allow_pickle=allow_pickle)


def _with_nearest(spec: str, find: Callable[[str], Found]) -> Found:
    """`find(spec)`, with the nearest known name added to what it complains of."""
    try:
        return find(spec)
    except ModelError as error:
        raise ModelError(f"{error}{_nearest(spec)} (allowed: {ALLOWED})") from None


def _nearest(spec: str) -> str:
    """`; did you mean ...?` with the nearest file beside the path, cached hub model, or `demo`; else nothing."""
    path = Path(spec).expanduser()
    try:
        beside = {str(path.parent / entry.name): entry.name for entry in path.parent.iterdir()}
    except OSError:
        beside = {}
    names = {name: full for full, name in beside.items()} | {name: name for name in ("demo", *hub.known_names())}
    near = get_close_matches(spec, names, n=1) or get_close_matches(path.name, names, n=1)
    return f"; did you mean {names[near[0]]!r}?" if near else ""


def resolve_device(device: str) -> str:
    """A device's name; `auto` is the first GPU, else the CPU. Raises UsageError for one that this machine lacks."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    here = devices_here()
    if device not in here:
        raise UsageError(f"device {device!r} is not on this machine (allowed: auto, {', '.join(here)})")
    return device


def devices_here() -> list[str]:
    """The names of this machine's devices: `cpu`, and of every other kind its own name and one with each number."""
    import torch

    kinds = {"cuda": torch.cuda, "mps": torch.mps, "xpu": torch.xpu}
    numbers = {kind: range(module.device_count()) for kind, module in kinds.items()}
    return ["cpu", *(name for kind, some in numbers.items() if some for name in (kind, *(f"{kind}:{n}" for n in some)))]


def _demo_checkpoint() -> Checkpoint:
    """The demo's converted copy; made first where it is not there or not whole."""
    gguf = demo.find_gguf()
    try:
        return read_folder(demo.converted_folder())
    except ModelError:
        demo.forget_converted()
    network, tokenizer = _read("demo", read_gguf(gguf), dtype="float32", device="cpu", trust_remote_code=False)
    with _quiet():
        demo.keep_converted(network, tokenizer)
    return read_folder(demo.converted_folder())


def _read(
    spec: str, checkpoint: Checkpoint, *, dtype: str, device: str, trust_remote_code: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Weights and tokenizer through transformers, its many ways to fail turned into ModelError."""
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    models: Any = AutoModelForCausalLM  # its annotations do not know that it can return two things
    source: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    if checkpoint.gguf:
        source["gguf_file"] = checkpoint.gguf
    else:
        source["use_safetensors"] = checkpoint.format == "safetensors"
    placement = {"dtype": _dtype(dtype), "device_map": None if device == "cpu" else device}
    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(checkpoint.folder, **source)
            network, report = models.from_pretrained(checkpoint.folder, output_loading_info=True, **placement, **source)
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"model {spec!r}: transformers cannot load it: {first_line(error)}") from error
    # transformers would fill the tensors that a checkpoint lacks with random numbers.
    lacking = sorted(map(str, {*report["missing_keys"], *report["mismatched_keys"]}))
    if lacking:
        raise ModelError(f"model {spec!r}: {len(lacking)} tensors missing or misshapen, first {lacking[0]}")
    if checkpoint.gguf:
        _forget_quantization(network)
    return network.eval().requires_grad_(False), tokenizer


def _dtype(name: str) -> torch.dtype | str:
    import torch

    if name not in DTYPES:
        raise UnknownName("dtype", name, DTYPES)
    return name if name == "auto" else cast("torch.dtype", getattr(torch, name))


def _forget_quantization(network: PreTrainedModel) -> None:
    """Remove the marks that keep a model from being saved: a GGUF file's weights are plain numbers once loaded."""
    if hasattr(network.config, "quantization_config"):
        del network.config.quantization_config
    network.__dict__.pop("hf_quantizer", None)


def _facts(
    kind: str, checkpoint: Checkpoint, network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> dict[str, Any]:
    template = tokenizer.chat_template
    facts: dict[str, Any] = {
        "kind": kind,
        "format": checkpoint.format,
        "architecture": type(network).__name__,
        "parameters": sum(p.numel() for p in network.parameters()),
        "dtype": str(network.dtype).removeprefix("torch."),
        "device": str(network.device),
        "chat_template_sha256": hashlib.sha256(json.dumps(template).encode()).hexdigest() if template else None,
    }
    if kind == "demo":
        return facts | {"format": "gguf", "sha256": {demo.FILE: demo.SHA256}, "note": demo.NOTE}
    facts |= which_weights(checkpoint)
    if checkpoint.revision:
        return facts
    quantization = getattr(network.config, "quantization_config", None)
    if checkpoint.gguf:
        facts["note"] = f"GGUF {gguf_weight_type(checkpoint.weights[0])} weights, dequantized"
    elif quantization is not None:
        facts["note"] = f"quantized weights ({getattr(quantization, 'quant_method', 'unknown method')})"
    return facts


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bars, log lines and warnings: what matters of them is checked and raised."""
    gguf_loading: Any = import_module("transformers.modeling_gguf_pytorch_utils")
    logging: Any = import_module("transformers.utils.logging")
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    own_bar = gguf_loading.tqdm
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    # The GGUF reader draws a bar of its own, which does not ask whether bars are wanted.
    gguf_loading.tqdm = logging.tqdm
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        gguf_loading.tqdm = own_bar
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
