"""A module `vllm` that runs a small folder in transformers, with a prefix cache that behaves as vLLM's does.

What it returns in the place of log-probabilities that it found in its cache is not what the model says: the right
tokens with plausible numbers, which only `num_cached_tokens` gives away.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


@dataclass
class Behaviour:
    """How it behaves, and what it was asked.

    block     tokens per block, if it is not told
    blocks    how many blocks it has, with the one that it keeps for itself
    groups    groups of layers that take blocks; None to hide them
    empties   False to keep the cache when it is told to empty it
    refuses   True to say that it did not empty the cache
    tells     False to leave out how many tokens it found in the cache
    spoils    nats by which numbers are off after tokens from the cache
    broken    True for a model whose numbers are none
    fails     what it raises when it is asked
    on_cpu    False for a GPU
    methods   quantizations that it knows
    written   the tokens of every completion
    asked     what `generate` was called with: prompts and sampling, prompt by prompt
    started   the settings of each model that was started
    stopped   how many models were shut down
    interrupted  how many prompts were interrupted because the blocks of all do not fit
    """

    block: int = 16
    blocks: int = 4096
    groups: int | None = 1
    empties: bool = True
    refuses: bool = False
    tells: bool = True
    spoils: float = 0.0
    broken: bool = False
    fails: Exception | None = None
    on_cpu: bool = True
    methods: tuple[str, ...] = ("awq", "compressed-tensors")
    written: list[list[int]] = field(default_factory=list)
    asked: list[list[tuple[tuple[int, ...], Any]]] = field(default_factory=list)
    started: list[dict[str, Any]] = field(default_factory=list)
    stopped: int = 0
    interrupted: int = 0

    @property
    def computed(self) -> int:
        """Tokens of prompts that were computed so far."""
        return sum(len(tokens) - sampling.found for call in self.asked for tokens, sampling in call)


@dataclass
class SamplingParams:
    """Those settings that are used here; another one is an error."""

    prompt_logprobs: int | None = None
    logprobs: int | None = None
    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop: list[str] = field(default_factory=list)
    stop_token_ids: list[int] = field(default_factory=list)
    ignore_eos: bool = False
    detokenize: bool = True
    flat_logprobs: bool = False
    skip_reading_prefix_cache: bool | None = None

    def __post_init__(self) -> None:
        if self.stop and not self.detokenize:
            raise ValueError("stop strings are only supported when detokenize is True")


def llm_class(behaviour: Behaviour) -> type:
    """Return the class `LLM`."""

    class LLM:
        def __init__(self, model: str, **settings: Any) -> None:
            behaviour.started.append(settings)
            torch.set_num_threads = lambda count: None  # as vLLM does on a CPU
            self.network: Any = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
            self.tokenizer = AutoTokenizer.from_pretrained(model)
            config = self.network.config
            self.length = settings["max_model_len"] or config.max_position_embeddings
            if self.length > config.max_position_embeddings:
                raise ValueError(f"User-specified max_model_len ({self.length}) is too long\nand more")
            self.block = settings.get("block_size", behaviour.block)
            self.cache: set[tuple[int, ...]] = set()
            dtype = torch.float32 if settings["dtype"] == "float32" else torch.bfloat16
            self.llm_engine = SimpleNamespace(
                vllm_config=SimpleNamespace(
                    cache_config=SimpleNamespace(num_gpu_blocks=behaviour.blocks, block_size=self.block),
                    model_config=SimpleNamespace(
                        hf_config=config, max_model_len=self.length, dtype=dtype, quantization=None
                    ),
                    device_config=SimpleNamespace(device_type="cuda"),
                ),
                engine_core=SimpleNamespace(shutdown=self._shutdown),
            )
            if behaviour.groups is not None:
                scheduler = SimpleNamespace(kv_cache_config=SimpleNamespace(kv_cache_groups=[None] * behaviour.groups))
                self.llm_engine.engine_core.engine_core = SimpleNamespace(scheduler=scheduler)

        def _shutdown(self) -> None:
            behaviour.stopped += 1

        def reset_prefix_cache(self) -> bool:
            if behaviour.empties:
                self.cache.clear()
            return not behaviour.refuses

        def generate(self, prompts: list[Any], sampling: Any, *, use_tqdm: bool) -> list[Any]:
            settings = sampling if isinstance(sampling, list) else [sampling] * len(prompts)
            if behaviour.fails is not None:
                raise behaviour.fails
            behaviour.asked.append([])
            tokens = [tuple(prompt["prompt_token_ids"]) for prompt in prompts]
            taken, outputs, full = 0, [], set[tuple[int, ...]]()
            for each, own in zip(tokens, settings, strict=True):
                new = {each[:end] for end in range(self.block, len(each) + 1, self.block)} - full
                full |= new
                taken += len(new) + 1
                # Uncached ones wait for each other's blocks.
                cached = own.skip_reading_prefix_cache is False
                short = cached and taken * (behaviour.groups or 1) > behaviour.blocks - 1
                outputs.append(self._run(each, own, short))
            return outputs

        def _run(self, tokens: tuple[int, ...], sampling: Any, short: bool) -> Any:
            if len(tokens) >= self.length:
                raise ValueError(f"The decoder prompt (length {len(tokens)}) is longer than {self.length}")
            skips = sampling.skip_reading_prefix_cache
            skips = sampling.prompt_logprobs is not None if skips is None else skips
            found = 0 if skips else self._found(tokens)
            behaviour.asked[-1].append((tokens, SimpleNamespace(**vars(sampling), found=found)))
            self.cache |= {tokens[:end] for end in range(self.block, len(tokens) + 1, self.block)}
            behaviour.interrupted += short
            read = len(tokens) - 1 if short else found  # an interrupted prompt finds itself in the cache
            return SimpleNamespace(
                num_cached_tokens=found if behaviour.tells else None,
                metrics=SimpleNamespace(num_preemptions=int(short)),
                prompt_logprobs=None if sampling.prompt_logprobs is None else self._read(tokens, read),
                outputs=[self._written(tokens, sampling)],
            )

        def _found(self, tokens: tuple[int, ...]) -> int:
            """How many tokens of a prompt are in the cache: whole blocks, and never its last token."""
            found = 0
            while found + self.block < len(tokens) and tokens[: found + self.block] in self.cache:
                found += self.block
            return found

        def _read(self, tokens: tuple[int, ...], found: int) -> list[Any]:
            true = self._logprobs(tokens)
            values = [float(true[place - 1, token]) for place, token in enumerate(tokens)]
            values = [value - behaviour.spoils * (found > 0) for value in values]
            shown = [-0.25 * (place % 7) if place <= found else value for place, value in enumerate(values)]
            return [{}, *({token: SimpleNamespace(logprob=shown[n])} for n, token in enumerate(tokens) if n)]

        def _written(self, tokens: tuple[int, ...], sampling: Any) -> Any:
            draw = torch.Generator().manual_seed(sampling.seed or 0)
            written: list[int] = []
            logprobs = []
            text, reason = "", "length"
            while len(written) < sampling.max_tokens and reason == "length":
                last = self._logprobs((*tokens, *written))[-1]
                if sampling.temperature == 0:
                    token = int(last.argmax())
                else:
                    token = int(torch.multinomial((last / sampling.temperature).exp(), 1, generator=draw))
                written.append(token)
                logprobs.append({token: SimpleNamespace(logprob=float(last[token]))})
                text = self.tokenizer.decode(written, skip_special_tokens=True)
                if token in sampling.stop_token_ids or any(stop in text for stop in sampling.stop):
                    reason = "stop"
            behaviour.written.append(written)
            cut = min((text.find(stop) for stop in sampling.stop if stop in text), default=len(text))
            return SimpleNamespace(token_ids=written, text=text[:cut], logprobs=logprobs, finish_reason=reason)

        def _logprobs(self, tokens: tuple[int, ...]) -> torch.Tensor:
            with torch.inference_mode():
                logits = self.network(torch.tensor([tokens])).logits[0]
            return torch.log_softmax(logits * (float("nan") if behaviour.broken else 1), dim=-1)

    return LLM


@contextmanager
def standing_in(behaviour: Behaviour | None = None) -> Iterator[Behaviour]:
    """Let `import vllm` find the stand-in, and put everything back."""
    behaviour = behaviour or Behaviour()
    names = ["vllm", "vllm.platforms", "vllm.plugins", "vllm.model_executor", "vllm.model_executor.layers"]
    names.append("vllm.model_executor.layers.quantization")
    before = {name: sys.modules.get(name) for name in names}
    modules: dict[str, Any] = {name: ModuleType(name) for name in names}
    for name, module in modules.items():
        module.__spec__ = ModuleSpec(name, None, origin="the stand-in")
        module.__path__ = []
    modules["vllm"].LLM, modules["vllm"].SamplingParams = llm_class(behaviour), SamplingParams
    modules["vllm"].__version__ = "0.0.stand-in"
    modules["vllm.platforms"].current_platform = SimpleNamespace(is_cpu=lambda: behaviour.on_cpu)
    modules["vllm.plugins"].load_general_plugins = lambda: None
    modules["vllm.model_executor.layers.quantization"].QUANTIZATION_METHODS = list(behaviour.methods)
    set_num_threads = torch.set_num_threads
    sys.modules.update(modules)
    try:
        yield behaviour
    finally:
        torch.set_num_threads = set_num_threads
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
