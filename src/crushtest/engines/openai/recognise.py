"""Which server answers at an address, and what of it must not change while it is measured."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from crushtest.engines.openai.client import ODD, Client, Denied
from crushtest.errors import ModelError, UnknownName

Kind = Literal["llama.cpp", "vllm", "sglang", "ollama", "openai"]
CONVERSATION = [{"role": "user", "content": "Which day is it?"}]


@dataclass(frozen=True)
class Server:
    """A recognised server.

    kind       the program that serves; `openai` if it is none that we know
    model      the name that requests give
    context    tokens that it takes at once; None if it does not say
    own        what the program says of itself, for its own requests
    identity   what is read again at the end, and must be the same
    """

    kind: Kind
    model: str
    context: int | None
    own: dict[str, Any]
    identity: dict[str, Any]


def recognise(client: Client) -> Server:
    """Ask the server what it is. Raises ModelError if the model is not there, or not the only one and not named, and
    for a server whose replies have another shape than such servers give.
    """
    try:
        return _recognise(client)
    except ODD as problem:
        raise ModelError(
            f"{client.address.base}: what the server says of itself cannot be read ({type(problem).__name__})"
        ) from None


def _recognise(client: Client) -> Server:
    props = _own(client, "/props")
    if isinstance(props, dict) and "default_generation_settings" in props:
        return _llama(client, props)
    info = _own(client, "/get_model_info")
    if isinstance(info, dict) and "model_path" in info:
        return _sglang(client, info)
    ollama = _own(client, "/api/version")
    if isinstance(ollama, dict) and "version" in ollama:
        return _ollama(client, str(ollama["version"]))
    version = _own(client, "/version")
    if isinstance(version, dict) and "version" in version:
        return _vllm(client, str(version["version"]))
    listed = _listed(client)
    facts = {name: listed.get(name) for name in ("id", "owned_by")}
    return Server("openai", str(listed["id"]), _context(listed.get("max_model_len")), {}, facts)


def _own(client: Client, path: str) -> Any:
    """Return what a program says at a path of its own; None if there is no such path, or a gateway guards it."""
    try:
        return client.get(path)
    except Denied:
        return None


def _listed(client: Client, *, required: bool = True) -> dict[str, Any]:
    """Return what the server says of the model that was named, or of its only one."""
    reply, wanted, base = client.get("models"), client.address.model, client.address.base
    try:
        models = {str(model["id"]): model for model in reply["data"]}
        models |= {alias: model for model in reply["data"] for alias in model.get("aliases") or ()}
    except (TypeError, KeyError, AttributeError):
        if wanted is None:
            raise ModelError(
                f"{base}: the server lists no models there; the address mostly ends in /v1. If it is right, name "
                f"a model, as in {base}#name"
            ) from None
        return {"id": wanted}
    if wanted is None:
        if len({str(model["id"]) for model in models.values()}) != 1:
            names = ", ".join(sorted(models)) or "none"
            raise ModelError(f"{base}: which of its models? Name one, as in {base}#name (it has: {names})")
        return dict(next(iter(models.values())))
    if wanted not in models:
        if required:
            raise ModelError(str(UnknownName("model", wanted, models, where=base)))
        return {"id": wanted}
    return {**models[wanted], "id": wanted}


def _llama(client: Client, props: dict[str, Any]) -> Server:
    listed = _listed(client)
    context = _context((props.get("default_generation_settings") or {}).get("n_ctx"))
    meta = listed.get("meta") or {}
    identity = {
        "build": props.get("build_info"),
        # A path says where it lies on the server's disk, which is nobody's business.
        "file": PurePosixPath(str(props.get("model_path", "")).replace("\\", "/")).name,
        "weights": {name: meta.get(name) for name in ("ftype", "n_params", "n_vocab", "size")},
        "template_sha256": digest(props.get("chat_template")),
        "context": context,
    }
    return Server("llama.cpp", str(listed["id"]), context, props, identity)


def _vllm(client: Client, version: str) -> Server:
    listed = _listed(client)
    name = str(listed["id"])
    body = {"model": name, "messages": CONVERSATION}
    rendered = client.post_or_none("/tokenize", body, lambda reply: list(reply["tokens"]))
    identity = {
        "version": version,
        "root": listed.get("root"),
        "template_sha256": digest(rendered),
        "context": listed.get("max_model_len"),
    }
    return Server("vllm", name, _context(listed.get("max_model_len")), {}, identity)


def _sglang(client: Client, info: dict[str, Any]) -> Server:
    listed = _listed(client)
    identity = {"weights": info.get("model_path"), "tokenizer": info.get("tokenizer_path")}
    return Server("sglang", str(listed["id"]), _context(listed.get("max_model_len")), info, identity)


def _ollama(client: Client, version: str) -> Server:
    name = str(_listed(client)["id"])
    tags = client.get("/api/tags") or {}
    digests = {str(model.get("name")): model.get("digest") for model in tags.get("models") or ()}
    shown = client.post_or_none("/api/show", {"model": name}, dict) or {}
    lengths = [value for key, value in (shown.get("model_info") or {}).items() if key.endswith(".context_length")]
    identity = {"version": version, "digest": digests.get(name), "template_sha256": digest(shown.get("template"))}
    return Server("ollama", name, _context(lengths[0] if lengths else None), {}, identity)


def _context(length: Any) -> int | None:
    return None if length is None else int(length)


def digest(value: Any) -> str | None:
    """Return the sha256 of a JSON value; None for none."""
    return None if value is None else hashlib.sha256(json.dumps(value).encode()).hexdigest()
