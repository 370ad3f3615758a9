"""Compress a model by a recipe, in place, and say what that did."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from crushtest.compress.calibration import CalibrationTokens
from crushtest.compress.checks import check
from crushtest.compress.kernels.grids import QuantizedWeight
from crushtest.compress.kernels.parameters import parse_pattern
from crushtest.compress.layers.global_sparsity import allocate_sparsity
from crushtest.compress.layers.loop import Compressed, Job, Progress, compress_layers
from crushtest.compress.layers.offload import InPlace, Residence
from crushtest.compress.layers.structure import Linear, Untouched, find_structure, find_untouched
from crushtest.compress.record import CompressionRecord, LayerRecord, StepRecord, Storage, Totals, add_up
from crushtest.errors import CompressionError
from crushtest.models.memory import keep_freed_memory, peak_memory_bytes
from crushtest.registry import METHODS

if TYPE_CHECKING:
    from crushtest.compress.recipes import Recipe, Step
    from crushtest.models.load import LoadedModel

# A method that looks at no inputs is still measured on some.
_MEASURED_TOKENS = 512


def compress(
    model: LoadedModel,
    recipe: Recipe,
    calibration: CalibrationTokens,
    *,
    residence: Residence | None = None,
    on_progress: Progress | None = None,
) -> CompressionRecord:
    """Carry out a recipe on a model, step by step, each on the result of the one before; return what it did.

    `residence` is where its weights are; if it is not given, all are in memory.

    Raises what `check` raises, before any work; CompressionError, which names the layer, where a step fails or leaves
    every weight as it was (the model is then half compressed, and must be loaded again).
    """
    started = time.monotonic()
    keep_freed_memory()
    check(recipe, model)
    structure = find_structure(model.network)
    residence = residence or InPlace(model.network)
    ledger = _Ledger(residence.quantized_store())
    steps = []
    for number, step in enumerate(recipe.steps):
        chosen = structure.select(step)
        begun = time.monotonic()
        entry = METHODS.get(step.method)
        job = Job(
            model.network,
            structure,
            chosen,
            entry,
            step.options,
            calibration.ids,
            on_progress or silent,
            residence,
            tokenizer=model.tokenizer,
        )
        ledger.enter_step(number, step, carry_out(job))
        if not ledger.changed(number):
            raise CompressionError(
                f"recipe {recipe.text!r}: step {step.method!r} changed no weight of {len(chosen)} layers"
            )
        seconds, rescaled = round(time.monotonic() - begun, 3), tuple(dict.fromkeys(ledger.rescaled))
        steps.append(StepRecord(step.method, entry.about.kind, step.options, step.layers, step.skip, seconds, rescaled))
    untouched = find_untouched(model.network, tuple(ledger.linears.values()), structure)
    return CompressionRecord(
        recipe=recipe.text,
        steps=tuple(steps),
        totals=ledger.totals(untouched),
        layers=tuple(ledger.layers),
        untouched=tuple(untouched),
        calibration=calibration.facts,
        seconds=round(time.monotonic() - started, 3),
        peak_memory_bytes=peak_memory_bytes(),
        quantized=ledger.quantized,
        quantized_experts=frozenset(ledger.quantized_experts),
    )


class _Ledger:
    """Keeps count of every layer, step after step."""

    def __init__(self, quantized: MutableMapping[str, QuantizedWeight]) -> None:
        self.layers: list[LayerRecord] = []
        self.linears: dict[str, Linear] = {}
        self.storages: dict[str, Storage] = {}
        self.zeros: dict[str, int] = {}
        self.quantized = quantized
        self.quantized_experts: set[str] = set()
        self.rescaled: list[str] = []

    def enter_step(self, number: int, step: Step, results: Iterable[Compressed]) -> None:
        """Note what a step does to each layer, while it does it."""
        self.rescaled = []
        pattern = parse_pattern(step.options.get("pattern", "unstructured"))
        asked_sparsity = pattern.sparsity if pattern else step.options.get("sparsity")
        for result in results:
            linear, weights = result.linear, result.linear.weight.numel()
            storage = self.storages.setdefault(linear.name, Storage(weights, kept=weights))
            storage.enter(result.zeros, result.quantized, pattern)
            self.linears[linear.name] = linear
            self.zeros[linear.name] = result.zeros
            self.rescaled += [result.rescaled] if result.rescaled else []
            self._keep(linear, result.quantized if isinstance(result.quantized, QuantizedWeight) else None)
            self.layers.append(
                LayerRecord(
                    step=number,
                    name=linear.name,
                    shape=linear.shape,
                    asked_sparsity=asked_sparsity,
                    sparsity=result.zeros / weights,
                    bits_per_weight=storage.stored_bits / weights,
                    output_error=result.output_error,
                    changed=result.changed,
                    tokens=result.tokens,
                    pooled=result.pooled,
                )
            )

    def _keep(self, linear: Linear, quantized: QuantizedWeight | None) -> None:
        """Keep a layer's integers for saving, and of an expert, which no format takes, that it was quantized."""
        # An earlier step's integers are not the weight any more.
        self.quantized.pop(linear.name, None)
        self.quantized_experts.discard(linear.name)
        if quantized is None:
            return
        if linear.packed:
            self.quantized_experts.add(linear.name)
        else:
            self.quantized[linear.name] = quantized

    def totals(self, untouched: Sequence[Untouched]) -> Totals:
        """Return the sizes of the whole, in which layers that no step has touched count as they are."""
        experts = sum(linear.weight.numel() for linear in self.linears.values() if linear.packed)
        return add_up(list(self.storages.values()), sum(self.zeros.values()), untouched, expert_weights=experts)

    def changed(self, number: int) -> int:
        """Return how many weights a step changed."""
        return sum(layer.changed for layer in self.layers if layer.step == number)


def carry_out(job: Job) -> Iterator[Compressed]:
    """Compress the layers of one job, yielding each when it is done."""
    if job.entry.about.scope == "model":
        return iter(job.entry.function(job, job.tokens, **job.options))
    if not job.needs:
        job = replace(job, tokens=job.tokens[: -(-_MEASURED_TOKENS // job.tokens.shape[1])])
    if job.options.get("scope") == "global":
        job = replace(job, sparsities=allocate_sparsity(job.linears, job.options["sparsity"]))
    return compress_layers(job)


def silent(what: str, done: int, total: int) -> None:
    """Show no progress."""
