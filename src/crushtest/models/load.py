"""Load a model from wherever it is: the hub, a folder, a GGUF file, or the demo that installs with a package."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crushtest.errors import ModelError
from crushtest.models import copies, demo, hub
from crushtest.models.checkpoint import Checkpoint, read_config, read_folder, read_gguf, weights_id
from crushtest.models.devices import input_device
from crushtest.models.dtypes import dtype_named, loaded_dtype
from crushtest.models.find import ADDRESS, hub_checkpoint, local_checkpoint, model_kind
from crushtest.models.foreign import reading
from crushtest.models.gguf_settings import read_gguf_config
from crushtest.models.notes import weights_note
from crushtest.models.placement import Placement, place, placed_bytes
from crushtest.models.places import read_places
from crushtest.models.reader import ReadModel, quiet, read_model, read_tokenizer, suspect

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from crushtest.models.tensor_files import TensorFiles


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory: in evaluation mode, without gradients.

    spec     what it was asked for by
    facts    for the manifest (JSON values): kind, revision or sha256 of the weight files, format, dtype, device,
             sha256 of the chat template (None: it has none), and `note` where the model is not what a deployment runs
    tensors  where the weights are, for a network whose parameters have no memory (`load_skeleton`)
    """

    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    spec: str
    facts: dict[str, Any]
    tensors: TensorFiles | None = None


def load_model(
    spec: str,
    *,
    dtype: str = "float32",
    device: str = "auto",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> LoadedModel:
    """Return the model and its tokenizer, ready to run.

    spec    a hub id (`org/name`, `org/name@revision`), a folder, a `.gguf` file (dequantized), either of them at an
            address of object storage (`s3://bucket/model`), which is copied to the cache, or `demo`
    dtype   `float32`, `bfloat16`, `float16`, or `auto` for what the checkpoint holds (`models.dtypes`)
    device  `auto` is the first GPU, all GPUs for a model that does not fit it, the CPU if there is none; or one device,
            or several to spread the model over, with limits: `cuda:0,cuda:1`, `cpu=8GB,disk`

    Weights in pickle files can run any code when loaded, so they are refused unless `allow_pickle`; likewise
    code that comes with a model, unless `trust_remote_code`. ModelError says in one line what is missing, broken or
    quantized in a way that is not read, or that it does not fit; UsageError which devices there are.
    """
    read_places(device)
    kind = model_kind(spec)
    checkpoint = find_checkpoint(spec, trust_remote_code=trust_remote_code, allow_pickle=allow_pickle)
    chosen = loaded_dtype(kind, checkpoint, dtype)
    placement = placement_of(spec, checkpoint, device, dtype=chosen, trust_remote_code=trust_remote_code)
    read = read_model(spec, checkpoint, dtype=chosen, placement=placement, trust_remote_code=trust_remote_code)
    return LoadedModel(read.network, read.tokenizer, spec, _facts(kind, checkpoint, read))


def placement_of(spec: str, checkpoint: Checkpoint, device: str, *, dtype: Any, trust_remote_code: bool) -> Placement:
    """Return where the weights of a checkpoint go. Raises as `placement.place` does."""
    with quiet(), reading(f"model {spec!r}: transformers cannot lay it out", lambda: suspect(checkpoint)):
        return place(
            spec,
            checkpoint,
            device,
            dtype=dtype,
            read_config=lambda: _read_config(spec, checkpoint.folder, checkpoint, trust_remote_code=trust_remote_code),
            trust_remote_code=trust_remote_code,
        )


def load_config(spec: str, *, trust_remote_code: bool = False, allow_pickle: bool = False) -> PreTrainedConfig:
    """Return the model's configuration alone: its shapes, without its weights. Raises as `load_model` does."""
    checkpoint = without_weights(spec, trust_remote_code=trust_remote_code, allow_pickle=allow_pickle)
    return _read_config(spec, checkpoint.folder, checkpoint, trust_remote_code=trust_remote_code)


def peek_config(spec: str) -> PreTrainedConfig | None:
    """Return the model's configuration before anything of it is fetched but that, or trusted.

    None if the hub does not give it, or if code that comes with the model reads it: loading the model decides then.
    ModelError for files that are not there, or that cannot be read.
    """
    from transformers import CONFIG_MAPPING

    if model_kind(spec) == "hub":
        checkpoint: Checkpoint | None = None
        folder = hub.config_folder(spec)
        if folder is None:
            return None
    else:
        checkpoint = without_weights(spec, trust_remote_code=False, allow_pickle=True)  # weights are not read
        folder = checkpoint.folder
    if checkpoint is None or not checkpoint.gguf:
        content = read_config(folder)
        with_code, known = content.get("auto_map"), str(content.get("model_type")) in CONFIG_MAPPING
        if isinstance(with_code, dict) and "AutoConfig" in with_code and not known:
            return None
    return _read_config(spec, folder, checkpoint, trust_remote_code=False)


def _read_config(
    spec: str, folder: Path, checkpoint: Checkpoint | None, *, trust_remote_code: bool
) -> PreTrainedConfig:
    """Return a configuration; `checkpoint` may be missing where there is a config.json and nothing else."""
    from transformers import AutoConfig

    config: PreTrainedConfig
    place = folder / ((checkpoint and checkpoint.gguf) or "config.json")
    with quiet(), reading(f"model {spec!r}: transformers cannot read its configuration", lambda: str(place)):
        if checkpoint and checkpoint.header:
            config = read_gguf_config(place, checkpoint.header, trust_remote_code=trust_remote_code)
        else:
            config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
    return config


def load_tokenizer(
    spec: str, *, trust_remote_code: bool = False, allow_pickle: bool = False
) -> PreTrainedTokenizerBase:
    """Return the model's tokenizer alone. Raises as `load_model` does."""
    checkpoint = without_weights(spec, trust_remote_code=trust_remote_code, allow_pickle=allow_pickle)
    with quiet(), reading(f"model {spec!r}: transformers cannot load its tokenizer", lambda: suspect(checkpoint)):
        return read_tokenizer(checkpoint, trust_remote_code=trust_remote_code)


def find_checkpoint(spec: str, *, trust_remote_code: bool, allow_pickle: bool, unread: bool = False) -> Checkpoint:
    """Return the files of a model, fetched or converted first if they are not here yet.

    unread  whatever they are quantized by, for a program that reads them for itself
    """
    kind = model_kind(spec)
    if kind == "demo":
        return _demo_checkpoint()
    if kind == "hub":
        trust = {"trust_remote_code": trust_remote_code, "allow_pickle": allow_pickle}
        return hub_checkpoint(spec, **trust, unread=unread)
    if kind == ADDRESS:
        return copies.fetch(spec, allow_pickle=allow_pickle, allow_code=trust_remote_code, unread=unread)
    return local_checkpoint(spec, kind, allow_pickle=allow_pickle, unread=unread)


def without_weights(spec: str, *, trust_remote_code: bool, allow_pickle: bool) -> Checkpoint:
    """Return the files of a model whose weights are not needed: the demo's converted copy only if it is there.

    Of a model at an address the weights are not copied.
    """
    kind = model_kind(spec)
    if kind == "demo" and not (demo.converted_folder() / "config.json").is_file():
        return read_gguf(demo.find_gguf())
    if kind == ADDRESS:
        return copies.without_weights(spec, allow_code=trust_remote_code)
    return find_checkpoint(spec, trust_remote_code=trust_remote_code, allow_pickle=allow_pickle)


def _demo_checkpoint() -> Checkpoint:
    """Return the demo's converted copy; make it first if it is not there or not whole."""
    gguf = demo.find_gguf()
    try:
        return read_folder(demo.converted_folder())
    except ModelError:
        demo.forget_converted()
    read = read_model(
        "demo", read_gguf(gguf), dtype=dtype_named("float32"), placement=Placement("cpu"), trust_remote_code=False
    )
    with quiet():
        demo.keep_converted(read.network, read.tokenizer)
    return read_folder(demo.converted_folder())


def _facts(kind: str, checkpoint: Checkpoint, read: ReadModel) -> dict[str, Any]:
    network, template = read.network, read.tokenizer.chat_template
    facts: dict[str, Any] = {
        "kind": kind,
        "format": checkpoint.format,
        "architecture": type(network).__name__,
        "parameters": sum(p.numel() for p in network.parameters()),
        "dtype": str(network.dtype).removeprefix("torch."),
        "device": str(input_device(network)),
        **({"placement_bytes": placed} if (placed := placed_bytes(network)) else {}),
        "chat_template_sha256": hashlib.sha256(json.dumps(template).encode()).hexdigest() if template else None,
    }
    if kind == "demo":
        return facts | {"format": "gguf", "sha256": {demo.FILE: demo.SHA256}, "note": demo.NOTE}
    facts |= weights_id(checkpoint)
    note = "; ".join(part for part in (weights_note(checkpoint, network), read.unused) if part)
    return facts | ({"note": note} if note else {})
