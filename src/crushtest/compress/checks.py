"""What can be rejected before any weight is loaded: options against the shapes of the model's layers."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from crushtest.compress.kernels.grids import width_of_groups
from crushtest.compress.kernels.masks import need_whole_groups
from crushtest.compress.kernels.parameters import parse_pattern
from crushtest.compress.layers.structure import Linear, Structure, find_structure, refuse_quantized
from crushtest.compress.methods.llmcompressor import check_recipe_file
from crushtest.errors import CompressionError, ModelError, UsageError, first_line
from crushtest.registry import METHODS

if TYPE_CHECKING:
    from torch.nn import Module

    from crushtest.compress.recipes import Recipe, Step


_PACKAGES = {
    "nf4": "bitsandbytes",
    "fp4": "bitsandbytes",
    "int8": "bitsandbytes",
    "llmcompressor": "llmcompressor",
}
_PACKED = ("rtn", "gptq", "awq")  # whose integers are saved as they are


def check(recipe: Recipe, model: Any, *, to_save: bool = False, trust_remote_code: bool = False) -> None:
    """Raise the error that `compress` would raise, as far as it follows from names and shapes alone.

    model    a network, a LoadedModel, or a transformers config (then the network is built without memory for weights)
    to_save  also the error that `save` would raise for want of a package

    UsageError for a recipe that asks for nothing, contradicts itself, or does not fit the layers; ModelError for a
    model that cannot be compressed; CompressionError for a package that is not installed (none is imported but
    llm-compressor), or a recipe file that llm-compressor does not take.
    """
    network = _network(model, trust_remote_code)
    refuse_quantized(model if network is None else network)
    structure = find_structure(network)
    _check_order(recipe)
    _check_replaced(recipe, structure)
    for step in recipe.steps:
        check_options(step)
        chosen = structure.select(step)
        if not chosen:
            raise UsageError(f"method {step.method!r}: its layers and skip patterns leave nothing to compress")
        _need_package(f"method {step.method!r}", _PACKAGES.get(step.method))
        shared = math.gcd(*(linear.shape[1] for linear in chosen))
        for linear in chosen:
            _check_shape(step, linear, shared)
        if step.method == "llmcompressor":
            check_recipe_file(step.options["file"])
    if to_save and _saves_integers(recipe, structure):
        _need_package("saving quantized weights as integers", "compressed_tensors")


def check_options(step: Step) -> None:
    """UsageError where a step asks for nothing, or its sparsity and pattern disagree. Needs no model."""
    where = f"method {step.method!r}"
    structure = parse_pattern(step.options.get("pattern", "unstructured"))
    sparsity = step.options.get("sparsity")
    if structure is None and sparsity == 0:
        raise UsageError(f"{where}: sparsity=0 asks for nothing (the arm `dense` is the model as it is)")
    said = "sparsity" in step.given or sparsity != 0.5  # the default, where nobody need have said it
    if structure and sparsity is not None and said and not math.isclose(sparsity, structure.sparsity, rel_tol=1e-5):
        raise UsageError(
            f"{where}: sparsity={sparsity:g} contradicts pattern={step.options['pattern']}, "
            f"which is a sparsity of {structure.sparsity:g}; leave one of them out"
        )
    if step.method == "llmcompressor" and (step.layers or step.skip):
        raise UsageError(f"{where}: its file says which layers; leave layers and skip out")
    block_size = step.options.get("block_size")
    if structure and block_size and block_size % structure.m:
        raise UsageError(f"{where}: block_size={block_size} must be a multiple of {structure.m} with this pattern")
    if structure and step.options.get("scope") == "global":
        raise UsageError(
            f"{where}: scope=global has no meaning with a pattern, which fixes the sparsity of every group"
        )


def _need_package(what: str, package: str | None) -> None:
    if package and find_spec(package) is None:
        name = package.replace("_", "-")
        raise CompressionError(f"{what} needs the package {name}: pip install 'crushtest[{name}]'")


def _saves_integers(recipe: Recipe, structure: Structure) -> bool:
    """Whether `save` packs integers: the layers are plain ones, some last quantized to integers, none replaced by int8.

    It packs none either where grids differ and one is asymmetric, which is not looked at here.
    """
    last = {linear.name: step.method for step in recipe.steps for linear in structure.select(step)}
    plain = all(linear.is_plain for linear in structure.linears)
    return plain and "int8" not in last.values() and any(method in _PACKED for method in last.values())


def _check_order(recipe: Recipe) -> None:
    """Pruning must come first: what is quantized lies on a grid, and a method that moves weights would leave it."""
    kinds = [METHODS.get(step.method).about.kind for step in recipe.steps]
    for before, (kind, step) in zip(kinds, list(zip(kinds, recipe.steps, strict=True))[1:], strict=False):
        if before == "quantization" and kind == "pruning":
            raise UsageError(f"recipe {recipe.text!r}: {step.method!r} prunes after a quantization step; prune first")


def _check_replaced(recipe: Recipe, structure: Structure) -> None:
    """Layers that another package has put in the place of linear ones, or changed, are no longer ours to work on."""
    quantizing = [step.method for step in recipe.steps if METHODS.get(step.method).about.kind == "quantization"]
    if "llmcompressor" in quantizing and len(quantizing) > 1:
        raise UsageError(
            f"recipe {recipe.text!r}: 'llmcompressor' must be the last step, and the only one that quantizes; "
            "its file can hold more modifiers"
        )
    replaced: set[str] = set()
    for step in recipe.steps:
        chosen = [linear.name for linear in structure.select(step)]
        again = next((name for name in chosen if name in replaced), None)
        if again:
            raise UsageError(
                f"method {step.method!r}, layer {again}: an earlier step, int8, has put another layer there; skip it"
            )
        if step.method == "int8":
            replaced.update(chosen)


def _check_shape(step: Step, linear: Linear, shared: int) -> None:
    structure = parse_pattern(step.options.get("pattern", "unstructured"))
    columns = linear.shape[1]
    if step.method == "int8" and not linear.is_plain:
        kind = type(linear.module).__name__
        raise UsageError(
            f"method 'int8', layer {linear.name}: torch.nn.Linear is needed (got {kind}); use another method"
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
    return _without_weights(model, trust_remote_code)


def _without_weights(config: Any, trust_remote_code: bool) -> Module:
    """The network of a config, its weights without memory."""
    import torch
    from transformers import AutoModelForCausalLM

    refuse_quantized(config)
    models: Any = AutoModelForCausalLM
    try:
        with torch.device("meta"):
            network: Module = models.from_config(config, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError) as error:
        raise ModelError(
            f"transformers cannot lay out a model of {type(config).__name__}: {first_line(error)}"
        ) from error
    return network
