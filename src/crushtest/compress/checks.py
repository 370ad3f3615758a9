"""What can be rejected before any weight is loaded: options against the shapes of the model's layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crushtest.compress.grids import width_of_groups
from crushtest.compress.masks import need_whole_groups
from crushtest.compress.options import parse_pattern
from crushtest.compress.structure import Linear, find_structure, refuse_quantized
from crushtest.errors import CompressionError, UsageError
from crushtest.registry import METHODS

if TYPE_CHECKING:
    from torch.nn import Module

    from crushtest.recipes import Recipe, Step


def check(recipe: Recipe, model: Any) -> None:
    """Raise the error that `compress` would raise, as far as it follows from names and shapes alone.

    model  a network, a LoadedModel, or a transformers config (then the network is built without memory for weights)

    UsageError for a recipe that asks for nothing, contradicts itself, or does not fit the layers; ModelError for a
    model that cannot be compressed.
    """
    network = _network(model)
    refuse_quantized(model if network is None else network)
    structure = find_structure(network)
    _check_order(recipe)
    for step in recipe.steps:
        check_options(step)
        chosen = structure.select(step)
        if not chosen:
            raise UsageError(f"method {step.method!r}: its layers and skip patterns leave nothing to compress")
        for linear in chosen:
            _check_shape(step, linear)


def check_options(step: Step) -> None:
    """UsageError where a step asks for nothing, or its sparsity and pattern disagree. Needs no model."""
    where = f"method {step.method!r}"
    structure = parse_pattern(step.options.get("pattern", "unstructured"))
    sparsity = step.options.get("sparsity")
    if structure is None and sparsity == 0:
        raise UsageError(f"{where}: sparsity=0 asks for nothing (the arm `dense` is the model as it is)")
    said = "sparsity" in step.given or sparsity != 0.5  # the default, where nobody need have said it
    if structure and said and sparsity != structure.sparsity:
        raise UsageError(
            f"{where}: sparsity={sparsity:g} contradicts pattern={step.options['pattern']}, "
            f"which is a sparsity of {structure.sparsity:g}; leave one of them out"
        )
    block_size = step.options.get("block_size")
    if structure and block_size and block_size % structure.m:
        raise UsageError(f"{where}: block_size={block_size} must be a multiple of {structure.m} with this pattern")
    if structure and step.options.get("scope") == "global":
        raise UsageError(
            f"{where}: scope=global has no meaning with a pattern, which fixes the sparsity of every group"
        )


def _check_order(recipe: Recipe) -> None:
    """Pruning must come first: what is quantized lies on a grid, and a method that moves weights would leave it."""
    kinds = [METHODS.get(step.method).about["kind"] for step in recipe.steps]
    for before, (kind, step) in zip(kinds, list(zip(kinds, recipe.steps, strict=True))[1:], strict=False):
        if before == "quantization" and kind == "pruning":
            raise UsageError(f"recipe {recipe.text!r}: {step.method!r} prunes after a quantization step; prune first")


def _check_shape(step: Step, linear: Linear) -> None:
    structure = parse_pattern(step.options.get("pattern", "unstructured"))
    columns = linear.shape[1]
    try:
        if structure:
            need_whole_groups(columns, structure)
        if "group_size" in step.options:
            width_of_groups(step.options["group_size"], columns)
    except CompressionError as error:
        raise UsageError(f"method {step.method!r}, layer {linear.name}: {error}") from None


def _network(model: Any) -> Module:
    from torch.nn import Module

    if isinstance(model, Module):
        return model
    if isinstance(getattr(model, "network", None), Module):
        network: Module = model.network
        return network
    return _without_weights(model)


def _without_weights(config: Any) -> Module:
    """The network of a config, its weights without memory."""
    import torch
    from transformers import AutoModelForCausalLM

    refuse_quantized(config)
    with torch.device("meta"):
        models: Any = AutoModelForCausalLM
        network: Module = models.from_config(config)
    return network
