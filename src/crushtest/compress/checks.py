"""What can be rejected before any weight is loaded: options against the shapes of the model's layers."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from crushtest.compress.kernels.grids import width_of_groups
from crushtest.compress.kernels.masks import need_whole_groups
from crushtest.compress.kernels.parameters import parse_pattern
from crushtest.compress.layers.structure import Linear, Structure, find_structure, refuse_quantized
from crushtest.compress.layers.usage import usage
from crushtest.errors import CompressionError, ModelError, UsageError, first_error_line
from crushtest.registry import METHODS

if TYPE_CHECKING:
    from torch.nn import Module

    from crushtest.compress.recipes import Recipe, Step


def check(recipe: Recipe, model: Any, *, to_save: bool = False, trust_remote_code: bool = False) -> None:
    """Raise the error that `compress` would raise, as far as it follows from names and shapes alone.

    model    a network, a LoadedModel, or a transformers config (then the network is built without memory for weights)
    to_save  also the error that `save` would raise for want of a package

    UsageError for a recipe that asks for nothing, contradicts itself, or does not fit the layers; ModelError for a
    model that cannot be compressed; CompressionError for a package that is not installed; and what a method's own
    `check` raises.
    """
    from crushtest.compress.layers.dry_run import probe_without_weights

    network = _network(model, trust_remote_code)
    refuse_quantized(model if network is None else network)
    structure = find_structure(network)
    probe_without_weights(network)
    _check_order(recipe)
    _check_last(recipe)
    _check_replaced(recipe, structure)
    for step in recipe.steps:
        entry = METHODS.get(step.method)
        check_options(step)
        chosen = structure.select(step)
        if not chosen:
            raise UsageError(f"method {step.method!r}: its layers and skip patterns leave nothing to compress")
        _check_experts(step, chosen)
        _check_called(step, chosen, network)
        if entry.about.needs_package:
            _need_package(f"method {step.method!r}", entry.about.needs_package, entry.about.install)
        shared = math.gcd(*(linear.shape[1] for linear in chosen))
        for linear in chosen:
            _check_shape(step, linear, shared)
        if entry.check:
            entry.check(step)
    if to_save and _saves_integers(recipe, structure):
        what = "saving quantized weights as integers"
        _need_package(what, "compressed_tensors", "crushtest[compressed-tensors]")


def check_options(step: Step) -> None:
    """Raise UsageError if a step asks for nothing, or its sparsity and pattern disagree. Needs no model."""
    where = f"method {step.method!r}"
    structure = parse_pattern(step.options.get("pattern", "unstructured"))
    sparsity = step.options.get("sparsity")
    if structure is None and sparsity == 0:
        raise UsageError(f"{where}: sparsity=0 asks for nothing (the arm `dense` is the model as it is)")
    is_given = "sparsity" in step.given or sparsity != 0.5  # 0.5 is the default
    if structure and sparsity is not None and is_given and not math.isclose(sparsity, structure.sparsity, rel_tol=1e-5):
        raise UsageError(
            f"{where}: sparsity={sparsity:g} contradicts pattern={step.options['pattern']}, "
            f"which is a sparsity of {structure.sparsity:g}; leave one of them out"
        )
    chooses = METHODS.get(step.method).about.chooses_layers
    if chooses and (step.layers or step.skip):
        raise UsageError(f"{where}: {chooses}; leave layers and skip out")
    block_size = step.options.get("block_size")
    if structure and block_size and block_size % structure.m:
        raise UsageError(f"{where}: block_size={block_size} must be a multiple of {structure.m} with this pattern")
    if structure and step.options.get("scope") == "global":
        raise UsageError(
            f"{where}: scope=global has no meaning with a pattern, which fixes the sparsity of every group"
        )


def _need_package(what: str, package: str, install: str | None) -> None:
    if find_spec(package) is None:
        name = package.replace("_", "-")
        raise CompressionError(f"{what} needs the package {name}: pip install '{install or name}'")


def _saves_integers(recipe: Recipe, structure: Structure) -> bool:
    """Say whether `save` packs integers: plain layers, some of them last quantized to integers, none replaced.

    It also packs none if grids differ and one is asymmetric, which is not looked at here.
    """
    last = {linear.name: METHODS.get(step.method).about for step in recipe.steps for linear in structure.select(step)}
    integers = [
        linear for linear in structure.linears if linear.name in last and last[linear.name].stores == "integers"
    ]
    replaced = any(about.replaces_layers for about in last.values())
    return bool(integers) and not replaced and all(linear.is_plain for linear in integers)


def _check_order(recipe: Recipe) -> None:
    """Raise UsageError for pruning after quantization: a method that moves weights would take them off their grid."""
    kinds = [METHODS.get(step.method).about.kind for step in recipe.steps]
    for before, (kind, step) in zip(kinds, list(zip(kinds, recipe.steps, strict=True))[1:], strict=False):
        if before == "quantization" and kind == "pruning":
            raise UsageError(f"recipe {recipe.text!r}: {step.method!r} prunes after a quantization step; prune first")


def _check_last(recipe: Recipe) -> None:
    """Raise UsageError for a step after one that must be last; one that quantizes must be the only one that does."""
    abouts = [METHODS.get(step.method).about for step in recipe.steps]
    quantizing = sum(about.kind == "quantization" for about in abouts)
    for number, (step, about) in enumerate(zip(recipe.steps, abouts, strict=True), start=1):
        quantizes = about.kind == "quantization"
        if about.must_be_last and (number < len(abouts) or (quantizes and quantizing > 1)):
            alone = ", and the only one that quantizes" if quantizes else ""
            raise UsageError(
                f"recipe {recipe.text!r}: {step.method!r} must be the last step{alone}; {about.must_be_last}"
            )


def _check_replaced(recipe: Recipe, structure: Structure) -> None:
    """Raise UsageError for a step on layers that an earlier one exchanged for those of another package."""
    replaced: dict[str, str] = {}
    for step in recipe.steps:
        chosen = [linear.name for linear in structure.select(step)]
        again = next((name for name in chosen if name in replaced), None)
        if again:
            raise UsageError(
                f"method {step.method!r}, layer {again}: an earlier step, {replaced[again]}, has put another layer "
                "there; skip it"
            )
        if METHODS.get(step.method).about.replaces_layers:
            replaced |= dict.fromkeys(chosen, step.method)


def _check_experts(step: Step, chosen: tuple[Linear, ...]) -> None:
    """Raise UsageError for a method that cannot work on experts which lie in one tensor with others."""
    about = METHODS.get(step.method).about
    expert = next((linear for linear in chosen if linear.packed), None)
    if expert and about.no_packed_experts:
        way_out = "" if about.chooses_layers else f", or skip them ({_pattern(expert)})"
        raise UsageError(
            f"method {step.method!r}, layer {expert.name}: this model keeps its experts in one tensor, and "
            f"{about.no_packed_experts}; use another method{way_out}"
        )


def _check_called(step: Step, chosen: tuple[Linear, ...], network: Module) -> None:
    """Raise UsageError for a method that exchanges layers, where the model multiplies with a weight by itself."""
    if not METHODS.get(step.method).about.replaces_layers:
        return
    seen = usage(network, [linear.name for linear in chosen])
    bypassed = next((linear.name for linear in chosen if seen and linear.name in seen.used - seen.called), None)
    if bypassed:
        raise UsageError(
            f"method {step.method!r}, layer {bypassed}: the model multiplies with its weight without calling the "
            "layer, so no other can take its place; use another method, or skip it "
            f"(skip={bypassed.rpartition('.')[2]})"
        )


def _pattern(expert: Linear) -> str:
    """Return the `skip` option that leaves out all experts of a module, in every block."""
    assert expert.packed
    module = expert.name.removesuffix(f".{expert.packed.parameter}").rpartition(".")[0]
    return f"skip={module.rpartition('.')[2]}.*"


def _check_shape(step: Step, linear: Linear, shared: int) -> None:
    structure = parse_pattern(step.options.get("pattern", "unstructured"))
    columns = linear.shape[1]
    if METHODS.get(step.method).about.replaces_layers and not linear.is_plain:
        kind = type(linear.module).__name__
        raise UsageError(
            f"method {step.method!r}, layer {linear.name}: torch.nn.Linear is needed (got {kind}); use another method"
        )
    try:
        if structure:
            need_whole_groups(columns, structure)
        if "group_size" in step.options:
            width_of_groups(step.options["group_size"], columns, shared=shared)
    except CompressionError as error:
        raise UsageError(f"method {step.method!r}, layer {linear.name}: {error}") from None


def _network(model: Any, trust_remote_code: bool) -> Module:
    from torch.nn import Module

    if isinstance(model, Module):
        return model
    if isinstance(getattr(model, "network", None), Module):
        network: Module = model.network
        return network
    return network_of_config(model, trust_remote_code)


def network_of_config(config: Any, trust_remote_code: bool = False) -> Module:
    """Return the network of a config, its weights without memory.

    Raises ModelError for a model that is quantized already, or that transformers cannot lay out.
    """
    import torch
    from transformers import AutoModelForCausalLM

    refuse_quantized(config)
    models: Any = AutoModelForCausalLM
    try:
        with torch.device("meta"):
            network: Module = models.from_config(config, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError) as error:
        raise ModelError(
            f"transformers cannot lay out a model of {type(config).__name__}: {first_error_line(error)}"
        ) from error
    return network
