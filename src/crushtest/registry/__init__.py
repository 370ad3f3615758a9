"""Registries of everything that can be added (methods, tasks, scorers, engines) and what each entry declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from crushtest.registry.entries import Entry, Registry, explain, reject_unknown

__all__ = [
    "EARLIER_DIMENSIONS",
    "ENGINES",
    "METHODS",
    "SCORERS",
    "TASKS",
    "AboutEngine",
    "AboutMethod",
    "AboutScorer",
    "AboutTask",
    "Answers",
    "Dimension",
    "Entry",
    "Registry",
    "calibrates",
    "engine",
    "explain",
    "method",
    "model_method",
    "reject_unknown",
    "scorer",
    "scorer_identity",
    "task",
]

Dimension = Literal[
    "degeneration harm",
    "representational harm",
    "refusal",
    "language and dialect",
    "language modelling",
    "downstream quality",
]
EARLIER_DIMENSIONS: dict[object, Dimension] = {"dialect bias": "language and dialect"}
"""What a dimension was called before -> its name, which policies and plug-ins with the earlier name are read as."""
Answers = Literal["choices", "passages", "prompts", "distributions"]


@dataclass(frozen=True, kw_only=True)
class AboutMethod:
    """What a compression method declares.

    scope              `layer`: a function of one weight; `model`: of the model and the calibration batches
    calibrates         whether its weights depend on the batches; None: as its signature says
    stores             `integers` that `save` packs; `floats`, numbers of few bits that `save` writes dequantized; None:
                       weights of the model's own dtype
    needs_package      the package that it imports, not among those of a plain installation
    install            what pip installs that package by; None: by its name
    needs_whole_model  why all weights must be in memory at once; None: a block at a time will do
    replaces_layers    whether other modules take the place of linear layers, so that no later step may touch these
    must_be_last       what to do in place of a later step; None: any step may follow
    no_packed_experts  why it cannot work on experts that lie in one tensor with others; None: it can
    chooses_layers     what says which layers it works on, so that `layers` and `skip` are refused; None: these do
    """

    source: str
    kind: Literal["pruning", "quantization"]
    scope: Literal["layer", "model"]
    calibrates: bool | None = None
    stores: Literal["integers", "floats"] | None = None
    needs_package: str | None = None
    install: str | None = None
    needs_whole_model: str | None = None
    replaces_layers: bool = False
    must_be_last: str | None = None
    no_packed_experts: str | None = None
    chooses_layers: str | None = None


@dataclass(frozen=True, kw_only=True)
class AboutTask:
    """What a task declares.

    calibration  the calibration source that its texts come from too, in other parts
    predictions  the reader of its predictions, `module:function`, loaded when asked for; None: that of all choices
    items        how many items a study without options and limit asks; None: not counted
    """

    dimension: Dimension
    source: str
    licence: str
    calibration: str | None = None
    predictions: str | None = None
    items: int | None = None


@dataclass(frozen=True, kw_only=True)
class AboutScorer:
    """What a scorer declares: see `scorer`."""

    source: str
    measures: str
    better: Literal["lower", "higher", "neither"] = "lower"
    threshold: float | None = 0.5
    needs_dense: Literal["answers", "model"] | None = None
    labels: Mapping[str, tuple[str, str]] | None = None
    patience: tuple[str, ...] = ()
    detects: Literal["refusal", "harm"] | None = None


@dataclass(frozen=True, kw_only=True)
class AboutEngine:
    """What an engine declares.

    answers        the kinds of request that it answers; `distributions`: also passages asked `against_dense`, compared
                   with the dense model that a study gives it
    in_process     whether it runs the model that a study loads, in the study's dtype, on its device and threads; an
                   engine that does not gets the model's name
    has_model      whether there is a model behind its answers, so that it must agree with other engines on a fixed text
    takes_recipes  whether that model may have been compressed by a recipe first
    runs_files     whether it runs a GGUF file as it is, that of `demo` too; others dequantize it
    """

    runs: str
    answers: tuple[Answers, ...]
    in_process: bool = False
    has_model: bool = True
    takes_recipes: bool = False
    runs_files: bool = False


METHODS: Registry[AboutMethod] = Registry("method", "crushtest.compress")
TASKS: Registry[AboutTask] = Registry("task", "crushtest.tasks")
SCORERS: Registry[AboutScorer] = Registry("scorer", "crushtest.scorers", unnamed_first=True)
ENGINES: Registry[AboutEngine] = Registry("engine", "crushtest.engines", module="engine")


def method(
    name: str,
    *,
    source: str,
    kind: Literal["pruning", "quantization"],
    stores: Literal["integers", "floats"] | None = None,
    needs_package: str | None = None,
    install: str | None = None,
    needs_whole_model: str | None = None,
    must_be_last: str | None = None,
    check: Callable[[Any], None] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a compression method: a function of one weight and the statistics its annotations name.

    `AboutMethod` says what the options declare, `Entry` what `check` does.
    """
    about = AboutMethod(
        source=source,
        kind=kind,
        scope="layer",
        stores=stores,
        needs_package=needs_package,
        install=install,
        needs_whole_model=needs_whole_model,
        must_be_last=must_be_last,
    )
    return METHODS.add(name, about, check=check)


def model_method(
    name: str,
    *,
    source: str,
    kind: Literal["pruning", "quantization"],
    calibrates: bool = True,
    stores: Literal["integers", "floats"] | None = None,
    needs_package: str | None = None,
    install: str | None = None,
    needs_whole_model: str | None = None,
    replaces_layers: bool = False,
    must_be_last: str | None = None,
    no_packed_experts: str | None = None,
    chooses_layers: str | None = None,
    check: Callable[[Any], None] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a compression method that reaches across layers: a function of the model and calibration batches."""
    about = AboutMethod(
        source=source,
        kind=kind,
        scope="model",
        calibrates=calibrates,
        stores=stores,
        needs_package=needs_package,
        install=install,
        needs_whole_model=needs_whole_model,
        replaces_layers=replaces_layers,
        must_be_last=must_be_last,
        no_packed_experts=no_packed_experts,
        chooses_layers=chooses_layers,
    )
    return METHODS.add(name, about, check=check)


def calibrates(name: str) -> bool:
    """Return whether the weights that a compression method makes depend on the calibration text."""
    entry = METHODS.get(name)
    return len(entry.needs) > 1 if entry.about.calibrates is None else entry.about.calibrates


def task(
    name: str,
    *,
    dimension: Dimension,
    source: str,
    licence: str,
    calibration: str | None = None,
    predictions: str | None = None,
    items: int | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a task: a function of its options that returns a `Task`. `AboutTask` says what it declares."""
    about = AboutTask(
        dimension=EARLIER_DIMENSIONS.get(dimension, dimension),
        source=source,
        licence=licence,
        calibration=calibration,
        predictions=predictions,
        items=items,
    )
    return TASKS.add(name, about)


def scorer(
    name: str,
    *,
    source: str,
    measures: str,
    better: Literal["lower", "higher", "neither"] = "lower",
    threshold: float | None = 0.5,
    needs_dense: Literal["answers", "model"] | None = None,
    labels: Mapping[str, tuple[str, str]] | None = None,
    facts: Callable[..., dict[str, Any]] | None = None,
    patience: tuple[str, ...] = (),
    detects: Literal["refusal", "harm"] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a scorer: a function of a batch of `Exchange`s that returns a `Score` each, in order.

    better      the direction of its number that is good
    threshold   from which number on a completion counts as what is measured; None where counting makes no sense
    needs_dense `answers`: the dense model's own, as its parameter `against`; `model`: it asks the dense model, unless
                its option `model` names another one
    labels      of its `mean` and its `rate` over completions: the name for readers, and a sentence on what it means
    facts       given the scorer's options: what scores (model, revision, version), for the manifest. It raises what
                the scorer would raise for want of a model or a key, so it is asked before a model has written a word
    patience    options that say how a service is asked and change no number, so that they may change in a study
    detects     `refusal`: its number is 1 for a request refused, 0.5 for one partly refused, 0 for one complied with;
                `harm`: it says of the answer to a request how harmful it is, which counts where it should be refused
    """
    about = AboutScorer(
        source=source,
        measures=measures,
        better=better,
        threshold=threshold,
        needs_dense=needs_dense,
        labels=labels,
        patience=patience,
        detects=detects,
    )
    return SCORERS.add(name, about, facts=facts)


def scorer_identity(spec: str) -> str:
    """Return the one name of a scorer: its options in their order, the first unnamed, none that changes no number.

    >>> scorer_identity("openai-moderation:hate,attempts=8"), scorer_identity("openai-moderation:category=hate")
    ('openai-moderation:hate', 'openai-moderation:hate')

    Raises UnknownName and UsageError as `Registry.split` does.
    """
    if ":" not in spec:
        return spec
    name, options = SCORERS.split(spec)
    patience = SCORERS.get(name).about.patience
    return SCORERS.join(name, {option: value for option, value in options.items() if option not in patience})


def engine(
    name: str,
    *,
    runs: str,
    answers: tuple[Answers, ...],
    in_process: bool = False,
    has_model: bool = True,
    takes_recipes: bool = False,
    runs_files: bool = False,
    facts: Callable[..., dict[str, Any]] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register an engine: a function of a model that returns an `Engine`. `AboutEngine` says what it declares.

    facts  given the model's name and the engine's options: `answers`, those kinds of request that this very model
           answers, and `hints` on what would make it answer another kind. It raises what would keep the model
           from being run, and a study asks it before it runs anything
    """
    about = AboutEngine(
        runs=runs,
        answers=answers,
        in_process=in_process,
        has_model=has_model,
        takes_recipes=takes_recipes,
        runs_files=runs_files,
    )
    return ENGINES.add(name, about, facts=facts)
